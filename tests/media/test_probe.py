from __future__ import annotations

from fractions import Fraction

import av
import pytest
from tests.support.videos import NTSC, Recipe, Sound, make_video, set_rotation

from hififace.errors import VideoError
from hififace.media.probe import probe


def test_everything_a_video_says_about_itself(tmp_path):
    recipe = Recipe(
        rate=NTSC,
        time_base=Fraction(1, 30000),
        sounds=(Sound(), Sound(language="fra")),
        subtitles="mov_text",
        chapters=((0.0, 0.5, "one"), (0.5, 1.0, "two")),
        metadata={"title": "A walk"},
    )
    info = probe(make_video(tmp_path / "video.mp4", recipe))
    assert (info.codec, info.pixel_format, info.bit_depth) == ("h264", "yuv420p", 8)
    assert (info.width, info.height, info.rotation_deg, info.pixel_aspect) == (96, 64, 0, 1)
    assert info.rate == NTSC
    assert not info.variable_rate
    assert (info.time_base, info.start_s, info.zero_s) == (Fraction(1, 30000), 0, 0)
    assert info.num_frames == 30
    assert info.duration_s == Fraction(30 * 1001, 30000)
    assert [(s.kind, s.codec, s.language) for s in info.streams[:4]] == [
        ("video", "h264", "und"),
        ("audio", "aac", "eng"),
        ("audio", "aac", "fra"),
        ("subtitle", "mov_text", "und"),
    ]
    assert [s.index for s in info.of_kind("audio")] == [1, 2]
    assert [(c.start_s, c.end_s, c.title) for c in info.chapters] == [
        (0, Fraction(1, 2), "one"),
        (Fraction(1, 2), 1, "two"),
    ]
    assert info.metadata["title"] == "A walk"
    assert (info.hdr, info.interlaced) == (None, False)


@pytest.mark.parametrize(
    ("full", "matrix", "primaries", "transfer"), [(True, 6, 1, 1), (False, 9, 9, 14), (None, 2, 2, 2)]
)
def test_colour_tags_are_told_apart_from_missing_ones(tmp_path, full, matrix, primaries, transfer):
    recipe = Recipe(seconds=0.2, full_range=full, matrix=matrix, primaries=primaries, transfer=transfer)
    colour = probe(make_video(tmp_path / "video.mp4", recipe)).colour
    assert (colour.matrix, colour.primaries, colour.transfer, colour.full_range) == (
        matrix,
        primaries,
        transfer,
        full,
    )


@pytest.mark.parametrize(("transfer", "kind"), [(16, "pq"), (18, "hlg")])
def test_hdr_is_found(tmp_path, transfer, kind):
    recipe = Recipe(seconds=0.2, pixel_format="yuv420p10le", matrix=9, primaries=9, transfer=transfer)
    info = probe(make_video(tmp_path / "video.mp4", recipe))
    assert (info.hdr, info.bit_depth) == (kind, 10)


# The display matrix says how to turn for display, clockwise; we say how stored images become upright,
# counterclockwise, as NumPy turns.
@pytest.mark.parametrize(
    ("clockwise", "ours", "size"), [(90, 270, (64, 96)), (180, 180, (96, 64)), (270, 90, (64, 96))]
)
def test_rotation_is_read_from_the_display_matrix(tmp_path, clockwise, ours, size):
    info = probe(set_rotation(make_video(tmp_path / "video.mp4", Recipe(seconds=0.2)), clockwise))
    assert info.rotation_deg == ours
    assert (info.width, info.height) == size


def test_variable_rate_is_told_from_a_coarse_clock(tmp_path):
    uneven = Recipe(time_base=Fraction(1, 90000), stamps=[0, 3000, 3500, 20000, 21000, 40000])
    assert probe(make_video(tmp_path / "vfr.mp4", uneven)).variable_rate
    # Matroska rounds 29.97 fps to 33 and 34 ms: still a constant rate.
    assert not probe(
        make_video(tmp_path / "ntsc.mkv", Recipe(rate=NTSC, time_base=Fraction(1, 30000)))
    ).variable_rate


def test_a_transport_stream_has_its_own_zero(tmp_path):
    recipe = Recipe(sounds=(Sound(codec="mp2"),), container_options={"output_ts_offset": "5"})
    info = probe(make_video(tmp_path / "video.ts", recipe))
    assert 4.9 < info.zero_s < 5.1
    assert info.start_s >= info.zero_s


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w", format="matroska") as video:
        stream = video.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=800)
        frame.sample_rate = 8000
        video.mux(stream.encode(frame))
    with pytest.raises(VideoError, match="no video stream, only audio"):
        probe(path)


def test_each_reason_why_a_video_cannot_be_opened_has_its_sentence(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        probe(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="is a folder"):
        probe(tmp_path)
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    with pytest.raises(VideoError, match="empty"):
        probe(empty)
    text = tmp_path / "text.mp4"
    text.write_text("not a video at all\n" * 50)
    with pytest.raises(VideoError, match="not a video that can be read"):
        probe(text)
    whole = make_video(tmp_path / "whole.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="without its index"):
        probe(cut)
