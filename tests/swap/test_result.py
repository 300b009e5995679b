from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.media.image import LoadedImage, read_image
from hififace.provenance.verify import check_file
from hififace.swap.output import identity_folder
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))


def test_a_saved_result_is_marked_with_the_model(swapper: FaceSwapper, astronaut: RGBImage, tmp_path: Path):
    result = swapper.swap(astronaut, consent_confirmed=True)
    path = result.save(tmp_path / "out.png")
    np.testing.assert_array_equal(read_image(path).pixels, result.pixels)
    verdict = check_file(path, identity_folder())
    assert verdict.marked
    assert verdict.claim is not None
    assert (verdict.claim.model, verdict.claim.model_version) == ("double", "1")
    assert verdict.claim.consent_confirmed is True


def test_files_keep_what_the_target_had(swapper: FaceSwapper, astronaut: RGBImage, tmp_path: Path):
    alpha = np.full(astronaut.shape[:2], 200, np.uint8)
    target = LoadedImage(astronaut, alpha=alpha, format="PNG")
    again = read_image(swapper.swap(target).save(tmp_path / "out.png"))
    assert again.alpha is not None
    np.testing.assert_array_equal(again.alpha, alpha)


def test_side_by_side_shows_the_target_first(swapper: FaceSwapper, astronaut: RGBImage, tmp_path: Path):
    result = swapper.swap(astronaut, compare=True)
    pixels = read_image(result.save(tmp_path / "out.png")).pixels
    width = astronaut.shape[1]
    np.testing.assert_array_equal(pixels[:, :width], astronaut)
    np.testing.assert_array_equal(pixels[:, width:], result.pixels)


def test_bytes_are_the_file(swapper: FaceSwapper, astronaut: RGBImage):
    result = swapper.swap(astronaut)
    image = Image.open(io.BytesIO(result.to_bytes("PNG")))
    np.testing.assert_array_equal(np.asarray(image), result.pixels)
    assert Image.open(io.BytesIO(result.to_bytes("JPEG", quality=80))).format == "JPEG"


def test_numbers_for_programs_survive_json(swapper: FaceSwapper, astronaut: RGBImage):
    report = json.loads(json.dumps(swapper.swap(astronaut, similarity=True).to_json()))
    assert report["num_swapped"] == 1
    assert report["size"] == [230, 230]
    (face,) = report["faces"]
    assert face["swapped"] is True
    assert len(face["box"]) == 4
    assert isinstance(face["similarity_source"], float)
    assert report["timings_ms"]["total"] > 0


def test_what_a_file_cannot_keep_is_said(swapper: FaceSwapper, astronaut: RGBImage, tmp_path: Path):
    assert swapper.swap(astronaut).notes == ()
    deep = swapper.swap(LoadedImage(astronaut, bit_depth=16))
    assert deep.notes == ("its 16 bits per channel became 8",)
    assert deep.to_json()["notes"] == list(deep.notes)
    frames = [Image.fromarray(astronaut), Image.fromarray(astronaut[:, ::-1])]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert "only the first of its 2 images" in swapper.swap(tmp_path / "moving.gif").notes[0]


def test_a_result_is_an_image_and_an_array(swapper: FaceSwapper, astronaut: RGBImage):
    result = swapper.swap(astronaut)
    np.testing.assert_array_equal(np.asarray(result.image), result.pixels)
    np.testing.assert_array_equal(np.asarray(result), result.pixels)
    assert np.asarray(result, np.float32).dtype == np.float32
    assert np.array(result) is not result.pixels
    np.testing.assert_array_equal(swapper.find_faces(result)[0].index, 0)  # a result can be a target again


def test_a_notebook_shows_a_marked_image_of_bounded_size(
    swapper: FaceSwapper, astronaut: RGBImage, tmp_path: Path
):
    small = swapper.swap(astronaut)
    shown = tmp_path / "shown.png"
    shown.write_bytes(small._repr_png_())
    assert check_file(shown).marked
    assert Image.open(shown).size == (230, 230)
    wide = swapper.swap(np.concatenate([astronaut] * 6, axis=1), select=[0])
    assert Image.open(io.BytesIO(wide._repr_png_())).size == (1024, 171)
