"""The check after export: what it measures, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hififace.errors import WeightsError
from hififace.export.onnx import export_graph
from hififace.export.parity import Difference, largest_differences, require_equal


class _Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image * self.factor, -image


INPUTS = {"image": torch.tensor([[1.0, -2.0], [0.5, 0.0]])}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    export_graph(_Scale(3.0), INPUTS, ["scaled", "negative"], tmp_path / "scale.onnx")
    return tmp_path / "scale.onnx"


def test_each_output_has_its_own_largest_difference(graph: Path) -> None:
    scaled, negative = largest_differences(graph, _Scale(3.25), INPUTS, ["scaled", "negative"])
    assert (scaled.output, scaled.largest, scaled.scale) == ("scaled", pytest.approx(0.5), 6.5)
    assert (negative.output, negative.largest) == ("negative", 0.0)


def test_a_graph_of_another_network_is_refused_by_output(graph: Path) -> None:
    found = largest_differences(graph, _Scale(3.25), INPUTS, ["scaled", "negative"])
    with pytest.raises(WeightsError, match=r"scale\.onnx differs from PyTorch: 'scaled' by 0\.5"):
        require_equal(graph, found, half=False)


def test_other_outputs_than_expected_are_refused(graph: Path) -> None:
    with pytest.raises(WeightsError, match="returns scaled, negative; expected scaled"):
        largest_differences(graph, _Scale(3.0), INPUTS, ["scaled"])


@pytest.mark.parametrize(
    ("largest", "scale", "half", "fine"),
    [
        (9e-4, 1.0, False, True),
        (2e-3, 1.0, False, False),
        (2e-3, 10.0, False, True),
        (2e-3, 1.0, True, True),
        (9e-2, 1.0, True, False),
        (float("nan"), 1.0, True, False),
        (float("inf"), 1.0, True, False),
    ],
)
def test_tolerance_grows_with_the_output_and_never_passes_what_is_not_finite(
    largest: float, scale: float, half: bool, fine: bool
) -> None:
    differences = [Difference("image", largest, scale)]
    if fine:
        require_equal(Path("g.onnx"), differences, half=half)
    else:
        with pytest.raises(WeightsError, match="'image'"):
            require_equal(Path("g.onnx"), differences, half=half)
