from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from hififace import OptionError
from hififace.app.limits import Limits
from hififace.app.sessions import PAGE_PREFIX, Sessions, remove_dead_pages
from hififace.hosting.meter import LimitError


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def visitors(tmp_path: Path, clock: Clock) -> Sessions:
    return Sessions(Limits(minutes=10, upload_mb=0.001, sessions=3), root=tmp_path, clock=clock)


def received(sessions: Sessions, name: str, content: bytes = b"photo") -> Path:
    place = sessions.root / f"hash-of-{name}"
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(content)
    return place / name


def files(sessions: Sessions) -> list[str]:
    return sorted(path.name for path in sessions.root.rglob("*") if path.is_file())


def take(sessions: Sessions, key: str, upload: Path) -> Path:
    with sessions.visit(key) as session:
        return sessions.take(session, upload, upload.name)


def test_folders_are_private(visitors: Sessions):
    with visitors.visit("a") as session:
        assert stat.S_IMODE(visitors.root.stat().st_mode) == 0o700
        assert stat.S_IMODE(session.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(session.path("x.png").parent.stat().st_mode) == 0o700


def test_everything_of_a_visitor_is_gone_when_the_tab_closes(visitors: Sessions):
    take(visitors, "a", received(visitors, "a.jpg"))
    take(visitors, "b", received(visitors, "b.jpg"))
    assert files(visitors) == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]
    visitors.close("a")
    assert files(visitors) == ["b.jpg", "b.jpg"]
    visitors.close("a")


def test_an_upload_of_two_visitors_goes_with_the_last(visitors: Sessions):
    upload = received(visitors, "same.jpg")
    take(visitors, "a", upload)
    take(visitors, "b", upload)
    visitors.close("a")
    assert upload.exists()
    visitors.close("b")
    assert files(visitors) == []


def test_everything_is_gone_after_the_time_limit(visitors: Sessions, clock: Clock):
    take(visitors, "a", received(visitors, "a.jpg"))
    clock.now += 8 * 60
    take(visitors, "b", received(visitors, "b.jpg"))
    clock.now += 3 * 60
    visitors.sweep()
    assert files(visitors) == ["b.jpg", "b.jpg"]
    clock.now += 11 * 60
    visitors.sweep()
    assert files(visitors) == []
    assert len(visitors) == 0


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("name", ["same.jpg", "other.jpg"])
def test_who_leaves_does_not_take_along_an_equal_file_that_somebody_else_has_just_uploaded(
    visitors: Sessions, monkeypatch: pytest.MonkeyPatch, name: str, links: bool
):
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", Mock(side_effect=PermissionError))
    folder = visitors.root / "hash-of-the-content"
    folder.mkdir()
    (folder / "same.jpg").write_bytes(b"photo")
    take(visitors, "leaving", folder / "same.jpg")
    arriving = visitors.root / "arriving"
    arriving.write_bytes(b"photo")
    arriving.replace(folder / name)  # as the web server puts an upload into its place
    visitors.close("leaving")
    with visitors.visit("coming") as session:
        assert visitors.take(session, folder / name, name).read_bytes() == b"photo"
    visitors.close("coming")
    assert files(visitors) == []


def test_an_upload_that_nobody_took_is_gone_after_the_time_limit(visitors: Sessions, clock: Clock):
    received(visitors, "orphan.jpg")
    visitors.sweep()
    assert files(visitors) == ["orphan.jpg"]
    clock.now += 11 * 60
    visitors.sweep()
    assert files(visitors) == []


def test_the_sweeper_sweeps_by_itself(tmp_path: Path):
    sessions = Sessions(Limits(minutes=0.002), root=tmp_path)
    take(sessions, "a", received(sessions, "a.jpg"))
    gone = threading.Event()
    sessions.start_sweeping()
    for _ in range(200):
        if not files(sessions):
            gone.set()
            break
        time.sleep(0.05)
    assert gone.is_set()
    sessions.stop()


def test_nothing_is_left_when_the_page_stops(visitors: Sessions, tmp_path: Path):
    take(visitors, "a", received(visitors, "a.jpg"))
    received(visitors, "orphan.jpg")
    visitors.stop()
    assert list(tmp_path.iterdir()) == []


def test_closing_waits_for_the_request_at_work(visitors: Sessions):
    order: list[str] = []
    with visitors.visit("a") as session:
        closing = threading.Thread(target=lambda: (visitors.close("a"), order.append("closed")))
        closing.start()
        session.path("late.png").write_bytes(b"late")
        order.append("written")
    closing.join()
    assert order == ["written", "closed"]
    assert files(visitors) == []


def test_files_outside_of_the_uploads_are_refused(visitors: Sessions, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    link = visitors.root / "link.txt"
    link.symlink_to(secret)
    for path in (secret, link, visitors.root / "missing.jpg", visitors.root / ".." / "secret.txt"):
        with pytest.raises(OptionError, match="Upload it again"):
            take(visitors, "a", path)


def test_a_large_file_is_refused(visitors: Sessions):
    with pytest.raises(
        LimitError, match=r"large\.jpg has 0\.002 MB; this page takes photos of up to 0\.001 MB"
    ):
        take(visitors, "a", received(visitors, "large.jpg", bytes(2000)))


def test_a_full_page_is_a_sentence(visitors: Sessions):
    for key in "abc":
        photo_of(visitors, key)
    with pytest.raises(LimitError, match="3 people"), visitors.visit("d"):
        pass
    visitors.close("a")
    with visitors.visit("d"):
        assert len(visitors) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc/passwd", "passwd"), ("a b<c>.jpg", "a-b-c-.jpg"), ("...", "photo"), ("", "photo")],
)
def test_names_are_made_plain(visitors: Sessions, name: str, expected: str):
    with visitors.visit("a") as session:
        path = session.path(name)
        assert path.name == expected
        assert path.parent.parent == session.folder


def photo_of(sessions: Sessions, key: str, name: str = "a.png") -> None:
    upload = sessions.root / f"upload-{key}" / name
    upload.parent.mkdir(exist_ok=True)
    upload.write_bytes(b"photo")
    with sessions.visit(key) as session:
        sessions.take(session, upload, name)


def test_visitors_without_files_take_nobody_s_place(tmp_path: Path):
    sessions = Sessions(Limits(sessions=3), root=tmp_path)
    try:
        photo_of(sessions, "real")
        for number in range(20):  # requests that were refused leave nothing
            sessions.arrive(f"refused {number}", "6.6.6.6")
        sessions.arrive("late", "1.2.3.4")
        assert len(sessions) == 3
        with sessions.visit("real") as session:
            assert session.uploads
    finally:
        sessions.stop()


def test_one_address_has_some_of_the_places(tmp_path: Path):
    sessions = Sessions(Limits(sessions=10, sessions_per_address=2), root=tmp_path)
    try:
        for key in ("a", "b"):
            sessions.arrive(key, "6.6.6.6")
            photo_of(sessions, key)
        with pytest.raises(LimitError, match="2 visitors of your address"):
            sessions.arrive("c", "6.6.6.6")
        sessions.arrive("a", "6.6.6.6")  # who is there already stays
        sessions.arrive("d", "1.2.3.4")
    finally:
        sessions.stop()


KILLED_PAGE = """
import os, sys, time
from pathlib import Path
from unittest.mock import Mock
from hififace.app.limits import Limits
from hififace.app.sessions import PAGE_PREFIX, Sessions, remove_dead_pages
sessions = Sessions(Limits(), root=Path(sys.argv[1]))
with sessions.visit("visitor") as session:
    session.path("me.jpg").write_bytes(b"photo")
print(sessions.root, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_what_a_killed_page_left_goes_when_the_next_one_starts(tmp_path: Path):
    page = subprocess.Popen(
        [sys.executable, "-c", KILLED_PAGE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert page.stdout is not None
        left = Path(page.stdout.readline().strip())
        assert any(left.rglob("me.jpg"))
        remove_dead_pages(tmp_path)
        assert any(left.rglob("me.jpg"))  # it lives
    finally:
        page.kill()
        page.wait()
    assert any(left.rglob("me.jpg"))
    foreign = tmp_path / f"{PAGE_PREFIX}link"
    (tmp_path / "mine").mkdir()
    foreign.symlink_to(tmp_path / "mine")
    sessions = Sessions(Limits(), root=tmp_path)
    assert not left.exists()
    assert (tmp_path / "mine").is_dir()  # a link that somebody put there is not followed
    sessions.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PAGE_PREFIX}link", "mine"]
