"""The total: names, presets and refusals; and the reference's whole generator loss against numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from hififace.errors import OptionError
from hififace.losses.adversarial import generator_loss
from hififace.losses.attributes import EYE_CHANNELS, MOUTH_CHANNELS, heatmap_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.identity import identity_loss
from hififace.losses.perceptual import lpips_distance
from hififace.losses.reconstruction import cycle_loss, reconstruction_loss
from hififace.losses.segmentation import segmentation_loss
from hififace.losses.shape import landmark_loss
from hififace.losses.total import (
    TERMS,
    LossWeights,
    combine,
    paper_weights,
    reference_weights,
)


def _terms(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def test_combine_value_and_names():
    terms = _terms(shape=2.0, identity=0.5, colour=7.0)
    total, reported = combine(terms, {"identity": 5.0, "shape": 0.5, "colour": 0.0})
    assert total.item() == 3.5
    assert {name: term.item() for name, term in reported.items()} == {
        "identity": 0.5,
        "shape": 2.0,
        "colour": 7.0,
    }
    assert list(reported) == [name for name in TERMS if name in terms]


def test_combine_gradient_is_the_weight_of_each_term():
    terms = {
        name: term.requires_grad_() for name, term in _terms(shape=2.0, identity=0.5, colour=7.0).items()
    }
    result = combine(terms, LossWeights(identity=5.0, shape=0.5))
    result.total.backward()
    assert {name: term.grad and term.grad.item() for name, term in terms.items()} == {
        "shape": 0.5,
        "identity": 5.0,
        "colour": None,
    }
    assert not any(term.requires_grad for term in result.terms.values())


def test_combine_does_not_ask_for_terms_without_weight():
    assert combine(_terms(cycle=2.0), {"cycle": 3.0, "gaze": 0.0}).total.item() == 6.0


def test_a_broken_term_without_weight_does_not_poison_the_sum():
    terms = _terms(shape=float("nan"), identity=0.5, colour=float("inf"))
    assert combine(terms, {"identity": 1.0}).total.item() == 0.5
    assert combine(terms, {"identity": 1.0, "shape": 1.0}).total.isnan()


def test_combine_refuses_unknown_names_with_a_suggestion():
    with pytest.raises(ValueError, match=r"'perceptal' \(did you mean 'perceptual'\?\)"):
        combine(_terms(perceptal=1.0), {"identity": 1.0})
    with pytest.raises(OptionError, match=r"'colur' \(did you mean 'colour'\?\)"):
        combine(_terms(identity=1.0), {"identity": 1.0, "colur": 2.0})


def test_combine_refuses_missing_unreduced_and_absent_terms():
    with pytest.raises(ValueError, match="not computed: shape, cycle"):
        combine(_terms(identity=1.0), {"identity": 1.0, "shape": 1.0, "cycle": 2.0})
    with pytest.raises(ValueError, match=r"identity \(2,\)"):
        combine({"identity": torch.zeros(2)}, {"identity": 1.0})
    with pytest.raises(ValueError, match="nothing to minimise"):
        combine(_terms(identity=1.0), {"identity": 0.0})


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_are_finite_and_not_negative(value):
    with pytest.raises(OptionError, match="identity = "):
        combine(_terms(identity=1.0), {"identity": value})
    with pytest.raises(ValidationError):
        LossWeights(identity=value)


def test_weights_are_frozen_and_refuse_unknown_names():
    weights = paper_weights()
    with pytest.raises(ValidationError):
        weights.identity = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        LossWeights(identety=1.0)  # type: ignore[call-arg]


def test_needs():
    weights = paper_weights()
    assert weights.needs("shape")
    assert not weights.needs("gaze")
    with pytest.raises(ValueError, match="Unknown loss term"):
        weights.needs("eyes")


def test_presets():
    paper = {
        "shape": 0.5,
        "identity": 5.0,
        "adversarial": 1.0,
        "segmentation": 100.0,
        "reconstruction": 20.0,
        "cycle": 1.0,
        "perceptual": 5.0,
    }
    heatmaps = {"eye_heatmap": 10_000.0, "mouth_heatmap": 10_000.0}

    def given(weights: LossWeights) -> dict[str, float]:
        return {name: value for name, value in weights.as_dict().items() if value > 0}

    assert given(paper_weights()) == paper
    assert given(reference_weights(heatmaps=False)) == paper
    assert given(reference_weights()) == paper | heatmaps


# ---- reference_256: the whole generator loss, small fixed networks in place of the real ones, against numpy

B, S, NUM_COEFFICIENTS, NUM_IDENTITY = 3, 16, 257, 32


class _Scene(NamedTuple):
    source: np.ndarray
    target: np.ndarray
    result: np.ndarray
    result_low: np.ndarray
    mask: np.ndarray
    mask_low: np.ndarray
    cycled: np.ndarray
    face: np.ndarray
    same: np.ndarray


class _Weights(NamedTuple):
    coefficients: np.ndarray
    landmarks: np.ndarray
    embedding: np.ndarray
    features: np.ndarray
    head: np.ndarray
    heatmaps: np.ndarray
    discriminator: np.ndarray
    reach: np.ndarray


def _scene() -> _Scene:
    rng = np.random.default_rng(0)
    pictures = [rng.random((B, 3, S, S)) for _ in range(2)]
    outputs = [rng.normal(0.5, 0.4, (B, 3, s, s)) for s in (S, S // 4)]
    masks = [rng.random((B, 1, s, s)) for s in (S, S // 4)]
    face = (rng.random((B, 1, S, S)) > 0.93).astype(np.float64)
    return _Scene(
        *pictures, *outputs, *masks, rng.normal(0.5, 0.4, (B, 3, S, S)), face, np.array([1.0, 0, 1])
    )


def _weights() -> _Weights:
    rng = np.random.default_rng(1)
    return _Weights(
        coefficients=rng.normal(size=(3 * 16, NUM_COEFFICIENTS)),
        landmarks=0.4 * rng.normal(size=(NUM_COEFFICIENTS, 136)),
        embedding=rng.normal(size=(3 * 16, NUM_IDENTITY)),
        features=rng.normal(size=(5, 3)),
        head=rng.random(5),
        heatmaps=0.01 * rng.normal(size=(98, 3)),
        discriminator=rng.normal(size=(3 * 16, 2)),
        reach=np.array(5.0),
    )


def _cubic(t: np.ndarray) -> np.ndarray:
    a, t = -0.75, np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _resize(x: np.ndarray, size: int, kernel: str) -> np.ndarray:
    """Separable interpolation with centres at halves, clamped at the border, written out as a matrix."""
    old = x.shape[-1]
    matrix = np.zeros((size, old))
    for row in range(size):
        centre = (row + 0.5) * old / size - 0.5
        if kernel == "bilinear":
            centre = max(centre, 0.0)
        for column in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            distance = np.asarray(centre - column)
            share = _cubic(distance) if kernel == "bicubic" else np.maximum(0.0, 1.0 - np.abs(distance))
            matrix[row, min(max(column, 0), old - 1)] += share
    return matrix @ x @ matrix.T


def _pooled(x: np.ndarray) -> np.ndarray:
    side = x.shape[-1] // 4
    return x.reshape(len(x), 3, 4, side, 4, side).mean(axis=(3, 5)).reshape(len(x), -1)


def _numpy_terms(scene: _Scene, net: _Weights) -> dict[str, float]:
    def mean_l1(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(a - b).mean())

    def landmarks(c: np.ndarray) -> np.ndarray:
        return net.reach * np.tanh(0.1 * c @ net.landmarks).reshape(B, 68, 2)

    def coefficients(x: np.ndarray) -> np.ndarray:
        return _pooled(_resize(x, 224, "bilinear")) @ net.coefficients

    def embedding(x: np.ndarray) -> np.ndarray:
        v = _pooled(_resize((x - 0.5) / 0.5, 112, "bicubic")) @ net.embedding
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def unit_features(x: np.ndarray) -> np.ndarray:
        f = np.maximum(np.einsum("oc,bchw->bohw", net.features, x), 0)
        return f / (np.sqrt((f * f).sum(axis=1, keepdims=True)) + 1e-10)

    def central(x: np.ndarray) -> np.ndarray:
        return 0.25 * sum(x[..., i::4, j::4] for i in (1, 2) for j in (1, 2))

    def dilated(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
        return np.max([padded[..., i : i + S, j : j + S] for i in range(5) for j in range(5)], axis=0)

    c_s, c_t = coefficients(scene.source), coefficients(scene.target)
    fused = landmarks(np.concatenate([c_s[:, :80], c_t[:, 80:]], axis=1))
    lows = landmarks(coefficients(scene.result_low))
    shape = mean_l1(fused, landmarks(coefficients(scene.result))) + mean_l1(fused, lows)
    v_s = embedding(scene.source)
    cosines = [(v_s * embedding(x)).sum(axis=1) for x in (scene.result, scene.result_low)]
    logits = _pooled(scene.result) @ net.discriminator
    wanted, same = dilated(scene.face), scene.same.reshape(B, 1, 1, 1)
    lpips = (unit_features(scene.target * same) - unit_features(scene.result * same)) ** 2
    maps = [np.einsum("oc,bchw->bohw", net.heatmaps, x) for x in (scene.result, scene.target)]
    return {
        "shape": min(max(shape, 0.0), 10.0),
        "identity": sum(float(np.abs(1 - c).mean()) for c in cosines),
        "adversarial": float(-np.log(1 / (1 + np.exp(-logits))).mean()),
        "segmentation": mean_l1(central(wanted), scene.mask_low) + mean_l1(wanted, scene.mask),
        "reconstruction": mean_l1(scene.result * same, scene.target * same)
        + mean_l1(scene.result_low * same, central(scene.target) * same),
        "cycle": mean_l1(scene.target, scene.cycled),
        "perceptual": float((lpips * net.head.reshape(1, 5, 1, 1)).sum(axis=1).mean()),
        "eye_heatmap": float(((maps[0] - maps[1])[:, 96:98] ** 2).mean()),
        "mouth_heatmap": float(((maps[0] - maps[1])[:, 76:96] ** 2).mean()),
    }


def _torch_terms(scene: _Scene, net: _Weights, result: Tensor) -> dict[str, Tensor]:
    tensors = {name: torch.from_numpy(value) for name, value in scene._asdict().items()}
    w = {name: torch.from_numpy(value) for name, value in net._asdict().items()}
    target, low = tensors["target"], tensors["result_low"]

    def pooled(x: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(x, 4).flatten(1)

    def coefficients(x: Tensor) -> Tensor:
        larger = functional.interpolate(x, size=224, mode="bilinear", align_corners=False)
        return pooled(larger) @ w["coefficients"]

    def landmarks(c: Tensor) -> Tensor:
        return w["reach"] * torch.tanh(0.1 * c @ w["landmarks"]).reshape(B, 68, 2)

    def embedding(x: Tensor) -> Tensor:
        scaled = functional.interpolate((x - 0.5) / 0.5, size=112, mode="bicubic", align_corners=False)
        return pooled(scaled) @ w["embedding"]

    def features(x: Tensor) -> list[Tensor]:
        return [torch.einsum("oc,bchw->bohw", w["features"], x).relu()]

    def maps(x: Tensor) -> Tensor:
        return torch.einsum("oc,bchw->bohw", w["heatmaps"], x)

    c_s, c_t = coefficients(tensors["source"]), coefficients(target)
    fused = landmarks(torch.cat((c_s[:, :80], c_t[:, 80:]), dim=1))
    q_r, q_low = landmarks(coefficients(result)), landmarks(coefficients(low))
    same = tensors["same"]
    return {
        "shape": landmark_loss(fused, q_r, q_low, clamp=10.0),
        "identity": identity_loss(embedding(tensors["source"]), embedding(result), embedding(low)),
        "adversarial": generator_loss((pooled(result) @ w["discriminator"])[:, :, None, None], "reference"),
        "segmentation": segmentation_loss(tensors["mask"], tensors["mask_low"], tensors["face"]),
        "reconstruction": reconstruction_loss(result, low, target, same),
        "cycle": cycle_loss(target, tensors["cycled"]),
        "perceptual": batch_mean(lpips_distance(features(result), features(target), [w["head"]]), same),
        "eye_heatmap": heatmap_loss(maps(result), maps(target), EYE_CHANNELS),
        "mouth_heatmap": heatmap_loss(maps(result), maps(target), MOUTH_CHANNELS),
    }


def test_reference_256_every_term_and_the_total_agree_with_the_formulas():
    scene, net = _scene(), _weights()
    expected = _numpy_terms(scene, net)
    assert expected["shape"] < 10.0
    weights = reference_weights()
    total, terms = combine(_torch_terms(scene, net, torch.from_numpy(scene.result)), weights)
    assert set(terms) == set(expected) == {name for name in TERMS if weights.needs(name)}
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-9), name
    sid = 0.5 * expected["shape"] + 5 * expected["identity"]
    realism = expected["adversarial"] + 100 * expected["segmentation"] + 20 * expected["reconstruction"]
    realism += expected["cycle"] + 5 * expected["perceptual"]
    realism += 1e4 * (expected["eye_heatmap"] + expected["mouth_heatmap"])
    assert total.item() == pytest.approx(sid + realism, rel=1e-9)


def test_reference_256_gradient_on_the_result_agrees_with_numpy_differences():
    scene, net = _scene(), _weights()
    result = torch.from_numpy(scene.result).requires_grad_()
    combine(_torch_terms(scene, net, result), reference_weights()).total.backward()
    assert result.grad is not None
    table = reference_weights().as_dict()

    def value(moved: np.ndarray) -> float:
        terms = _numpy_terms(scene._replace(result=moved), net)
        return sum(table[name] * term for name, term in terms.items())

    rng = np.random.default_rng(2)
    for _ in range(4):
        direction, step = rng.normal(size=scene.result.shape), 1e-7
        slope = (value(scene.result + step * direction) - value(scene.result - step * direction)) / (2 * step)
        assert float((result.grad.numpy() * direction).sum()) == pytest.approx(slope, rel=1e-4)


def test_reference_256_shape_term_stops_at_ten():
    # the reference's quirk, kept: far shapes give 10 and no gradient
    scene, net = _scene(), _weights()
    far = net._replace(reach=np.array(100.0))
    result = torch.from_numpy(scene.result).requires_grad_()
    shape = _torch_terms(scene, far, result)["shape"]
    shape.backward()
    assert shape.item() == _numpy_terms(scene, far)["shape"] == 10.0
    assert result.grad is not None
    assert torch.count_nonzero(result.grad) == 0
