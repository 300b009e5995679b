from __future__ import annotations

import pytest
from tests.support.films import Recipe, make_film

from hififace.errors import FilmError
from hififace.media.encoding import choose_settings
from hififace.media.segments import open_segment, write_segment
from hififace.media.timing import Place
from hififace.media.video import FilmReader


@pytest.fixture
def film(tmp_path):
    reader = FilmReader(make_film(tmp_path / "film.mp4", Recipe(seconds=0.8)))
    return reader, choose_settings(reader, tmp_path / "out.mp4")


def write(path, film, state=lambda place: {"at": place.index}):
    reader, settings = film
    return write_segment(path, iter(reader), settings, state)


def test_what_is_written_is_read_again(tmp_path, film):
    segment = write(tmp_path / "one.hfseg", film)
    again = open_segment(tmp_path / "one.hfseg")
    assert again == segment
    assert (again.first_index, again.num_frames, again.read_state()) == (0, 20, {"at": 19})
    assert again.place == Place(19, again.last_pts)
    packets = list(again.packets())
    assert packets[0].is_keyframe
    assert [p.pts for p in packets] == again.time_stamps()
    base = film[1].time_base
    assert sorted(p.pts * base for p in packets) == [f.time_s for f in film[0]]
    assert {p.duration * base for p in packets} == {1 / film[0].rate}
    assert again.settings == film[1].fingerprint()


def test_the_same_frames_give_the_same_bytes(tmp_path, film):
    write(tmp_path / "one.hfseg", film)
    write(tmp_path / "two.hfseg", film)
    assert (tmp_path / "one.hfseg").read_bytes() == (tmp_path / "two.hfseg").read_bytes()


def test_no_frames_make_no_file(tmp_path, film):
    assert write_segment(tmp_path / "none.hfseg", iter([]), film[1], lambda place: {}) is None
    assert not (tmp_path / "none.hfseg").exists()


def test_a_stop_in_the_middle_leaves_nothing(tmp_path, film):
    def stopping():
        for frame in film[0]:
            if frame.index == 7:
                raise KeyboardInterrupt
            yield frame

    with pytest.raises(KeyboardInterrupt):
        write_segment(tmp_path / "half.hfseg", stopping(), film[1], lambda place: {})
    assert [p.name for p in tmp_path.iterdir() if p.name != "film.mp4"] == []


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_damage_is_found(tmp_path, film, harm):
    path = tmp_path / "one.hfseg"
    write(path, film)
    data = bytearray(path.read_bytes())
    if harm == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(
        {"cut": bytes(data[:-40]), "flipped": bytes(data), "empty": b"", "other": b"x" * 100}[harm]
    )
    with pytest.raises(FilmError, match="not a whole segment"):
        open_segment(path)
