from __future__ import annotations

from fractions import Fraction

import pytest
from tests.support.videos import NTSC, Recipe, make_video, set_rotation

from hififace.errors import OptionError, VideoError
from hififace.media.encoding import (
    _repeatable,
    choose_settings,
    container_of,
    encoder_formats,
    holds,
    open_encoder,
)
from hififace.media.video import VideoReader


def settings_for(tmp_path, name, output, recipe, reader_options=None, **options):
    reader = VideoReader(make_video(tmp_path / name, recipe), **(reader_options or {}))
    return choose_settings(reader, tmp_path / output, **options)


QUICK = {"seconds": 0.12}


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "encoder"),
    [
        ("a.mp4", "libx264", "yuv420p", "libx264"),
        ("a.mkv", "libx264", "yuv422p10le", "libx264"),
        ("a.mov", "libx265", "yuv420p10le", "libx265"),
        ("a.webm", "libvpx-vp9", "yuv444p", "libvpx-vp9"),
        ("a.webm", "libvpx", "yuv420p", "libvpx"),
        ("a.mkv", "libsvtav1", "yuv420p10le", "libsvtav1"),
        ("a.mov", "prores_ks", "yuv422p10le", "prores_ks"),
        ("a.mkv", "ffv1", "yuv420p", "ffv1"),
        ("a.avi", "mpeg4", "yuv420p", "mpeg4"),
    ],
)
def test_the_videos_own_kind_is_kept(tmp_path, name, codec, pixel_format, encoder):
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    recipe = Recipe(codec=codec, pixel_format=pixel_format, options=options, **QUICK)
    settings = settings_for(tmp_path, name, "out" + name[1:], recipe)
    assert (settings.encoder, settings.pixel_format) == (encoder, pixel_format)
    assert (settings.width, settings.height) == (96, 64)
    assert settings.notes == ()


def test_clock_rate_tags_and_pixel_aspect_are_taken_over(tmp_path):
    recipe = Recipe(rate=NTSC, time_base=Fraction(1, 30000), matrix=9, primaries=9, transfer=14, **QUICK)
    settings = settings_for(tmp_path, "a.mp4", "b.mkv", recipe)
    assert (settings.rate, settings.time_base) == (NTSC, Fraction(1, 30000))
    assert (settings.colour.matrix, settings.colour.primaries, settings.colour.transfer) == (9, 9, 14)
    retimed = settings_for(tmp_path, "a.mp4", "b.mkv", recipe, {"fps": Fraction(12)})
    assert retimed.rate == 12


def test_an_odd_picture_keeps_its_size_and_gives_up_halved_chroma(tmp_path):
    recipe = Recipe(codec="mpeg4", size=(97, 63), options={}, **QUICK)
    settings = settings_for(tmp_path, "a.avi", "b.mp4", recipe, codec="h264")
    assert (settings.width, settings.height, settings.pixel_format) == (97, 63, "yuv444p")
    assert any("yuv444p" in note for note in settings.notes)
    # Only the height is odd: 4:2:2 would do, but no H.264 player likes it better than 4:4:4; both keep the size.
    flat = settings_for(
        tmp_path, "c.avi", "d.mp4", Recipe(codec="mpeg4", size=(96, 63), options={}, **QUICK), codec="h264"
    )
    assert flat.pixel_format == "yuv422p"
    # VP9 can do odd sizes as they are.
    assert settings_for(tmp_path, "a.avi", "b.webm", recipe, codec="vp9").pixel_format == "yuv420p"


def test_a_depth_that_the_encoder_lacks_goes_to_one_that_has_it(tmp_path):
    recipe = Recipe(pixel_format="yuv420p10le", **QUICK)
    assert settings_for(tmp_path, "a.mp4", "b.webm", recipe, codec="av1").pixel_format == "yuv420p10le"
    if "yuv420p10le" not in (encoder_formats("libvpx-vp9") or ()):
        settings = settings_for(tmp_path, "a.mp4", "b.webm", recipe, codec="vp9")
        assert settings.pixel_format == "yuv420p"
        assert any("yuv420p10le is not possible" in note for note in settings.notes)


def test_a_codec_without_encoder_becomes_h264_with_a_note(tmp_path):
    settings = settings_for(tmp_path, "a.mkv", "b.mp4", Recipe(codec="mpeg2video", options={}, **QUICK))
    assert settings.encoder == "libx264"
    assert any("mpeg2video" in note and "h264" in note for note in settings.notes)


def test_quality_and_speed_can_be_asked_for(tmp_path):
    settings = settings_for(tmp_path, "a.mp4", "b.mp4", Recipe(**QUICK), crf=30, preset="medium")
    assert (settings.options["crf"], settings.options["preset"]) == ("30", "medium")


def test_a_turned_video_has_its_sides_swapped(tmp_path):
    path = set_rotation(make_video(tmp_path / "a.mp4", Recipe(pixel_format="yuv422p", **QUICK)), 90)
    settings = choose_settings(VideoReader(path), tmp_path / "b.mp4")
    assert (settings.width, settings.height, settings.pixel_format) == (64, 96, "yuv444p")


def test_combinations_that_cannot_be_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(VideoError, match=r"h264, which a webm file cannot hold.*\.mkv"):
        settings_for(tmp_path, "a.mp4", "b.webm", Recipe(**QUICK))
    with pytest.raises(OptionError, match="does not end like a video"):
        settings_for(tmp_path, "a.mp4", "b.txt", Recipe(**QUICK))
    with pytest.raises(OptionError, match='no encoder for "theora"'):
        settings_for(tmp_path, "a.mp4", "b.mkv", Recipe(**QUICK), codec="theora")
    with pytest.raises(OptionError, match="cannot hold prores"):
        settings_for(tmp_path, "a.mp4", "b.mp4", Recipe(**QUICK), codec="prores")


def test_containers_know_what_they_hold():
    assert container_of("x/Y.MP4") == "mp4"
    assert holds("mp4", "aac")
    assert holds("mp4", "mov_text")
    assert not holds("webm", "aac")
    assert not holds("matroska", "mov_text")
    assert holds("mpegts", "h264")


def test_fingerprints_differ_where_bytes_would(tmp_path):
    one = settings_for(tmp_path, "a.mp4", "b.mp4", Recipe(**QUICK))
    same = settings_for(tmp_path, "a.mp4", "c.mp4", Recipe(**QUICK))
    other = settings_for(tmp_path, "a.mp4", "b.mp4", Recipe(**QUICK), crf=20)
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != other.fingerprint()


def test_x264_gives_the_same_bytes_however_often_it_is_asked(tmp_path):
    # With its AVX-512 routines about one in three encodings of this video differed.
    video = make_video(tmp_path / "video.mp4")
    results = set()
    for _ in range(12):
        reader = VideoReader(video)
        settings = choose_settings(reader, "out.mp4", preset="veryfast")
        encoder = open_encoder(settings)
        packets = [encoder.encode(f.image(settings.pixel_format, settings.colour)) for f in reader]
        results.add(b"".join(bytes(p) for some in [*packets, encoder.encode(None)] for p in some))
    assert len(results) == 1


def test_only_x264_on_a_processor_with_avx512_goes_without_it():
    assert "AVX512" not in _repeatable("libx264", True)["x264-params"]
    assert _repeatable("libx264", False) == _repeatable("libx265", True) == {}


def test_a_preset_that_the_encoder_does_not_know_is_a_sentence(tmp_path):
    settings = settings_for(tmp_path, "a.mp4", "out.mp4", Recipe(**QUICK), preset="warp")
    with pytest.raises(OptionError, match=r"libx264 refuses its settings \(crf 17, preset warp\)"):
        open_encoder(settings)
