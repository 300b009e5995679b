from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.realism import frechet_distance


def exact_gaussian(mean, std, seed=0, num=64):
    """Samples whose mean and (population) covariance are exactly those."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(num, len(mean)))
    x -= x.mean(axis=0)
    left, _, right = np.linalg.svd(x, full_matrices=False)
    white = left @ right * np.sqrt(num)
    return white * np.asarray(std) + np.asarray(mean)


def test_known_gaussians_give_the_closed_form():
    """Diagonal covariances: |μ1 - μ2|² + Σ (σ1 - σ2)² = (9 + 16) + (1 + 0 + 4)."""
    first = exact_gaussian([0, 0, 0], [1, 2, 3])
    second = exact_gaussian([3, 4, 0], [2, 2, 1], seed=1)
    assert frechet_distance(first, second) == pytest.approx(30, rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(30, rel=1e-9)


def test_covariances_that_do_not_commute():
    """Against the definition, with a matrix root from the eigenvalues of Σ1 Σ2."""
    random = np.random.default_rng(2)
    first = random.normal(size=(50, 4)) @ random.normal(size=(4, 4))
    second = random.normal(size=(70, 4)) @ random.normal(size=(4, 4)) + 1.0
    s1, s2 = np.cov(first.T, bias=True), np.cov(second.T, bias=True)
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).real).sum()
    means = ((first.mean(0) - second.mean(0)) ** 2).sum()
    expected = means + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_set_taken_twice_is_at_distance_nought_even_with_more_features_than_photos():
    features = np.random.default_rng(3).normal(size=(10, 40))
    assert frechet_distance(np.concatenate([features, features]), features) == pytest.approx(0, abs=1e-9)
