"""Bundles out of networks: layout taken from the generator, graphs that agree, nothing written otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hififace.errors import BundleError, WeightsError
from hififace.export import graph as graph_module
from hififace.export.graph import ExportReport, export_bundle
from hififace.models.create import create_generator
from hififace.models.params import mini_128, tiny
from hififace.weights.bundle import load_bundle
from hififace.weights.sessions import open_session

DESCRIPTION: dict[str, Any] = {
    "name": "tiny",
    "version": "1",
    "family": "mesh",
    "template": "mini_128",
    "identity": {"part": "sface", "size": 8},
    "shape": {"part": "mesh"},
    "licence": "MIT",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    torch.manual_seed(0)
    return export_bundle(create_generator(tiny()), DESCRIPTION, tmp_path_factory.mktemp("export") / "tiny")


def test_the_layout_is_the_generators(report: ExportReport) -> None:
    bundle = load_bundle(report.bundle.folder)
    params = tiny()
    assert bundle.resolution == bundle.output_resolution == params.resolution
    assert [(e.name, e.size, e.gain, e.owner) for e in bundle.vector] == [
        (part.name, part.size, part.gain, part.owner) for part in params.vector
    ]
    assert sorted(bundle.files) == ["generator.onnx"]


def test_the_graph_gives_the_generators_result_and_mask(report: ExportReport) -> None:
    torch.manual_seed(0)
    generator = create_generator(tiny()).eval()
    target, vector = torch.rand(3, 3, 32, 32), torch.rand(3, generator.params.vector_size)
    found = open_session(report.bundle.path("generator")).run(
        {"target": target.numpy(), "identity_vector": vector.numpy()}
    )
    with torch.no_grad():
        expected = generator(target, vector)
    assert set(found) == {"image", "mask"}
    assert np.abs(found["image"] - expected.image.numpy()).max() <= 1e-4
    assert np.abs(found["mask"] - expected.mask.numpy()).max() <= 1e-4


def test_the_report_names_each_graph_with_its_largest_difference(report: ExportReport) -> None:
    (line,) = report.lines()
    assert line.startswith("generator: largest difference from PyTorch ")
    assert max(d.largest for d in report.differences["generator"]) <= 1e-4
    assert [d.output for d in report.differences["generator"]] == ["image", "mask"]


def test_the_embedded_architecture_with_half_weights_is_half_as_large(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = create_generator(mini_128())
    description = {**DESCRIPTION, "name": "mini"}
    halved = export_bundle(generator, description, tmp_path / "half", half=True)
    size = halved.bundle.path("generator").stat().st_size
    assert halved.bundle.half_weights
    assert size < 2.1 * sum(parameter.numel() for parameter in generator.parameters())
    assert max(d.largest for d in halved.differences["generator"]) <= 2e-2


def test_a_graph_that_does_not_agree_leaves_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = graph_module.largest_differences

    def off_by_a_tenth(*arguments: Any) -> list[Any]:
        return [d._replace(largest=d.largest + 0.1) for d in real(*arguments)]

    monkeypatch.setattr(graph_module, "largest_differences", off_by_a_tenth)
    with pytest.raises(WeightsError, match="differs from PyTorch"):
        export_bundle(create_generator(tiny()), DESCRIPTION, tmp_path / "tiny")
    assert not list(tmp_path.iterdir())


def test_a_wrong_description_is_refused_before_the_costly_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "export_checked", lambda *_, **__: pytest.fail("exported all the same"))
    with pytest.raises(BundleError, match="licence"):
        export_bundle(create_generator(tiny()), {**DESCRIPTION, "licence": ""}, tmp_path / "tiny")
    assert not list(tmp_path.iterdir())
