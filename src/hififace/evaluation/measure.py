"""All measures of one result, by name, and their means over a part of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.contestants import Subject, Swapped
from hififace.evaluation.description import Description
from hififace.evaluation.expression import expression_error, eye_opening_error, mouth_opening_error
from hififace.evaluation.gaze import gaze_error_deg
from hififace.evaluation.identity import retrieved_within
from hififace.evaluation.mask import mask_area
from hififace.evaluation.pose import pose_error_deg
from hififace.evaluation.realism import frechet_distance
from hififace.evaluation.reconstruction import face_crop, psnr_db, ssim
from hififace.evaluation.shape import shape_error
from hififace.faces.identity import cosine
from hififace.faces.shape import MeshShapePrior
from hififace.types import FloatArray

RECOGNISERS: Final = ("sface", "dlib")
RETRIEVAL_DEPTHS: Final = (1, 5)


class Measured(NamedTuple):
    """One result."""

    values: dict[str, float]
    """Measure -> value; NaN where it cannot be told."""
    sface: FloatArray
    dlib: FloatArray
    features: FloatArray


class Summary(NamedTuple):
    """A measure over a part of the protocol."""

    mean: float
    standard_error: float | None
    """Of the mean; None where the measure is of all results at once."""
    num: int


def measure_result(
    source: Subject, target: Subject, swapped: Swapped, result: Description, prior: MeshShapePrior
) -> Measured:
    """Everything about one result.

    Args:
        source: who was put in.
        target: into what.
        swapped: what came out.
        result: the description of its image.
        prior: the mesh's.
    """
    was, got = target.face, result
    before, region = face_crop(target.pixels, was.points5, was.mesh)
    after, _ = face_crop(swapped.image, was.points5, was.mesh)
    values = {
        "sface_source": cosine(got.sface, source.face.sface),
        "sface_target": cosine(got.sface, was.sface),
        "dlib_source": float(np.linalg.norm(got.dlib - source.face.dlib)),
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
    return Measured(values, got.sface, got.dlib, got.features)


def summarise(measured: Sequence[Measured]) -> dict[str, Summary]:
    """Mean and standard error of every measure of single results; values that cannot be told are left out."""
    names = list(measured[0].values) if measured else []
    return {name: mean_of(np.array([one.values[name] for one in measured])) for name in names}


def mean_of(values: NDArray[np.floating]) -> Summary:
    """Mean, its standard error, and of how many."""
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
        people: row of the right person for each.
        galleries: name (empty for the sources' own photos) -> one description for each person.
    """
    right = np.array(people)
    found: dict[str, Summary] = {}
    for recogniser in RECOGNISERS:
        vectors = np.stack([getattr(one, recogniser) for one in measured])
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
