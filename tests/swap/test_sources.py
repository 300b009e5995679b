from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hififace.errors import FaceError, ImageError, NoFaceFoundError, OptionError
from hififace.faces.identity import cosine
from hififace.media.image import LoadedImage
from hififace.swap.sources import choose_face, load_image, photo_list, require_frontal, source_notes
from hififace.swapper import FaceSwapper
from hififace.types import Detection, Face, Landmarks, RGBImage


def face(index: int, size: float) -> Face:
    return Face(index, Detection(np.array([0, 0, size, size], np.float32), 0.9, np.zeros((5, 2), np.float32)))


def test_the_main_face_is_the_one_clearly_larger_than_the_rest():
    faces = [face(0, 50), face(1, 100), face(2, 60)]
    assert choose_face(faces, "main", "x.jpg") is faces[1]
    assert choose_face(faces, 2, "x.jpg") is faces[2]
    assert choose_face([face(0, 80), face(1, 100)], "largest", "x.jpg").index == 1


def test_a_source_that_is_not_clear_is_refused_in_a_sentence():
    with pytest.raises(NoFaceFoundError, match=r"No face was found in x\.jpg"):
        choose_face([], "main", "x.jpg")
    with pytest.raises(FaceError, match=r"x\.jpg shows 2 faces and none is clearly the largest"):
        choose_face([face(0, 80), face(1, 100)], "main", "x.jpg")
    with pytest.raises(FaceError, match="32 px large; at least 40"):
        choose_face([face(0, 32)], "main", "x.jpg")
    with pytest.raises(FaceError, match=r"Face 4 of x\.jpg was asked for, but it shows 1"):
        choose_face([face(0, 80)], 4, "x.jpg")
    for choice in ("second", -1, True):
        with pytest.raises(OptionError, match="main, largest or a number"):
            choose_face([face(0, 80)], choice, "x.jpg")  # type: ignore[arg-type]


def test_a_source_turned_away_is_refused():
    def posed(pitch: float, yaw: float, roll: float) -> dict[str, np.ndarray]:
        return {"pose": np.deg2rad([pitch, yaw, roll]).astype(np.float32)}

    require_frontal(posed(20, -55, 170), "x.jpg")
    for pose in (posed(0, -75, 0), posed(70, 0, 0)):
        with pytest.raises(FaceError, match=r"turned away by 7[05] degrees"):
            require_frontal(pose, "x.jpg")


def test_pictures_come_in_many_kinds(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    loaded = LoadedImage.from_pixels(pixels)
    buffer.seek(0)
    for kind in (str(tmp_path / "x.png"), tmp_path / "x.png", buffer.getvalue(), buffer, pixels, loaded):
        np.testing.assert_array_equal(load_image(kind).pixels, pixels)
        assert photo_list(kind) == [kind] or len(photo_list(kind)) == 1
    assert len(photo_list([pixels, loaded])) == 2
    with pytest.raises(OptionError, match="No source photo"):
        photo_list([])
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path / "missing.jpg")


def test_several_photos_average_into_one_person(swapper: FaceSwapper, astronaut: RGBImage):
    noisy = np.clip(astronaut + np.random.default_rng(1).normal(0, 25, astronaut.shape), 0, 255).astype(
        np.uint8
    )
    one, other = swapper.read_source(astronaut), swapper.read_source(noisy)
    both = swapper.read_source([astronaut, noisy])
    assert both.num_photos == 2
    np.testing.assert_allclose(
        both.features["shape"], (one.features["shape"] + other.features["shape"]) / 2, atol=1e-5
    )
    assert np.linalg.norm(both.features["identity"]) == pytest.approx(1.0, abs=1e-5)
    for single in (one, other):
        assert cosine(both.identity, single.identity) > cosine(one.identity, other.identity)
    assert not both.features["shape"].flags.writeable


def test_real_photos_that_do_not_do(swapper: FaceSwapper, astronaut: RGBImage):
    kept = swapper.source_map
    with pytest.raises(NoFaceFoundError):
        swapper.set_source(np.full((120, 120, 3), 127, np.uint8))
    small = cv2.resize(astronaut, None, fx=0.32, fy=0.32, interpolation=cv2.INTER_AREA)
    with pytest.raises(FaceError, match="px large; at least 40"):
        swapper.set_source(small)
    with pytest.raises(FaceError, match="2 faces and none is clearly the largest"):
        swapper.set_source(np.concatenate([astronaut, astronaut[:, ::-1]], axis=1))
    assert swapper.source_map is kept


def test_a_source_upside_down_is_found_and_told_about(swapper: FaceSwapper, astronaut: RGBImage):
    upright = swapper.read_source(astronaut)
    assert upright.notes == ()
    turned = swapper.read_source(np.ascontiguousarray(np.rot90(astronaut, 2)), rotated=True)
    assert "upside down" in turned.notes[0]
    assert cosine(turned.identity, upright.identity) > 0.85


def test_a_source_turned_far_or_with_eyes_shut_is_told_about(swapper: FaceSwapper, astronaut: RGBImage):
    (found,) = swapper.engine.with_landmarks(astronaut, swapper.find_faces(astronaut))
    assert source_notes(found, "x.jpg", 10.0) == []
    assert "turned by 50 degrees" in source_notes(found, "x.jpg", 50.0)[0]
    assert found.landmarks is not None
    shut = found.landmarks.points.copy()
    for upper, lower in ((159, 145), (386, 374)):
        shut[upper] = shut[lower]
    blinking = replace(found, landmarks=Landmarks(shut, 1.0))
    assert source_notes(blinking, "x.jpg", 10.0) == [
        "the eyes in x.jpg are shut, which makes the person harder to recognise"
    ]
