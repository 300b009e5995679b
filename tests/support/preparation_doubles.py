"""Images that carry what is "in" them, and a describer that reads it: preparation without networks.

The top left pixel holds (number of faces, person, variant), the one beside it (yaw + 100, mesh score in percent,
seed of the texture). The face fills the image as the template asks.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hififace.faces.templates import Template
from hififace.preparation.crop import Crop
from hififace.preparation.describe import DescriberSettings, Description
from hififace.types import Detection, FloatArray, RGBImage


def make_image(
    person: int = 0,
    variant: int = 0,
    *,
    faces: int = 1,
    yaw: int = 0,
    score: int = 90,
    size: int = 96,
    blur: float = 0.0,
    texture: int | None = None,
) -> RGBImage:
    texture = 16 * person + variant if texture is None else texture
    random = np.random.default_rng(texture)
    coarse = random.integers(30, 226, (6, 6, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    fine = random.normal(0, 12, (size, size, 1))
    image = np.clip(image + fine, 0, 255).astype(np.uint8)
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image[0, 0] = (faces, person, variant)
    image[0, 1] = (yaw + 100, score, texture % 256)
    return image


def png(image: RGBImage) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def save(path: Path, image: RGBImage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image))


class DoubleDescriber:
    family = "mesh"
    identity_name = "double"
    parts = ("face_mesh_topology",)
    identity_size = 16
    layout = (("identity", 2), ("pose", 3))
    landmark_mirror = (1, 0, 2)
    person_cosine = 0.3

    def __init__(self, settings: DescriberSettings) -> None:
        self.template: Template = settings.scaled_template()

    def detect(self, image: RGBImage) -> list[Detection]:
        size = image.shape[0]
        count = int(image[0, 0, 0])
        box = np.array([0.1, 0.1, 0.9, 0.9], np.float32) * size
        scale = size / self.template.size
        points = (self.template.points * scale).astype(np.float32)
        return [Detection(box=box - number, score=0.9, points=points) for number in range(count)]

    def describe(self, image: RGBImage, face: Detection, crop: Crop) -> Description:
        _, person, variant = (int(v) for v in image[0, 0])
        yaw, score, _ = (int(v) for v in image[0, 1])
        vector = 0.05 * np.random.default_rng(variant).normal(size=self.identity_size)
        vector[person % self.identity_size] += 1.0
        size = self.template.size
        mask = np.zeros((size, size), np.uint8)
        mask[size // 4 : -size // 4, size // 4 : -size // 4] = 255
        landmarks = np.array([[10, 20, 0], [30, 20, 0], [20, 30, 5]], np.float32)
        coefficients: FloatArray = np.array([person, variant, 0, np.deg2rad(yaw - 100), 0], np.float32)
        return Description(
            identity=(vector / np.linalg.norm(vector)).astype(np.float32),
            coefficients=coefficients,
            coefficients_mirrored=coefficients * np.array([1, 1, 1, -1, -1], np.float32),
            landmarks=landmarks,
            mask=mask,
            pose_deg=np.array([0, yaw - 100, 0], np.float32),
            mesh_score=score / 100,
        )


def double_factory(settings: DescriberSettings) -> DoubleDescriber:
    return DoubleDescriber(settings)


def slow_factory(settings: DescriberSettings) -> DoubleDescriber:
    """Slow enough to be killed half-way."""
    import time

    class Slow(DoubleDescriber):
        def detect(self, image: RGBImage) -> list[Detection]:
            time.sleep(0.004)
            return super().detect(image)

    return Slow(settings)
