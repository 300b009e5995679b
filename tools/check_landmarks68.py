"""Compare `evaluation/landmarks68.py` with dlib itself, on scikit-image's portrait.

Needs `pip install dlib-bin scikit-image` and `hififace weights fetch dlib_landmarks68`; prints, in pixels, how far the
two are apart on the same chip and box, and how far our points (box by the mesh, upright chip) are from those of dlib's
own detector and predictor.
"""

from __future__ import annotations

import dlib
import numpy as np
from skimage import data

from hififace.evaluation.landmarks68 import CHIP_PX, gray_of, load_shape_predictor
from hififace.faces.analysis import FaceAnalyser
from hififace.weights.registry import find_card
from hififace.weights.store import locate


def main() -> None:
    path = locate(find_card("dlib_landmarks68"))
    ours, theirs = load_shape_predictor(path), dlib.shape_predictor(str(path))
    image = np.ascontiguousarray(data.astronaut())
    box = dlib.get_frontal_face_detector()(image, 1)[0]
    whole = theirs(image, box)
    expected = np.array([(p.x, p.y) for p in whole.parts()])
    same = ours.predict(gray_of(image), (box.left(), box.top(), box.right(), box.bottom()))
    # dlib rounds its points to whole pixels.
    print(
        f"same box: at most {np.abs(same - expected).max():.2f} px apart (rounding explains 0.50), chip {CHIP_PX}"
    )
    mesh = FaceAnalyser(threads=1).analyse(image, ("landmarks",))[0].landmarks.points
    own = ours.locate(image, mesh)
    print(
        f"own box: mean {np.linalg.norm(own - expected, axis=1).mean():.2f} px apart, face {box.width()} px"
    )


if __name__ == "__main__":
    main()
