from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import WeightsError
from hififace.evaluation.identity import (
    CHIP_TEMPLATE,
    DlibEmbedder,
    distances,
    dlib_chip,
    retrieved_within,
    verification_accuracy,
)

GALLERY = np.eye(4)


def test_distances_of_a_known_triangle():
    np.testing.assert_allclose(
        distances(np.array([[0.0, 3.0]]), np.array([[4.0, 0.0], [0.0, 3.0]])), [[5, 0]]
    )


def test_retrieval_counts_who_is_nearer():
    """The result leans to person 0, then 1, then 2, then 3."""
    results = np.tile([0.9, 0.6, 0.3, 0.1], (4, 1))
    right = np.arange(4)
    np.testing.assert_array_equal(retrieved_within(results, GALLERY, right, 1), [True, False, False, False])
    np.testing.assert_array_equal(retrieved_within(results, GALLERY, right, 3), [True, True, True, False])


def test_a_tie_is_no_hit():
    """A network that says the same of everybody retrieves nobody."""
    results = np.ones((4, 4))
    assert not retrieved_within(results, GALLERY, np.arange(4), 1).any()
    assert retrieved_within(results, GALLERY, np.arange(4), 4).all()


def test_verification_at_a_fixed_distance():
    """Pairs of one person 0.1 and 1 apart, of two people sqrt 2 or more: at 0.6 one of the four is wrong."""
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [-3.0, 0.0], [-3.0, 1.0]])
    assert verification_accuracy(vectors, ["a", "a", "b", "b"], threshold=0.6) == 0.75
    assert verification_accuracy(vectors, ["a", "a", "b", "b"], threshold=1.5) == 1.0


def test_the_chip_is_cut_out_as_dlib_does(astronaut_mesh):
    """By dlib's convention the outer corner of the image-right eye lies at (111, 46) of 150."""
    image, mesh = astronaut_mesh
    chip = dlib_chip(image, mesh)
    assert chip.shape == (150, 150, 3)
    wanted = (CHIP_TEMPLATE + 0.25) / 1.5 * 150
    np.testing.assert_allclose(wanted[0], [110.957, 46.35], atol=1e-3)
    # A bright dot put on that corner of the image comes out there.
    marked = np.zeros_like(image)
    x, y = np.rint(mesh[263, :2]).astype(int)
    marked[y - 1 : y + 2, x - 1 : x + 2] = 255
    rows, columns = np.nonzero(dlib_chip(marked, mesh)[..., 0] > 100)
    assert abs(columns.mean() - wanted[0, 0]) < 4
    assert abs(rows.mean() - wanted[0, 1]) < 4


def test_without_weights_it_says_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="hififace weights fetch evaluation"):
        DlibEmbedder()
