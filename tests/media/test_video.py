from __future__ import annotations

import itertools
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.support.videos import NTSC, Recipe, Sound, drifting, make_video, set_rotation, stamps_of

from hififace.errors import OptionError, VideoError
from hififace.media.timing import Place
from hififace.media.video import VideoReader

UNEVEN = [0, 3000, 3500, 20000, 21000, 24000, 24100, 50000, 52000, 53000, 90000, 91000, 99000, 120000]


@pytest.fixture(scope="module")
def ntsc(tmp_path_factory):
    recipe = Recipe(seconds=2.0, rate=NTSC, time_base=Fraction(1, 30000))
    return make_video(tmp_path_factory.mktemp("videos") / "ntsc.mp4", recipe)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    recipe = Recipe(time_base=Fraction(1, 90000), stamps=UNEVEN)
    return make_video(tmp_path_factory.mktemp("videos") / "vfr.mp4", recipe)


def test_time_stamps_are_the_videos_own_and_exact(ntsc):
    frames = list(VideoReader(ntsc))
    assert [f.time_s for f in frames] == [Fraction(1001 * i, 30000) for i in range(60)]
    assert [f.index for f in frames] == list(range(60))
    assert {f.duration for f in frames} == {1001}


def test_variable_rate_keeps_every_stamp_and_knows_how_long_each_frame_stays(uneven):
    frames = list(VideoReader(uneven))
    assert [f.pts for f in frames] == UNEVEN
    assert [f.duration for f in frames[:-1]] == np.diff(UNEVEN).tolist()


def test_the_picture_is_the_one_that_was_drawn(ntsc):
    for frame in list(VideoReader(ntsc))[::20]:
        wanted = drifting(frame.index, 0.0, (96, 64)).astype(int)
        assert np.abs(frame.rgb() - wanted).mean() < 4


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_a_phone_held_upright_gives_upright_pictures(tmp_path, clockwise):
    def draw(number, seconds, size):
        # What the sensor sees while the phone is turned: the upright scene turned back.
        scene = np.full((size[0], size[1], 3), 60, dtype=np.uint8)
        scene[:20, :20] = (220, 40, 40)
        return np.rot90(scene, clockwise // 90) if clockwise != 180 else np.rot90(scene.transpose(1, 0, 2), 2)

    path = set_rotation(make_video(tmp_path / "phone.mp4", Recipe(seconds=0.2, draw=draw)), clockwise)
    image = next(iter(VideoReader(path))).rgb().astype(int)
    assert np.abs(image[4:16, 4:16] - (220, 40, 40)).max() < 12
    assert np.abs(image[30:, 30:] - 60).max() < 12


def test_a_span_begins_with_what_is_on_screen_and_ends_in_time(uneven):
    # 90000 units per second; 0.25 s = 22500 lies inside the frame of 21000.
    reader = VideoReader(uneven, start_s=0.25, end_s=0.6)
    frames = list(reader)
    assert [f.pts for f in frames] == [22500, 24000, 24100, 50000, 52000, 53000]
    assert frames[0].duration == 1500
    assert frames[-1].pts + frames[-1].duration == 54000
    assert reader.shift_s == Fraction(1, 4)
    assert frames[0].rgb().tobytes() == list(VideoReader(uneven))[4].rgb().tobytes()


def test_a_new_rate_moves_no_moment(ntsc):
    reader = VideoReader(ntsc, fps=Fraction(10))
    frames = list(reader)
    assert [f.time_s for f in frames] == [Fraction(k, 10) for k in range(21)]
    own = list(VideoReader(ntsc))
    for frame in frames[::4]:
        on_screen = max((f for f in own if f.time_s <= frame.time_s), key=lambda f: f.pts)
        np.testing.assert_array_equal(frame.rgb(), on_screen.rgb())


@pytest.mark.parametrize(
    "options", [{}, {"start_s": 0.3}, {"fps": Fraction(12)}, {"start_s": 0.3, "fps": NTSC}]
)
@pytest.mark.parametrize("kind", ["ntsc", "uneven"])
def test_going_on_gives_the_same_frames_as_never_stopping(kind, options, request):
    reader = VideoReader(request.getfixturevalue(kind), **options)
    whole = list(reader)
    for done in (1, len(whole) // 2, len(whole) - 1, len(whole)):
        last = whole[done - 1]
        rest = list(reader.frames(after=Place(last.index, last.pts)))
        assert [(f.index, f.pts, f.duration) for f in rest] == [
            (f.index, f.pts, f.duration) for f in whole[done:]
        ]
        for a, b in zip(rest, whole[done:], strict=True):
            assert a.rgb().tobytes() == b.rgb().tobytes()


def test_a_video_cut_short_gives_what_is_there_and_says_so(tmp_path):
    whole = make_video(tmp_path / "whole.mkv", Recipe(seconds=4.0)).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: int(len(whole) * 0.5)])
    reader = VideoReader(cut)
    frames = list(reader)
    assert 30 < len(frames) < 70
    assert any("cut short" in s and "of 4.0" in s for s in reader.problems.sentences())


def test_a_broken_middle_is_survived_and_counted(tmp_path):
    path = make_video(tmp_path / "video.mp4", Recipe(seconds=3.0, gop_size=5))
    with av.open(str(path)) as video:
        packets = [(p.pos, p.size) for p in video.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for at, size in packets[30:34]:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    reader = VideoReader(path)
    frames = list(reader)
    assert len(frames) >= 69
    assert frames[-1].pts == list(range(0, 75))[-1] * int(Fraction(1, 25) / frames[0].time_base)
    assert reader.problems.lost_packets + reader.problems.damaged_frames >= 1
    assert reader.problems.sentences()
    # Before and behind the damage nothing is lost.
    np.testing.assert_allclose(frames[10].rgb().astype(int), drifting(10, 0, (96, 64)), atol=40)


def test_a_sound_video_has_no_problems(ntsc):
    reader = VideoReader(ntsc)
    assert len(list(reader)) == 60
    assert reader.problems.sentences() == []


def test_a_size_that_changes_in_mid_video_is_fitted_to_the_first(tmp_path):
    # Two transport streams glued together, as recorders do.
    first = make_video(tmp_path / "a.ts", Recipe(seconds=0.4))
    second = make_video(tmp_path / "b.ts", Recipe(seconds=0.4, size=(64, 48)))
    glued = tmp_path / "glued.ts"
    with glued.open("wb") as file:
        for part in (first, second):
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    reader = VideoReader(glued)
    assert {f.rgb().shape for f in reader} == {(64, 96, 3)}


def test_hdr_is_refused_with_the_way_out_and_mapped_on_request(tmp_path):
    recipe = Recipe(seconds=0.2, pixel_format="yuv420p10le", matrix=9, primaries=9, transfer=16)
    path = make_video(tmp_path / "hdr.mp4", recipe)
    with pytest.raises(VideoError, match=r"high dynamic range, PQ.*tone_map=True"):
        VideoReader(path)
    frame = next(iter(VideoReader(path, tone_map=True)))
    assert frame.rgb().shape == (64, 96, 3)


def test_options_that_make_no_sense_are_refused(ntsc):
    with pytest.raises(OptionError, match="ends at 2"):
        VideoReader(ntsc, start_s=5)
    with pytest.raises(OptionError, match="--fps"):
        VideoReader(ntsc, fps=Fraction(0))


def test_expected_frames_is_about_right(ntsc):
    assert VideoReader(ntsc).expected_frames == 60
    assert VideoReader(ntsc, start_s=1, fps=Fraction(10)).expected_frames == 10
    # numpy's integers are refused by JSON and taken for bytes by SQLite.
    assert type(VideoReader(ntsc).expected_frames) is int
    assert type(VideoReader(ntsc).info.start_s.numerator) is int


def test_videos_without_presentation_times_get_them_from_their_order(tmp_path):
    path = make_video(
        tmp_path / "old.avi", Recipe(codec="mpeg4", options={}, sounds=(Sound(codec="pcm_s16le"),))
    )
    assert [f.time_s for f in VideoReader(path)] == [Fraction(i, 25) for i in range(25)]
    assert stamps_of(path) == [Fraction(i, 25) for i in range(25)]


B_FRAMES = {"crf": "12", "preset": "fast", "bf": "3"}


def test_avi_keeps_every_frame_although_it_has_no_times_of_display(tmp_path):
    path = make_video(tmp_path / "b.avi", Recipe(options=B_FRAMES))
    reader = VideoReader(path)
    frames = list(reader)
    assert [frame.time_s for frame in frames] == [Fraction(i, 25) for i in range(25)]
    assert reader.problems.sentences() == []
    for frame in frames[::6]:
        wanted = drifting(frame.index, 0.0, (96, 64)).astype(int)
        assert np.abs(frame.rgb() - wanted).mean() < 5
    again = list(reader.frames(after=Place(11, frames[11].pts)))
    assert [(f.index, f.pts) for f in again] == [(f.index, f.pts) for f in frames[12:]]


@pytest.mark.parametrize("sounds", [(), (Sound(click_times_s=(0.2,), codec="mp2"),)])
def test_recordings_put_end_to_end_are_read_to_the_end(tmp_path, sounds):
    part = make_video(tmp_path / "a.ts", Recipe(seconds=0.6, options=B_FRAMES, sounds=sounds))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    reader = VideoReader(joined)
    frames = list(reader)
    assert len(frames) == 30
    steps = {float(b.time_s - a.time_s) for a, b in itertools.pairwise(frames)}
    assert 0.03 < min(steps) <= max(steps) < 0.06
    assert reader.problems.sentences() == []
    again = list(reader.frames(after=Place(19, frames[19].pts)))
    assert [(f.index, f.pts) for f in again] == [(f.index, f.pts) for f in frames[20:]]
    behind = list(VideoReader(joined, start_s=0.9))
    assert 4 <= len(behind) <= 9  # of the second part, which no index knows


def test_a_file_that_cannot_be_searched_is_read_from_the_beginning(tmp_path):
    whole = make_video(tmp_path / "whole.mkv", Recipe(seconds=2.0)).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    frames = list(VideoReader(cut))
    later = list(VideoReader(cut, start_s=0.6))
    assert later[0].rgb().tobytes() == frames[15].rgb().tobytes()
    again = list(VideoReader(cut).frames(after=Place(9, frames[9].pts)))
    assert [f.pts for f in again] == [f.pts for f in frames[10:]]


def test_sound_that_lasts_longer_is_no_video_cut_short(tmp_path):
    stamps = list(range(0, 1000, 40))
    recipe = Recipe(seconds=3.0, time_base=Fraction(1, 1000), stamps=stamps, sounds=(Sound(),))
    for name in ("long.mkv", "long.mp4"):
        reader = VideoReader(make_video(tmp_path / name, recipe))
        assert len(list(reader)) == 25
        assert reader.problems.sentences() == []
