"""`hififace faces`: a table for people, JSON lines for programs, sentences for errors."""

from __future__ import annotations

import json

import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from hififace.cli.main import build_app


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A portrait, an image of things, and a file that is no image."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.astronaut()).save(folder / "portrait.png")
    Image.fromarray(skimage.data.coffee()).save(folder / "things.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    return folder


def run(*arguments):
    words = ["faces", *map(str, arguments)]
    return CliRunner().invoke(build_app(words), words)


def test_json_is_one_object_a_photo_and_errors_do_not_stop_the_others(photos):
    result = run(photos / "broken.jpg", photos / "portrait.png", photos / "things.jpg", "--json")
    broken, portrait, things = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert broken["path"].endswith("broken.jpg")
    assert broken["error"]
    assert "broken.jpg" in result.stderr
    assert things["faces"] == []
    assert (portrait["width"], portrait["height"]) == (512, 512)
    (face,) = portrait["faces"]
    assert set(face) == {
        "index",
        "score",
        "box",
        "points",
        "pose_deg",
        "landmarks_score",
        "landmarks",
        "irises",
    }
    assert face["points"][0] == pytest.approx([202, 103], abs=6)
    assert len(face["landmarks"]) == 468
    assert [len(iris) for iris in face["irises"]] == [5, 5]
    assert set(face["pose_deg"]) == {"pitch", "yaw", "roll"}


def test_the_table_names_likeness_and_the_picture_is_drawn(photos, tmp_path):
    drawn = tmp_path / "drawn.png"
    result = run(photos / "portrait.png", "-o", drawn, "--reference", photos / "portrait.png")
    assert result.exit_code == 0
    assert "similarity" in result.stdout
    assert "1.00" in result.stdout
    assert Image.open(drawn).size == (512, 512)
    assert Image.open(drawn).tobytes() != Image.open(photos / "portrait.png").tobytes()


def test_no_face_is_said(photos):
    result = run(photos / "things.jpg")
    assert result.exit_code == 0
    assert "no face found" in result.stdout


def test_several_photos_do_not_fit_one_picture(photos):
    result = run(photos / "portrait.png", photos / "things.jpg", "-o", "all.png")
    assert result.exit_code != 0
    assert "give a folder instead" in str(result.exception)


def test_no_photo_and_no_drawing_is_overwritten(photos, tmp_path):
    itself = photos / "portrait.png"
    before = itself.read_bytes()
    assert "would be overwritten" in str(run(itself, "-o", itself).exception)
    assert itself.read_bytes() == before
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "portrait.jpg"
    Image.open(itself).save(twin)
    assert "would both be drawn into" in str(run(itself, twin, "-o", tmp_path / "drawn").exception)
