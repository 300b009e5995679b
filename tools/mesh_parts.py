"""FaceMesh and the iris network: from TFLite to ONNX, initializers named as in `hififace.models`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flatbuffer_graph import Block, Convolution, ConvolutionBlock, FlatbufferGraph
from graph_builder import GraphBuilder

FACE_MESH_MEMBER = "mediapipe/modules/face_landmark/face_landmark.tflite"
IRIS_MEMBER = "mediapipe/modules/iris_landmark/iris_landmark.tflite"


def _add_convolution(builder: GraphBuilder, key: str, source: str, layer: Convolution) -> str:
    """TensorFlow's SAME padding puts the odd pixel right and below."""
    total = max(layer.weight.shape[2] - layer.stride, 0) if layer.same else 0
    before, after = total // 2, total - total // 2
    return builder.convolution(
        key,
        source,
        layer.weight,
        layer.bias,
        stride=layer.stride,
        groups=layer.groups,
        pads=(before, before, after, after),
    )


def _add_convolution_block(builder: GraphBuilder, key: str, source: str, block: ConvolutionBlock) -> str:
    output = _add_convolution(builder, f"{key}.convolution", source, block.convolution)
    return builder.prelu(f"{key}.activation", output, block.slope)


def _add_block(builder: GraphBuilder, key: str, source: str, block: Block) -> str:
    if isinstance(block, ConvolutionBlock):
        return _add_convolution_block(builder, key, source, block)
    shortcut = source
    if block.halves:
        shortcut = builder.add("MaxPool", [source], f"{key}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    if block.extra_channels:
        pads = builder.constant(np.asarray([0, 0, 0, 0, 0, block.extra_channels, 0, 0], dtype=np.int64))
        shortcut = builder.add("Pad", [shortcut, pads], f"{key}.widened")
    deep = source
    if block.reduction is not None:
        deep = _add_convolution_block(builder, f"{key}.reduction", deep, block.reduction)
    deep = _add_convolution(builder, f"{key}.depthwise", deep, block.depthwise)
    deep = _add_convolution(builder, f"{key}.pointwise", deep, block.pointwise)
    total = builder.add("Add", [shortcut, deep], f"{key}.sum")
    return builder.prelu(f"{key}.activation", total, block.slope)


def _add_chain(builder: GraphBuilder, key: str, source: str, blocks: Sequence[Block]) -> str:
    for place, block in enumerate(blocks):
        source = _add_block(builder, f"{key}.{place}", source, block)
    return source


def _add_points(builder: GraphBuilder, source: str, output: str, num_points: int) -> None:
    """(batch, 3 · points, 1, 1) to (batch, points, 3)."""
    shape = builder.constant(np.asarray([0, num_points, 3], dtype=np.int64))
    builder.add("Reshape", [source, shape], output)


def _split(graph: FlatbufferGraph, tensors: Sequence[int]) -> tuple[list[Block], list[list[Block]]]:
    """Blocks that all outputs share, and those of each output alone."""
    chains = [graph.chain(tensor) for tensor in tensors]
    shared = 0
    while len({chain[shared][0] for chain in chains}) == 1:
        shared += 1
    return [b for _, b in chains[0][:shared]], [[b for _, b in chain[shared:]] for chain in chains]


def build_face_mesh(content: bytes) -> bytes:
    """FaceMesh as it ships; the weights stay the float16 numbers of the original.

    Returns:
        An ONNX file with input `image` (batch, 3, 192, 192) RGB 0..1, outputs `points` (batch, 468, 3) in
        pixels of the crop and `score` (batch, 1) 0..1.
    """
    graph = FlatbufferGraph(content)
    readouts = [graph.convolution(tensor) for tensor in graph.outputs]  # points, then score
    (stem, *trunk), heads = _split(graph, [source for _, source in readouts])
    builder = GraphBuilder("face_mesh", float16_from=1)
    flow = _add_block(builder, "stem", "image", stem)
    features = _add_chain(builder, "trunk", flow, trunk)
    for name, head, (readout, _) in zip(("points", "score"), heads, readouts, strict=True):
        *blocks, narrow, refine = head
        flow = _add_chain(builder, f"{name}.blocks", features, blocks)
        flow = _add_block(builder, f"{name}.narrow", flow, narrow)
        flow = _add_chain(builder, f"{name}.refine", flow, [refine])
        _add_convolution(builder, f"{name}.readout", flow, readout)
    _add_points(builder, "points.readout", "points", 468)
    logit = builder.add("Flatten", ["score.readout"], "logit", axis=1)
    builder.add("Sigmoid", [logit], "score")
    return builder.build(
        {"image": ["batch", 3, 192, 192]}, {"points": ["batch", 468, 3], "score": ["batch", 1]}
    )


def build_iris(content: bytes) -> bytes:
    """The iris network as it ships, in float32 as the original.

    Returns:
        An ONNX file with input `image` (batch, 3, 64, 64) RGB 0..1, outputs `contour` (batch, 71, 3) and
        `iris` (batch, 5, 3) in pixels of the crop.
    """
    graph = FlatbufferGraph(content)
    readouts = [graph.convolution(graph.skip_reshape(tensor)) for tensor in graph.outputs]
    (stem, *trunk), heads = _split(graph, [source for _, source in readouts])
    builder = GraphBuilder("iris")
    flow = _add_block(builder, "stem", "image", stem)
    features = _add_chain(builder, "trunk", flow, trunk)
    for name, num_points, head, (readout, _) in zip(
        ("contour", "iris"), (71, 5), heads, readouts, strict=True
    ):
        flow = _add_chain(builder, f"{name}_head", features, head)
        _add_points(builder, _add_convolution(builder, f"{name}_readout", flow, readout), name, num_points)
    return builder.build(
        {"image": ["batch", 3, 64, 64]}, {"contour": ["batch", 71, 3], "iris": ["batch", 5, 3]}
    )
