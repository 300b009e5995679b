"""Expression: what the face does, in the result against the target.

- `expression_error`: root mean square difference of the mesh prior's expression coefficients, in standard deviations
  of one person's faces. The prior separates who from what imperfectly, so a change of person alone moves it.
- `mouth_opening_error`: difference of the lips' distance, in distances of the outer eye corners.
- `eye_opening_error`: difference of the lids' distance, in widths of the eye; mean of both eyes.

The literature compares coefficients of Deep3D or 3DDFA, or an embedding; scales differ, so do not compare across.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hififace.faces.appearance import eye_openings
from hififace.faces.shape import MeshShapePrior

LIPS: Final = (13, 14)
"""Middle of the upper and of the lower lip, inner edge."""
OUTER_CORNERS: Final = (33, 263)


def expression_error(
    result: NDArray[np.floating], target: NDArray[np.floating], prior: MeshShapePrior
) -> float:
    """Of two meshes (468, 3)."""
    difference = prior.coefficients(result).expression - prior.coefficients(target).expression
    return float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)))


def mouth_opening(mesh: NDArray[np.floating]) -> float:
    """Distance of the inner lips over that of the outer eye corners; 0 is shut."""
    return _distance(mesh, LIPS) / max(_distance(mesh, OUTER_CORNERS), 1e-6)


def mouth_opening_error(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Of two meshes (468, 3)."""
    return abs(mouth_opening(result) - mouth_opening(target))


def eye_opening_error(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Of two meshes (468, 3)."""
    return float(np.abs(eye_openings(result) - eye_openings(target)).mean())


def _distance(mesh: NDArray[np.floating], pair: tuple[int, int]) -> float:
    """In space: it stays the same when the head turns."""
    points = np.asarray(mesh, np.float64)
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))
