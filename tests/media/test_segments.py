from __future__ import annotations

import pytest
from tests.support.videos import Recipe, make_video

from hififace.errors import VideoError
from hififace.media.encoding import choose_settings
from hififace.media.segments import open_segment, write_segment
from hififace.media.timing import Place
from hififace.media.video import VideoReader


@pytest.fixture
def video(tmp_path):
    reader = VideoReader(make_video(tmp_path / "video.mp4", Recipe(seconds=0.8)))
    return reader, choose_settings(reader, tmp_path / "out.mp4")


def write(path, video, state=lambda place: {"at": place.index}):
    reader, settings = video
    return write_segment(path, iter(reader), settings, state)


def test_what_is_written_is_read_again(tmp_path, video):
    segment = write(tmp_path / "one.hfseg", video)
    again = open_segment(tmp_path / "one.hfseg")
    assert again == segment
    assert (again.first_index, again.num_frames, again.read_state()) == (0, 20, {"at": 19})
    assert again.place == Place(19, again.last_pts)
    packets = list(again.packets())
    assert packets[0].is_keyframe
    assert [p.pts for p in packets] == again.time_stamps()
    base = video[1].time_base
    assert sorted(p.pts * base for p in packets) == [f.time_s for f in video[0]]
    assert {p.duration * base for p in packets} == {1 / video[0].rate}
    assert again.settings == video[1].fingerprint()


def test_the_same_frames_give_the_same_bytes(tmp_path, video):
    write(tmp_path / "one.hfseg", video)
    write(tmp_path / "two.hfseg", video)
    assert (tmp_path / "one.hfseg").read_bytes() == (tmp_path / "two.hfseg").read_bytes()


def test_no_frames_make_no_file(tmp_path, video):
    assert write_segment(tmp_path / "none.hfseg", iter([]), video[1], lambda place: {}) is None
    assert not (tmp_path / "none.hfseg").exists()


def test_a_stop_in_the_middle_leaves_nothing(tmp_path, video):
    def stopping():
        for frame in video[0]:
            if frame.index == 7:
                raise KeyboardInterrupt
            yield frame

    with pytest.raises(KeyboardInterrupt):
        write_segment(tmp_path / "half.hfseg", stopping(), video[1], lambda place: {})
    assert [p.name for p in tmp_path.iterdir() if p.name != "video.mp4"] == []


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_damage_is_found(tmp_path, video, harm):
    path = tmp_path / "one.hfseg"
    write(path, video)
    data = bytearray(path.read_bytes())
    if harm == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(
        {"cut": bytes(data[:-40]), "flipped": bytes(data), "empty": b"", "other": b"x" * 100}[harm]
    )
    with pytest.raises(VideoError, match="not a whole segment"):
        open_segment(path)
