"""Which faces of an image are meant: the largest, all, by index from left to right, or by a reference photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hififace.errors import FaceError, NoFaceFoundError, OptionError
from hififace.faces.appearance import Appearance
from hififace.faces.identity import SAME_PERSON_COSINE, cosine
from hififace.types import Face

SMALL_SHARE = 0.4
"""A face smaller than this share of the largest belongs to somebody in the background."""

BLURRED_BESIDE = 0.12
"""A blurred face whose `blur` is by so much above the sharpest's is out of focus."""

PROFILE_DEG = 65.0
"""Turned further aside by its own points, a face is a profile, whatever the mesh says."""

UNCLEAR_SCORE, UNCLEAR_POINTS = 0.5, 0.15
"""Less confident the mesh, or farther apart mesh and detector, where a face is hidden, tiny or no face at all: of 278
portraits down to 28 px none are."""

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
        faces: of one image, with their `index`; with `identity` where the rule is ``reference``.
        rule: ``largest``, ``all``, ``reference``, or one or several indices (``0``, ``0,2``, or an int).
        reference: (D,) identity vector of the person sought.
        threshold: least cosine to the reference.

    Returns:
        At least one face, by index; for ``reference`` one only, the most alike.

    Raises:
        NoFaceFoundError: the image has no face.
        FaceError: it has none at that index, or none alike enough.
        OptionError: there is no such rule, or its reference is missing.
    """
    indices = _parse(rule)
    if indices is None and rule == "reference" and reference is None:
        raise OptionError(
            "Selecting by a reference needs a photo of the person; give one, or choose another rule."
        )
    if not faces:
        raise NoFaceFoundError("No face was found in the image; choose one that shows a face.")
    if indices is not None:
        return by_index(faces, indices)
    if rule == "all":
        return list(faces)
    if rule == "reference" and reference is not None:
        return [most_alike(faces, reference, threshold)]
    return [largest(faces)]


def left_out(shown: Mapping[int, Appearance]) -> dict[int, str]:
    """Which faces of an image are not meant by somebody who did not say whom: bystanders.

    Args:
        shown: index of a face -> how it is shown.

    Returns:
        Index -> why it is left out, a sentence without its end. Never all of them: the largest face is left out only
        for another that is shown well.
    """
    if len(shown) < 2:
        return {}
    poor = {index: reason for index, one in shown.items() if (reason := _shown_poorly(one))}
    well = {index: one for index, one in shown.items() if index not in poor}
    if not well:
        main = max(shown, key=lambda index: shown[index].size_px)
        well = {main: shown[main]}
        poor.pop(main)
    largest_px = max(one.size_px for one in well.values())
    sharpest = min(one.blur for one in well.values())
    reasons = {}
    for index, one in shown.items():
        if one.size_px < SMALL_SHARE * largest_px:
            reasons[index] = f"it is small: {one.size_px:.0f} px beside {largest_px:.0f} px"
        elif one.is_blurred and one.blur > sharpest + BLURRED_BESIDE:
            reasons[index] = "it is blurred, and another face is sharp"
        elif index in poor:
            reasons[index] = poor[index]
    return reasons


def _shown_poorly(one: Appearance) -> str:
    if one.turn_deg > PROFILE_DEG:
        return "it is seen from the side"
    if one.mesh_score < UNCLEAR_SCORE or one.disagreement > UNCLEAR_POINTS:
        return "it is not seen clearly"
    return ""


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
                f"There is no face {index}: the image shows {len(faces)}, numbered from the left "
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
            f"None of the {len(faces)} faces shows the person of the reference photo: the most similar has a "
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
