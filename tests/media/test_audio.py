from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from tests.media.test_writing import rewrite
from tests.support.videos import NTSC, Recipe, Sound, flashing, heard_clicks, make_video, seen_flashes

from hififace.errors import VideoError
from hififace.media.probe import probe

# Frames of 29.97 fps at which the image flashes and, on the very moment, the sound clicks.
MOMENTS = tuple(float(k * 1001 / 30000) for k in (12, 27, 42))


def marked(tmp_path, name, codec="aac", count=1, **more):
    sounds = tuple(Sound(MOMENTS, codec, language=tag) for tag in ("eng", "fra")[:count])
    recipe = Recipe(
        seconds=2.0, rate=NTSC, time_base=Fraction(1, 30000), sounds=sounds, draw=flashing(*MOMENTS), **more
    )
    return make_video(tmp_path / name, recipe)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "aac"),
        ("a.mov", "pcm_s16le"),
        ("a.mkv", "flac"),
        ("a.mkv", "libopus"),
        ("a.mp4", "libmp3lame"),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"start_s": 0.25}, {"start_s": 0.3, "end_s": 1.2}, {"fps": Fraction(60000, 1001)}]
)
def test_sound_and_picture_stay_together_to_the_millisecond(tmp_path, name, codec, options):
    source = marked(tmp_path, name, codec)
    np.testing.assert_allclose(heard_clicks(source), seen_flashes(source), atol=0.001)
    output = tmp_path / f"out-{name}"
    reader, _ = rewrite(source, output, frames_per_segment=25, **options)
    flashes = seen_flashes(output)
    clicks = heard_clicks(output)
    last = options.get("end_s", 2.0)
    assert len(clicks) == sum(t < last for t in MOMENTS)
    if "fps" in options:
        # At twice the rate each flash is seen in two frames; the first is the moment.
        flashes = flashes[::2]
    np.testing.assert_allclose(clicks, flashes, atol=0.001)
    # And both where they belong: the video moved as a whole, by less than a packet in containers without edit lists.
    expected = np.array([t for t in MOMENTS if t < last]) - float(reader.shift_s)
    slack = 0.001 if name.endswith((".mp4", ".mov")) else 0.03
    np.testing.assert_allclose(flashes, expected, atol=slack)


def packets_of(path, kind):
    with av.open(str(path)) as video:
        return [bytes(p) for p in video.demux(video.streams.get(**{kind: 0})) if p.size]


def test_sound_is_copied_bit_for_bit_in_every_stream(tmp_path):
    source = marked(tmp_path, "a.mp4", count=2)
    rewrite(source, tmp_path / "b.mkv")
    for index in (0, 1):
        with av.open(str(source)) as old, av.open(str(tmp_path / "b.mkv")) as new:
            before = [bytes(p) for p in old.demux(old.streams.audio[index]) if p.size]
            after = [bytes(p) for p in new.demux(new.streams.audio[index]) if p.size]
        assert before == after
    assert [s.language for s in probe(tmp_path / "b.mkv").of_kind("audio")] == ["eng", "fra"]


def test_no_sound_stays_no_sound(tmp_path):
    rewrite(make_video(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").of_kind("audio") == ()


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mov_text"), ("a.mkv", "subrip"), ("a.mkv", "ass")])
def test_subtitles_are_kept_and_shortened_where_the_span_cuts_them(tmp_path, name, codec):
    source = make_video(tmp_path / name, Recipe(seconds=1.0, subtitles=codec))
    rewrite(source, tmp_path / f"b{name}")
    assert [s.codec for s in probe(tmp_path / f"b{name}").of_kind("subtitle")] == [codec]
    assert [p for p in packets_of(tmp_path / f"b{name}", "subtitles") if len(p) > 2] == [
        p for p in packets_of(source, "subtitles") if len(p) > 2
    ]
    # Shown from 0.2 to 0.7 s; from 0.4 on it is on screen at once, for 0.3 s.
    rewrite(source, tmp_path / f"c{name}", start_s=0.4)
    with av.open(str(tmp_path / f"c{name}")) as video:
        shown = [p for p in video.demux(subtitles=0) if p.size > 2]
    assert [float(p.pts * p.time_base) for p in shown] == [0.0]
    assert float(shown[0].duration * shown[0].time_base) == pytest.approx(0.3, abs=0.002)


def test_sound_that_the_container_cannot_hold_is_refused_with_the_way_out(tmp_path):
    source = marked(tmp_path, "a.mp4")
    with pytest.raises(VideoError, match=r"Sound stream 1 is aac, which a webm file cannot hold.*\.mkv"):
        rewrite(source, tmp_path / "b.webm", settings={"codec": "vp9"})
    assert not (tmp_path / "b.webm").exists()


def test_subtitles_that_do_not_fit_are_left_out_with_a_note(tmp_path):
    source = make_video(tmp_path / "a.mp4", Recipe(subtitles="mov_text"))
    _, notes = rewrite(source, tmp_path / "b.mkv")
    assert notes == ["Stream 1, subtitle (mov_text), does not fit the result and was left out."]


def test_a_font_in_matroska_is_kept(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as video:
        stream = video.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        video.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        for _ in range(3):
            video.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        video.mux(stream.encode(None))
    rewrite(source, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as video:
        kept = [s for s in video.streams if s.type == "attachment"]
        assert [(s.metadata["filename"], bytes(s.data)) for s in kept] == [("font.ttf", b"not really a font")]


def test_a_cover_picture_is_kept_and_never_taken_for_the_video(tmp_path):
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as video:
        stream = video.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        cover = video.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        video.mux(
            cover.encode(av.VideoFrame.from_ndarray(np.full((16, 16, 3), 90, np.uint8), format="rgb24"))
        )
        for _ in range(5):
            video.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        video.mux(stream.encode(None))
    info = probe(source)
    assert [s.is_cover for s in info.streams] == [False, True]
    rewrite(source, tmp_path / "b.mp4")
    again = probe(tmp_path / "b.mp4")
    assert [(s.codec, s.is_cover) for s in again.streams] == [("h264", False), ("png", True)]
