"""Read a TFLite file as a chain of blocks: constants as PyTorch lays them out, and who made which tensor.

Only what MediaPipe's face and iris networks are made of: convolutions, PReLU, ADD with a shortcut (maximum
and channel padding on the way), RESHAPE, and DEQUANTIZE of float16 constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tflite
from numpy.typing import NDArray

_OPERATOR_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
_DTYPES = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}


@dataclass(frozen=True)
class Convolution:
    """Weight (outputs, inputs / groups, kernel, kernel), bias (outputs,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int
    groups: int
    same: bool
    """SAME padding; VALID otherwise."""


@dataclass(frozen=True)
class ConvolutionBlock:
    """Convolution and PReLU."""

    convolution: Convolution
    slope: NDArray[np.float32]


@dataclass(frozen=True)
class ResidualBlock:
    """PReLU(shortcut + pointwise(depthwise(reduction(x))))."""

    reduction: ConvolutionBlock | None
    depthwise: Convolution
    pointwise: Convolution
    slope: NDArray[np.float32]
    halves: bool
    extra_channels: int


Block = ConvolutionBlock | ResidualBlock


class FlatbufferGraph:
    """One TFLite network, walked from an output back to the input."""

    def __init__(self, content: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)
        self._makers: dict[int, tflite.Operator] = {}
        for place in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(place)
            self._makers[int(operator.Outputs(0))] = operator

    @property
    def input(self) -> int:
        """Tensor that the network reads."""
        return int(self._graph.Inputs(0))

    @property
    def outputs(self) -> list[int]:
        """Tensors that the network gives."""
        return [int(i) for i in self._graph.OutputsAsNumpy()]

    def _kind(self, operator: tflite.Operator) -> str:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        return _OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def _make(self, tensor: int, *kinds: str) -> tuple[tflite.Operator, str]:
        """The operator that makes a tensor, which must be one of `kinds`."""
        operator = self._makers[tensor]
        kind = self._kind(operator)
        if kind not in kinds:
            raise SystemExit(f"tensor {tensor} is made by {kind}; expected {' or '.join(kinds)}")
        return operator, kind

    def _constant(self, tensor: int) -> NDArray[np.float32]:
        if tensor in self._makers:
            tensor = int(self._make(tensor, "DEQUANTIZE")[0].Inputs(0))
        described = self._graph.Tensors(tensor)
        raw = self._model.Buffers(described.Buffer()).DataAsNumpy().tobytes()
        values = np.frombuffer(raw, dtype=_DTYPES[described.Type()]).astype(np.float32)
        return values.reshape(described.ShapeAsNumpy())

    def convolution(self, tensor: int) -> tuple[Convolution, int]:
        """The convolution that makes `tensor`, and the tensor it reads."""
        operator, kind = self._make(tensor, "CONV_2D", "DEPTHWISE_CONV_2D")
        depthwise = kind == "DEPTHWISE_CONV_2D"
        options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
            raise SystemExit(f"the convolution of tensor {tensor} has a fused activation; expected none")
        weight = self._constant(int(operator.Inputs(1)))
        # CONV_2D stores (outputs, height, width, inputs), DEPTHWISE_CONV_2D (1, height, width, channels).
        weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
        found = Convolution(
            np.ascontiguousarray(weight),
            self._constant(int(operator.Inputs(2))),
            options.StrideH(),
            weight.shape[0] if depthwise else 1,
            options.Padding() == tflite.Padding.SAME,
        )
        return found, int(operator.Inputs(0))

    def _convolution_block(self, tensor: int) -> tuple[ConvolutionBlock, int]:
        operator, _ = self._make(tensor, "PRELU")
        found, source = self.convolution(int(operator.Inputs(0)))
        return ConvolutionBlock(found, self._constant(int(operator.Inputs(1))).reshape(-1)), source

    def _residual_block(self, tensor: int) -> tuple[ResidualBlock, int]:
        activation, _ = self._make(tensor, "PRELU")
        addition, _ = self._make(int(activation.Inputs(0)), "ADD")
        shortcut, deep = int(addition.Inputs(0)), int(addition.Inputs(1))
        pointwise, deep = self.convolution(deep)
        depthwise, deep = self.convolution(deep)
        extra_channels, halves = 0, False
        if shortcut in self._makers and self._kind(self._makers[shortcut]) == "PAD":
            shortcut = int(self._makers[shortcut].Inputs(0))
            extra_channels = pointwise.weight.shape[0] - int(self._graph.Tensors(shortcut).Shape(3))
        if self._kind(self._makers[shortcut]) == "MAX_POOL_2D":
            shortcut, halves = int(self._makers[shortcut].Inputs(0)), True
        reduction = None
        if deep != shortcut:
            reduction, deep = self._convolution_block(deep)
        if deep != shortcut:
            raise SystemExit(f"the two branches that meet in tensor {tensor} do not start at one tensor")
        slope = self._constant(int(activation.Inputs(1))).reshape(-1)
        return ResidualBlock(reduction, depthwise, pointwise, slope, halves, extra_channels), shortcut

    def chain(self, tensor: int) -> list[tuple[int, Block]]:
        """All blocks from the input to `tensor`, each with the tensor that it makes."""
        blocks: list[tuple[int, Block]] = []
        while tensor != self.input:
            made = tensor
            activation, _ = self._make(tensor, "PRELU")
            block: Block
            if self._kind(self._makers[int(activation.Inputs(0))]) == "ADD":
                block, tensor = self._residual_block(tensor)
            else:
                block, tensor = self._convolution_block(tensor)
            blocks.append((made, block))
        return blocks[::-1]

    def skip_reshape(self, tensor: int) -> int:
        """The tensor before a RESHAPE, if one makes `tensor`."""
        operator = self._makers[tensor]
        return int(operator.Inputs(0)) if self._kind(operator) == "RESHAPE" else tensor
