"""dlib's face recogniser: from a 150 px face chip to 128 numbers; two photos nearer than 0.6 show one person.

Davis King's ResNet of 29 convolutions (2017, CC0), a PyTorch re-expression. The weights are those that
`@vladmandic/face-api` ships for TensorFlow.js: most of them 8 bits with a scale and a least value for each tensor, next
to a manifest that says in which order they lie. Training never sees this network, so evaluation asks it.

Letters: B batch, C channels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill
from hififace.models.pretrained.tfjs_graph import read_tfjs_weights

SIZE_PX: Final = 150
NUM_FEATURES: Final = 128
SAME_PERSON_DISTANCE: Final = 0.6
"""Euclidean; dlib's own threshold for chips cut out its way."""

MEAN: Final = (122.782, 117.001, 104.298)
"""Of red, green and blue, 0..255."""
SCALE: Final = 256.0

BLOCKS: Final = (  # name, output channels, stride
    *((f"conv32_{n}", 32, 1) for n in (1, 2, 3)),
    ("conv64_down", 64, 2),
    *((f"conv64_{n}", 64, 1) for n in (1, 2, 3)),
    ("conv128_down", 128, 2),
    *((f"conv128_{n}", 128, 1) for n in (1, 2)),
    ("conv256_down", 256, 2),
    *((f"conv256_{n}", 256, 1) for n in (1, 2)),
    ("conv256_down_out", 256, 2),
)


class ScaledConvolution(nn.Module):
    """A convolution, then a factor and a shift for each channel: a normalisation frozen after training.

    dlib pads a convolution only where its stride is 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if stride > 1 else kernel // 2)
        self.factor = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H', W')."""
        y: Tensor = self.conv(x) * self.factor[:, None, None] + self.shift[:, None, None]
        return y


class Residual(nn.Module):
    """Two convolutions beside the identity; with stride 2, beside its average over 2x2.

    Where both sides differ in size or channels, the smaller one is filled up with zeros at its end.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ScaledConvolution(inputs, outputs, 3, stride)
        self.conv2 = ScaledConvolution(outputs, outputs, 3, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H', W')."""
        y = self.conv2(F.relu(self.conv1(x)))
        side = F.avg_pool2d(x, 2) if self.stride == 2 else x
        shape = [max(a, b) for a, b in zip(y.shape, side.shape, strict=True)]
        return F.relu(_filled(y, shape) + _filled(side, shape))


class DlibRecogniser(nn.Module):
    """The network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = ScaledConvolution(3, 32, 7, 2)
        inputs = 32
        for name, outputs, stride in BLOCKS:
            self.add_module(name, Residual(inputs, outputs, stride))
            inputs = outputs
        self.fc = nn.Linear(256, NUM_FEATURES, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] / 255.0, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 150, 150) RGB 0..1 to (B, 128), about of unit length but not normalised.

        Raises:
            ValueError: another size.
        """
        if images.shape[1:] != (3, SIZE_PX, SIZE_PX):
            raise ValueError(f"images are {tuple(images.shape)}; expected (B, 3, {SIZE_PX}, {SIZE_PX})")
        x = (images - self.get_buffer("mean")) * (255.0 / SCALE)
        x = F.max_pool2d(F.relu(self.conv32_down(x)), 3, 2)  # (B, 32, 35, 35)
        for name, _, _ in BLOCKS:
            x = self.get_submodule(name)(x)
        features: Tensor = self.fc(x.mean(dim=(2, 3)))  # of (B, 256, 2, 2)
        return features


def load_dlib_recogniser(weights: Path, layout: Path) -> DlibRecogniser:
    """The network with its published weights, frozen.

    Args:
        weights: `face_recognition_model.bin`.
        layout: `face_recognition_model-weights_manifest.json`, which says what lies where in it.

    Raises:
        WeightsError: a file is missing, damaged, or of another network.
    """
    try:
        tensors = read_tfjs_weights(weights.read_bytes(), json.loads(layout.read_text(encoding="utf-8")))
    except OSError as error:
        raise WeightsError(
            f"{error.filename} cannot be read ({error.strerror}). Run `hififace weights fetch evaluation`."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{weights.name} and {layout.name} do not fit together ({error}). Fetch both again."
        ) from error
    state = {_key(name): torch.from_numpy(_in_torch_order(values)) for name, values in tensors.items()}
    return freeze(fill(DlibRecogniser(), state, source=weights.name, what="dlib's recogniser"))


def _key(name: str) -> str:
    """TensorFlow.js's name of a tensor in ours."""
    for theirs, ours in (
        ("conv/filters", "conv.weight"),
        ("conv/bias", "conv.bias"),
        ("scale/weights", "factor"),
        ("scale/biases", "shift"),
    ):
        if name.endswith(theirs):
            return name.removesuffix(theirs).replace("/", ".") + ours
    return "fc.weight" if name == "fc" else name


def _in_torch_order(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kernels (H, W, inputs, outputs) to (outputs, inputs, H, W); the matrix (inputs, outputs) transposed."""
    if values.ndim == 4:
        values = values.transpose(3, 2, 0, 1)
    elif values.ndim == 2:
        values = values.T
    return np.ascontiguousarray(values)


def _filled(x: Tensor, shape: list[int]) -> Tensor:
    """(B, C, H, W) with zeros after its channels, rows and columns up to `shape`."""
    _, channels, height, width = (wanted - have for wanted, have in zip(shape, x.shape, strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))
