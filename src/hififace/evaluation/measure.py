"""Computes all measures of one result by name, and their means over a part of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.description import OPEN, Asked, Description
from hififace.evaluation.identity import retrieved_within
from hififace.evaluation.methods import Subject, Swapped
from hififace.evaluation.metrics import (
    SIDE_PX,
    expression_error,
    eye_opening_error,
    face_crop,
    frechet_distance,
    gaze_error_deg,
    mask_area,
    mouth_opening_error,
    pose_error_deg,
    psnr_db,
    shape_error,
    ssim,
)
from hififace.evaluation.sharpness import sharpness
from hififace.evaluation.untouched import occluder_change
from hififace.faces.identity import cosine
from hififace.faces.shape import MeshShapePrior
from hififace.models.pretrained.dlib import SAME_PERSON_DISTANCE
from hififace.types import FloatArray

RECOGNISERS: Final = ("sface", "dlib")
SECOND: Final = "second"
"""Name of the measures by the user-supplied second recogniser, MobileFaceNet."""
RETRIEVAL_DEPTHS: Final = (1, 5)


class Measured(NamedTuple):
    """Measures and features of one result."""

    values: dict[str, float]
    """Measure -> value; NaN where it is undefined."""
    sface: FloatArray
    dlib: FloatArray
    features: FloatArray
    points68: FloatArray = np.full((68, 2), np.nan, np.float32)
    """(68, 2) as in `Description`."""
    second: FloatArray = np.full(1, np.nan, np.float32)
    """Likewise."""


class Summary(NamedTuple):
    """Mean of a measure over a part of the protocol."""

    mean: float
    standard_error: float | None
    """Of the mean; None for a measure of all results at once."""
    num: int


def measure_result(
    source: Subject,
    target: Subject,
    swapped: Swapped,
    result: Description,
    prior: MeshShapePrior,
    asked: Asked = OPEN,
) -> Measured:
    """Compute all measures of one result.

    Args:
        source: the source face.
        target: the target face.
        swapped: the result.
        result: the description of the result's image.
        prior: shape prior of the mesh.
        asked: additional features.
    """
    was, got = target.face, result
    side_px = SIDE_PX if asked == OPEN else asked.feature_px
    before, region = face_crop(target.pixels, was.points5, was.mesh, side_px)
    after, _ = face_crop(swapped.image, was.points5, was.mesh, side_px)
    to_source = float(np.linalg.norm(got.dlib - source.face.dlib))
    values = {
        "sface_source": cosine(got.sface, source.face.sface),
        "sface_target": cosine(got.sface, was.sface),
        "dlib_source": to_source,
        "dlib_same": 100.0 * (to_source < SAME_PERSON_DISTANCE),
        "dlib_target": float(np.linalg.norm(got.dlib - was.dlib)),
        "pose_deg": pose_error_deg(got.mesh, was.mesh),
        "expression": expression_error(got.mesh, was.mesh, prior),
        "mouth_opening": mouth_opening_error(got.mesh, was.mesh),
        "eye_opening": eye_opening_error(got.mesh, was.mesh),
        "gaze_deg": gaze_error_deg((got.mesh, got.irises), (was.mesh, was.irises)),
        "shape_source": shape_error(got.mesh, source.face.mesh, prior),
        "shape_target": shape_error(got.mesh, was.mesh, prior),
        "mask_area": mask_area(swapped.mask, was.mesh),
        "psnr_db": psnr_db(after, before, region),
        "ssim": ssim(after, before, region),
    }
    if asked != OPEN:
        values |= _of_portraits(source, target, swapped, got)
    return Measured(values, got.sface, got.dlib, got.features, got.points68, got.second)


def _of_portraits(source: Subject, target: Subject, swapped: Swapped, got: Description) -> dict[str, float]:
    was = target.face
    plain = swapped.image if swapped.plain is None else swapped.plain
    values = {
        **(
            {}
            if np.isnan(got.second).any()
            else {
                "second_source": cosine(got.second, source.face.second),
                "second_target": cosine(got.second, was.second),
            }
        ),
        "sharpness": sharpness(swapped.image, target.pixels, was.mesh, swapped.mask),
        "sharpness_plain": sharpness(plain, target.pixels, was.mesh, swapped.mask),
    }
    if target.drawn is not None:
        values["occluder_change"] = occluder_change(swapped.image, target.pixels, target.drawn)
    return values


def summarise(measured: Sequence[Measured]) -> dict[str, Summary]:
    """Mean and standard error of every measure of single results; undefined values are left out."""
    names = dict.fromkeys(name for one in measured for name in one.values)
    found = {name: mean_of(np.array([one.values.get(name, np.nan) for one in measured])) for name in names}
    return {name: summary for name, summary in found.items() if summary.num or name in measured[0].values}


def mean_of(values: NDArray[np.floating]) -> Summary:
    """Mean, its standard error, and the number of values."""
    told = np.asarray(values, np.float64)
    told = told[~np.isnan(told)]
    if not len(told):
        return Summary(float("nan"), None, 0)
    error = float(told.std(ddof=1) / np.sqrt(len(told))) if len(told) > 1 else None
    return Summary(float(told.mean()), error, len(told))


def retrieval(
    measured: Sequence[Measured],
    people: Sequence[int],
    galleries: Mapping[str, Sequence[Description]],
) -> dict[str, Summary]:
    """`RECOGNISER_topK[_GALLERY]` in percent.

    Args:
        measured: results.
        people: row of the right person for each result.
        galleries: name (empty for the sources' own photos) -> one description for each person.
    """
    right = np.array(people)
    found: dict[str, Summary] = {}
    for recogniser in (*RECOGNISERS, SECOND):
        vectors = np.stack([getattr(one, recogniser) for one in measured])
        if np.isnan(vectors).any():
            continue  # there is no second recogniser
        for name, gallery in galleries.items():
            rows = np.stack([getattr(one, recogniser) for one in gallery])
            for depth in RETRIEVAL_DEPTHS:
                hits = retrieved_within(vectors, rows, right, depth)
                label = f"{recogniser}_top{depth}" + (f"_{name}" if name else "")
                found[label] = mean_of(100.0 * hits.astype(np.float64))
    return found


def frechet(measured: Sequence[Measured], real: Sequence[Description], network: str) -> dict[str, Summary]:
    """`frechet_NETWORK` between results and real photos."""
    if not measured or not real:
        return {}
    features = np.stack([one.features for one in measured])
    distance = frechet_distance(features, np.stack([one.features for one in real]))
    return {f"frechet_{network}": Summary(distance, None, len(measured))}
