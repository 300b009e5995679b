from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.support.videos import Recipe, make_video

from hififace.media import quality
from hififace.media.encoding import choose_settings
from hififace.media.quality import fit_to_target
from hififace.media.video import VideoReader
from hififace.media.writing import VideoWriter

NOISE = np.random.default_rng(5).integers(-40, 40, (240, 320, 3))


def grainy(number, _seconds, size):
    """A pattern with detail that moves: costly to keep."""
    x = np.arange(size[0])[None, :, None] + 2 * number
    picture = 128 + 50 * np.sin(0.1 * x) + np.roll(NOISE[: size[1], : size[0]], (number, 2 * number), (0, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def made(tmp_path, crf, name="a.mp4", preset="medium"):
    options = {"crf": str(crf), "preset": preset}
    recipe = Recipe(seconds=3.0, size=(320, 240), draw=grainy, options=options, gop_size=50)
    return make_video(tmp_path / name, recipe)


def test_a_modest_target_gets_a_result_of_its_own_size(tmp_path):
    source, output = made(tmp_path, 34), tmp_path / "out.mp4"
    reader = VideoReader(source)
    usual = choose_settings(reader, output)
    fitted = fit_to_target(usual, reader)
    assert fitted.options["preset"] == "veryfast"
    assert 17 < float(fitted.options["crf"]) <= 28
    sizes = {}
    for name, settings in (("usual", usual), ("fitted", fitted)):
        writer = VideoWriter(tmp_path / name, settings)
        writer.write(reader.frames())
        writer.finish(output, reader)
        sizes[name] = output.stat().st_size / source.stat().st_size
    assert sizes["usual"] > 2
    assert sizes["fitted"] < 2


def test_a_fine_target_and_what_the_user_asked_for_stay_as_they_are(tmp_path):
    reader = VideoReader(made(tmp_path, 12, preset="superfast"))
    usual = choose_settings(reader, tmp_path / "out.mp4")
    assert fit_to_target(usual, reader) == usual
    modest = VideoReader(made(tmp_path, 34, name="b.mp4"))
    asked = choose_settings(modest, tmp_path / "out.mp4", preset="ultrafast")
    assert fit_to_target(asked, modest, keep_preset=True).options["preset"] == "ultrafast"


def test_the_same_video_gives_the_same_quality_again(tmp_path):
    reader = VideoReader(made(tmp_path, 34))
    settings = choose_settings(reader, tmp_path / "out.mp4")
    assert fit_to_target(settings, reader) == fit_to_target(settings, VideoReader(reader.info.path))


def test_large_frames_are_few(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(VideoReader, "sample", lambda self, moment, num: asked.append(num) or ([], moment))
    reader = VideoReader(made(tmp_path, 34))
    settings = choose_settings(reader, tmp_path / "out.mp4")
    assert fit_to_target(settings, reader) == settings
    reader.info = replace(reader.info, width=3840, height=2160)
    fit_to_target(settings, reader)
    assert asked == [8, 8, 8, 4, 4, 4]


def test_a_stretch_that_begins_with_the_same_key_frame_is_tried_once(tmp_path, monkeypatch):
    lengths = []
    bytes_of = quality._bytes
    monkeypatch.setattr(
        quality,
        "_bytes",
        lambda stretches, settings: (
            lengths.append([len(frames) for frames, _ in stretches]) or bytes_of(stretches, settings)
        ),
    )
    options = {"crf": "34", "preset": "medium"}
    recipe = Recipe(seconds=3.0, size=(320, 240), draw=grainy, options=options, gop_size=500)
    reader = VideoReader(make_video(tmp_path / "rare.mp4", recipe))
    fit_to_target(choose_settings(reader, tmp_path / "out.mp4"), reader)
    assert all(tried == [8] for tried in lengths)
    lengths.clear()
    often = VideoReader(made(tmp_path, 34))
    fit_to_target(choose_settings(often, tmp_path / "out.mp4"), often)
    assert lengths[0] == [8, 8]
