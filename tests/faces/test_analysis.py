"""The analyser: asks each part for what was wanted, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import NoFaceFoundError
from hififace.faces.analysis import FaceAnalyser
from hififace.types import Detection, Landmarks, ShapeCoefficients

IMAGE = np.zeros((100, 200, 3), np.uint8)
SHAPE = ShapeCoefficients(np.zeros(2), np.zeros(2), np.zeros(3), 1.0, np.zeros(3))


class Parts:
    """A double of every part; `asked` tells what was used."""

    size = 2

    def __init__(self, sizes=(20, 60)):
        self.asked = []
        self.found = [
            Detection(np.array([90 * i, 0, 90 * i + s, s], np.float32), 0.9, np.full((5, 2), i, np.float32))
            for i, s in enumerate(sizes)
        ]

    def detect(self, image, *, rotated=False):
        self.asked.append("detect rotated" if rotated else "detect")
        return self.found

    def locate_many(self, image, detections):
        self.asked.append("mesh")
        return [Landmarks(np.full((468, 3), d.points[0, 0]), 0.99) for d in detections]

    def embed(self, image, points):
        self.asked.append("embed")
        return np.array([points[0, 0], 1.0], np.float32)

    def coefficients(self, points):
        self.asked.append("shape")
        return SHAPE

    def locate(self, image, landmarks):
        self.asked.append("iris")
        return np.full((2, 5, 3), landmarks.points[0, 0])


def analyser(parts):
    return FaceAnalyser(parts, parts, parts, parts, parts)


def test_boxes_only():
    parts = Parts()
    faces = analyser(parts).analyse(IMAGE, ())
    assert parts.asked == ["detect"]
    assert [f.index for f in faces] == [0, 1]
    assert faces[0].landmarks is faces[0].identity is faces[0].coefficients is faces[0].irises is None


def test_identity_needs_no_mesh():
    parts = Parts()
    faces = analyser(parts).analyse(IMAGE, {"identity"})
    assert parts.asked == ["detect", "embed", "embed"]
    assert [f.identity[0] for f in faces] == [0, 1]


def test_everything_and_each_face_its_own():
    parts = Parts()
    faces = analyser(parts).analyse(IMAGE, {"landmarks", "identity", "shape", "iris"}, rotated=True)
    assert parts.asked[0] == "detect rotated"
    assert parts.asked.count("mesh") == 1  # both faces in one run
    for number, face in enumerate(faces):
        assert face.landmarks.points[0, 0] == face.irises[0, 0, 0] == face.identity[0] == number
        assert face.coefficients is SHAPE


def test_shape_brings_its_landmarks():
    assert analyser(Parts()).analyse(IMAGE, {"shape"})[0].landmarks is not None


def test_no_face_runs_nothing_else():
    parts = Parts(sizes=())
    assert analyser(parts).analyse(IMAGE, {"landmarks", "iris", "shape"}) == []
    assert parts.asked == ["detect"]


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match=r"unknown parts \['age'\]"):
        analyser(Parts()).analyse(IMAGE, {"age"})


def test_identity_of_a_photo_is_that_of_its_largest_face():
    assert analyser(Parts(sizes=(20, 60))).identity_of(IMAGE)[0] == 1
    assert analyser(Parts(sizes=(60, 20))).identity_of(IMAGE)[0] == 0


def test_a_reference_without_a_face_is_a_sentence():
    with pytest.raises(NoFaceFoundError, match="reference photo"):
        analyser(Parts(sizes=())).identity_of(IMAGE)


def test_the_embedded_parts_agree_about_a_portrait(astronaut):
    (face,) = FaceAnalyser(threads=1).analyse(astronaut, {"landmarks", "identity", "shape", "iris"})
    # The mesh's eyes lie where the detector's are, the irises in between the eye's corners.
    assert face.landmarks.score > 0.9
    for side, (outer, inner) in enumerate(((33, 133), (362, 263))):
        eye = face.landmarks.points[[outer, inner], :2]
        np.testing.assert_allclose(eye.mean(axis=0), face.detection.points[side], atol=6)
        assert eye[0, 0] < face.irises[side, 0, 0] < eye[1, 0]
    assert np.linalg.norm(face.identity) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(face.coefficients.pose_deg).max() < 20
