"""Figures of all pairs of a part at once: shares moved from target to source, and figures by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from hififace.evaluation.description import Description
from hififace.evaluation.measure import Measured, Summary, mean_of
from hififace.evaluation.moved import (
    REGIONS,
    ShapeModel,
    lid_opening,
    lip_opening,
    moved_and_kept,
    neutral_shape,
)
from hififace.evaluation.pairs import Pair
from hififace.evaluation.photos import PhotoSet
from hififace.evaluation.skin_tone import tone_group
from hififace.types import FloatArray

BY_GROUP: Final = ("dlib_source", "dlib_same", "second_source", "sface_source")

LEAST_PAIRS: Final = 10
"""Minimum size of a group to be considered as the worst one; smaller groups are reported, but depend on chance."""

Known = Mapping[str, "Description | None"]


def shares_moved(
    pairs: Sequence[tuple[Pair, Measured]], known: Known, model: ShapeModel
) -> dict[str, Summary]:
    """`moved_REGION`, and for eyelids and lips the shares leaked and kept, in percent.

    Args:
        pairs: of plain scenes, with landmarks.
        known: SHA-256 of a photo -> its description.
        model: see `moved.py`.
    """
    faces = [
        (was, came, one.points68)
        for pair, one in pairs
        if (was := known[pair.target.sha256]) is not None and (came := known[pair.source.sha256]) is not None
    ]
    if not faces:
        return {}
    result = np.stack([neutral_shape(model, points, was) for was, _, points in faces])
    target = np.stack([neutral_shape(model, was.points68, was) for was, _, _ in faces])
    source = np.stack([neutral_shape(model, came.points68, came) for _, came, _ in faces])
    num = len(faces)
    found: dict[str, Summary] = {}
    for region, places in REGIONS.items():
        moved, _ = moved_and_kept(*(shape[:, list(places)] for shape in (result, target, source)))
        found[f"moved_{region}"] = Summary(100 * moved.value, 100 * moved.error, num)
    openings: tuple[tuple[str, Callable[[FloatArray], float]], ...] = (
        ("lids", lid_opening),
        ("lips", lip_opening),
    )
    for name, opening in openings:
        r, t, s = (
            np.array([opening(points) for points in column])
            for column in zip(
                *((points, was.points68, came.points68) for was, came, points in faces), strict=True
            )
        )
        moved, kept = moved_and_kept(r, t, s)
        found[f"{name}_leak"] = Summary(100 * moved.value, 100 * moved.error, num)
        found[f"{name}_kept"] = Summary(100 * kept.value, 100 * kept.error, num)
    return found


def by_group(pairs: Sequence[tuple[Pair, Measured]], tones: Mapping[str, str | None]) -> dict[str, Summary]:
    """`MEASURE[GROUP]` of the sources' groups, and `dlib_same[worst]`; `occluder_change[OCCLUDER]` where one was drawn.

    Labels are those of the photos (`group black`, `gender female`) and, for people without, the tone of their skin
    (`tone dark`).

    Args:
        pairs: of one part.
        tones: identity -> group of skin tone.
    """
    labelled: dict[str, list[Measured]] = {}
    drawn: dict[str, list[float]] = {}
    for pair, one in pairs:
        for label in _labels(pair, tones):
            labelled.setdefault(label, []).append(one)
        if pair.scene.occluder and "occluder_change" in one.values:
            drawn.setdefault(pair.scene.occluder, []).append(one.values["occluder_change"])
    found = {
        f"{measure}[{label}]": mean_of(np.array([one.values.get(measure, np.nan) for one in rows]))
        for measure in BY_GROUP
        for label, rows in sorted(labelled.items())
    }
    large = [
        found[f"dlib_same[{label}]"]
        for label, rows in labelled.items()
        if len(rows) >= LEAST_PAIRS and not label.startswith("gender")
    ]
    if len(large) > 1:
        found["dlib_same[worst]"] = min(large, key=lambda summary: summary.mean)
    return found | {
        f"occluder_change[{name}]": mean_of(np.array(values)) for name, values in sorted(drawn.items())
    }


def skin_tones(photos: PhotoSet, known: Known) -> dict[str, str | None]:
    """Identity -> `light`, `medium` or `dark`, by the median over that person's photos."""
    angles: dict[str, list[float]] = {}
    for photo in photos.people:
        found = known.get(photo.sha256)
        if found is not None and not np.isnan(found.skin_tone_deg):
            angles.setdefault(str(photo.identity), []).append(float(found.skin_tone_deg))
    return {person: tone_group(float(np.median(values))) for person, values in angles.items()}


def _labels(pair: Pair, tones: Mapping[str, str | None]) -> list[str]:
    source = pair.source
    labels = [f"group {source.group}"] if source.group is not None else []
    labels += [f"gender {source.gender}"] if source.gender is not None else []
    tone = tones.get(str(source.identity))
    return labels + ([f"tone {tone}"] if tone is not None and source.group is None else [])
