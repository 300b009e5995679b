"""The identity vector in numpy: put together from named parts by the layout that the bundle holds.

The arithmetic is that of `models/identity.py`, which says it for training in PyTorch; a test holds the two
together. A part is called after its owner and a feature, so `source_shape` is the `shape` of the source:

    mesh family    shape (K_id,)  expression (K_exp,)  pose (3,)  identity (128,)
    Basel family   shape (80,)    expression (64,)     texture (80,)  pose (3,)  light (27,)
                   translation (3,)  identity (512,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from hififace.types import FloatArray
from hififace.weights.bundle import Attribute, VectorEntry

FaceFeatures: TypeAlias = Mapping[str, FloatArray]
"""Features of one face: name -> (size,)."""

IDENTITY: Final = "identity"
"""The feature that `id_rate` governs; `shape_rate` governs everything else that the source owns."""


def source_needs(layout: Sequence[VectorEntry]) -> frozenset[str]:
    """Features that a source needs, at any rates."""
    return frozenset(part.feature for part in layout if part.owner == "source")


def target_needs(
    layout: Sequence[VectorEntry], shape_rate: float = 1.0, id_rate: float = 1.0
) -> frozenset[str]:
    """Features that a target needs at these rates; at a rate of 1, none of those that the source owns."""
    return frozenset(
        part.feature for part in layout if part.owner == "target" or _rate(part, shape_rate, id_rate) != 1.0
    )


def identity_vectors(
    layout: Sequence[VectorEntry],
    sources: Sequence[FaceFeatures],
    targets: Sequence[FaceFeatures],
    *,
    shape_rate: float = 1.0,
    id_rate: float = 1.0,
    unit_identity: bool = False,
) -> FloatArray:
    """v_sid = [shape of the source, the rest of the target, identity of the source], one row for each face.

    Method, section 1.1 "3D shape-aware identity extractor"; the paper's section 3.2.

    Args:
        layout: the parts in order. Gains are not applied: the network does.
        sources: one for each face.
        targets: likewise.
        shape_rate: 1 gives the source's face shape (as far as the part's `strength` says), 0 keeps the target's.
        id_rate: the same for the identity embedding.
        unit_identity: bring a mixed embedding back to unit length, for networks that were trained on such alone.

    Returns:
        (B, D) float32.

    Raises:
        ValueError: a part is missing or has another size than the layout says.
    """
    rows = [
        np.concatenate(
            [_part(part, source, target, _rate(part, shape_rate, id_rate), unit_identity) for part in layout]
        )
        for source, target in zip(sources, targets, strict=True)
    ]
    return np.stack(rows) if rows else np.zeros((0, sum(part.size for part in layout)), np.float32)


def identity_part(layout: Sequence[VectorEntry]) -> slice:
    """Where the source's identity stands in the vector.

    Raises:
        ValueError: the layout has no source_identity.
    """
    start = 0
    for part in layout:
        if part.owner == "source" and part.feature == IDENTITY:
            return slice(start, start + part.size)
        start += part.size
    raise ValueError("the identity vector has no part source_identity")


def average_sources(faces: Sequence[FaceFeatures]) -> dict[str, FloatArray]:
    """Several photos of one person as one source: the mean of each feature.

    The mean identity is brought back to unit length: photos that disagree would otherwise weaken it.

    Raises:
        ValueError: there is no photo.
    """
    if not faces:
        raise ValueError("there is no source to average")
    if len(faces) == 1:
        return dict(faces[0])
    means: dict[str, FloatArray] = {
        name: np.stack([face[name] for face in faces]).mean(axis=0, dtype=np.float32) for name in faces[0]
    }
    if IDENTITY in means:
        means[IDENTITY] = unit(means[IDENTITY])
    return means


def free_of(embedding: FloatArray, attributes: Sequence[Attribute]) -> FloatArray:
    """Remove attributes such as glasses from an embedding (D,) of unit length.

    e ← unit(e − max(0, e·h − level) h) for each attribute with direction h: what faces without it have too, stays.
    """
    for attribute in attributes:
        direction = np.asarray(attribute.direction, np.float32)
        beyond = float(embedding @ direction) - attribute.level
        if beyond > 0.0:
            embedding = unit(embedding - np.float32(beyond) * direction)
    return embedding


def unit(vector: FloatArray) -> FloatArray:
    """The vector (D,) at length one; a zero vector stays."""
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-12))


def _rate(part: VectorEntry, shape_rate: float, id_rate: float) -> float:
    """How far this part goes from the target's value to the source's: the caller's rate times the model's strength."""
    if part.owner == "target":
        return 1.0
    return part.strength * (id_rate if part.feature == IDENTITY else shape_rate)


def _part(
    part: VectorEntry, source: FaceFeatures, target: FaceFeatures, rate: float, unit_identity: bool
) -> FloatArray:
    if part.owner == "target":
        return _look_up(target, part)
    values = free_of(_look_up(source, part), part.without)
    if rate == 1.0:
        return values
    mixed = np.float32(rate) * values + np.float32(1.0 - rate) * _look_up(target, part)
    return unit(mixed) if unit_identity and part.feature == IDENTITY else mixed


def _look_up(face: FaceFeatures, part: VectorEntry) -> FloatArray:
    values = face.get(part.feature)
    if values is None or values.shape != (part.size,):
        found = "nothing" if values is None else f"{values.shape}"
        raise ValueError(
            f"the part '{part.name}' needs '{part.feature}' ({part.size},); the face says {found} there, and knows "
            f"{', '.join(sorted(face)) or 'nothing'}"
        )
    return np.asarray(values, np.float32)
