"""What is known of one face: everything that the measures compare, found once for each real photo and kept.

A result is described where its target's face is: detecting again could find another face, or none, and a wrong face
would be measured instead of being counted as a bad result. So `copy` measures as exactly equal to its target.
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
"""Raised whenever a description would come out otherwise, so that kept ones are made again."""

DETECTION_PX: Final = 640
"""Long side at which a photo's face is looked for: in portraits of 1350 px YuNet draws a box around half of a face."""

PARTS: Final = ("yunet", "sface", "face_mesh", "iris", "dlib_recogniser_tfjs")


class Description(NamedTuple):
    """One face. Pixels are those of its photo."""

    place: int
    """Place among the faces of the photo, left to right."""
    box: FloatArray
    """(4,)"""
    points5: FloatArray
    """(5, 2)"""
    mesh: FloatArray
    """(468, 3)"""
    irises: FloatArray
    """(2, 5, 3) image-left and image-right: centre and four points of the rim."""
    sface: FloatArray
    """(128,) unit length."""
    dlib: FloatArray
    """(128,) as dlib gives it: about 1.4 long."""
    features: FloatArray
    """(F,) for the Fréchet distance."""
    size_hw: FloatArray
    """(2,) height and width of the photo."""
    points68: FloatArray = np.full((68, 2), np.nan, np.float32)
    """(68, 2) dlib's landmarks; not numbers where they were not asked for."""
    second: FloatArray = np.full(1, np.nan, np.float32)
    """(D,) unit length, by the second recogniser; one not-a-number without it."""
    skin_tone_deg: FloatArray = np.full((), np.nan, np.float32)
    """() individual typology angle, see `skin_tone.py`."""

    @property
    def size_px(self) -> float:
        """Square root of the box's area."""
        return self.detection().size_px

    def detection(self) -> Detection:
        """For callers that align or swap."""
        return Detection(self.box, 1.0, self.points5)

    def face(self) -> Face:
        """For `FaceSwapper.prepare`: what is already known is not worked out again."""
        return Face(self.place, self.detection(), Landmarks(self.mesh, 1.0), self.sface)


class Asked(NamedTuple):
    """What descriptions are asked for beyond what every protocol compares."""

    feature_px: int = 192
    """Side of the crop that the Fréchet distance compares."""
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
    """The frozen networks, one thread each: work is spread over processes.

    Args:
        asked: what more than `open` compares.

    Raises:
        WeightsError: dlib's recogniser, or what is asked for, is not on this machine; says how to get it.
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
        """The face in the middle of a portrait; None where there is none."""
        detections = detect_reduced(self._detector, image)
        found = portrait_face(image, detections)
        if found is None:
            return None
        place = next(i for i, one in enumerate(detections) if one is found)
        return self._describe(image, found, place)

    def describe_result(self, image: RGBImage, target: Description) -> Description:
        """The face of a result, where its target's is."""
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
    """Faces of a photo that is looked at reduced where it is large: a detector's grid is too fine for a face that fills
    it.
    """
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
    """The same face where its photo was resized: its box and its five points, which say where to describe it again."""
    if scale == 1.0:
        return found
    moved = (
        (one + np.float32(0.5)) * np.float32(scale) - np.float32(0.5) for one in (found.box, found.points5)
    )
    box, points5 = moved
    return found._replace(box=box, points5=points5)


class DescriptionCache:
    """Descriptions of real photos, one file each, by the SHA-256 of the JPEG.

    Args:
        folder: None takes `evaluation` below the user's data folder.
        features: name of the feature network in use: another one describes otherwise.
        asked: what more is described.
    """

    def __init__(self, folder: Path | None, features: str, asked: Asked = OPEN) -> None:
        self.root = folder or data_dir() / "evaluation"
        self.version = cache_version(features, asked)
        self.folder = self.root / f"photos-{self.version}"

    def load(self, photo: Photo, scene: Scene = PLAIN) -> tuple[bool, Description | None]:
        """(whether it is kept, what: None is a photo without a face)."""
        try:
            with np.load(self._path(photo, scene), allow_pickle=False) as stored:
                if "mesh" not in stored.files:
                    return True, None
                values: dict[str, Any] = {name: stored[name] for name in Description._fields}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False, None  # not there, or damaged: described again
        return True, Description(**{**values, "place": int(values["place"])})

    def save(self, photo: Photo, found: Description | None, scene: Scene = PLAIN) -> None:
        """Keep one."""
        buffer = io.BytesIO()
        np.savez(buffer, **({"none": np.zeros(0)} if found is None else found._asdict()))
        atomic_write(self._path(photo, scene), buffer.getvalue())

    def _path(self, photo: Photo, scene: Scene) -> Path:
        name = photo.sha256 + (f"-{scene.tag}" if scene.tag else "")
        return self.folder / photo.sha256[:2] / f"{name}.npz"


def cache_version(features: str, asked: Asked = OPEN) -> str:
    """Twelve digits that stand for every network and convention in a description."""
    hashes = [find_card(name).sha256 for name in asked.parts]
    text = " ".join([str(DESCRIPTION_VERSION), features, str(asked.feature_px), *map(str, hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_landmarks68() -> ShapePredictor:
    """Dlib's predictor; its arrays are kept in the user's data folder, for it is slow to read.

    Raises:
        WeightsError: its file is not on this machine; says how to get it.
    """
    card = find_card("dlib_landmarks68")
    return load_shape_predictor(
        locate(card), data_dir() / "evaluation" / f"landmarks68-{str(card.sha256)[:12]}.npz"
    )
