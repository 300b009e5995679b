"""Head pose: by how many degrees the head of the result is turned against the target's.

`pose_error_deg` is the angle of the rotation between the two heads, each found by bringing the mesh prior's mean face
onto the 468 points (`faces/shape.py`). The literature takes the L2 norm of Hopenet's three angles, which is about the
same for small ones; Hopenet cannot be had here, so this is no number of its kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hififace.faces.shape import align_to_mean, load_shape_basis


def head_rotation(mesh: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3) rotation that turns the mean face into the image; mesh (468, 3)."""
    _, _, rotation, _ = align_to_mean(mesh, load_shape_basis().mean)
    return rotation


def rotation_angle_deg(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The angle of the rotation from one to the other, 0 to 180: cos = (trace(R1ᵀ R2) - 1) / 2.

    For small angles the arc cosine loses half of its digits, so the sine is asked too: |R - Rᵀ|_F = 2 √2 sin.
    """
    between = np.asarray(first, np.float64).T @ np.asarray(second, np.float64)
    sine = float(np.linalg.norm(between - between.T)) / (2 * np.sqrt(2))
    return float(np.degrees(np.arctan2(sine, (float(np.trace(between)) - 1) / 2)))


def pose_error_deg(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Degrees between the heads of two meshes (468, 3)."""
    return rotation_angle_deg(head_rotation(target), head_rotation(result))
