from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hififace.app import launch
from hififace.app.launch import Served
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions


class Page:
    def close(self, *, verbose: bool) -> None:
        pass


class BrokenPage:
    def close(self, *, verbose: bool) -> None:
        raise RuntimeError("the web server does not stop")


class Jobs:
    """A video whose frame takes as long as it is let."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def stop(self) -> None:
        assert self.over.wait(60)


def with_a_photo(tmp_path: Path) -> Sessions:
    sessions = Sessions(Limits(), root=tmp_path)
    with sessions.visit("visitor") as session:
        session.path("me.jpg").write_bytes(b"photo")
    return sessions


def parts_of(page: Any, sessions: Sessions, jobs: Any) -> Any:
    return SimpleNamespace(page=page, sessions=sessions, jobs=jobs, lives=SimpleNamespace(stop=lambda: None))


def test_files_go_before_what_is_at_work_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "PATIENCE_S", 0.05)
    sessions, jobs = with_a_photo(tmp_path), Jobs()
    page: Any = Page()
    gone = threading.Event()
    inner = sessions.remove_files

    def remove_files() -> None:
        inner()
        gone.set()

    monkeypatch.setattr(sessions, "remove_files", remove_files)
    served = Served(parts_of(page, sessions, jobs), "")
    stopping = threading.Thread(target=served.stop)
    stopping.start()
    assert gone.wait(60)
    assert not sessions.root.exists()
    assert stopping.is_alive()
    jobs.over.set()
    stopping.join(60)
    assert list(tmp_path.iterdir()) == []


def test_files_go_though_the_web_server_fails(tmp_path: Path):
    sessions, jobs = with_a_photo(tmp_path), Jobs()
    jobs.over.set()
    page: Any = BrokenPage()
    with pytest.raises(RuntimeError, match="does not stop"):
        Served(parts_of(page, sessions, jobs), "").stop()
    assert list(tmp_path.iterdir()) == []
