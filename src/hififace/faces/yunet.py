"""The YuNet network: one look at one image, decoded.

W. Wu et al., "YuNet: a tiny millisecond-level face detector", 2023 (OpenCV Zoo, MIT). Fully convolutional: any height
and width that are multiples of 32. It takes BGR 0..255, the one place here where BGR appears.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hififace.faces.candidates import Candidates
from hififace.types import FloatArray, RGBImage
from hififace.weights.sessions import open_session
from hififace.weights.store import embedded_path

STRIDES = (8, 16, 32)

SHARP_PX = (40.0, 320.0)
"""Where one face is seen in two views, the one in which it has such a size places its points best..."""

BLUNT_PENALTY = 0.1
"""...and the other loses so much of its rank."""


class YuNet:
    """The network on ONNX Runtime.

    Args:
        path: another file of the same layout; None is the one that ships.
        providers: see `weights.sessions.open_session`.
        threads: likewise.
    """

    def __init__(
        self, path: Path | None = None, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        self.session = open_session(path or embedded_path("yunet.onnx"), providers=providers, threads=threads)

    def propose(self, image: RGBImage, least_score: float) -> Candidates:
        """Look once.

        Args:
            image: (H, W, 3) of any size; padded with black to multiples of 32.
            least_score: candidates below it are not returned.

        Returns:
            Candidates in pixels of the image, several to a face.
        """
        height, width = image.shape[:2]
        full_h, full_w = -(-height // 32) * 32, -(-width // 32) * 32
        if (full_h, full_w) != (height, width):
            canvas = np.zeros((full_h, full_w, 3), np.uint8)
            canvas[:height, :width] = image
            image = canvas
        blob = cv2.dnn.blobFromImage(image, swapRB=True)  # (1, 3, H, W) float32 BGR 0..255
        outputs = self.session.run({"image": blob})
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            # score = sqrt(cls · obj); the squares are compared first, since most cells stop here.
            product = np.clip(outputs[f"cls_{stride}"][0, :, 0], 0.0, 1.0)
            product = product * np.clip(outputs[f"obj_{stride}"][0, :, 0], 0.0, 1.0)
            cells = np.flatnonzero(product > least_score**2)
            if not len(cells):
                continue
            rows, columns = np.divmod(cells, full_w // stride)
            corner = np.stack([columns, rows], axis=1).astype(np.float32)
            raw = outputs[f"bbox_{stride}"][0, cells]
            centre = (raw[:, :2] + corner) * stride
            half = np.exp(np.minimum(raw[:, 2:], 8.0)) * (stride * 0.5)
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            scores.append(np.sqrt(product[cells]))
            points.append((outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride)
        if not boxes:
            return Candidates.none()
        return _ranked(np.concatenate(boxes), np.concatenate(scores), np.concatenate(points))


def _ranked(boxes: FloatArray, scores: FloatArray, points: FloatArray) -> Candidates:
    size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    blunt = (size < SHARP_PX[0]) | (size > SHARP_PX[1])
    return Candidates(boxes, scores, points, (scores - BLUNT_PENALTY * blunt).astype(np.float32))
