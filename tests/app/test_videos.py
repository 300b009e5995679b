from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from hififace import OptionError, VideoError
from hififace.app.limits import Limits
from hififace.app.video_player import video_html
from hififace.app.videos import first_frame_with_faces, frame_at, open_video
from hififace.media.video import VideoReader
from hififace.swapper import FaceSwapper
from tests.support.face_videos import face_video, head, put, room
from tests.support.videos import Recipe, make_video


@pytest.fixture(scope="module")
def swapper(bundle: Path) -> FaceSwapper:
    return FaceSwapper.load(bundle, threads=1)


def test_a_video_is_described(tmp_path: Path):
    video = open_video(
        face_video(tmp_path / "a.mp4", lambda _: room(), 10, sound=True), "My Video.MP4", Limits()
    )
    assert video.sentence() == "320 x 240, 25\N{NO-BREAK SPACE}fps, 0.4\N{NO-BREAK SPACE}s, sound"
    assert (video.own_suffix, video.played_by_browsers) == (".mp4", True)


def test_a_video_that_browsers_do_not_play_is_known(tmp_path: Path):
    video = open_video(make_video(tmp_path / "a.avi", Recipe(codec="mpeg4", options={})), "a.avi", Limits())
    assert (video.own_suffix, video.played_by_browsers) == (".avi", False)
    other = open_video(make_video(tmp_path / "a.mkv", Recipe(codec="mpeg4", options={})), "a.wmv", Limits())
    assert other.own_suffix == ".mp4"


def test_the_frame_of_a_moment_is_the_one_on_screen(tmp_path: Path, swapper: FaceSwapper):
    path = face_video(tmp_path / "a.mp4", lambda n: np.full((240, 320, 3), 40 + 20 * n, np.uint8), 10)
    video = open_video(path, "a.mp4", Limits())
    assert abs(int(frame_at(video, 0.21, swapper).image.mean()) - 140) < 4
    assert str(video.says(VideoError(f"{path} is broken"))) == "a.mp4 is broken"
    with pytest.raises(OptionError, match="behind the end"):
        frame_at(video, 9.0, swapper)


def test_a_video_without_faces_shows_its_first_frame(tmp_path: Path, swapper: FaceSwapper):
    video = open_video(face_video(tmp_path / "a.mp4", lambda _: room(), 10), "a.mp4", Limits())
    frame = first_frame_with_faces(video, swapper)
    assert (frame.moment_s, frame.faces) == (0.0, ())


def test_faces_of_a_frame_carry_who_they_are(tmp_path: Path, swapper: FaceSwapper):
    path = face_video(tmp_path / "a.mp4", lambda _: put(room(), head(), 160, 120), 5)
    (face,) = first_frame_with_faces(open_video(path, "a.mp4", Limits()), swapper).faces
    assert np.linalg.norm(face.identity) == pytest.approx(1.0, abs=1e-4)
    assert face.thumbnail.shape == (128, 128, 3)


def test_the_player_shows_both_where_browsers_can():
    html = video_html(Path("/tmp/v/a b.mp4"), Path("/tmp/v/t.mp4"), (320, 240), 2.5)
    assert 'src="gradio_api/file=/tmp/v/a%20b.mp4"' in html
    assert 'data-start="2.500"' in html
    assert 'data-do="mute"' not in html
    alone = video_html(Path("a.mp4"), None, (320, 240), sound=True)
    assert "hf-target" not in alone
    assert "hf-divider" not in alone
    assert 'data-do="mute"' in alone


def test_a_video_that_starts_after_its_sound_reaches_to_its_last_frame(tmp_path: Path):
    """Sound from 0 s, ten frames from 1 s to 1.4 s: the last of them can be shown, and begun with."""
    whole, late = face_video(tmp_path / "a.mp4", lambda _: room(), 10, sound=True), tmp_path / "late.mp4"
    with av.open(str(whole)) as given, av.open(str(late), "w") as taken:
        streams = {stream.index: taken.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                packet.pts += round(1 / packet.time_base)
                packet.dts += round(1 / packet.time_base)
            packet.stream = streams[packet.stream.index]
            taken.mux(packet)
    video = open_video(late, "late.mp4", Limits())
    assert (video.length_s, video.last_s) == (pytest.approx(0.4), pytest.approx(1.4, abs=0.01))
    assert [len(list(VideoReader(late, start_s=start_s))) for start_s in (None, 1.2, 1.37)] == [10, 5, 1]
    with pytest.raises(OptionError, match=r"ends at 1\.4"):
        VideoReader(late, start_s=1.5)
