"""SFace, FaceMesh and the iris network: twin, graph and original agree; weights load strictly; gradients
flow through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from skimage import data
from torch import nn

from hififace.errors import WeightsError
from hififace.models.pretrained.face_mesh import FaceMesh, load_face_mesh
from hififace.models.pretrained.frozen import load_frozen
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mobile_blocks import BlockSpec, ResidualBlock, pad_same
from hififace.models.pretrained.sface import SFace, load_sface
from hififace.weights.store import embedded_path

GOLDEN = Path(__file__).parents[1] / "golden" / "mesh_originals.npz"
"""Outputs of the original files under LiteRT, made by `python tools/compare_parts.py --golden`."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return dict(stored)


def slice_of_portrait(box: np.ndarray) -> np.ndarray:
    """(1, 3, size, size) RGB 0..1."""
    left, top, size = (int(v) for v in box)
    picture = data.astronaut()[top : top + size, left : left + size]
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(np.float32) / 255.0


def run_graph(filename: str, batch: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(embedded_path(filename), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": batch}))


@pytest.mark.parametrize(("name", "load"), [("face_mesh", load_face_mesh), ("iris", load_iris)])
def test_values_twin_and_graph_agree_with_the_original_within_a_twentieth_of_a_pixel(
    name: str, load: type[nn.Module], golden: dict[str, np.ndarray]
) -> None:
    batch = slice_of_portrait(golden[f"{name}_box"])
    with torch.no_grad():
        twin = [output.numpy() for output in load()(torch.from_numpy(batch))]
    for outputs in (twin, run_graph(f"{name}.onnx", batch)):
        np.testing.assert_allclose(outputs[0].ravel(), golden[f"{name}_0"], atol=0.05)
        expected = golden[f"{name}_1"]
        if name == "face_mesh":  # the original gives the score's logit
            expected = 1 / (1 + np.exp(-expected))
        np.testing.assert_allclose(outputs[1].ravel(), expected, atol=0.05 if name == "iris" else 1e-3)


def test_values_face_mesh_is_sure_of_a_face_and_not_of_noise(golden: dict[str, np.ndarray]) -> None:
    face = slice_of_portrait(golden["face_mesh_box"])
    noise = np.random.default_rng(0).random(face.shape, dtype=np.float32)
    _, score = run_graph("face_mesh.onnx", np.concatenate([face, noise]))
    assert score[0, 0] > 0.95
    assert score[1, 0] < 0.5


def test_values_sface_twin_equals_the_graph_and_scales_colours_itself() -> None:
    faces = np.random.default_rng(1).random((2, 3, 112, 112), dtype=np.float32)
    (expected,) = run_graph("sface.onnx", faces * 255.0)
    with torch.no_grad():
        found = load_sface()(torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("load", "size"), [(load_face_mesh, 192), (load_iris, 64), (load_sface, 112)])
def test_gradient_reaches_the_picture_and_no_weight(load: type[nn.Module], size: int) -> None:
    network = load()
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    output = network(picture)
    (output if isinstance(output, torch.Tensor) else output[0]).square().mean().backward()
    assert picture.grad is not None
    assert torch.isfinite(picture.grad).all()
    assert picture.grad.abs().max() > 0
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


def test_exception_weights_of_another_network_are_refused_with_the_differing_names() -> None:
    with pytest.raises(WeightsError, match=r"iris\.onnx are not those of FaceMesh.*contour_head"):
        load_frozen(FaceMesh(), "iris.onnx")


def test_shapes_sface_has_the_published_number_of_parameters() -> None:
    # 9.66 million numbers of the original, its normalisations folded in.
    assert sum(p.numel() for p in SFace().parameters()) == pytest.approx(9.63e6, rel=0.01)


def test_values_same_padding_puts_the_odd_pixel_right_and_below() -> None:
    padded = pad_same(torch.ones(1, 1, 4, 4), kernel=3, stride=2)
    assert padded.shape == (1, 1, 5, 5)
    assert padded[0, 0, 0, 0] == 1
    assert padded[0, 0, -1].sum() == 0
    assert padded[0, 0, :, -1].sum() == 0


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_shapes_residual_block_halves_and_widens(bottleneck: int | None) -> None:
    block = ResidualBlock(4, BlockSpec(8, stride=2, bottleneck=bottleneck))
    assert block(torch.zeros(2, 4, 6, 6)).shape == (2, 8, 3, 3)
