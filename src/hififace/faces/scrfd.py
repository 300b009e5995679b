"""SCRFD, the detector of the reference implementation, from a user-supplied file.

Facts of the published graphs (InsightFace, "Sample and Computation Redistribution for Efficient Face Detection",
2021): input (1, 3, H, W) RGB, (x − 127.5) / 128; outputs in the order scores, boxes, points, each at strides 8, 16 and
32, with two anchors a cell; a box is four distances from its cell's corner and a point two offsets, both in strides.
The reference hands its network BGR by mistake; here the order is the one it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.errors import WeightsError
from hififace.faces.candidates import Candidates, as_detections, merge
from hififace.faces.turning import search_turned
from hififace.faces.views import check_image
from hififace.types import Detection, FloatArray, RGBImage
from hififace.weights.sessions import Session, open_session

STRIDES = (8, 16, 32)
NUM_ANCHORS = 2
INPUT_PX = 640

TYPICAL_POINTS = np.array([(0.31, 0.41), (0.69, 0.41), (0.50, 0.61), (0.35, 0.79), (0.65, 0.79)], np.float32)
"""About where the five points of a face from the front lie, in shares of its box: for files without points."""


class ScrfdDetector:
    """SCRFD on ONNX Runtime: the published files 500m, 2.5g and 10g, which differ in size and not in their layout.

    The image is fitted into 640 x 640 (aspect ratio kept, black at the right and bottom), as the reference does, so
    faces below about 1/40 of its longer side are not found; `YuNetDetector` finds those.

    Args:
        path: the ONNX file, such as ``scrfd_10g_bnkps.onnx``.
        score_threshold: least score of a face, 0 to 1.
        overlap_threshold: intersection over union above which two candidates are one face.
        providers: see `weights.sessions.open_session`.
        threads: likewise.
        without_points: take a file without points too, and put points where a face from the front has them. Good enough
            to count faces, not to align them.

    Raises:
        WeightsError: no such file, or its outputs are not those of SCRFD with points.
    """

    def __init__(
        self,
        path: Path,
        *,
        score_threshold: float = 0.5,
        overlap_threshold: float = 0.4,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        without_points: bool = False,
    ) -> None:
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self.session = open_session(path, providers=providers, threads=threads)
        self._input = self.session.inputs[0].name
        self._outputs = _named_outputs(self.session, path, without_points=without_points)

    def detect(self, image: RGBImage, *, rotated: bool = False) -> list[Detection]:
        """See `detection.FaceDetector.detect`."""
        check_image(image)
        found = search_turned(self._search, image) if rotated else self._search(image)
        return as_detections(merge(found, self.overlap_threshold))

    def _search(self, image: RGBImage) -> Candidates:
        height, width = image.shape[:2]
        scale = INPUT_PX / max(height, width)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        canvas = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
        canvas[: size[1], : size[0]] = resized
        blob = cv2.dnn.blobFromImage(canvas, 1.0 / 128.0, mean=(127.5, 127.5, 127.5))
        found = self._decode(self.session.run({self._input: blob}))
        return merge(found.moved(width / size[0], height / size[1]), self.overlap_threshold)

    def _decode(self, outputs: dict[str, NDArray[Any]]) -> Candidates:
        several = []
        for stride, (score_name, box_name, point_name) in zip(STRIDES, self._outputs, strict=True):
            scores = outputs[score_name].reshape(-1)
            chosen = np.flatnonzero(scores > self.score_threshold)
            rows, columns = np.divmod(chosen // NUM_ANCHORS, INPUT_PX // stride)
            corner = (np.stack([columns, rows], axis=1) * stride).astype(np.float32)
            reach = outputs[box_name].reshape(-1, 4)[chosen] * stride
            boxes: FloatArray = np.concatenate([corner - reach[:, :2], corner + reach[:, 2:]], axis=1)
            if point_name is None:
                sides = boxes[:, None, 2:] - boxes[:, None, :2]
                points = boxes[:, None, :2] + TYPICAL_POINTS * sides
            else:
                points = corner[:, None] + outputs[point_name].reshape(-1, 5, 2)[chosen] * stride
            several.append(Candidates(boxes, scores[chosen], points, scores[chosen]))
        return Candidates.joined(several)


def _named_outputs(
    session: Session, path: Path, *, without_points: bool
) -> list[tuple[str, str, str | None]]:
    """For each stride the names of its scores, boxes and points; the published files only number them."""
    names = [output.name for output in session.outputs]
    widths = [output.shape[-1] for output in session.outputs]
    expected = [1] * 3 + [4] * 3 + ([] if without_points and len(names) == 6 else [10] * 3)
    fits = len(names) == len(expected) and all(
        w == e or not isinstance(w, int) for w, e in zip(widths, expected, strict=True)
    )
    if not fits:
        raise WeightsError(
            f"{path} has outputs of widths {widths}; SCRFD with five points has {expected}. "
            "Use a file whose name ends in `bnkps`."
        )
    points: list[str] | list[None] = names[6:] or [None] * 3
    return list(zip(names[:3], names[3:6], points, strict=True))
