"""Compare the re-expressed recogniser with dlib itself, on scikit-image's portrait.

Needs `pip install dlib-bin scikit-image` and `hififace weights fetch dlib_recogniser dlib_recogniser_tfjs
dlib_recogniser_tfjs_layout`; prints three distances, to be read against dlib's threshold of 0.6.
"""

from __future__ import annotations

import dlib
import numpy as np
import torch
from skimage import data

from hififace.evaluation.identity import CHIP_POINTS, DlibEmbedder, dlib_chip
from hififace.faces.analysis import FaceAnalyser
from hififace.models.pretrained.dlib import load_dlib_recogniser
from hififace.weights.registry import find_card
from hififace.weights.store import locate


def main() -> None:
    image = np.ascontiguousarray(data.astronaut())
    face = FaceAnalyser(threads=1).analyse(image, ("landmarks",))[0]
    mesh = face.landmarks.points
    network = load_dlib_recogniser(
        locate(find_card("dlib_recogniser_tfjs")), locate(find_card("dlib_recogniser_tfjs_layout"))
    )
    original = dlib.face_recognition_model_v1(str(locate(find_card("dlib_recogniser"))))
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in mesh[list(CHIP_POINTS), :2]]
    box = dlib.rectangle(*(round(float(v)) for v in face.detection.box))
    theirs = dlib.get_face_chip(image, dlib.full_object_detection(box, points), 150, 0.25)

    with torch.inference_mode():
        batch = torch.from_numpy(theirs).permute(2, 0, 1)[None].float() / 255.0
        ours_of_theirs = network(batch)[0].numpy()
    theirs_of_theirs = np.array(original.compute_face_descriptor(theirs))
    theirs_of_ours = np.array(original.compute_face_descriptor(dlib_chip(image, mesh)))
    ours = DlibEmbedder().embed(image, mesh)
    print(f"one chip, both networks:  {np.linalg.norm(ours_of_theirs - theirs_of_theirs):.3f}")
    print(f"both chips, dlib:         {np.linalg.norm(theirs_of_ours - theirs_of_theirs):.3f}")
    print(f"ours against dlib's own:  {np.linalg.norm(ours - theirs_of_theirs):.3f}")


if __name__ == "__main__":
    main()
