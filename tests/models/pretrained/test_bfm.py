"""The Basel face model: the reference's landmarks, from the ready model and from the raw files alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from hififace.errors import WeightsError
from hififace.models.pretrained import bfm
from hififace.models.pretrained.bfm import FRONT_MODEL, load_bfm, rotation
from hififace.models.pretrained.deep3d import FaceCoefficients
from tests.support.seeded_weights import GOLDEN

NUM_RAW, NUM_TRIMMED, NUM_FRONT = 160, 150, 90


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "bfm_landmarks.npz") as arrays:
        return {name: arrays[name] for name in arrays}


@pytest.fixture
def front(tmp_path: Path, golden: dict[str, np.ndarray]) -> Path:
    path = tmp_path / FRONT_MODEL
    savemat(path, {name: golden[name] for name in ("meanshape", "idBase", "exBase", "keypoints")})
    return path


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The raw files of a face of 160 vertices, of which 150 have expressions and 90 are in front."""
    monkeypatch.setattr(bfm, "_NUM_EXPRESSION_VERTICES", NUM_TRIMMED)
    rng = np.random.default_rng(0)
    folder = tmp_path / "raw"
    folder.mkdir()
    savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapePC": rng.standard_normal((3 * NUM_RAW, 99)).astype(np.float32),
            "shapeEV": rng.uniform(1e3, 1e4, (99, 1)).astype(np.float32),
            "shapeMU": 1e5 * rng.standard_normal((3 * NUM_RAW, 1)).astype(np.float32),
        },
    )
    trim = 1 + rng.permutation(NUM_RAW)[:NUM_TRIMMED]
    index = 1 + rng.permutation(NUM_TRIMMED)[:NUM_FRONT]
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trim.reshape(-1, 1)})
    savemat(folder / "BFM_front_idx.mat", {"idx": index.reshape(-1, 1)})
    savemat(folder / "facemodel_info.mat", {"keypoints": 1 + rng.permutation(NUM_FRONT)[None, :68]})
    expressions = rng.standard_normal((80, 3 * NUM_TRIMMED)).astype("<f4")  # the mean, then 79 directions
    (folder / "Exp_Pca.bin").write_bytes(np.int32(79).tobytes() + expressions.tobytes())
    np.savetxt(folder / "std_exp.txt", rng.uniform(1e2, 1e3, (1, 79)))
    return folder


def _front_of(folder: Path) -> dict[str, np.ndarray]:
    """What the reference's conversion makes of the raw files, written down a second time."""
    from scipy.io import loadmat

    raw = loadmat(folder / "01_MorphableModel.mat")
    index = loadmat(folder / "BFM_front_idx.mat")["idx"].ravel() - 1
    vertices = loadmat(folder / "BFM_exp_idx.mat")["trimIndex"].ravel()[index] - 1
    directions = np.fromfile(folder / "Exp_Pca.bin", "<f4", offset=4).reshape(80, -1)[1:].T
    shape = raw["shapePC"] * raw["shapeEV"].T / 1e5
    expression = directions * np.loadtxt(folder / "std_exp.txt") / 1e5
    rows = [3 * vertex + axis for vertex in vertices for axis in range(3)]
    expression_rows = [3 * vertex + axis for vertex in index for axis in range(3)]
    return {
        "meanshape": raw["shapeMU"].T[:, rows] / 1e5,
        "idBase": shape[rows, :80],
        "exBase": expression[expression_rows, :64],
        "keypoints": loadmat(folder / "facemodel_info.mat")["keypoints"],
    }


def _coefficients(count: int = 2) -> FaceCoefficients:
    torch.manual_seed(0)
    flat = torch.randn(count, 257)
    flat[:, 224:227] *= 0.3
    return FaceCoefficients.from_flat(flat)


def test_landmarks_equal_the_reference(front: Path, golden: dict[str, np.ndarray]) -> None:
    landmarks = load_bfm(front)(FaceCoefficients.from_flat(torch.from_numpy(golden["coefficients"])))
    assert landmarks.shape == golden["landmarks"].shape
    assert np.abs(landmarks.numpy() - golden["landmarks"]).max() <= 1e-4


def test_the_raw_files_give_the_front_model(raw: Path, tmp_path: Path) -> None:
    savemat(tmp_path / FRONT_MODEL, _front_of(raw))
    from_raw, from_front = load_bfm(raw), load_bfm(tmp_path)
    assert torch.allclose(from_raw(_coefficients()), from_front(_coefficients()), atol=1e-3, rtol=1e-5)
    assert torch.allclose(from_raw.expression_basis, from_front.expression_basis, atol=1e-7)


def test_only_the_landmarks_are_kept(front: Path) -> None:
    assert sum(buffer.numel() for buffer in load_bfm(front).buffers()) == 68 * 3 * (1 + 80 + 64)


def test_gradients_reach_every_coefficient_that_moves_landmarks(front: Path) -> None:
    flat = _coefficients().flat().requires_grad_()
    load_bfm(front)(FaceCoefficients.from_flat(flat)).square().sum().backward()
    assert flat.grad is not None
    moved = FaceCoefficients.from_flat(flat.grad)
    for name in ("identity", "expression", "angles", "translation"):
        assert getattr(moved, name).abs().min() > 0, name
    assert moved.texture.abs().max() == moved.light.abs().max() == 0


@pytest.mark.parametrize(("axis", "fixed"), [(0, 0), (1, 1), (2, 2)])
def test_rotations_turn_about_their_own_axis_by_the_right_hand(axis: int, fixed: int) -> None:
    angles = torch.zeros(1, 3)
    angles[0, axis] = torch.pi / 2
    turned = rotation(angles)[0]
    expected = torch.zeros(3, 3)
    expected[fixed, fixed] = 1.0
    first, second = (fixed + 1) % 3, (fixed + 2) % 3
    expected[second, first], expected[first, second] = 1.0, -1.0
    assert torch.allclose(turned, expected, atol=1e-6)


def test_a_missing_field_and_wrong_sizes_are_sentences(front: Path, golden: dict[str, np.ndarray]) -> None:
    savemat(front, {"meanshape": golden["meanshape"]})
    with pytest.raises(WeightsError, match="no field idBase, exBase, keypoints"):
        load_bfm(front)
    fields = {name: golden[name] for name in ("meanshape", "idBase", "exBase", "keypoints")}
    savemat(front, {**fields, "idBase": golden["idBase"][:-3]})
    with pytest.raises(WeightsError, match="sizes do not fit"):
        load_bfm(front)
    savemat(front, {**fields, "keypoints": golden["keypoints"] + 10_000})
    with pytest.raises(WeightsError, match="sizes do not fit"):
        load_bfm(front)


@pytest.mark.parametrize("keep", [0, 40, 0.3, 0.9])
def test_a_damaged_file_is_a_sentence(front: Path, keep: float) -> None:
    whole = front.read_bytes()
    front.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightsError, match="BFM_model_front"):
        load_bfm(front)


@pytest.mark.parametrize(
    "name", ["01_MorphableModel.mat", "BFM_exp_idx.mat", "BFM_front_idx.mat", "Exp_Pca.bin", "std_exp.txt"]
)
def test_each_missing_raw_file_is_named(raw: Path, name: str) -> None:
    (raw / name).unlink()
    with pytest.raises(WeightsError, match=rf"incomplete.*{name}"):
        load_bfm(raw)


def test_expressions_that_do_not_belong_together_are_refused(raw: Path) -> None:
    np.savetxt(raw / "std_exp.txt", np.ones((1, 70)))
    with pytest.raises(WeightsError, match="damaged or do not belong together"):
        load_bfm(raw)
