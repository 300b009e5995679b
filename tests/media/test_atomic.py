from __future__ import annotations

from pathlib import Path

import pytest

from hififace.errors import HififaceError
from hififace.media import atomic
from hififace.media.atomic import atomic_path, atomic_write


def test_writes_and_replaces(tmp_path: Path):
    path = tmp_path / "a" / "file.bin"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_rename_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(HififaceError, match="No space left on device"):
        atomic_write(tmp_path / "file.bin", b"x")
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_keeps_ending_and_folder(tmp_path: Path):
    with atomic_path(tmp_path / "video.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(HififaceError, match="is a folder"):
        atomic_write(tmp_path, b"x")


def test_a_link_is_followed_not_replaced(tmp_path: Path):
    real, link = tmp_path / "real.bin", tmp_path / "link.bin"
    real.write_bytes(b"old")
    link.symlink_to(real)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_file_in_the_place_of_a_folder_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(HififaceError, match="cannot be written"):
        atomic_write(tmp_path / "file" / "out.bin", b"x")
