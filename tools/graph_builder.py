"""Write an ONNX graph layer by layer, its initializers named as the state dict of the PyTorch twin.

Constants that belong to no layer become Constant nodes, so that the names of the initializers are exactly the
keys of the twin's state dict and loading can be strict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8  # what ONNX Runtime 1.20 and OpenCV 4.10 read


class GraphBuilder:
    """Collects nodes and weights; every method returns the name of the tensor it makes."""

    def __init__(self, name: str, *, float16_from: int | None = None) -> None:
        """Args:
        name: of the graph.
        float16_from: store weights of at least that many values as float16 behind a Cast to float32. ONNX
            Runtime folds the Cast when it loads, so only the file is smaller. None stores all as float32.
        """
        self._name = name
        self._float16_from = float16_from
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._num_constants = 0

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        """Append one node with one output."""
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, value: NDArray[np.floating]) -> str:
        """Store a weight under its state-dict key."""
        if self._float16_from is None or value.size < self._float16_from:
            self._initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
            return name
        self._initializers.append(numpy_helper.from_array(value.astype(np.float16), name))
        return self.add("Cast", [name], f"{name}.float32", to=TensorProto.FLOAT)

    def constant(self, value: NDArray[np.generic]) -> str:
        """A value that is no weight: a shape, axes, a scale."""
        self._num_constants += 1
        output = f"constant_{self._num_constants}"
        return self.add("Constant", [], output, value=numpy_helper.from_array(value))

    def convolution(
        self,
        key: str,
        source: str,
        weight: NDArray[np.floating],
        bias: NDArray[np.floating],
        *,
        stride: int = 1,
        groups: int = 1,
        pads: Sequence[int] = (0, 0, 0, 0),
    ) -> str:
        """2D convolution with bias; `pads` are top, left, bottom, right."""
        names = [source, self.weight(f"{key}.weight", weight), self.weight(f"{key}.bias", bias)]
        kernel = list(weight.shape[2:])
        return self.add(
            "Conv", names, key, strides=[stride, stride], group=groups, pads=list(pads), kernel_shape=kernel
        )

    def prelu(self, key: str, source: str, slope: NDArray[np.floating]) -> str:
        """X where positive, slope · x elsewhere; one slope per channel, stored (C,) as PyTorch does.

        Written out as slope · x + (1 − slope) · max(x, 0): ONNX Runtime's own PRelu handles one number at a time on
        the CPU and was two thirds of FaceMesh's time, while products and sums stay in its blocked layout.
        """
        stored = self.weight(f"{key}.weight", slope.reshape(-1))
        axes = self.constant(np.asarray([1, 2], dtype=np.int64))
        slopes = self.add("Unsqueeze", [stored, axes], f"{key}.slope")
        one = self.constant(np.asarray(1, dtype=np.float32))
        rest = self.add("Sub", [one, slopes], f"{key}.rest")
        everywhere = self.add("Mul", [source, slopes], f"{key}.everywhere")
        above = self.add("Mul", [self.add("Relu", [source], f"{key}.positive"), rest], f"{key}.above")
        return self.add("Add", [everywhere, above], key)

    def build(self, inputs: dict[str, Sequence[int | str]], outputs: dict[str, Sequence[int | str]]) -> bytes:
        """The checked file; `inputs` and `outputs` give name and shape, all float32."""

        def describe(shapes: dict[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v)) for k, v in shapes.items()]

        graph = helper.make_graph(
            self._nodes, self._name, describe(inputs), describe(outputs), self._initializers
        )
        model = helper.make_model(
            graph,
            producer_name="hififace",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
