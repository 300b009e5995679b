"""The generator's graph arranged for whole numbers: equal images, less copying.

ONNX Runtime moves pixels (`DepthToSpace`) at 3 ns a number and multiplies 16 channels in eight bits at a quarter of the
speed of 64. So

- pixels that are folded into channels before the first convolution stay where they are: a convolution with a larger
  kernel and stride reads them there;
- pixel shuffles become copies of whole runs of channels: the convolution before puts its channels in order (i, j, c);
- behind the last shuffle nothing is shuffled until the end: four neighbours stay in the channels of one place, and the
  convolutions there get the weights that do the same. Four times the products, and still less time.

Every rule looks for a pattern of operators and leaves a graph without it as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from hififace.types import FloatArray

ELEMENTWISE: Final = frozenset({"Add", "Concat", "LeakyRelu", "Mul", "Sigmoid", "Sub"})
"""What four neighbours in the channels of one place may pass as if each stood alone."""

MOVING: Final = frozenset({"Reshape", "Transpose"})
"""What moves numbers and changes none."""

_MANY_CHANNELS: Final = 16

_FOLDED: Final = frozenset({"Cast", "Gather", "Reshape", "Transpose"})


@dataclass
class Editing:
    """A graph under change: nodes by what they make, and what is known of constants.

    Attributes:
        model: a copy of what was given.
        producer: tensor -> the node that makes it.
        constants: tensor -> its value, also behind casts and moves of weights.
    """

    model: onnx.ModelProto
    producer: dict[str, Any] = field(init=False)
    constants: dict[str, NDArray[Any]] = field(init=False)

    def __post_init__(self) -> None:
        copied = onnx.ModelProto()
        copied.CopyFrom(self.model)
        self.model = copied
        for number, node in enumerate(copied.graph.node):
            node.name = node.name or f"{node.op_type}.{number}"
        self.constants = {
            tensor.name: np.asarray(numpy_helper.to_array(tensor)) for tensor in copied.graph.initializer
        }
        self.replace(list(copied.graph.node))

    @property
    def nodes(self) -> list[Any]:
        """In order of execution."""
        return list(self.model.graph.node)

    def replace(self, nodes: Sequence[Any]) -> None:
        """Set all nodes; those whose results nobody uses are left out."""
        graph = self.model.graph
        used = {value.name for value in graph.output}
        kept = []
        for node in reversed(nodes):
            if used.intersection(node.output):
                kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
                used.update(node.input)
        del graph.node[:]
        graph.node.extend(reversed(kept))
        stored = [one for one in graph.initializer if one.name in used]
        stored = [onnx.TensorProto.FromString(one.SerializeToString()) for one in stored]
        del graph.initializer[:]
        graph.initializer.extend(stored)
        self.producer = {output: node for node in graph.node for output in node.output}
        for node in graph.node:
            if node.op_type in _FOLDED and all(name in self.constants for name in node.input):
                self.constants[node.output[0]] = _folded(node, [self.constants[name] for name in node.input])

    def stored(self, name: str, value: Any) -> str:
        """Keep a constant under a name."""
        if name not in self.constants:
            self.constants[name] = np.asarray(value)
            self.model.graph.initializer.append(numpy_helper.from_array(self.constants[name], name))
        return name

    def weight(self, name: str) -> FloatArray:
        """A weight in float32, however it is stored."""
        return np.asarray(self.constants[name], np.float32)

    def sides(self) -> dict[str, tuple[int, ...]]:
        """Tensor -> its shape, 0 where it is free."""
        graph = onnx.shape_inference.infer_shapes(self.model).graph
        return {
            value.name: tuple(one.dim_value for one in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }


def with_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a bias of zeros for each convolution that has none: the paper's network has none at all."""
    editing = Editing(model)
    for node in editing.nodes:
        if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in editing.constants:
            channels = len(editing.constants[node.input[1]])
            node.input.append(editing.stored(f"{node.name}.no_bias", np.zeros(channels, np.float32)))
    return editing.model


def arrange(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function, arranged; see the module."""
    editing = Editing(model)
    _read_folded_pixels(editing)
    shuffles = shuffled(editing)
    for output in shuffles[:-1]:
        _copy_runs(editing, output)
    if shuffles:
        _stay_folded(editing, shuffles[-1])
    _double_with_channels_last(editing)
    return editing.model


def shuffled(editing: Editing) -> list[str]:
    """What pixel shuffles make, in order of execution."""
    return [node.output[0] for node in editing.nodes if _is_shuffle(editing, node)]


def region(editing: Editing, starts: Collection[str], *, with_doubled: bool = False) -> list[Any]:
    """Everything that works on what starts at some tensors, as far as elementwise operators and convolutions go.

    What joins from the side belongs to it if it is made from the target's pixels alone.

    Args:
        editing: the graph.
        starts: tensors.
        with_doubled: something that was doubled from half the size may join too.

    Returns:
        Nodes in order of execution.
    """
    reached, inside = set(starts), {}
    for node in editing.nodes:
        joins = [name for name in node.input if name not in editing.constants]
        if not reached.intersection(joins) or not _may_join(node):
            continue
        sides = [editing.producer.get(name) for name in joins if name not in reached]
        if with_doubled:
            sides = [one for one in sides if one is None or not _is_doubling(editing, one)]
        pulled = [_from_pixels(editing, one) for one in sides]
        if any(one is None for one in pulled):
            continue
        reached.update(node.output)
        inside[node.name] = node
        for nodes in pulled:
            inside |= {one.name: one for one in nodes or ()}
    return [node for node in editing.nodes if node.name in inside]


def expanded(weight: FloatArray) -> FloatArray:
    """Weights (O, C, K, K), K 1 or 3, for four neighbours in the channels of one place: (4 O, 4 C, K, K).

    Channels are ordered (i, j, c), i down and j across.
    """
    outputs, inputs, side, _ = weight.shape
    wide = np.zeros((2, 2, outputs, 2, 2, inputs, side, side), np.float32)
    reach = side // 2
    for i in range(2):
        for down in range(side):
            y, to_i = divmod(i + down - reach, 2)
            for j in range(2):
                for across in range(side):
                    x, to_j = divmod(j + across - reach, 2)
                    wide[i, j, :, to_i, to_j, :, y + reach, x + reach] = weight[:, :, down, across]
    return wide.reshape(4 * outputs, 4 * inputs, side, side)


# -----------------------------------------------------------------------------------------------------------
# Rules


def _read_folded_pixels(editing: Editing) -> None:
    """Reshape, Transpose, Reshape and a convolution, from the graph's input: one convolution of a larger kernel."""
    given = {value.name for value in editing.model.graph.input}
    nodes = []
    for node in editing.nodes:
        chain = _chain_above(editing, node, ("Reshape", "Transpose", "Reshape"))
        if node.op_type != "Conv" or not chain or chain[-1].input[0] not in given or not _is_plain(node):
            nodes.append(node)
            continue
        fold = int(np.sqrt(editing.weight(node.input[1]).shape[1] // _channels(editing, chain[-1].input[0])))
        outputs, inputs, side, _ = editing.weight(node.input[1]).shape
        reach, channels = side // 2, inputs // fold**2
        key = f"{node.name}.wide"
        split = editing.stored(
            f"{key}.split", np.array([outputs, channels, fold, fold, side, side], np.int64)
        )
        whole = editing.stored(
            f"{key}.whole", np.array([outputs, channels, side * fold, side * fold], np.int64)
        )
        nodes += [
            helper.make_node("Reshape", [node.input[1], split], [f"{key}.1"], name=f"{key}.1"),
            helper.make_node(
                "Transpose", [f"{key}.1"], [f"{key}.2"], name=f"{key}.2", perm=[0, 1, 4, 2, 5, 3]
            ),
            helper.make_node("Reshape", [f"{key}.2", whole], [f"{key}.3"], name=f"{key}.3"),
            helper.make_node(
                "Conv",
                [chain[-1].input[0], f"{key}.3", node.input[2]],
                list(node.output),
                name=node.name,
                kernel_shape=[side * fold] * 2,
                strides=[fold] * 2,
                pads=[reach * fold] * 4,
            ),
        ]
    editing.replace(nodes)


def _copy_runs(editing: Editing, output: str) -> None:
    """A pixel shuffle as copies of runs of 2 C numbers, with the channels last."""
    shuffle = editing.producer[output]
    source = shuffle.input[0]
    _, channels, height, width = editing.sides()[source]
    nodes = []
    for node in editing.nodes:
        if source in node.output:
            nodes += _in_order(editing, node)
        elif node is shuffle:
            nodes += _unfolded(editing, f"{output}.runs", source, output, channels // 4, height, width)
        else:
            nodes.append(node)
    editing.replace(nodes)


def _stay_folded(editing: Editing, output: str) -> None:
    """Leave a pixel shuffle out, and unfold what comes out of everything that worked on it."""
    _Folding(editing, output).run()


class _Folding:
    """What `_stay_folded` does: tensors of twice the size become four times the channels, under other names."""

    def __init__(self, editing: Editing, output: str) -> None:
        self._editing, self._output = editing, output
        self._source = editing.producer[output].input[0]
        self._sides = editing.sides()
        self._size = self._sides[self._source][2:]
        self._inside = {node.name for node in region(editing, [output], with_doubled=True)}
        # What comes from the side, and what goes out: used by somebody else.
        self._entering = {
            name
            for node in editing.nodes
            if node.name in self._inside
            for name in node.input
            if name not in editing.constants and name != output and not self._is_inside(name)
        }
        self._leaving = {
            name
            for node in editing.nodes
            if node.name not in self._inside
            for name in node.input
            if self._is_inside(name)
        }
        # Tensor -> how many channels at twice the size were laid one behind the other.
        self._groups = {output: [self._sides[self._source][1] // 4]}
        self._groups |= {name: [self._sides[name][1]] for name in self._entering}

    def run(self) -> None:
        """Replace the nodes."""
        editing = self._editing
        given = sorted(self._entering - editing.producer.keys())
        nodes = [node for name in given for node in self._fold(name)]
        for node in editing.nodes:
            if self._source in node.output:
                nodes += _in_order(editing, node)
            elif node.name in self._inside:
                nodes += self._folded(node)
            elif node.output[0] != self._output:
                nodes.append(node)
                if node.output[0] in self._entering:
                    nodes += self._fold(node.output[0])
        editing.replace(nodes)

    def _is_inside(self, name: str) -> bool:
        node = self._editing.producer.get(name)
        return node is not None and node.name in self._inside

    def _fold(self, name: str) -> list[Any]:
        """What makes the folded form of a tensor that comes from the side."""
        node, channels = self._editing.producer.get(name), self._sides[name][1]
        if node is not None and _is_doubling(self._editing, node):
            return _doubled_folded(self._editing, node, channels)
        return _folded_in(self._editing, name, channels, *self._size)

    def _folded(self, node: Any) -> list[Any]:
        """A node on folded tensors, and the way back where its result is used elsewhere."""
        (output,) = node.output
        new = onnx.NodeProto.FromString(node.SerializeToString())
        for place, name in enumerate(new.input):
            if name == self._output:
                new.input[place] = self._source
            elif name in self._entering or name in self._leaving:
                new.input[place] = f"{name}.folded"
        if node.op_type == "Conv":
            self._widen(new, self._groups[node.input[0]])
            self._groups[output] = [len(self._editing.weight(node.input[1]))]
        else:
            known = [self._groups[name] for name in node.input if name in self._groups]
            joined = list(itertools.chain.from_iterable(known))
            self._groups[output] = joined if node.op_type == "Concat" else known[0]
        if output not in self._leaving:
            return [new]
        new.output[0] = f"{output}.folded"
        channels = sum(self._groups[output])
        return [new, *_unfolded(self._editing, f"{output}.end", new.output[0], output, channels, *self._size)]

    def _widen(self, node: Any, groups: Sequence[int]) -> None:
        """Give a convolution the weights for folded channels, group by group as they were laid together."""
        editing, key = self._editing, f"{node.name}.folded"
        weight, bias = (editing.weight(name) for name in node.input[1:])
        parts = np.split(weight, np.cumsum(groups)[:-1], axis=1)
        wide = np.concatenate([expanded(part) for part in parts], axis=1)
        node.input[1] = editing.stored(f"{key}.weight", wide)
        node.input[2] = editing.stored(f"{key}.bias", np.tile(bias, 4))


def _double_with_channels_last(editing: Editing) -> None:
    """Bilinear doubling of many channels: ONNX Runtime does it four times as fast with the channels last."""
    sides = editing.sides()
    nodes = []
    for node in editing.nodes:
        if not _is_doubling(editing, node) or sides[node.input[0]][1] < _MANY_CHANNELS:
            nodes.append(node)
            continue
        key = f"{node.name}.last"
        last = onnx.NodeProto.FromString(node.SerializeToString())
        last.input[0], last.output[0] = f"{key}.1", f"{key}.2"
        last.input[2] = editing.stored("double.last", np.array([1, 2, 2, 1], np.float32))
        nodes += [
            helper.make_node("Transpose", [node.input[0]], [f"{key}.1"], name=f"{key}.1", perm=[0, 2, 3, 1]),
            last,
            helper.make_node("Transpose", [f"{key}.2"], [node.output[0]], name=f"{key}.2", perm=[0, 3, 1, 2]),
        ]
    editing.replace(nodes)


# -----------------------------------------------------------------------------------------------------------
# Parts of rules


def _in_order(editing: Editing, node: Any) -> list[Any]:
    """A convolution whose channels (c, i, j) come out in order (i, j, c)."""
    count = len(editing.weight(node.input[1]))
    order = np.arange(count).reshape(-1, 2, 2).transpose(1, 2, 0).ravel()
    order_name = editing.stored(f"{node.name}.order", order.astype(np.int64))
    ordered = onnx.NodeProto.FromString(node.SerializeToString())
    nodes = []
    for place, part in ((1, "weight"), (2, "bias")):
        name = f"{node.name}.ordered.{part}"
        nodes.append(helper.make_node("Gather", [node.input[place], order_name], [name], name=name, axis=0))
        ordered.input[place] = name
    return [*nodes, ordered]


def _unfolded(
    editing: Editing, key: str, source: str, output: str, channels: int, height: int, width: int
) -> list[Any]:
    """(B, 4 C, H, W), channels (i, j, c), to (B, C, 2 H, 2 W)."""
    rows = editing.stored(f"{key}.rows", np.array([-1, width, 2, 2 * channels], np.int64))
    whole = editing.stored(f"{key}.whole", np.array([-1, 2 * height, 2 * width, channels], np.int64))
    return _moves(key, source, output, rows, whole)


def _folded_in(editing: Editing, name: str, channels: int, height: int, width: int) -> list[Any]:
    """The way back: (B, C, 2 H, 2 W) to (B, 4 C, H, W)."""
    key = f"{name}.fold"
    rows = editing.stored(f"{key}.rows", np.array([-1, 2, width, 2 * channels], np.int64))
    whole = editing.stored(f"{key}.whole", np.array([-1, height, width, 4 * channels], np.int64))
    return _moves(key, name, f"{name}.folded", rows, whole)


def _doubled_folded(editing: Editing, node: Any, channels: int) -> list[Any]:
    """Bilinear doubling, folded: each of four neighbours is a mean of 2 x 2, nine sixteenths of it the nearest."""
    key = f"{node.output[0]}.double"
    near, far = 0.75, 0.25
    down = np.array([[far, near, 0.0], [0.0, near, far]], np.float32)
    weight = np.zeros((2, 2, channels, channels, 3, 3), np.float32)
    for channel in range(channels):
        weight[:, :, channel, channel] = np.einsum("iy,jx->ijyx", down, down)
    names = [
        f"{key}.padded",
        editing.stored(f"{key}.weight", weight.reshape(4 * channels, channels, 3, 3)),
        editing.stored(f"{key}.bias", np.zeros(4 * channels, np.float32)),
    ]
    pads = editing.stored(f"{key}.pads", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return [
        helper.make_node("Pad", [node.input[0], pads], names[:1], name=names[0], mode="edge"),
        helper.make_node("Conv", names, [f"{node.output[0]}.folded"], name=key, kernel_shape=[3, 3]),
    ]


def _moves(key: str, source: str, output: str, rows: str, whole: str) -> list[Any]:
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Transpose", [source], {"perm": [0, 2, 3, 1]}),
        ("Reshape", [f"{key}.1", rows], {}),
        ("Transpose", [f"{key}.2"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", [f"{key}.3", whole], {}),
        ("Transpose", [f"{key}.4"], {"perm": [0, 3, 1, 2]}),
    ]
    names = [*(f"{key}.{number}" for number in range(1, len(steps))), output]
    return [
        helper.make_node(operator, inputs, [name], name=f"{key}.step{number}", **told)
        for number, ((operator, inputs, told), name) in enumerate(zip(steps, names, strict=True))
    ]


def _is_shuffle(editing: Editing, node: Any) -> bool:
    """Whether it doubles by a pixel shuffle what a convolution made for it alone."""
    if node.op_type != "DepthToSpace" or _told(node) != {"blocksize": 2, "mode": b"CRD"}:
        return False
    above = editing.producer.get(node.input[0])
    users = [one for one in editing.nodes if node.input[0] in one.input]
    return above is not None and above.op_type == "Conv" and len(above.input) == 3 and len(users) == 1


def _is_doubling(editing: Editing, node: Any) -> bool:
    """Whether it doubles an image bilinearly, by pixel centres."""
    told = _told(node)
    return (
        node.op_type == "Resize"
        and told.get("mode") == b"linear"
        and told.get("coordinate_transformation_mode") == b"half_pixel"
        and len(node.input) == 3
        and editing.constants.get(node.input[2], np.zeros(0)).tolist() == [1, 1, 2, 2]
    )


def _may_join(node: Any) -> bool:
    if node.op_type in ELEMENTWISE:
        return True
    return node.op_type == "Conv" and len(node.input) == 3 and _is_plain(node)


def _is_plain(node: Any) -> bool:
    """Whether a convolution keeps the size: 1 x 1, or 3 x 3 with a border of 1, nothing skipped, no groups."""
    told = _told(node)
    side = (told.get("kernel_shape") or [0])[0]
    return (
        side in (1, 3)
        and told.get("kernel_shape") == [side, side]
        and list(told.get("pads") or [0] * 4) == [side // 2] * 4
        and list(told.get("strides") or [1, 1]) == [1, 1]
        and list(told.get("dilations") or [1, 1]) == [1, 1]
        and (told.get("group") or 1) == 1
    )


def _told(node: Any) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _from_pixels(editing: Editing, node: Any) -> list[Any] | None:
    """All nodes that make something, where they make it of the graph's input alone and at its size; else None."""
    if node is None or node.op_type == "AveragePool":
        return []
    if not _may_join(node):
        return None
    found = [node]
    for name in node.input:
        if name not in editing.constants:
            above = _from_pixels(editing, editing.producer.get(name))
            if above is None:
                return None
            found += above
    return found


def _chain_above(editing: Editing, node: Any, operators: Sequence[str]) -> list[Any]:
    """The nodes above a node's first input, nearest first, where they are these operators; else none."""
    found: list[Any] = []
    for operator in operators:
        above = editing.producer.get((found[-1] if found else node).input[0])
        if above is None or above.op_type != operator:
            return []
        found.append(above)
    return found


def _channels(editing: Editing, name: str) -> int:
    return editing.sides()[name][1]


def _folded(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    """The constant that a node makes of constants."""
    if node.op_type == "Cast":
        return np.asarray(inputs[0], helper.tensor_dtype_to_np_dtype(_told(node)["to"]))
    if node.op_type == "Gather":
        return np.asarray(inputs[0][inputs[1]])
    if node.op_type == "Reshape":
        return inputs[0].reshape(inputs[1])
    return inputs[0].transpose(_told(node)["perm"])
