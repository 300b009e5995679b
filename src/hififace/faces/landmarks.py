"""Landmarks: FaceMesh's 468 points in two passes, their named groups, and the irises.

The first pass looks where the detection says, the second where the first pass's own points say, as the network's
original does from one frame of a video to the next (`mesh_roi.py`). The last pass sees every crop and its mirror
image and averages the two answers: what the network errs by is halved, and telling people apart by shape rises from
an AUC of 0.84 to 0.87 (`docs/concepts/shape-prior.md`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import invert, transform_points
from hififace.faces.exposure import in_ordinary_light
from hififace.faces.mesh_roi import INPUT_SIZE_PX, mesh_to_image, roi_from_landmarks, roi_from_points
from hififace.pixels import to_nchw
from hififace.types import Detection, FloatArray, Landmarks, Matrix23, RGBImage
from hififace.weights.sessions import open_session
from hififace.weights.store import embedded_path

NUM_POINTS: Final = 468
EYE_SIZE_PX: Final = 64
EYE_ENLARGEMENT: Final = 2.3
"""Side of an eye's crop over the distance of its corners."""
SETTLED: Final = 0.04
"""How far the network's square may move, in shares of its side, before another look is worth it. Points found through
a square 3 % beside are within 0.6 % of the eye distance of the final ones (0.55 % after both passes of `locate_many`),
through one 8 % beside within 1.1 %, 12 % beside within 2.9 %; a second look brings the latter to 0.6 %."""
MESH_FACE_SHARES: Final = (0.22, 0.3)
"""Half axes of the face in the network's input, which is 1.5 times as wide (`exposure.py`)."""
EYE_CORNERS: Final = ((33, 133), (362, 263))
"""Corners of the image-left and the image-right eye, each from image-left to image-right."""
_NOSE_TIP, _MOUTH_CORNERS = 4, (61, 291)


@lru_cache(maxsize=1)
def _topology() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(embedded_path("face_mesh.json").read_text(encoding="utf-8"))
    return content


def point_groups() -> dict[str, tuple[int, ...]]:
    """Named groups of points: face_oval, lips_outer, lips_inner, image_left_eye, image_left_brow, nose_ridge ..."""
    return {name: tuple(indices) for name, indices in _topology()["groups"].items()}


def mirror_indices() -> NDArray[np.int64]:
    """(468,) the point that each point becomes when the image is mirrored."""
    return np.array(_topology()["mirror"], dtype=np.int64)


def triangles() -> NDArray[np.int64]:
    """(T, 3) the mesh's surface; the eyes and the mouth are holes in it."""
    return np.array(_topology()["triangles"], dtype=np.int64)


class FaceMeshLandmarker:
    """Finds the 468 points of faces that a detector found.

    Args:
        providers: of ONNX Runtime, see `weights.sessions.open_session`.
        threads: of one pass.
        passes: 2 unless the points of the first, about 2 % of the eye distance off, are good enough.
        mirrored: whether the last pass averages over the crop and its mirror image.
    """

    def __init__(
        self,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        passes: int = 2,
        mirrored: bool = True,
    ) -> None:
        self._session = open_session(embedded_path("face_mesh.onnx"), providers=providers, threads=threads)
        self._passes = passes
        self._mirrored = mirrored

    def locate(self, image: RGBImage, detection: Detection) -> Landmarks:
        """The points of one face."""
        return self.locate_many(image, [detection])[0]

    def locate_many(self, image: RGBImage, detections: Sequence[Detection]) -> list[Landmarks]:
        """The points of several faces of one image, all of them in one run of the network for each pass."""
        if not detections:
            return []
        regions = [roi_from_points(found.points, found.box) for found in detections]
        for _ in range(self._passes - 1):
            regions = [roi_from_landmarks(found.points) for found in self._look(image, regions)]
        return self._look(image, regions, mirrored=self._mirrored)

    def follow(self, image: RGBImage, previous: Sequence[FloatArray]) -> list[Landmarks]:
        """The points of faces whose points (468, 3) in the frame before are known: no detection.

        One pass, and a second one for faces that moved by more than `SETTLED` since.
        """
        if not previous:
            return []
        regions = [roi_from_landmarks(points) for points in previous]
        found = self._look(image, regions, mirrored=self._mirrored)
        settled = [roi_from_landmarks(one.points) for one in found]
        moved = [i for i, pair in enumerate(zip(regions, settled, strict=True)) if apart(*pair) > SETTLED]
        if moved:
            again = self._look(image, [settled[i] for i in moved], mirrored=self._mirrored)
            for place, one in zip(moved, again, strict=True):
                found[place] = one
        return found

    def _look(
        self, image: RGBImage, regions: Sequence[Matrix23], *, mirrored: bool = False
    ) -> list[Landmarks]:
        size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
        # Beyond the image its edge goes on, as with the original: a black border would bend the face's outline.
        crops = [cv2.warpAffine(image, region, size, borderMode=cv2.BORDER_REPLICATE) for region in regions]
        crops = [in_ordinary_light(np.asarray(crop, np.uint8), MESH_FACE_SHARES) for crop in crops]
        if mirrored:
            crops += [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
        found = self._session.run({"image": to_nchw(np.stack(crops))})
        points, score = found["points"], found["score"][:, 0]
        if mirrored:
            other = points[len(regions) :, mirror_indices()]
            # The network counts from the outer edge of the first pixel, so x becomes size - x.
            other = np.concatenate([INPUT_SIZE_PX - other[..., :1], other[..., 1:]], axis=-1)
            points = (points[: len(regions)] + other) / 2
            score = (score[: len(regions)] + score[len(regions) :]) / 2
        return [
            Landmarks(mesh_to_image(points[place], region), float(score[place]))
            for place, region in enumerate(regions)
        ]


class IrisLocator:
    """Finds both irises of a face whose mesh is known."""

    def __init__(self, *, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        self._session = open_session(embedded_path("iris.onnx"), providers=providers, threads=threads)

    def locate(self, image: RGBImage, landmarks: Landmarks) -> FloatArray:
        """(2, 5, 3) image-left and image-right iris: centre, then four points of its rim, in image pixels."""
        regions = [_eye_region(landmarks.points, corners) for corners in EYE_CORNERS]
        crops = [cv2.warpAffine(image, region, (EYE_SIZE_PX, EYE_SIZE_PX)) for region in regions]
        crops[1] = cv2.flip(crops[1], 1)  # the network knows image-left eyes only
        irises = self._session.run({"image": to_nchw(np.stack(crops))})["iris"].astype(np.float64)
        # The network counts from the outer edge of the first pixel, images from its centre.
        irises[..., :2] -= 0.5
        irises[1, :, 0] = EYE_SIZE_PX - 1 - irises[1, :, 0]
        back = [transform_points(invert(region), iris) for region, iris in zip(regions, irises, strict=True)]
        return np.stack(back)


def mesh_points5(points: NDArray[Any]) -> NDArray[np.float64]:
    """(5, 2) image-left eye, image-right eye, nose tip, image-left and image-right mouth corner of a mesh (468, 3)."""
    plane = np.asarray(points, np.float64)[:, :2]
    eyes = [plane[list(corners)].mean(axis=0) for corners in EYE_CORNERS]
    return np.stack([*eyes, plane[_NOSE_TIP], plane[_MOUTH_CORNERS[0]], plane[_MOUTH_CORNERS[1]]])


def apart(first: Matrix23, second: Matrix23) -> float:
    """How far two of the network's squares lie apart: the farthest of their corners' distances, in sides."""
    last = INPUT_SIZE_PX - 1.0
    corners = np.array([(0.0, 0.0), (last, 0.0), (last, last), (0.0, last)])
    moved = transform_points(first, transform_points(invert(second), corners)) - corners
    return float(np.linalg.norm(moved, axis=1).max()) / INPUT_SIZE_PX


def _eye_region(points: FloatArray, corners: tuple[int, int]) -> Matrix23:
    """Matrix from image pixels to an upright 64 px eye crop of 2.3 eye widths, turned along the eye's corners."""
    first, second = points[corners[0], :2].astype(np.float64), points[corners[1], :2].astype(np.float64)
    across = second - first
    width = max(float(np.linalg.norm(across)), 1e-3)
    scale = EYE_SIZE_PX / (EYE_ENLARGEMENT * width)
    cosine, sine = across / width
    turn = scale * np.array([[cosine, sine], [-sine, cosine]])
    return np.column_stack([turn, np.full(2, (EYE_SIZE_PX - 1) / 2) - turn @ ((first + second) / 2)])
