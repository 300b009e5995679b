from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hififace.errors import HififaceError, OptionError
from hififace.media import atomic
from hififace.media.atomic import atomic_path, atomic_write, refuse_address, refuse_overwriting, shortened


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


@pytest.mark.skipif(os.name == "nt", reason="asks POSIX whether a process is alive")
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with atomic_path(tmp_path / "a" / "mine.jpg") as temporary:
        temporary.write_bytes(b"x")
        mark = temporary.name.split(".")[2]
    place, own, thread = mark.split("-")
    kept = {f".at-work.{place}-{own}-{thread}.part.jpg", ".out.123-456.part.mp4", ".notes.part", "out.jpg"}
    left = {f".out.{place}-{process.pid}-{thread}.part.jpg", f".out.jpg.{place}-{process.pid}-7.part"}
    for name in kept | left:
        (tmp_path / name).write_bytes(b"x")
    atomic_write(tmp_path / "new.bin", b"x")
    assert {path.name for path in tmp_path.iterdir()} == kept | {"a", "new.bin"}


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX")
def test_a_pipe_is_refused_not_replaced(tmp_path: Path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with pytest.raises(HififaceError, match="device or a pipe"):
        atomic_write(pipe, b"data")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


@pytest.mark.parametrize("letter", ["a", "é", "漢"])
def test_the_longest_name_of_the_file_system_can_be_written(tmp_path: Path, letter: str):
    name = letter * (251 // len(letter.encode())) + ".jpg"
    atomic_write(tmp_path / name, b"data")
    assert (tmp_path / name).read_bytes() == b"data"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_shortened_name_fits_and_differs_from_its_neighbours(tmp_path: Path):
    names = ["é" * 120 + str(number) for number in range(3)]
    short = [shortened(name, 100) for name in names]
    assert all(len(os.fsencode(name)) <= 155 for name in short)
    assert len(set(short)) == 3
    assert shortened("short.jpg", 100) == "short.jpg"


def test_what_is_read_is_not_overwritten_under_any_name(tmp_path: Path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"data")
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.jpg").symlink_to(photo)
    (tmp_path / "hard.jpg").hardlink_to(photo)
    for other in (photo, tmp_path / "soft.jpg", tmp_path / "hard.jpg", tmp_path / "sub" / ".." / "photo.jpg"):
        with pytest.raises(OptionError, match="read by this very command"):
            refuse_overwriting([other], [photo])
    refuse_overwriting([tmp_path / "other.jpg"], [photo, tmp_path / "missing.jpg"])


@pytest.mark.parametrize("given", ["https://example.org/a.jpg", Path("https://example.org/a.jpg")])
def test_an_address_is_told_whole(given):
    with pytest.raises(OptionError, match=r"https://example\.org/a\.jpg is an address"):
        refuse_address(given)
    refuse_address("C:/photos/a.jpg")
    refuse_address(b"https://")
