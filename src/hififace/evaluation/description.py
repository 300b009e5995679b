"""The features of one face that the measures compare, computed once for each real photo and cached.

Features of a result are computed at the place of its target's face: a new detection could find another face or none,
and a bad result would be left out instead of counted. Therefore the baseline `copy` is exactly equal to its target.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from hififace.evaluation.detection import portrait_face
from hififace.evaluation.features import FeatureNetwork, create_feature_network
from hififace.evaluation.identity import DlibEmbedder
from hififace.evaluation.landmarks68 import ShapePredictor, load_shape_predictor
from hififace.evaluation.photos import Photo
from hififace.evaluation.scenes import PLAIN, Scene
from hififace.evaluation.skin_tone import skin_tone_deg
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import MobileFaceNetEmbedder, SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker, IrisLocator
from hififace.media.atomic import atomic_write
from hififace.types import Detection, Face, FloatArray, Landmarks, RGBImage
from hififace.weights.places import data_dir
from hififace.weights.registry import find_card
from hififace.weights.store import locate

DESCRIPTION_VERSION: Final = 4
"""To be increased with every change of descriptions, so that cached ones are computed again."""

DETECTION_PX: Final = 640
"""Longer side of a photo for detection: in portraits of 1350 px YuNet's box holds only half of the face."""

PARTS: Final = ("yunet", "sface", "face_mesh", "iris", "dlib_recogniser_tfjs")


class Description(NamedTuple):
    """Features of one face, in pixels of its photo."""

    place: int
    """Index among the faces of the photo, from left to right."""
    box: FloatArray
    """(4,)"""
    points5: FloatArray
    """(5, 2)"""
    mesh: FloatArray
    """(468, 3)"""
    irises: FloatArray
    """(2, 5, 3) image-left and image-right iris: centre and four points of its contour."""
    sface: FloatArray
    """(128,) unit length."""
    dlib: FloatArray
    """(128,) as dlib returns it, of norm about 1.4."""
    features: FloatArray
    """(F,) for the Fréchet distance."""
    size_hw: FloatArray
    """(2,) height and width of the photo."""
    points68: FloatArray = np.full((68, 2), np.nan, np.float32)
    """(68, 2) dlib's landmarks; NaN where they were not computed."""
    second: FloatArray = np.full(1, np.nan, np.float32)
    """(D,) unit length, by the second recogniser; one NaN without it."""
    skin_tone_deg: FloatArray = np.full((), np.nan, np.float32)
    """() individual typology angle, see `skin_tone.py`."""

    @property
    def size_px(self) -> float:
        """Square root of the box's area."""
        return self.detection().size_px

    def detection(self) -> Detection:
        """Box and points as a detection, for alignment and swapping."""
        return Detection(self.box, 1.0, self.points5)

    def face(self) -> Face:
        """As a face for `FaceSwapper.prepare`, so that mesh and identity are not computed again."""
        return Face(self.place, self.detection(), Landmarks(self.mesh, 1.0), self.sface)


class Asked(NamedTuple):
    """Features that are computed in addition to those of every protocol."""

    feature_px: int = 192
    """Side of the crop for the Fréchet distance."""
    landmarks68: bool = False
    second: bool = False
    """Whether there is a second recogniser."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the cards of all networks in use."""
        more = ("dlib_landmarks68",) * self.landmarks68 + ("mobilefacenet",) * self.second
        return (*PARTS, *more)


OPEN: Final = Asked()


class Describer:
    """Computes descriptions with the frozen networks, each on one thread: work is spread over processes.

    Args:
        asked: additional features.

    Raises:
        WeightsError: dlib's recogniser, or another network needed, is not on this machine; says how to get it.
    """

    def __init__(self, asked: Asked = OPEN) -> None:
        self._predictor = load_landmarks68() if asked.landmarks68 else None
        self._second = (
            MobileFaceNetEmbedder(locate(find_card("mobilefacenet")), threads=1, flip=False)
            if asked.second
            else None
        )
        self._detector = YuNetDetector(threads=1)
        self._mesh = FaceMeshLandmarker(threads=1)
        self._iris = IrisLocator(threads=1)
        self._sface = SFaceEmbedder(threads=1)
        self._dlib = DlibEmbedder()
        self._features: FeatureNetwork = create_feature_network(self._sface, asked.feature_px)

    def describe_photo(self, image: RGBImage) -> Description | None:
        """Describes the face in the middle of a portrait; None where there is none."""
        detections = detect_reduced(self._detector, image)
        found = portrait_face(image, detections)
        if found is None:
            return None
        place = next(i for i, one in enumerate(detections) if one is found)
        return self._describe(image, found, place)

    def describe_result(self, image: RGBImage, target: Description) -> Description:
        """Describes the face of a result, at the place of its target's."""
        return self._describe(image, target.detection(), target.place)

    def _describe(self, image: RGBImage, found: Detection, place: int) -> Description:
        mesh = self._mesh.locate(image, found)
        more: dict[str, FloatArray] = {}
        if self._predictor is not None:
            more["points68"] = self._predictor.locate(image, mesh.points)
        if self._second is not None:
            more["second"] = self._second.embed(image, found.points)
        return Description(
            place=place,
            box=np.asarray(found.box, np.float32),
            points5=np.asarray(found.points, np.float32),
            mesh=mesh.points,
            irises=np.asarray(self._iris.locate(image, mesh), np.float32),
            sface=self._sface.embed(image, found.points),
            dlib=self._dlib.embed(image, mesh.points),
            features=self._features.describe(image, found.points),
            size_hw=np.array(image.shape[:2], np.float32),
            skin_tone_deg=np.array(skin_tone_deg(image, mesh.points), np.float32),
            **more,
        )


def detect_reduced(detector: YuNetDetector, image: RGBImage) -> list[Detection]:
    """Detects faces in a photo, reduced if it is large: the anchors are too small for a face that fills it."""
    reduced = DETECTION_PX / max(image.shape[:2])
    if reduced >= 1:
        return detector.detect(image)
    size = (max(round(image.shape[1] * reduced), 1), max(round(image.shape[0] * reduced), 1))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([image.shape[1] / size[0], image.shape[0] / size[1]], np.float32)
    return [
        Detection((one.box.reshape(2, 2) * scale).reshape(4), one.score, one.points * scale)
        for one in detector.detect(small)
    ]


def placed(found: Description, scale: float) -> Description:
    """The face after its photo was resized: box and five points, at which it can be described again."""
    if scale == 1.0:
        return found
    moved = (
        (one + np.float32(0.5)) * np.float32(scale) - np.float32(0.5) for one in (found.box, found.points5)
    )
    box, points5 = moved
    return found._replace(box=box, points5=points5)


class DescriptionCache:
    """Cache of descriptions of real photos, one file each, by the SHA-256 of the JPEG.

    Args:
        folder: None takes `evaluation` below the user's data folder.
        features: name of the feature network in use, which is part of the key.
        asked: additional features, likewise.
    """

    def __init__(self, folder: Path | None, features: str, asked: Asked = OPEN) -> None:
        self.root = folder or data_dir() / "evaluation"
        self.version = cache_version(features, asked)
        self.folder = self.root / f"photos-{self.version}"

    def load(self, photo: Photo, scene: Scene = PLAIN) -> tuple[bool, Description | None]:
        """(whether it is cached, the description: None for a photo without a face)."""
        try:
            with np.load(self._path(photo, scene), allow_pickle=False) as stored:
                if "mesh" not in stored.files:
                    return True, None
                values: dict[str, Any] = {name: stored[name] for name in Description._fields}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False, None  # missing or damaged: computed again
        return True, Description(**{**values, "place": int(values["place"])})

    def save(self, photo: Photo, found: Description | None, scene: Scene = PLAIN) -> None:
        """Write one description."""
        buffer = io.BytesIO()
        np.savez(buffer, **({"none": np.zeros(0)} if found is None else found._asdict()))
        atomic_write(self._path(photo, scene), buffer.getvalue())

    def _path(self, photo: Photo, scene: Scene) -> Path:
        name = photo.sha256 + (f"-{scene.tag}" if scene.tag else "")
        return self.folder / photo.sha256[:2] / f"{name}.npz"


def cache_version(features: str, asked: Asked = OPEN) -> str:
    """Twelve digits of a hash over every network and convention of descriptions."""
    hashes = [find_card(name).sha256 for name in asked.parts]
    text = " ".join([str(DESCRIPTION_VERSION), features, str(asked.feature_px), *map(str, hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_landmarks68() -> ShapePredictor:
    """Loads dlib's predictor; its arrays are cached in the user's data folder, since its own file is slow to read.

    Raises:
        WeightsError: its file is not on this machine; says how to get it.
    """
    card = find_card("dlib_landmarks68")
    return load_shape_predictor(
        locate(card), data_dir() / "evaluation" / f"landmarks68-{str(card.sha256)[:12]}.npz"
    )
