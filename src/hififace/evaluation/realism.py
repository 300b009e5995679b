"""Realism: how far the results are, as a crowd, from the real photos.

`frechet_NETWORK`: the Fréchet distance of two Gaussians fitted to features of the results and of the target photos
(Heusel et al. 2017, arXiv 1706.08500, who take Inception's features). The network's name is part of the measure's:
values of different networks, or of different numbers of photos, are different scales.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """|μ1 - μ2|² + trace(Σ1 + Σ2 - 2 (Σ1 Σ2)^½) of two sets of features, (N, F) and (M, F).

    In float64. trace((Σ1 Σ2)^½) is the sum of the singular values of A1ᵀ A2 with Σ = A Aᵀ, so no root of a matrix that
    is not symmetric is taken, and sets smaller than F do no harm. Σ divides by the number of photos, so that a set
    taken twice is at distance 0.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    root_a, root_b = ((x - m) / np.sqrt(len(x)) for x, m in ((a, mean_a), (b, mean_b)))
    # Of more photos than features the triangle of a QR is enough: the rotation before it changes no singular value.
    root_a, root_b = (_triangle(root) for root in (root_a, root_b))
    crossed = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    spread = (root_a**2).sum() + (root_b**2).sum() - 2.0 * crossed
    return float(max(((mean_a - mean_b) ** 2).sum() + spread, 0.0))


def _triangle(root: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, F) to (min(N, F), F)."""
    if len(root) <= root.shape[1]:
        return root
    return np.asarray(np.linalg.qr(root, mode="r"), np.float64)
