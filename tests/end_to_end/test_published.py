"""The published checkpoint's way, from `.pth` to a swapped photo and video: the true shapes, generated weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.evaluation_doubles import portrait
from tests.support.seeded_weights import reference_shapes, seeded_state
from tests.support.videos import Recipe, make_video

from hififace.cli.main import build_app
from hififace.media.image import read_image
from hififace.media.video import VideoReader
from hififace.provenance.verify import check_file

pytestmark = pytest.mark.slow


def run(*words: object) -> None:
    arguments = [str(word) for word in words]
    build_app(arguments)(args=arguments, standalone_mode=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Two checkpoints as the reference publishes them, two photos, a video of twelve frames."""
    place = tmp_path_factory.mktemp("published")
    for name, seed in (
        ("standard_model/generator_320000", "s"),
        ("with_gaze_and_mouth/generator_190000", "g"),
    ):
        state = seeded_state(reference_shapes("generator"), seed=seed)
        path = place / f"{name}.pth"
        path.parent.mkdir()
        torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, path)
    Image.fromarray(portrait()).save(place / "me.png")
    Image.fromarray(portrait(0.8, mirrored=True)).save(place / "you.png")

    def draw(number, _seconds, size):
        return cv2.resize(portrait(0.7, shift=number % 5), size, interpolation=cv2.INTER_CUBIC)

    make_video(place / "video.mp4", Recipe(seconds=0.48, size=(240, 240), draw=draw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(place / "home"))
        yield place


def test_from_checkpoints_to_photo_video_and_comparison(folder, capsys):
    for name, step in (
        ("standard", "standard_model/generator_320000"),
        ("gaze", "with_gaze_and_mouth/generator_190000"),
    ):
        run("convert", folder / f"{step}.pth", "-o", folder / name)
        printed = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in printed[:3]] == ["generator", "identity", "shape"]
        assert all("largest difference from PyTorch" in line for line in printed[:3])
        version = step.rsplit("_", 1)[1]
        assert printed[3].startswith(f"{folder / name}: bundle '{name}' version {version}, ")

    run(
        "swap",
        folder / "me.png",
        folder / "you.png",
        "-o",
        folder / "out.png",
        "--model",
        folder / "standard",
    )
    before, after = (read_image(folder / name).pixels.astype(int) for name in ("you.png", "out.png"))
    assert after.shape == before.shape
    assert abs(after - before)[80:140, 70:130].mean() > 3  # the face is another one
    assert abs(after - before)[:8].mean() < 1  # the corner of the photo is not
    claim = check_file(folder / "out.png").claim
    assert claim is not None
    assert (claim.model, claim.model_version) == ("standard", "320000")

    run(
        "swap",
        folder / "me.png",
        folder / "video.mp4",
        "-o",
        folder / "out.mp4",
        "--model",
        folder / "standard",
    )
    frames = [frame.rgb().astype(int) for frame in VideoReader(folder / "out.mp4").frames()]
    targets = [frame.rgb().astype(int) for frame in VideoReader(folder / "video.mp4").frames()]
    assert len(frames) == len(targets) == 12
    middle = (slice(96, 168), slice(84, 156))
    assert all(abs(a - b)[middle].mean() > 3 for a, b in zip(frames, targets, strict=True))

    (folder / "pairs.txt").write_text("me.png you.png\nyou.png me.png\n")
    run(
        "compare",
        folder / "standard",
        folder / "gaze",
        "--pairs",
        folder / "pairs.txt",
        "-o",
        folder / "side",
        "-q",
    )
    printed = capsys.readouterr().out
    assert "| measure | standard 320000 | gaze 190000 |" in printed
    sheet = read_image(folder / "side" / "compare.jpg").pixels.astype(int)
    assert sheet.shape == (640, 1280, 3)
    assert abs(sheet[:, 640:960] - sheet[:, 960:]).mean() > 1  # two checkpoints, two results
