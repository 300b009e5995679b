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

import numpy as np

from hififace.evaluation.detection import portrait_face
from hififace.evaluation.features import FeatureNetwork, create_feature_network
from hififace.evaluation.identity import DlibEmbedder
from hififace.evaluation.photos import Photo
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker, IrisLocator
from hififace.media.atomic import atomic_write
from hififace.types import Detection, Face, FloatArray, Landmarks, RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import data_dir

DESCRIPTION_VERSION: Final = 3
"""Raised whenever a description would come out otherwise, so that kept ones are made again."""

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

    @property
    def size_px(self) -> float:
        """Square root of the box's area."""
        return self.detection().size_px

    def detection(self) -> Detection:
        """For who aligns or swaps."""
        return Detection(self.box, 1.0, self.points5)

    def face(self) -> Face:
        """For `FaceSwapper.prepare`: what is already known is not worked out again."""
        return Face(self.place, self.detection(), Landmarks(self.mesh, 1.0), self.sface)


class Describer:
    """The frozen parts, one thread each: work is spread over processes.

    Raises:
        WeightsError: dlib's recogniser is not on this machine; says how to fetch it.
    """

    def __init__(self) -> None:
        self._detector = YuNetDetector(threads=1)
        self._mesh = FaceMeshLandmarker(threads=1)
        self._iris = IrisLocator(threads=1)
        self._sface = SFaceEmbedder(threads=1)
        self._dlib = DlibEmbedder()
        self._features: FeatureNetwork = create_feature_network(self._sface)

    def describe_photo(self, image: RGBImage) -> Description | None:
        """The face in the middle of a portrait; None where there is none."""
        detections = self._detector.detect(image)
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
        )


class DescriptionCache:
    """Descriptions of real photos, one file each, by the SHA-256 of the JPEG.

    Args:
        folder: None takes `evaluation` below the user's data folder.
        features: name of the feature network in use: another one describes otherwise.
    """

    def __init__(self, folder: Path | None, features: str) -> None:
        self.root = folder or data_dir() / "evaluation"
        self.version = cache_version(features)
        self.folder = self.root / f"photos-{self.version}"

    def load(self, photo: Photo) -> tuple[bool, Description | None]:
        """(whether it is kept, what: None is a photo without a face)."""
        try:
            with np.load(self._path(photo), allow_pickle=False) as stored:
                if "mesh" not in stored.files:
                    return True, None
                values: dict[str, Any] = {name: stored[name] for name in Description._fields}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False, None  # not there, or damaged: described again
        return True, Description(**{**values, "place": int(values["place"])})

    def save(self, photo: Photo, found: Description | None) -> None:
        """Keep one."""
        buffer = io.BytesIO()
        np.savez(buffer, **({"none": np.zeros(0)} if found is None else found._asdict()))
        atomic_write(self._path(photo), buffer.getvalue())

    def _path(self, photo: Photo) -> Path:
        return self.folder / photo.sha256[:2] / f"{photo.sha256}.npz"


def cache_version(features: str) -> str:
    """Twelve digits that stand for every network and convention in a description."""
    hashes = [find_card(name).sha256 for name in PARTS]
    text = " ".join([str(DESCRIPTION_VERSION), features, *map(str, hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
