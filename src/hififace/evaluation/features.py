"""Feature networks of the Fréchet distance."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hififace.errors import WeightsError
from hififace.faces.alignment import align
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.templates import TEMPLATES, Template
from hififace.types import FloatArray, RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import locate

SIDE_PX: Final = 192
"""Of the crop, in the proportions of `mini_128`. The eyes are 75 px apart in it: about as in the photos of `open`, so
that what a swap blurs is seen. `portraits` takes 256."""


class FeatureNetwork(Protocol):
    """Maps (H, W, 3) uint8 RGB and five points to (F,) float32."""

    name: str

    def describe(self, image: RGBImage, points5: NDArray[np.floating]) -> FloatArray:
        """Features of one face."""


class EfficientNetLite0Features:
    """The last feature map of EfficientNet-lite0 (ImageNet, Apache-2.0), averaged over the image: 320 numbers.

    Raises:
        WeightsError: its file is not on this machine.
    """

    name = "efficientnet_lite0"

    def __init__(self, side_px: int = SIDE_PX) -> None:
        self._template: Template = TEMPLATES["mini_128"].scaled(side_px)
        from hififace.models.pretrained.efficientnet_lite import load_efficientnet_lite

        self._network = load_efficientnet_lite(locate(find_card("efficientnet_lite0")), stages=(5,))

    def describe(self, image: RGBImage, points5: NDArray[np.floating]) -> FloatArray:
        """(320,) of one face."""
        import torch

        crop = align(image, points5, self._template, border="edge").crop
        with torch.inference_mode():
            batch = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255.0
            pooled: FloatArray = self._network(batch)[0].mean(dim=(2, 3))[0].numpy()
        return pooled


class SFaceFeatures:
    """SFace's identity embedding, the fallback without downloads: it represents identity better than realism.

    Args:
        embedder: the recogniser.
    """

    name = "sface"

    def __init__(self, embedder: SFaceEmbedder) -> None:
        self._embedder = embedder

    def describe(self, image: RGBImage, points5: NDArray[np.floating]) -> FloatArray:
        """(128,) of one face."""
        return self._embedder.embed(image, points5)


def feature_network_name() -> str:
    """Name of the network that `create_feature_network` opens on this machine."""
    try:
        locate(find_card("efficientnet_lite0"))
    except WeightsError:
        return SFaceFeatures.name
    return EfficientNetLite0Features.name


def create_feature_network(embedder: SFaceEmbedder, side_px: int = SIDE_PX) -> FeatureNetwork:
    """EfficientNet-lite0 if it was downloaded, otherwise SFace."""
    if feature_network_name() == EfficientNetLite0Features.name:
        return EfficientNetLite0Features(side_px)
    return SFaceFeatures(embedder)
