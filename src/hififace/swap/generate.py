"""Run the generator: aligned crops and identity vectors to generated faces and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from hififace.errors import BundleError
from hififace.faces.alignment import compose
from hififace.faces.exposure import brightened
from hififace.faces.shape_warp import ShapeWarp
from hififace.pixels import to_nchw, to_nhwc
from hififace.swap.identity_vector import FaceFeatures
from hififace.swap.precision import Precision
from hififace.types import Face, FloatArray, Matrix23, RGBImage
from hififace.weights.bundle import Bundle
from hififace.weights.sessions import Session, open_bfloat16_session, open_session


@dataclass(frozen=True, slots=True, eq=False)
class TargetFace:
    """One aligned and encoded face of a target, ready for the generator with any source."""

    face: Face
    crop: RGBImage = field(repr=False)
    """(S, S, 3) aligned to the bundle's template."""
    matrix: Matrix23 = field(repr=False)
    """Maps image pixels to crop pixels."""
    features: FaceFeatures = field(repr=False)
    gain: float = 1.0
    """Brightness gain before the generator (`faces/exposure.py`); 1 in normal light."""
    warp: ShapeWarp | None = field(default=None, repr=False)
    """By which the image was warped before the crop was cut out; None where it was not."""

    @property
    def lit_crop(self) -> RGBImage:
        """(S, S, 3) the crop at normal brightness, as the generator receives it."""
        return brightened(self.crop, self.gain)


class GeneratedFace(NamedTuple):
    """One generated face."""

    image: RGBImage
    """(N, N, 3) at normal brightness: brighter than the target by its gain."""
    mask: FloatArray
    """(N, N) 0..1, the mask that the network predicts."""
    matrix: Matrix23
    """Maps image pixels to pixels of `image`."""
    target: TargetFace
    """The target face it was generated for."""
    frames: FloatArray | None = None
    """(N, N) 0..1 how much of each pixel a frame of eyeglasses covers, which stays; None where there are none."""
    blur_px: float = 0.0
    """Blur to apply so that it is as blurred as its target (`faces/defocus.py`), in pixels of `image`."""


class FaceGenerator:
    """A bundle's generator.

    Raises:
        WeightsError: the graph cannot be opened.
        RuntimeUnavailableError: its runtime is not installed, or this processor lacks the precision.
        BundleError: it is not what model.json says.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.session: Session
        if precision == "bfloat16":
            self.session = open_bfloat16_session(bundle.path("generator"), threads=threads)
        else:
            graph = bundle.path("generator" if precision == "float32" else "generator_int8")
            self.session = open_session(graph, providers=providers, threads=threads)
        self.precision: Precision = precision
        self.resolution = bundle.resolution
        inputs = {tensor.name: tensor.shape for tensor in self.session.inputs}
        side, size = bundle.resolution, bundle.vector_size
        if (
            set(inputs) != {"target", "identity_vector"}
            or tuple(inputs["target"][1:]) != (3, side, side)
            or tuple(inputs["identity_vector"][1:]) != (size,)
        ):
            raise BundleError(
                f"The generator of bundle '{bundle.name}' takes {inputs}; by its model.json it should take target "
                f"(B, 3, {side}, {side}) and identity_vector (B, {size}). Export the bundle again."
            )

    def generate(
        self, faces: Sequence[TargetFace], vectors: FloatArray, *, passes: int, batch_size: int
    ) -> list[GeneratedFace]:
        """Generate any number of faces, of one image or of several.

        Each pass after the first generates on the result of the one before, with the same vector: expression and pose
        stay those of the original target. Masks of all passes are united.

        Args:
            faces: targets.
            vectors: (B, D), one for each.
            passes: 1 or more.
            batch_size: faces in one run, at most. On the CPU each runs alone: several in one run take a tenth longer
                a face, as what they are made of no longer fits the processor's cache.
        """
        batch_size = 1 if self.session.on_cpu else batch_size
        generated: list[GeneratedFace] = []
        for start in range(0, len(faces), batch_size):
            part = faces[start : start + batch_size]
            images, masks = self._generate_batch(
                np.stack([face.lit_crop for face in part]), vectors[start : start + batch_size], passes
            )
            enlarge = enlarging(images.shape[1] / self.resolution)
            generated += [
                GeneratedFace(image, mask, compose(face.matrix, enlarge), face)
                for face, image, mask in zip(part, images, masks, strict=True)
            ]
        return generated

    def _generate_batch(
        self, crops: RGBImage, vectors: FloatArray, passes: int
    ) -> tuple[RGBImage, FloatArray]:
        """(B, S, S, 3) uint8, (B, D) to (B, N, N, 3) uint8 and (B, N, N)."""
        united: FloatArray | None = None
        images = crops
        for _ in range(passes):
            outputs = self.session.run(
                {"target": to_nchw(at_side(images, self.resolution)), "identity_vector": vectors}
            )
            images = to_nhwc(outputs["image"])
            masks = np.clip(outputs["mask"][:, 0], 0.0, 1.0)
            united = masks if united is None else np.maximum(united, masks)
        assert united is not None
        return images, united


def at_side(images: RGBImage, side: int) -> RGBImage:
    """Crops (B, N, N, 3) at a side that a network takes, (B, side, side, 3); reduced by areas."""
    if images.shape[1] == side:
        return images
    return np.stack(
        [np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)) for image in images]
    )


def enlarging(factor: float) -> Matrix23:
    """From pixels of the crop to pixels of a generated face `factor` times its size; pixel centres at integers."""
    shift = (factor - 1.0) / 2.0
    return np.array([[factor, 0.0, shift], [0.0, factor, shift]])
