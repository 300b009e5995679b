"""Which faces of a picture are meant: the largest, all, by index from left to right, or by a reference photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hififace.errors import FaceError, NoFaceFoundError, OptionError
from hififace.faces.identity import SAME_PERSON_COSINE, cosine
from hififace.types import Face

RULES = "`largest`, `all`, `reference`, or indices such as `0` or `0,2`, counted from the left"


def select_faces(
    faces: Sequence[Face],
    rule: str | int = "largest",
    *,
    reference: NDArray[np.floating] | None = None,
    threshold: float = SAME_PERSON_COSINE,
) -> list[Face]:
    """The faces that a rule means.

    Args:
        faces: of one picture, with their `index`; with `identity` where the rule is ``reference``.
        rule: ``largest``, ``all``, ``reference``, or one or several indices (``0``, ``0,2``, or an int).
        reference: (D,) identity vector of the person sought.
        threshold: least cosine to the reference.

    Returns:
        At least one face, by index; for ``reference`` one only, the most alike.

    Raises:
        NoFaceFoundError: the picture has no face.
        FaceError: it has none at that index, or none alike enough.
        OptionError: there is no such rule, or its reference is missing.
    """
    indices = _parse(rule)
    if indices is None and rule == "reference" and reference is None:
        raise OptionError(
            "Selecting by a reference needs a photo of the person; give one, or choose another rule."
        )
    if not faces:
        raise NoFaceFoundError("No face was found in the picture; choose one in which a face is seen.")
    if indices is not None:
        return by_index(faces, indices)
    if rule == "all":
        return list(faces)
    if rule == "reference" and reference is not None:
        return [most_alike(faces, reference, threshold)]
    return [largest(faces)]


def largest(faces: Sequence[Face]) -> Face:
    """The face with the largest box; of equals the one found more surely."""
    return max(faces, key=lambda face: (face.detection.size_px, face.detection.score))


def by_index(faces: Sequence[Face], indices: Sequence[int]) -> list[Face]:
    """The faces with those indices.

    Raises:
        FaceError: there is none with one of them.
    """
    known = {face.index: face for face in faces}
    for index in indices:
        if index not in known:
            raise FaceError(
                f"There is no face {index}: the picture shows {len(faces)}, numbered from the left "
                f"{', '.join(str(i) for i in sorted(known))}. Choose one of those."
            )
    return [known[index] for index in sorted(set(indices))]


def most_alike(
    faces: Sequence[Face], reference: NDArray[np.floating], threshold: float = SAME_PERSON_COSINE
) -> Face:
    """The face most like a reference.

    Raises:
        FaceError: none reaches the threshold.
    """
    alike = similarities(faces, reference)
    best = int(np.argmax(alike))
    if alike[best] < threshold:
        raise FaceError(
            f"None of the {len(faces)} faces shows the person of the reference photo: the most alike has a "
            f"similarity of {alike[best]:.2f}, and {threshold:.2f} is needed. Lower the threshold or choose by index."
        )
    return faces[best]


def similarities(faces: Sequence[Face], reference: NDArray[np.floating]) -> list[float]:
    """Cosine of every face to a reference (D,), in the same order."""
    values = []
    for face in faces:
        if face.identity is None:
            raise ValueError("the faces were analysed without their identity")
        values.append(cosine(face.identity, reference))
    return values


def _parse(rule: str | int) -> list[int] | None:
    """Indices, or None where the rule is a word."""
    if isinstance(rule, int):
        return [rule]
    if rule in {"largest", "all", "reference"}:
        return None
    try:
        indices = [int(part) for part in rule.split(",")]
    except ValueError:
        raise OptionError(f"There is no way to select faces called {rule!r}; use {RULES}.") from None
    if min(indices) < 0:
        raise OptionError(f"Faces are numbered from 0, so {rule!r} selects none; use {RULES}.")
    return indices
