"""The 3D shape-aware identity vector, v_sid: put together from named parts.

Method, section 1.1 "3D shape-aware identity extractor"; in the paper its part of the same
name. Its idea: face *shape* and identity from the source, expression and pose from the target.

A layout (`GeneratorParams.vector`) lists the parts in order; each is called after its owner and a feature,
so `source_shape` is the `shape` of the source. What is known of a face is a mapping from feature to tensor:

    mesh family    shape (B, K_id)  expression (B, K_exp)  pose (B, 3)  identity (B, 128)
    Basel family   shape (B, 80)    expression (B, 64)     texture (B, 80)  pose (B, 3)  light (B, 27)
                   translation (B, 3)  identity (B, 512)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hififace.models.params import VectorPart
from hififace.models.pretrained.deep3d import FaceCoefficients

Features = Mapping[str, Tensor]

IDENTITY = "identity"
"""The feature that `id_rate` governs; `shape_rate` governs everything else that the source owns."""


def feature_of(part: VectorPart) -> str:
    """`shape` of the part `source_shape`."""
    return part.name.removeprefix(f"{part.owner}_")


def identity_vector(
    layout: Sequence[VectorPart],
    source: Features,
    target: Features,
    shape_rate: float | Tensor = 1.0,
    id_rate: float | Tensor = 1.0,
    unit_identity: bool = False,
) -> Tensor:
    """v_sid = [shape of the source, the rest of the target, identity of the source].

    Args:
        layout: the parts in order, e.g. `generator.params.vector`. Gains are not applied: the network does.
        source: what the source's face says, each (B, size), or (1, size) for one source and many targets.
        target: what the target's face says; at a rate of 1 nothing that the source owns is looked up here.
        shape_rate: 1 gives the source's face shape, 0 keeps the target's. A number, or (B, 1).
        id_rate: the same for the identity embedding.
        unit_identity: bring a mixed embedding back to unit length. The reference does not, so that a rate of
            0.5 also halves what two strangers have in common; networks trained on unit vectors alone want it.

    Returns:
        (B, D).

    Raises:
        ValueError: a part is missing or has another size than the layout says.
    """
    parts = []
    for part in layout:
        name = feature_of(part)
        if part.owner == "target":
            values = _look_up(target, name, part)
        else:
            rate = id_rate if name == IDENTITY else shape_rate
            values = _look_up(source, name, part)
            if isinstance(rate, Tensor) or rate != 1.0:
                values = interpolate(values, _look_up(target, name, part), rate)
                if unit_identity and name == IDENTITY:
                    values = F.normalize(values, dim=1)
        parts.append(values)
    batch = max(values.shape[0] for values in parts)
    return torch.cat([values.expand(batch, -1) for values in parts], dim=1)


def interpolate(source: Tensor, target: Tensor, rate: float | Tensor) -> Tensor:
    """Rate * source + (1 - rate) * target; (B, N) or broadcast to it."""
    return rate * source + (1.0 - rate) * target


def split(vector: Tensor, layout: Sequence[VectorPart]) -> dict[str, Tensor]:
    """Part name -> (B, size): the inverse of putting together.

    Raises:
        ValueError: the vector (B, D) has another length than the layout.
    """
    sizes = [part.size for part in layout]
    if vector.ndim != 2 or vector.shape[1] != sum(sizes):
        raise ValueError(
            f"The identity vector is {tuple(vector.shape)}; this layout expects (B, {sum(sizes)})."
        )
    names = [part.name for part in layout]
    return dict(zip(names, torch.split(vector, sizes, dim=1), strict=True))


def asking_again(vector: Tensor, layout: Sequence[VectorPart], found: Tensor, most: float) -> Tensor:
    """The vectors, asking in addition for a part of what first results lack of the source's identity, as swapping does
    (`Engine.identity_lacks`): for a random part, up to `most`, so that first results are trained, too.

    Args:
        vector: (B, D).
        layout: its parts, source_identity among them.
        found: (B, size) embeddings of first results, of any length.
        most: largest share.
    """
    parts = split(vector, layout)
    asked = parts["source_identity"]
    much = most * torch.rand(len(vector), 1, device=vector.device)
    parts["source_identity"] = asked + much * (asked - F.normalize(found.float(), dim=1))
    return torch.cat(list(parts.values()), dim=1)


def average_sources(faces: Sequence[Features]) -> dict[str, Tensor]:
    """Several photos of one person as one source: the mean of each feature, (B, size) as before.

    The mean identity is brought back to unit length: photos that disagree would otherwise weaken it.

    Raises:
        ValueError: there is no photo, or they have different features.
    """
    if not faces:
        raise ValueError("There is no source to average: give at least one.")
    names = set(faces[0])
    if any(set(face) != names for face in faces):
        raise ValueError(
            "The sources have different features: "
            + "; ".join(", ".join(sorted(face)) for face in faces)
            + ". Describe all of them with the same parts."
        )
    means = {name: torch.stack([face[name] for face in faces]).mean(dim=0) for name in faces[0]}
    if IDENTITY in means and len(faces) > 1:
        means[IDENTITY] = F.normalize(means[IDENTITY], dim=1)
    return means


def basel_features(coefficients: FaceCoefficients, identity: Tensor | None = None) -> dict[str, Tensor]:
    """Deep3DFaceRecon's coefficients and an embedding (B, 512) under the names of this page."""
    features = {
        "shape": coefficients.identity,
        "expression": coefficients.expression,
        "texture": coefficients.texture,
        "pose": coefficients.angles,
        "light": coefficients.light,
        "translation": coefficients.translation,
    }
    return features if identity is None else {**features, IDENTITY: identity}


def _look_up(face: Features, name: str, part: VectorPart) -> Tensor:
    if name not in face:
        raise ValueError(
            f"The part '{part.name}' needs '{name}', but the face says only {', '.join(sorted(face)) or 'nothing'}."
        )
    values = face[name]
    if values.ndim != 2 or values.shape[1] != part.size:
        raise ValueError(
            f"'{name}' is {tuple(values.shape)}; the part '{part.name}' expects (B, {part.size})."
        )
    return values
