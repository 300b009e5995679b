"""Measures of one result: mask, pose, expression, gaze, face shape, reconstruction, realism.

Longer ones have files of their own: identity, features, temporal, sharpness, skin tone, untouched. Meshes are (468, 3)
in pixels; result and target are measured in the same way.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import align, transform_points
from hififace.faces.appearance import eye_openings
from hififace.faces.landmarks import EYE_CORNERS, point_groups
from hififace.faces.masks import region_mask
from hififace.faces.shape import MeshShapePrior, align_to_mean, load_shape_basis
from hififace.faces.templates import TEMPLATES
from hififace.pixels import decibels
from hififace.types import FloatArray, RGBImage

# ---------------------------------------------------------------------------------------------------------
# Mask: the share of the target's face that was generated. A network with an empty mask copies its target.


def mask_area(mask: NDArray[np.floating], mesh: NDArray[np.floating]) -> float:
    """Sum of a mask over the area of the face.

    Args:
        mask: (H, W) 0..1 in pixels of the image: weight of the generated face in the result.
        mesh: (468, 3) of the target, in the same pixels. The area is that of `region_mask`, forehead included.

    Returns:
        About 1 where exactly the face was generated, 0 for nothing.
    """
    size = (int(mask.shape[0]), int(mask.shape[1]))
    area = float(region_mask(mesh, size, dilate_px=0.0, feather_px=0.0).sum())
    return float(mask.sum(dtype=np.float64)) / max(area, 1.0)


# ---------------------------------------------------------------------------------------------------------
# Head pose: angle between the head poses of result and target.
#
# `pose_error_deg` is the angle of the rotation between the two heads, each estimated by aligning the mesh prior's
# mean face with the 468 points (`faces/shape.py`). The literature reports the L2 norm of Hopenet's three angles,
# which is about equal for small angles; Hopenet cannot be downloaded freely, and its figures are not comparable.


def head_rotation(mesh: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3) rotation from the mean face to the image; mesh (468, 3)."""
    _, _, rotation, _ = align_to_mean(mesh, load_shape_basis().mean)
    return rotation


def rotation_angle_deg(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The angle of the rotation from one to the other, 0 to 180: cos = (trace(R1ᵀ R2) - 1) / 2.

    The arc cosine is inaccurate for small angles, so the sine is used too: |R - Rᵀ|_F = 2 √2 sin.
    """
    between = np.asarray(first, np.float64).T @ np.asarray(second, np.float64)
    sine = float(np.linalg.norm(between - between.T)) / (2 * np.sqrt(2))
    return float(np.degrees(np.arctan2(sine, (float(np.trace(between)) - 1) / 2)))


def pose_error_deg(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Angle in degrees between the head poses of two meshes (468, 3)."""
    return rotation_angle_deg(head_rotation(target), head_rotation(result))


# ---------------------------------------------------------------------------------------------------------
# Expression: difference between result and target.
#
# - `expression_error`: root mean square difference of the mesh prior's expression coefficients, in standard deviations
#   of one person's faces. The prior separates identity and expression imperfectly, so a change of identity alone
#   changes it.
# - `mouth_opening_error`: difference of the distance between the lips, relative to the distance of the outer eye
#   corners.
# - `eye_opening_error`: difference of the distance between the eyelids, relative to the eye's width; mean of both eyes.
#
# The literature compares coefficients of Deep3D or 3DDFA, or an embedding, on other scales.

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
    """Distance of the inner lips over that of the outer eye corners; 0 is closed."""
    return _distance(mesh, LIPS) / max(_distance(mesh, OUTER_CORNERS), 1e-6)


def mouth_opening_error(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Of two meshes (468, 3)."""
    return abs(mouth_opening(result) - mouth_opening(target))


def eye_opening_error(result: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Of two meshes (468, 3)."""
    return float(np.abs(eye_openings(result) - eye_openings(target)).mean())


def _distance(mesh: NDArray[np.floating], pair: tuple[int, int]) -> float:
    """Distance in 3D, which does not depend on the head pose."""
    points = np.asarray(mesh, np.float64)
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


# ---------------------------------------------------------------------------------------------------------
# Gaze: angle between the gaze directions of result and target.
#
# The offset of the iris from the middle between the eye's corners is measured along the line of the corners in
# projected widths of the eye, so that head pose has no effect, and perpendicular to it in 3D widths. For an eyeball
# that rotates about its centre, with 30 mm between the corners and the iris 10 mm from the centre (means of
# adults), sin(angle) = 3 · offset. Both eyes have equal weight; closed eyes of the target are left out. L2CS and
# other gaze networks of the literature cannot be downloaded freely.

EYE_WIDTH_MM: Final = 30.0
IRIS_RADIUS_MM: Final = 10.0
"""Distance of the iris's centre from the centre of the eyeball."""

OPEN: Final = 0.12
"""Minimum opening of an eye (eyelid distance over width) for a reliable iris."""

LARGEST_SINE: Final = 0.95


def gaze_directions(mesh: NDArray[np.floating], irises: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 3) unit vectors in the coordinates of each eye: along its corners to image right, down, out of the head.

    Args:
        mesh: (468, 3) in pixels.
        irises: (2, 5, 3) in the same pixels, the centre first.
    """
    points = np.asarray(mesh, np.float64)
    directions = []
    for (first, second), iris in zip(EYE_CORNERS, np.asarray(irises, np.float64), strict=True):
        across = points[second, :2] - points[first, :2]
        seen_width = max(float(np.linalg.norm(across)), 1e-6)
        width = max(float(np.linalg.norm(points[second] - points[first])), 1e-6)
        along = across / seen_width
        offset = iris[0, :2] - (points[first, :2] + points[second, :2]) / 2
        shares = [offset @ along / seen_width, offset @ np.array([-along[1], along[0]]) / width]
        sines = np.array(shares) * EYE_WIDTH_MM / IRIS_RADIUS_MM
        sines /= max(float(np.linalg.norm(sines)) / LARGEST_SINE, 1.0)
        directions.append([*sines, np.sqrt(1.0 - sines @ sines)])
    return np.array(directions)


def gaze_error_deg(
    result: tuple[NDArray[np.floating], NDArray[np.floating]],
    target: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> float:
    """Mean angle between the gaze directions of two faces, each (mesh, irises); NaN if the target's eyes are closed."""
    between = angles_deg(gaze_directions(*result), gaze_directions(*target))
    seen = eye_openings(target[0]) >= OPEN
    return float(between[seen].mean()) if seen.any() else float("nan")


def angles_deg(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) between unit vectors (N, 3)."""
    sines = np.linalg.norm(np.cross(first, second), axis=1)
    return np.asarray(np.degrees(np.arctan2(sines, (first * second).sum(axis=1))))


# ---------------------------------------------------------------------------------------------------------
# Face shape: distance of the result's face outline from the source's, and from the target's.
#
# The 36 points of the mesh's face oval are transformed to the prior's frontal frame (rotation, scale and translation
# removed), and the expression estimated by the prior is subtracted; the measure is the mean distance of two such
# outlines, in percent of the distance of the outer eye corners of the mean face. The paper compares shape
# coefficients of RingNet, which cannot be downloaded freely.


def neutral_outline(mesh: NDArray[np.floating], prior: MeshShapePrior) -> NDArray[np.float64]:
    """(36, 2) frontal outline without expression, in units of the mean shape; mesh (468, 3)."""
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


# ---------------------------------------------------------------------------------------------------------
# Reconstruction: where source and target show the same person, the result should equal the target.
#
# PSNR and SSIM between result and target in a crop of the face, within the face region of the target's mesh
# and not within the network's mask, since that would reward an empty mask. Both images are aligned to the
# `mini_128` template at 128 px. SSIM is Wang et al. (2004) on luma, with Gaussian
# windows of sigma 1.5.

PSNR_CEILING_DB: Final = 60.0
"""Limit for equal images, whose PSNR is infinite; rounding to 8 bits alone gives 59 dB."""

SIDE_PX: Final = 128
"""Side of the crop; `portraits` uses 256."""

SIGMA: Final = 1.5
LUMA: Final = (0.299, 0.587, 0.114)
STABILISERS: Final = ((0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2)


def psnr_db(first: RGBImage, second: RGBImage, region: NDArray[np.bool_]) -> float:
    """Peak signal to noise ratio over a region (H, W): 10 log10(255² / mean squared difference), at most 60."""
    difference = first[region].astype(np.float64) - second[region].astype(np.float64)
    error = float(np.mean(difference**2)) if difference.size else 0.0
    return decibels(error, peak=255.0, ceiling=PSNR_CEILING_DB)


def ssim(first: RGBImage, second: RGBImage, region: NDArray[np.bool_]) -> float:
    """Structural similarity of the luma, averaged over a region (H, W): 1 for equal images."""
    x, y = (image.astype(np.float64) @ np.array(LUMA) for image in (first, second))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = STABILISERS
    map_ = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return float(map_[region].mean()) if region.any() else 1.0


def face_crop(
    image: RGBImage, points5: NDArray[np.floating], mesh: NDArray[np.floating], side_px: int = SIDE_PX
) -> tuple[RGBImage, NDArray[np.bool_]]:
    """(S, S, 3) crop and (S, S) face region.

    Args:
        image: (H, W, 3).
        points5: (5, 2) of the target, also for the result.
        mesh: (468, 3) of the target.
        side_px: S.
    """
    crop, matrix = align(image, points5, TEMPLATES["mini_128"].scaled(side_px))
    points: FloatArray = transform_points(matrix, mesh).astype(np.float32)
    side = crop.shape[0]
    return crop, region_mask(points, (side, side), dilate_px=0.0, feather_px=0.0) > 0.5


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(x, (11, 11), SIGMA, borderType=cv2.BORDER_REFLECT), np.float64)


# ---------------------------------------------------------------------------------------------------------
# Realism: distance between the distributions of results and real photos.
#
# `frechet_NETWORK`: the Fréchet distance of two Gaussians fitted to features of the results and of the target
# photos (Heusel et al. 2017, arXiv 1706.08500, who take Inception's features). The network's name is part of
# the measure's: values of different networks, or of different numbers of photos, are not comparable.


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """|μ1 - μ2|² + trace(Σ1 + Σ2 - 2 (Σ1 Σ2)^½) of two sets of features, (N, F) and (M, F).

    In float64. trace((Σ1 Σ2)^½) is the sum of the singular values of A1ᵀ A2 with Σ = A Aᵀ, which avoids the square root
    of a non-symmetric matrix and works for fewer than F photos. Σ divides by N rather than N - 1, so that a set and its
    duplication have distance 0.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    root_a, root_b = ((x - m) / np.sqrt(len(x)) for x, m in ((a, mean_a), (b, mean_b)))
    # With more photos than features, R of a QR decomposition suffices: Q does not change the singular values.
    root_a, root_b = (_triangle(root) for root in (root_a, root_b))
    crossed = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    spread = (root_a**2).sum() + (root_b**2).sum() - 2.0 * crossed
    return float(max(((mean_a - mean_b) ** 2).sum() + spread, 0.0))


def _triangle(root: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, F) to (min(N, F), F)."""
    if len(root) <= root.shape[1]:
        return root
    return np.asarray(np.linalg.qr(root, mode="r"), np.float64)
