"""The generator in whole numbers of eight bits, which processors with VNNI multiply two to four times as fast.

    report = quantise_bundle(Path("bundles/mini"), photos)

The new graph holds no weights. It reads those of the float graph, as external data at their places in its file, and
quantises them when it is opened: per output channel, by scales that stand in the new graph. So a second precision costs
a bundle 0.4 MB instead of half as much again, and no library at run time.

    x ── QuantizeLinear ── DequantizeLinear ──┐
    w ── QuantizeLinear ── DequantizeLinear ──┤ Conv ── QuantizeLinear ── DequantizeLinear ── y
    b (int32) ──────────── DequantizeLinear ──┘

ONNX Runtime makes one convolution of that. Scales of activations come from photos, each chosen for the least square
error. A convolution stays in float where quantising it alone costs too much: the first, and the one that makes
colours and the mask's logit at half the size. Where it costs less, but something, the channels of its result have a
step each.

Before that, the graph is arranged for whole numbers (`arrange.py`); behind the last pixel shuffle everything is
computed in them without a break.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from hififace.errors import FaceError, ImageError, WeightsError
from hififace.export.arrange import MOVING, Editing, arrange, region, shuffled, with_biases
from hififace.media.image_like import ImageLike, load_image
from hififace.pixels import decibels, to_nchw
from hififace.swap.identity_vector import identity_vectors, target_needs
from hififace.swapper import FaceSwapper
from hififace.types import FloatArray
from hififace.weights.bundle import MANIFEST_NAME, Bundle, load_bundle, write_bundle
from hififace.weights.sessions import open_session

INT8_FILE: Final = "generator-int8.onnx"
ALONE_DB: Final = 50.0
"""A convolution that costs more than this by itself stays in float..."""
STEPPED_DB: Final = 60.0
"""...and one that costs more than this gets steps for each channel of its result: one more product."""
LEAST_DB: Final = 35.0
"""A whole graph further from the float one than this, in the median, is not written."""
LEAST_FACES: Final = 8
_LEAST_WORK: Final = 64
"""Products in one number of the result below which eight bits save nothing."""
_CHECKED_FACES: Final = 6
"""Held-out faces that each convolution alone is tried on."""
_VALUES_A_FACE: Final = 20_000
_VALUES_A_CHANNEL: Final = 1_000
_MIDDLE: Final = 128
_LEAST_EXTERNAL: Final = 1024
"""Bytes from which a weight is read out of the float graph's file."""
_SHARES: Final = np.linspace(0.5, 1.0, 26)
"""Of the whole range of an activation: what is tried for the least square error."""


class Scale(NamedTuple):
    """How numbers of an activation become whole ones from 0 to 255."""

    step: np.float32
    zero: int
    """What stands for 0."""


class Scales(NamedTuple):
    """How everything that may be rounded is."""

    shared: dict[str, Scale]
    """Tensor -> the scale of all its channels."""
    by_channel: dict[str, FloatArray]
    """Result of a convolution -> the steps (C,) of its channels, in which `_MIDDLE` stands for 0."""


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
    float_graph = FloatGraph(onnx.load_model_from_string(content))

    scales = find_scales(float_graph, seen)
    expected = _generated(float_graph.model, held_out)
    in_float = {node.name: math.inf for node in float_graph.convolutions if not float_graph.gains(node)}
    few = Examples(*(part[:_CHECKED_FACES] for part in held_out))
    stepped = []
    for node in float_graph.convolutions:
        if node.name not in in_float:
            found = _generated(float_graph.quantised({node.name}, scales), few)
            alone = float(np.median(_decibels(found[0], expected[0][: len(few.crops)])))
            if alone < ALONE_DB:
                in_float[node.name] = alone
            elif alone < STEPPED_DB:
                stepped.append(node.name)
    chosen = [node.name for node in float_graph.convolutions if node.name not in in_float]
    if not chosen:
        raise WeightsError(f"The generator of {folder} has no convolution that int8 would make faster.")

    model = float_graph.quantised(chosen, scales, stepped=stepped, together=True)
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
        written,
        (*chosen, *float_graph.grouped_convolutions),
        in_float,
        tuple(decibels),
        float(np.abs(mask - expected[1]).mean()),
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


class FloatGraph:
    """The graph that is quantised, arranged for it (`arrange.py`).

    Attributes:
        model: as it was given, but that each convolution has a bias.
        convolutions: those that are quantised one by one, or not.
        together: names of the nodes behind the last pixel shuffle, which work on whole numbers without a break.
        heads: names of the convolutions that end them.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model = with_biases(model)
        plain = Editing(model)
        inside = region(plain, shuffled(plain)[-1:])
        names = {node.name for node in inside}
        # A shuffle is not among them, but what it makes is.
        outside = [node for node in plain.nodes if node.name not in names and node.op_type != "DepthToSpace"]
        wanted = {name for node in outside for name in node.input}
        self.heads = {
            node.name for node in inside if node.op_type == "Conv" and wanted.intersection(node.output)
        }
        self.together = names - self.heads
        self._arranged = Editing(arrange(model))
        nodes = self._arranged.nodes
        self.convolutions = [node for node in nodes if node.op_type == "Conv" and node.name not in names]
        self._grouped = [node for node in nodes if node.name in names]

    @property
    def arranged(self) -> onnx.ModelProto:
        """Equal to `model`."""
        return self._arranged.model

    @property
    def grouped_convolutions(self) -> list[str]:
        """Names of those behind the last pixel shuffle."""
        return [node.name for node in self._grouped if node.op_type == "Conv"]

    @property
    def watched(self) -> tuple[set[str], set[str]]:
        """Tensors that may be rounded; and those of them that convolutions make, whose channels may have steps each."""
        made = {node.output[0] for node in (*self.convolutions, *self._grouped) if node.op_type == "Conv"}
        touched = {name for node in self._grouped for name in (*node.input, *node.output)}
        touched |= {name for node in self.convolutions for name in (node.input[0], *node.output)}
        return touched - self._arranged.constants.keys(), made

    def gains(self, node: Any) -> bool:
        """Whether a convolution has constant weights, and products enough for whole numbers to be faster."""
        constants = self._arranged.constants
        if not all(name in constants for name in node.input[1:]):
            return False
        return math.prod(self._arranged.weight(node.input[1]).shape[1:]) >= _LEAST_WORK

    def quantised(
        self,
        chosen: Collection[str],
        scales: Scales,
        *,
        stepped: Collection[str] = (),
        together: bool = False,
    ) -> onnx.ModelProto:
        """A copy in which convolutions, by name, are computed in int8.

        Args:
            chosen: of `convolutions`.
            scales: of all that is `watched`.
            stepped: those of them whose channels get steps each.
            together: whether everything behind the last pixel shuffle is computed in int8 too.
        """
        given = {tensor.name for tensor in self.model.graph.initializer}
        rounding = _Rounding(self._arranged.model, scales, given)
        if together:
            return rounding.run({*chosen, *self.together}, {*stepped, *self.heads})
        return rounding.run(chosen, stepped)


class _Rounding:
    """Puts whole numbers into a copy of a graph."""

    def __init__(self, model: onnx.ModelProto, scales: Scales, given: Collection[str]) -> None:
        """Nothing is rounded yet.

        Args:
            model: the graph, not changed.
            scales: of all that may be rounded.
            given: initializers that stand in the float graph's file.
        """
        self._editing, self._scales = Editing(model), scales
        self._nodes: list[Any] = []
        # Tensor -> the whole numbers that stand for it, with their scale.
        self._whole: dict[str, tuple[str, Scale]] = {}
        self._given = given

    def run(self, chosen: Collection[str], stepped: Collection[str]) -> onnx.ModelProto:
        """The graph with some nodes, by name, in whole numbers, `stepped` with steps for each channel of the result."""
        for node in self._editing.nodes:
            if node.name in stepped:
                self._step(node)
            elif node.name in chosen:
                if node.op_type == "Conv":
                    weight, bias = (self._editing.weight(name) for name in node.input[1:])
                    self._quantise_weights(node, weight, bias)
                else:
                    for place, name in enumerate(node.input):
                        node.input[place] = self._rounded(name)
                self._round_result(node)
            elif node.op_type in MOVING and node.input[0] in self._whole:
                self._move(node)
            else:
                self._nodes.append(node)
        self._editing.replace(self._nodes)
        return self._editing.model

    def _step(self, node: Any) -> None:
        """A convolution whose result has steps of its own in each channel, by which its weights are divided."""
        (output,) = node.output
        steps = self._scales.by_channel[output]
        weight = self._editing.weight(node.input[1]) / steps[:, None, None, None]
        bias = self._editing.weight(node.input[2]) / steps
        self._quantise_weights(node, weight, np.asarray(bias, np.float32), divisor=steps)
        node.output[0] = f"{output}.exact"
        self._nodes.append(node)
        stored = self._editing.stored
        one = [stored("one.scale", np.float32(1)), stored("one.zero", np.uint8(_MIDDLE))]
        self._add("QuantizeLinear", [f"{output}.exact", *one], f"{output}.uint8")
        # A product, since DequantizeLinear with steps of their own for channels takes three times as long.
        self._add("DequantizeLinear", [f"{output}.uint8", *one], f"{output}.whole")
        told = stored(f"{output}.steps", steps[None, :, None, None])
        self._add("Mul", [f"{output}.whole", told], output)

    def _quantise_weights(
        self, node: Any, weight: FloatArray, bias: FloatArray, divisor: FloatArray | None = None
    ) -> None:
        source, name, _ = node.input
        stored, key = self._editing.stored, node.name
        steps = weight_steps(weight)
        zeros = stored(f"{key}.weight.zero", np.zeros(len(steps), np.int8))
        told = [stored(f"{key}.weight.scale", steps), zeros]
        if self._editing.producer.get(name) is None and name not in self._given:
            whole = np.clip(np.round(weight / steps[:, None, None, None]), -127, 127)
            stored(f"{key}.weight.int8", whole.astype(np.int8))
        else:
            # Out of the float graph's file, in which they are not divided: in steps so much larger.
            undivided = steps if divisor is None else (steps * divisor).astype(np.float32)
            self._add(
                "QuantizeLinear",
                [name, stored(f"{key}.weight.step", undivided), zeros],
                f"{key}.weight.int8",
                axis=0,
            )
        self._add("DequantizeLinear", [f"{key}.weight.int8", *told], f"{key}.weight.rounded", axis=0)

        node.input[0] = self._rounded(source)
        products = (self._whole[node.input[0]][1].step * steps).astype(np.float32)
        sums = np.clip(np.round(bias / products), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        names = [stored(f"{key}.bias.int32", sums), stored(f"{key}.bias.scale", products)]
        self._add("DequantizeLinear", names, f"{key}.bias.rounded", axis=0)
        node.input[1], node.input[2] = f"{key}.weight.rounded", f"{key}.bias.rounded"

    def _rounded(self, name: str) -> str:
        """A tensor whose values are whole steps: itself where they are, else rounded."""
        if name in self._editing.constants or name in self._whole:
            return name
        rounded = f"{name}.rounded"
        if rounded not in self._whole:
            self._round(name, rounded, self._scales.shared[name])
        return rounded

    def _round_result(self, node: Any) -> None:
        (output,) = node.output
        node.output[0] = f"{output}.exact"
        self._nodes.append(node)
        self._round(f"{output}.exact", output, self._scales.shared[output])

    def _round(self, source: str, result: str, scale: Scale) -> None:
        told = self._told(result, scale)
        self._add("QuantizeLinear", [source, *told], f"{result}.uint8")
        self._add("DequantizeLinear", [f"{result}.uint8", *told], result)
        self._whole[result] = f"{result}.uint8", scale

    def _move(self, node: Any) -> None:
        whole, scale = self._whole[node.input[0]]
        (output,) = node.output
        node.input[0], node.output[0] = whole, f"{output}.uint8"
        self._nodes.append(node)
        self._add("DequantizeLinear", [f"{output}.uint8", *self._told(output, scale)], output)
        self._whole[output] = f"{output}.uint8", scale

    def _told(self, name: str, scale: Scale) -> list[str]:
        return [
            self._editing.stored(f"{name}.scale", np.float32(scale.step)),
            self._editing.stored(f"{name}.zero", np.uint8(scale.zero)),
        ]

    def _add(self, operator: str, inputs: list[str], output: str, **told: Any) -> None:
        name = f"{output}.{operator}"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=name, **told))


def weight_steps(weight: FloatArray) -> FloatArray:
    """(O, ...) to (O,): one step for each output channel, of which 127 reach the largest weight."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return np.asarray(np.maximum(largest / 127, np.finfo(np.float32).tiny), np.float32)


def find_scales(graph: FloatGraph, examples: Examples) -> Scales:
    """A scale for everything that may be rounded."""
    names, made = (sorted(part) for part in graph.watched)
    given = {value.name for value in (*graph.arranged.graph.input, *graph.arranged.graph.output)}
    watched = onnx.ModelProto()
    watched.CopyFrom(graph.arranged)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in given
    )
    session = open_session(watched.SerializeToString(), providers=["cpu"])
    rng = np.random.default_rng(0)
    seen = {name: _Values() for name in names}
    channels: dict[str, list[_Values]] = {}
    for crop, vector in zip(*examples, strict=True):
        feeds = {"target": crop[None], "identity_vector": vector[None]}
        found = {**feeds, **session.run(feeds)}
        for name in names:
            seen[name].add(found[name], rng)
        for name in made:
            parts = channels.setdefault(name, [_Values() for _ in range(found[name].shape[1])])
            for channel, part in enumerate(parts):
                part.add(found[name][:, channel], rng, _VALUES_A_CHANNEL)
    by_channel = {
        name: np.array([part.step() for part in parts], np.float32) for name, parts in channels.items()
    }
    return Scales({name: one.scale() for name, one in seen.items()}, by_channel)


@dataclass(slots=True)
class _Values:
    """What one activation was."""

    low: float = 0.0
    high: float = 0.0
    some: list[NDArray[Any]] = field(default_factory=list)

    def add(self, values: NDArray[Any], rng: np.random.Generator, most: int = _VALUES_A_FACE) -> None:
        """Take in one face, of which so many values are kept."""
        flat = values.ravel()
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.some.append(flat[rng.integers(flat.size, size=min(flat.size, most))])

    def scale(self) -> Scale:
        """For all that was seen."""
        return fit_scale(np.concatenate(self.some), self.low, self.high)

    def step(self) -> np.float32:
        """The same where `_MIDDLE` is to stand for 0."""
        reach = max(-self.low, self.high)
        return fit_scale(np.concatenate(self.some), -reach, reach, zero=_MIDDLE).step


def fit_scale(values: NDArray[Any], low: float, high: float, *, zero: int | None = None) -> Scale:
    """The scale with the least square error on values (N,), for ranges up to low..high, which hold 0.

    Args:
        values: what was seen.
        low: the least of all.
        high: the largest.
        zero: what is to stand for 0; None: what the range asks for.
    """
    best: tuple[float, Scale] | None = None
    for share in _SHARES:
        step = np.float32(max((high - low) * share / 255, np.finfo(np.float32).tiny))
        middle = int(np.clip(np.round(-low * share / step), 0, 255)) if zero is None else zero
        whole = np.clip(np.round(values / step) + middle, 0, 255)
        error = float(np.mean((values - (whole - middle) * step) ** 2))
        if best is None or error < best[0]:
            best = (error, Scale(step, middle))
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
