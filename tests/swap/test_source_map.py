"""Who becomes whom, without any network: identities are unit vectors along axes."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import FaceError
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import ReferencePerson, Source, SourceMap, assign
from hififace.types import Detection, Face

AXES = np.eye(4, dtype=np.float32)
SIZES = (60.0, 120.0, 90.0)


def source(name: str) -> Source:
    return Source(name, {}, AXES[3])


ME, ANNA, BERT = source("me"), source("anna"), source("bert")


def faces() -> list[Face]:
    """Three people, the second the largest; who they are is along axes 0, 1, 2."""
    found = []
    for index, size in enumerate(SIZES):
        box = np.array([0, 0, size, size], np.float32) + np.float32(200 * index)
        found.append(Face(index, Detection(box, 0.9, np.zeros((5, 2), np.float32))))
    return found


def names(
    source_map: SourceMap, options: SwapOptions | None = None, reference: np.ndarray | None = None
) -> list[str | None]:
    assigned = assign(source_map, faces(), options or SwapOptions(), lambda face: AXES[face.index], reference)
    return [a.source.name if a.source is not None else None for a in assigned]


def test_everybody_the_largest_and_numbers():
    source_map = SourceMap(ME)
    assert names(source_map) == ["me", "me", "me"]
    assert names(source_map, SwapOptions(select="largest")) == [None, "me", None]
    assert names(source_map, SwapOptions(select=[0, 2])) == ["me", None, "me"]


def test_a_reference_photo_selects_the_one_most_alike():
    seen = (AXES[2] + 0.5 * AXES[0]) / np.sqrt(1.25)
    assert names(SourceMap(ME), SwapOptions(select="photo.jpg"), seen) == [None, None, "me"]
    with pytest.raises(FaceError, match="None of the 3 faces"):
        names(SourceMap(ME), SwapOptions(select="photo.jpg"), AXES[3])


def test_roles_come_before_the_default_and_without_one_others_stay():
    people = (ReferencePerson("a.jpg", AXES[0], ANNA), ReferencePerson("b.jpg", AXES[1], BERT))
    assert names(SourceMap(ME, people)) == ["anna", "bert", "me"]
    assert names(SourceMap(None, people)) == ["anna", "bert", None]


def test_the_most_alike_role_wins():
    between = (0.6 * AXES[0] + 0.8 * AXES[1]).astype(np.float32)
    people = (ReferencePerson("a.jpg", AXES[0], ANNA), ReferencePerson("b.jpg", between, BERT))
    assert names(SourceMap(None, people)) == ["anna", "bert", None]


def test_numbered_faces_come_before_everything():
    source_map = SourceMap(ME, (ReferencePerson("a.jpg", AXES[0], ANNA),), {0: BERT})
    assert names(source_map) == ["bert", "me", "me"]
    assert names(SourceMap(ME, by_index={2: BERT}), SwapOptions(select="largest")) == [None, "me", "bert"]


def test_a_number_that_is_not_there_is_told():
    with pytest.raises(FaceError, match="no face 3: the image shows 3"):
        names(SourceMap(ME), SwapOptions(select=[3]))
    with pytest.raises(FaceError, match="no face 7"):
        names(SourceMap(ME, by_index={7: ANNA}))


def test_faces_that_stay_say_why():
    assigned = assign(
        SourceMap(ME), faces(), SwapOptions(smallest_face_px=70.0), lambda face: AXES[face.index]
    )
    assert [a.source is None for a in assigned] == [True, False, False]
    assert "60 px large, below the limit of 70 px" in assigned[0].reason
    assigned = assign(
        SourceMap(None, (ReferencePerson("a.jpg", AXES[0], ANNA),)),
        faces(),
        SwapOptions(),
        lambda face: AXES[face.index],
    )
    assert [a.reason for a in assigned] == ["", *["no source was given for this person"] * 2]


def test_identities_are_asked_for_only_where_people_are_told_apart():
    def never(face: Face) -> np.ndarray:
        raise AssertionError("the recogniser costs more than all else")

    assert all(a.source is ME for a in assign(SourceMap(ME), faces(), SwapOptions(), never))
