"""Who is left alone by default, from images to outcomes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hififace.errors import FaceError
from hififace.swap import bystanders
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage


@pytest.fixture(scope="module")
def event(astronaut: RGBImage) -> RGBImage:
    """One person, the same out of focus, and the same small in the background."""
    canvas = np.full((300, 700, 3), 120, np.uint8)
    canvas[40:270, 20:250] = astronaut
    canvas[40:270, 270:500] = cv2.GaussianBlur(astronaut, (0, 0), 6)
    small = cv2.resize(astronaut, (80, 80), interpolation=cv2.INTER_AREA)
    canvas[100:180, 560:640] = small
    return canvas


def test_by_default_bystanders_are_left_alone_and_told_about(swapper: FaceSwapper, event: RGBImage):
    result = swapper.swap(event)
    assert [face.swapped for face in result.faces] == [True, False, False]
    assert "blurred" in result.faces[1].reason
    assert "small" in result.faces[2].reason
    assert "`all`" in result.faces[2].reason


def test_all_takes_everyone_and_a_number_takes_that_one(swapper: FaceSwapper, event: RGBImage):
    assert swapper.swap(event, select="all").num_swapped == 3
    assert [face.swapped for face in swapper.swap(event, select=[2]).faces] == [False, False, True]


def test_what_is_no_human_face_is_refused_unless_chosen_by_number(
    swapper: FaceSwapper, astronaut: RGBImage, monkeypatch: pytest.MonkeyPatch
):
    faces = swapper.find_faces(astronaut)
    dog = [replace(face, detection=replace(face.detection, score=0.8)) for face in faces]
    monkeypatch.setattr(bystanders, "looks_human", lambda score, mesh, length: score > 0.85)
    for select in ("main", "all", "largest"):
        with pytest.raises(FaceError, match="does not look like a human face"):
            swapper.swap(astronaut, select=select, faces=dog)
    assert swapper.swap(astronaut, select=[0], faces=dog).num_swapped == 1
