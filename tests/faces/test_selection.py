"""Selection: which faces a rule means, and a sentence where it means none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hififace.errors import FaceError, NoFaceFoundError, OptionError
from hififace.faces.appearance import Appearance
from hififace.faces.selection import left_out, select_faces
from hififace.types import Detection, Face


def face(index, size, identity=None, score=0.9):
    box = np.array([index * 100, 0, index * 100 + size, size], np.float32)
    vector = None if identity is None else np.array(identity, np.float32)
    return Face(index, Detection(box, score, np.zeros((5, 2), np.float32)), identity=vector)


FACES = [face(0, 40, [1, 0]), face(1, 80, [0, 1]), face(2, 60, [0.6, 0.8])]


def indices(faces):
    return [f.index for f in faces]


def test_rules():
    assert indices(select_faces(FACES, "largest")) == [1]
    assert indices(select_faces(FACES, "all")) == [0, 1, 2]
    assert indices(select_faces(FACES, 2)) == [2]
    assert indices(select_faces(FACES, "2, 0,2")) == [0, 2]


def test_of_equals_the_surer_is_the_largest():
    assert indices(select_faces([face(0, 40, score=0.8), face(1, 40, score=0.9)])) == [1]


def test_reference_takes_the_most_alike():
    reference = np.array([0.0, 2.0])  # any length
    assert indices(select_faces(FACES, "reference", reference=reference)) == [1]


def test_reference_refuses_a_stranger_with_numbers():
    with pytest.raises(FaceError, match=r"None of the 1 faces .* similarity of 0\.00, and 0\.36 is needed"):
        select_faces(FACES[:1], "reference", reference=np.array([0.0, 1.0]))
    assert indices(select_faces(FACES[:1], "reference", reference=np.array([0.0, 1.0]), threshold=-1)) == [0]


def test_faces_without_identity_are_a_programmer_s_mistake():
    with pytest.raises(ValueError, match="without their identity"):
        select_faces([face(0, 40)], "reference", reference=np.array([1.0, 0.0]))


@pytest.mark.parametrize("rule", ["largest", "all", "0"])
def test_a_picture_without_faces_is_a_sentence(rule):
    with pytest.raises(NoFaceFoundError, match="No face was found"):
        select_faces([], rule)


def test_an_index_too_far_names_those_there_are():
    with pytest.raises(FaceError, match=r"no face 3: the image shows 3, numbered from the left 0, 1, 2"):
        select_faces(FACES, "3")


@pytest.mark.parametrize("rule", ["biggest", "", "1;2", "-1"])
def test_unknown_rules_name_the_known_ones(rule):
    with pytest.raises(OptionError, match="largest"):
        select_faces(FACES, rule)


def test_a_missing_reference_is_a_sentence():
    with pytest.raises(OptionError, match="needs a photo"):
        select_faces(FACES, "reference")


def shown(size=100.0, **changes):
    plain = Appearance(size_px=size, blur=0.6, turn_deg=5.0, disagreement=0.03, mesh_score=1.0)
    return dataclasses.replace(plain, **changes)


def test_a_group_is_meant_as_a_whole():
    assert left_out({0: shown(100), 1: shown(70), 2: shown(45)}) == {}


def test_one_face_is_meant_however_it_is_shown():
    assert left_out({4: shown(30, blur=0.95, turn_deg=90.0, mesh_score=0.0)}) == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size_px": 39.0}, "small: 39 px beside 100 px"),
        ({"blur": 0.85}, "blurred"),
        ({"turn_deg": 80.0}, "from the side"),
        ({"mesh_score": 0.2}, "not seen clearly"),
        ({"disagreement": 0.3}, "not seen clearly"),
    ],
)
def test_bystanders_are_left_out_with_the_reason(changes, reason):
    assert left_out({0: shown(), 1: shown(**{"size_px": 60.0, **changes})}).keys() == {1}
    assert reason in left_out({0: shown(), 1: shown(**{"size_px": 60.0, **changes})})[1]


def test_a_large_profile_in_front_gives_way_to_the_face_behind():
    assert left_out({0: shown(200, turn_deg=85.0), 1: shown(90)}).keys() == {0}


def test_where_nobody_is_shown_well_the_largest_is_meant():
    assert left_out({0: shown(200, turn_deg=85.0), 1: shown(150, mesh_score=0.1)}).keys() == {1}


def test_a_photo_that_is_soft_all_over_has_no_blurred_bystander():
    assert left_out({0: shown(blur=0.85), 1: shown(60, blur=0.9)}) == {}
