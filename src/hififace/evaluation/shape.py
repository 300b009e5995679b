"""Face shape: how far the outline of the result's face is from the source's, and from the target's.

The 36 points of the mesh's oval, brought to the prior's frontal frame (turn, size and place removed) and freed from the
expression that the prior finds; the mean distance of two such outlines, in percent of the distance of the outer eye
corners of the mean face. A swap of shape brings it near to the source's and away from the target's. The paper compares
RingNet's shape coefficients, which cannot be had here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.expression import OUTER_CORNERS
from hififace.faces.landmarks import point_groups
from hififace.faces.shape import MeshShapePrior, align_to_mean


def neutral_outline(mesh: NDArray[np.floating], prior: MeshShapePrior) -> NDArray[np.float64]:
    """(36, 2) from the front, in units of the mean shape; mesh (468, 3)."""
    shape, _, _, _ = align_to_mean(mesh, prior.basis.mean)
    expression = prior.coefficients(mesh).expression
    oval = list(point_groups()["face_oval"])
    moved = np.tensordot(expression, prior.basis.expression_basis[:, oval], axes=1)
    outline: NDArray[np.float64] = (shape[oval] - moved)[:, :2]
    return outline


def shape_error(first: NDArray[np.floating], second: NDArray[np.floating], prior: MeshShapePrior) -> float:
    """Of two meshes (468, 3), in percent."""
    apart = np.linalg.norm(neutral_outline(first, prior) - neutral_outline(second, prior), axis=1).mean()
    mean = prior.basis.mean
    eyes = np.linalg.norm(mean[OUTER_CORNERS[0]] - mean[OUTER_CORNERS[1]])
    return float(100.0 * apart / eyes)
