"""How often the second opinion errs: on images of animals and works of art it should refuse every detection.

    python tools/measure_second_opinion.py FILE_OR_FOLDER... [--threshold 0.4]

Each image is looked at in four variants: as it is, mirrored, half as large, and twice as large. Prints each detection
with what the three networks say, and last how many of how many were refused. Give people instead, and none should be.
The figures of `docs/model-card.md`, "Parts", are of the images that Foolbox 3.3.3 (ImageNet's), imgaug 0.4,
scikit-image and Gradio ship; of the last two, which are here with the tests:

    python tools/measure_second_opinion.py $(python -c "
    from pathlib import Path; import gradio, skimage.data
    art = Path(gradio.__file__).parent / 'media_assets' / 'images'
    own = Path(skimage.data.__file__).parent
    print(art / 'cheetah.jpg', art / 'cheetah1.jpg', art / 'groot.jpeg', art / 'lion.jpg')
    print(own / 'chelsea.png', own / 'coins.png', own / 'horse.png')")
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hififace.faces.appearance import appearance_of
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.second_opinion import looks_human
from hififace.media.image import read_image
from hififace.types import RGBImage

ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def variants(image: RGBImage) -> Iterator[tuple[str, RGBImage]]:
    """The four looks at one image."""
    yield "as it is", image
    yield "mirrored", np.ascontiguousarray(image[:, ::-1])
    for name, factor, flags in (("half", 0.5, cv2.INTER_AREA), ("double", 2.0, cv2.INTER_CUBIC)):
        yield name, np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=flags), np.uint8)


def measure(paths: list[Path], threshold: float) -> list[tuple[Path, bool]]:
    """Every detection: its image, and whether it was refused."""
    detector = YuNetDetector(score_threshold=threshold)
    landmarker, embedder = FaceMeshLandmarker(), SFaceEmbedder()
    found = []
    for path in paths:
        for variant, image in variants(read_image(path).pixels):
            for face in detector.detect(image):
                landmarks = landmarker.locate(image, face)
                _, length = embedder.embed_with_length(image, face.points)
                human = looks_human(face.score, landmarks.score, length)
                blurred = appearance_of(image, face, landmarks).is_blurred
                found.append((path, not human and not blurred))
                sys.stdout.write(
                    f"{path.name}, {variant}: {face.size_px:.0f} px, detector {face.score:.2f}, "
                    f"mesh {landmarks.score:.2f}, embedding {length:.1f}: "
                    f"{'refused' if found[-1][1] else 'blurred, not asked about' if not human else 'taken'}\n"
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--threshold", type=float, default=0.4)
    asked = parser.parse_args()
    paths = [
        path
        for one in asked.images
        for path in (sorted(one.rglob("*")) if one.is_dir() else [one])
        if path.suffix.lower() in ENDINGS
    ]
    found = measure(paths, asked.threshold)
    refused = sum(was for _, was in found)
    shown = len({path for path, _ in found})
    sys.stdout.write(f"{len(found)} detections in {shown} of {len(paths)} images: {refused} refused.\n")


if __name__ == "__main__":
    main()
