"""Measures face detection and face verification with the embedded networks.

``python -m hififace.evaluation.detection --data FOLDER [--scrfd FILE]`` reads the shards ``photos-val-*.tar`` and
``identities-val-*.tar`` (members KEY.jpg, and KEY.json with "identity") and prints one JSON object. The protocol:

- recall: share of photos in which a face is found that covers the middle of the photo, each photo being a portrait.
- recall by size: every sixth of the same portraits, reduced until the detected face has a given size in pixels, on a
  blurred background of 320 x 320.
- false faces: detections in scikit-image's images without people, each unchanged, mirrored, at half and at double size.
- verification: every same-person pair of ``identities-val`` against as many pairs of different people drawn with a
  fixed seed; accuracy at the best threshold on the cosine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.errors import DataError, HififaceError
from hififace.faces.detection import FaceDetector, ScrfdDetector, YuNetDetector
from hififace.faces.identity import IdentityEmbedder, SFaceEmbedder
from hififace.media.image import MAX_FILE_BYTES, read_image
from hififace.types import Detection, FloatArray, RGBImage

SHOW_PEOPLE = ("astronaut", "camera")
SEED = 20210606
SIZES_PX = (16, 20, 24, 32)
ONE_IN = 6
GROUND_PX = 320


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of portraits whose face was detected."""

    num_photos: int
    num_found: int
    missed: tuple[str, ...]
    """Keys of the photos without a detection."""

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.num_found / max(self.num_photos, 1)


@dataclass(frozen=True, slots=True)
class Verification:
    """Accuracy of telling pairs of the same person from pairs of different people."""

    num_pairs: int
    """Number of pairs of the same person, and of pairs of different people."""
    accuracy: float
    """At the best threshold."""
    threshold: float
    mean_same: float
    mean_different: float


def measure_recall(
    photos: Iterator[tuple[str, RGBImage]], detector: FaceDetector
) -> tuple[Recall, dict[str, Detection]]:
    """Detect the face of every portrait; also returns the detections, by key."""
    found, missed, num = {}, [], 0
    for key, image in photos:
        num += 1
        face = portrait_face(image, detector.detect(image))
        if face is None:
            missed.append(key)
        else:
            found[key] = face
    return Recall(num, len(found), tuple(missed)), found


def recall_by_size(
    photos: Iterator[tuple[str, RGBImage]],
    found: dict[str, Detection],
    detector: FaceDetector,
    sizes_px: tuple[int, ...] = SIZES_PX,
) -> dict[int, float]:
    """Share of faces detected at each size: {size in pixels: 0 to 1}."""
    hits: dict[int, list[bool]] = {size: [] for size in sizes_px}
    for number, (key, image) in enumerate(photos):
        if number % ONE_IN or key not in found:
            continue
        for size in sizes_px:
            scale = size / found[key].size_px
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            ground = cv2.GaussianBlur(cv2.resize(image, (GROUND_PX, GROUND_PX)), (0, 0), 40)
            top = (GROUND_PX - small.shape[0]) // 2 + number % 7
            left = (GROUND_PX - small.shape[1]) // 2 - number % 5
            ground[top : top + small.shape[0], left : left + small.shape[1]] = small
            seen = detector.detect(np.asarray(ground, np.uint8))
            hits[size].append(any(0.6 < face.size_px / size < 1.6 for face in seen))
    return {size: float(np.mean(hit)) if hit else 0.0 for size, hit in hits.items()}


def portrait_face(image: RGBImage, detections: list[Detection]) -> Detection | None:
    """The largest face that covers the middle of a portrait; None if there is none."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    covering = [d for d in detections if (d.box[:2] <= middle).all() and (d.box[2:] >= middle).all()]
    return max(covering, key=lambda d: d.size_px, default=None)


def best_verification(vectors: FloatArray, names: list[str], seed: int = SEED) -> Verification:
    """Accuracy at the best threshold over balanced pairs.

    Args:
        vectors: (N, D) unit length.
        names: (N) the person in each photo.
        seed: of the draw of pairs of different people.
    """
    cosines = vectors @ vectors.T
    first, second = np.triu_indices(len(names), 1)
    people = np.array(names)
    same = people[first] == people[second]
    alike = cosines[first, second]
    positive, others = np.sort(alike[same]), alike[~same]
    if not len(positive) or len(others) < len(positive):
        raise DataError(
            f"{len(names)} photos hold {len(positive)} pairs of one person and {len(others)} of two; "
            "verification needs some of the first and as many of the second."
        )
    negative = np.sort(np.random.default_rng(seed).choice(others, len(positive), replace=False))
    thresholds = np.concatenate([positive, negative])
    accepted = len(positive) - np.searchsorted(positive, thresholds, side="left")
    refused = np.searchsorted(negative, thresholds, side="left")
    accuracy = (accepted + refused) / (2 * len(positive))
    best = int(np.argmax(accuracy))
    return Verification(
        len(positive),
        float(accuracy[best]),
        float(thresholds[best]),
        float(positive.mean()),
        float(negative.mean()),
    )


def read_photos(folder: Path, pattern: str) -> Iterator[tuple[str, RGBImage]]:
    """(key, image) of every JPEG in the shards that match.

    Raises:
        DataError: no shard matches.
    """
    shards = sorted(folder.glob(pattern))
    if not shards:
        raise DataError(f"No shard {pattern} in {folder}; give the folder that holds the validation shards.")
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                handle = tar.extractfile(member) if member.name.endswith(".jpg") else None
                if handle is not None and member.size <= MAX_FILE_BYTES:
                    yield member.name.removesuffix(".jpg"), read_image(handle.read()).pixels


def images_of_things() -> Iterator[tuple[str, RGBImage]]:
    """scikit-image's images without people, each in four variants.

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError as error:
        raise DataError("The images of things are scikit-image's; `pip install scikit-image`.") from error
    for path in sorted((Path(skimage.__file__).parent / "data").iterdir()):
        if path.suffix not in {".png", ".jpg"} or path.stem in SHOW_PEOPLE:
            continue
        image = read_image(path).pixels
        yield path.stem, image
        yield f"{path.stem} mirrored", np.ascontiguousarray(image[:, ::-1])
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        yield f"{path.stem} halved", np.asarray(half, np.uint8)
        double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        yield f"{path.stem} doubled", np.asarray(double, np.uint8)


def count_false_faces(
    images: Iterator[tuple[str, RGBImage]], detector: FaceDetector, *, rotated: bool = False
) -> dict[str, int]:
    """{image: number of detections}, for images that show no face."""
    return {name: len(detector.detect(image, rotated=rotated)) for name, image in images}


def measure_verification(
    photos: Iterator[tuple[str, RGBImage]], found: dict[str, Detection], embedder: IdentityEmbedder
) -> Verification:
    """Embed every detected face (key ``IDENTITY_NN``) and compare all pairs."""
    vectors, names = [], []
    for key, image in photos:
        if key in found:
            vectors.append(embedder.embed(image, found[key].points))
            names.append(key.rsplit("_", 1)[0])
    empty: NDArray[np.float32] = np.zeros((0, embedder.size), np.float32)
    return best_verification(np.stack(vectors) if vectors else empty, names)


def main(arguments: list[str] | None = None) -> int:
    """Measure everything and print it as one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m hififace.evaluation.detection", description="Recall, false faces, verification."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the validation shards")
    parser.add_argument("--no-flip", action="store_true", help="identity without averaging the mirror image")
    parser.add_argument(
        "--scrfd", type=Path, help="measure this SCRFD file in YuNet's place, with points or without"
    )
    options = parser.parse_args(arguments)
    embedder = SFaceEmbedder(flip=not options.no_flip)
    try:
        detector: FaceDetector = (
            ScrfdDetector(options.scrfd, without_points=True) if options.scrfd else YuNetDetector()
        )
        photos, _ = measure_recall(read_photos(options.data, "photos-val-*.tar"), detector)
        people, found = measure_recall(read_photos(options.data, "identities-val-*.tar"), detector)
        verified = measure_verification(read_photos(options.data, "identities-val-*.tar"), found, embedder)
        by_size = recall_by_size(read_photos(options.data, "identities-val-*.tar"), found, detector)
        false = count_false_faces(images_of_things(), detector)
    except HififaceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    report = {
        "detector": options.scrfd.name if options.scrfd else "yunet",
        "photos-val": {**asdict(photos), "recall": photos.share},
        "identities-val": {**asdict(people), "recall": people.share},
        "recall_by_size_px": by_size,
        "false_faces": {"num_images": len(false), "num_faces": sum(false.values())},
        "verification": asdict(verified),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
