"""The generator in whole numbers of eight bits, which processors with VNNI multiply two to four times as fast.

    report = quantise_bundle(Path("bundles/mini"), photos)

The new graph holds no weights. It reads those of the float graph, as external data at their places in its file, and
quantises them when it is opened: per output channel, by scales that stand in the new graph. So a second precision costs
a bundle 0.3 MB instead of half as much again, and no library at run time.

    x ── QuantizeLinear ── DequantizeLinear ──┐
    w ── QuantizeLinear ── DequantizeLinear ──┤ Conv ── QuantizeLinear ── DequantizeLinear ── y
    b (int32) ──────────── DequantizeLinear ──┘

ONNX Runtime makes one convolution of that. Scales of activations come from photos, each chosen for the least square
error. A convolution stays in float where quantising it alone costs too much: the first, and the last ones, whose 256
steps would be seen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from hififace.errors import FaceError, ImageError, WeightsError
from hififace.media.image_like import ImageLike, load_image
from hififace.pixels import decibels, to_nchw
from hififace.swap.identity_vector import identity_vectors, target_needs
from hififace.swapper import FaceSwapper
from hififace.types import FloatArray
from hififace.weights.bundle import MANIFEST_NAME, Bundle, load_bundle, write_bundle
from hififace.weights.sessions import open_session

INT8_FILE: Final = "generator-int8.onnx"
ALONE_DB: Final = 50.0
"""A convolution that costs more than this by itself stays in float."""
LEAST_DB: Final = 35.0
"""A whole graph further from the float one than this, in the median, is not written."""
LEAST_FACES: Final = 8
_LEAST_WORK: Final = 64
"""Products in one number of the result below which eight bits save nothing."""
_CHECKED_FACES: Final = 6
"""Held-out faces that each convolution alone is tried on."""
_VALUES_A_FACE: Final = 20_000
_LEAST_EXTERNAL: Final = 1024
"""Bytes from which a weight is read out of the float graph's file."""
_SHARES: Final = np.linspace(0.5, 1.0, 26)
"""Of the whole range of an activation: what is tried for the least square error."""


class Scale(NamedTuple):
    """How numbers of an activation become whole ones from 0 to 255."""

    step: np.float32
    zero: int
    """What stands for 0."""


@dataclass(frozen=True, slots=True)
class QuantiseReport:
    """What was made, and how far it lies from the float graph."""

    bundle: Bundle
    quantised: tuple[str, ...]
    in_float: dict[str, float] = field(repr=False)
    """Convolution that stays in float -> decibels of quantising it alone; infinite where it was not tried."""
    decibels: tuple[float, ...] = field(repr=False)
    """Of each face: the image against the float graph's, peak signal 1."""
    mask_difference: float = 0.0
    """Mean absolute difference of the masks, 0 to 1."""

    def lines(self) -> list[str]:
        """For people."""
        told = ", ".join(
            f"{name} ({db:.0f} dB)" if math.isfinite(db) else name for name, db in self.in_float.items()
        )
        return [
            f"{len(self.quantised)} convolutions in int8; in float: {told}",
            f"{len(self.decibels)} faces, against float32: {np.median(self.decibels):.1f} dB in the median, "
            f"{min(self.decibels):.1f} at worst; masks differ by {self.mask_difference:.4f} in the mean",
        ]


class Examples(NamedTuple):
    """What the generator is shown."""

    crops: FloatArray
    """(B, 3, S, S) 0..1."""
    vectors: FloatArray
    """(B, D)."""


def quantise_bundle(folder: Path, photos: Sequence[ImageLike]) -> QuantiseReport:
    """Add an int8 graph of the generator to a bundle, or replace the one it has.

    Args:
        folder: of the bundle; replaced as a whole, or not at all.
        photos: of faces, 8 or more; the largest face of each is used. A third of them, at most 40, is held out: they
            set no scale.

    Raises:
        BundleError: no bundle.
        WeightsError: its generator has no convolutions that gain, or int8 changes the image too much.
        FaceError: too few photos show a face.
    """
    bundle = load_bundle(folder)
    examples = gather_examples(bundle, photos)
    num_held_out = min(len(examples.crops) // 3, 40)
    seen = Examples(*(part[num_held_out:] for part in examples))
    held_out = Examples(*(part[:num_held_out] for part in examples))
    content = bundle.path("generator").read_bytes()
    float_graph = _FloatGraph(onnx.load_model_from_string(content))

    scales = find_scales(float_graph, seen)
    expected = _generated(float_graph.model, held_out)
    in_float = {node.name: math.inf for node in float_graph.convolutions if not float_graph.gains(node)}
    few = Examples(*(part[:_CHECKED_FACES] for part in held_out))
    for node in float_graph.convolutions:
        if node.name not in in_float:
            found = _generated(float_graph.quantised({node.name}, scales), few)
            alone = float(np.median(_decibels(found[0], expected[0][: len(few.crops)])))
            if alone < ALONE_DB:
                in_float[node.name] = alone
    chosen = [node.name for node in float_graph.convolutions if node.name not in in_float]
    if not chosen:
        raise WeightsError(f"The generator of {folder} has no convolution that int8 would make faster.")

    model = float_graph.quantised(chosen, scales)
    image, mask = _generated(model, held_out)
    decibels = _decibels(image, expected[0])
    if np.median(decibels) < LEAST_DB:
        raise WeightsError(
            f"In int8 the generator of {folder} differs from float32 by {np.median(decibels):.1f} dB in the median; "
            f"{LEAST_DB:g} were expected. Nothing was written."
        )
    name_of_floats = str(bundle.graphs.generator)
    int8 = _with_external_weights(model, content, name_of_floats)
    described = bundle.model_dump(mode="json", exclude_none=True, exclude={"files"})
    described["graphs"]["generator_int8"] = INT8_FILE
    kept = {file: bundle.folder / file for file in bundle.files if file not in (INT8_FILE, MANIFEST_NAME)}
    written = write_bundle(folder, described, {**kept, INT8_FILE: int8.SerializeToString()})
    again = open_session(written.path("generator_int8"), providers=["cpu"], threads=1)
    if not np.array_equal(_run(again, few)[0], image[: len(few.crops)]):
        raise WeightsError(f"{INT8_FILE} gives other images from its folder than from memory.")
    return QuantiseReport(
        written, tuple(chosen), in_float, tuple(decibels), float(np.abs(mask - expected[1]).mean())
    )


def gather_examples(bundle: Bundle, photos: Sequence[ImageLike]) -> Examples:
    """The largest face of each photo, as a target of the source in another one; photos without a face are left out.

    Raises:
        FaceError: fewer than `LEAST_FACES` show one.
    """
    swapper = FaceSwapper.load(bundle.folder, providers=["cpu"])
    needs = target_needs(bundle.vector)
    sources, targets = [], []
    for photo in photos:
        try:
            source = swapper.read_source(photo, face="largest")
            image = load_image(photo).pixels
            largest = max(swapper.engine.find_faces(image), key=lambda face: face.detection.size_px)
            (target,) = swapper.engine.encode(image, [largest], needs)
        except (FaceError, ImageError):
            continue
        sources.append(source)
        targets.append(target)
    if len(targets) < LEAST_FACES:
        raise FaceError(
            f"{len(targets)} of {len(photos)} photos show a face that can be used; {LEAST_FACES} are needed to find "
            "the scales."
        )
    shifted = [sources[(number * 7 + 3) % len(sources)] for number in range(len(targets))]
    vectors = identity_vectors(
        bundle.vector, [one.features for one in shifted], [one.features for one in targets]
    )
    return Examples(to_nchw(np.stack([one.lit_crop for one in targets])), vectors)


class _FloatGraph:
    """The graph that is quantised."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._casts = {
            node.output[0]: node.input[0]
            for node in model.graph.node
            if node.op_type == "Cast" and node.input[0] in self._initializers
        }

    def weight(self, name: str) -> FloatArray:
        """A weight in float32, also where it is stored in half precision behind a cast."""
        stored = self._initializers[self._casts.get(name, name)]
        return np.asarray(numpy_helper.to_array(stored), np.float32)

    def gains(self, node: Any) -> bool:
        """Whether a convolution has a bias and products enough for whole numbers to be faster."""
        known = {*self._casts, *self._initializers}
        if len(node.input) != 3 or not known.issuperset(node.input[1:]):
            return False
        return math.prod(self.weight(node.input[1]).shape[1:]) >= _LEAST_WORK

    def quantised(self, chosen: Collection[str], scales: Mapping[str, Scale]) -> onnx.ModelProto:
        """A copy in which convolutions, by name, are computed in int8."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        nodes: list[Any] = []
        made: set[str] = set()
        for node in model.graph.node:
            if node.op_type == "Conv" and node.name in chosen:
                nodes += self._in_int8(model.graph, node, scales, made)
            else:
                nodes.append(node)
        copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copied)
        return model

    def _in_int8(self, graph: Any, node: Any, scales: Mapping[str, Scale], made: set[str]) -> list[Any]:
        target, weight, bias = node.input
        (output,) = node.output
        nodes: list[Any] = []

        def stored(name: str, values: Any) -> str:
            if name not in made:
                graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
                made.add(name)
            return name

        def rounded(source: str, result: str, scale: Scale, key: str) -> None:
            told = [
                stored(f"{key}.scale", scale.step),
                stored(f"{key}.zero", np.uint8(scale.zero)),
            ]
            nodes.append(helper.make_node("QuantizeLinear", [source, *told], [f"{result}.uint8"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{result}.uint8", *told], [result]))

        if f"{target}.rounded" not in made:
            made.add(f"{target}.rounded")
            rounded(target, f"{target}.rounded", scales[target], f"{target}.in")

        steps = weight_steps(self.weight(weight))
        told = [stored(f"{weight}.scale", steps), stored(f"{weight}.zero", np.zeros(len(steps), np.int8))]
        nodes.append(
            helper.make_node("QuantizeLinear", [weight, *told], [f"{node.name}.weight.int8"], axis=0)
        )
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [f"{node.name}.weight.int8", *told], [f"{node.name}.weight"], axis=0
            )
        )

        products = (scales[target].step * steps).astype(np.float32)
        whole = np.clip(np.round(self.weight(bias) / products), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        names = [stored(f"{node.name}.bias.int32", whole), stored(f"{node.name}.bias.scale", products)]
        nodes.append(helper.make_node("DequantizeLinear", names, [f"{node.name}.bias"], axis=0))

        inputs = [f"{target}.rounded", f"{node.name}.weight", f"{node.name}.bias"]
        convolution = helper.make_node("Conv", inputs, [f"{output}.exact"], name=node.name)
        convolution.attribute.extend(node.attribute)
        nodes.append(convolution)
        rounded(f"{output}.exact", output, scales[output], f"{output}.out")
        return nodes


def weight_steps(weight: FloatArray) -> FloatArray:
    """(O, ...) to (O,): one step for each output channel, of which 127 reach the largest weight."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return np.asarray(np.maximum(largest / 127, np.finfo(np.float32).tiny), np.float32)


def find_scales(graph: _FloatGraph, examples: Examples) -> dict[str, Scale]:
    """A scale for what goes into and comes out of each convolution."""
    names = sorted({name for node in graph.convolutions for name in (node.input[0], *node.output)})
    given = {value.name for value in graph.model.graph.input}
    watched = onnx.ModelProto()
    watched.CopyFrom(graph.model)
    had = {value.name for value in watched.graph.output}
    for name in names:
        if name not in given | had:
            watched.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = open_session(watched.SerializeToString(), providers=["cpu"])
    rng = np.random.default_rng(0)
    lows, highs = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    values: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for crop, vector in zip(*examples, strict=True):
        feeds = {"target": crop[None], "identity_vector": vector[None]}
        found = {**feeds, **session.run(feeds)}
        for name in names:
            flat = found[name].ravel()
            lows[name], highs[name] = (
                min(lows[name], float(flat.min())),
                max(highs[name], float(flat.max())),
            )
            values[name].append(rng.choice(flat, min(flat.size, _VALUES_A_FACE), replace=False))
    return {name: fit_scale(np.concatenate(values[name]), lows[name], highs[name]) for name in names}


def fit_scale(values: NDArray[Any], low: float, high: float) -> Scale:
    """The scale with the least square error on values (N,), for ranges up to low..high, which hold 0."""
    best: tuple[float, Scale] | None = None
    for share in _SHARES:
        step = np.float32(max((high - low) * share / 255, np.finfo(np.float32).tiny))
        scale = Scale(step, int(np.clip(np.round(-low * share / step), 0, 255)))
        whole = np.clip(np.round(values / step) + scale.zero, 0, 255)
        error = float(np.mean((values - (whole - scale.zero) * step) ** 2))
        if best is None or error < best[0]:
            best = (error, scale)
    assert best is not None
    return best[1]


def _with_external_weights(model: onnx.ModelProto, content: bytes, file: str) -> onnx.ModelProto:
    """The graph with its large weights at their places in another file of the same folder, whose content is given."""
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        place = content.find(tensor.raw_data) if size >= _LEAST_EXTERNAL else -1
        if place < 0:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", str(place)), ("length", str(size))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    return model


def _generated(model: onnx.ModelProto, examples: Examples) -> tuple[FloatArray, FloatArray]:
    return _run(open_session(model.SerializeToString(), providers=["cpu"], threads=1), examples)


def _run(session: Any, examples: Examples) -> tuple[FloatArray, FloatArray]:
    """(B, 3, N, N) and (B, 1, N, N), one face at a time."""
    outputs = [
        session.run({"target": crop[None], "identity_vector": vector[None]})
        for crop, vector in zip(*examples, strict=True)
    ]
    return (
        np.concatenate([one["image"] for one in outputs]),
        np.concatenate([one["mask"] for one in outputs]),
    )


def _decibels(images: FloatArray, expected: FloatArray) -> list[float]:
    errors = np.mean((np.clip(images, 0, 1) - np.clip(expected, 0, 1)) ** 2, axis=(1, 2, 3))
    return [decibels(float(error)) for error in errors]
