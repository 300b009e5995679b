"""What can be asked of a swap: one frozen object, checked when it is made, the same for images and videos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, overload

import numpy as np

from hififace.errors import OptionError
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.types import RGBImage

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Selection: TypeAlias = str | os.PathLike[str] | int | Sequence[int] | RGBImage
"""``"main"`` (who is shown well, without bystanders), ``"all"``, ``"largest"``, numbers of faces from the left (0
first), or a photo of the person meant: its path, or its pixels. A photo selects the one face that is most alike."""

NAMED_SELECTIONS = ("main", "all", "largest")

RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "shape_rate": (0.0, 1.0),
        "id_rate": (0.0, 1.0),
        "same_person": (-1.0, 1.0),
        "mask_feather_px": (0.0, 64.0),
        "detail": (0.0, 1.0),
        "smallest_face_px": (0.0, 1e5),
        "largest_turn_deg": (0.0, 180.0),
    }
)
"""Option -> least and greatest number."""

WHOLE_RANGES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"passes": (1, 10), "mask_erosion": (0, 64), "batch_size": (1, 256)}
)
"""The same for options that are whole numbers."""

LONGEST_STATEMENT: Final = 1000
"""Characters of `consent_statement`, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class SwapOptions:
    """How to swap: all that the pixels depend on. Checked when made; `dataclasses.replace` makes a changed copy.

    Raises:
        OptionError: a value out of its range; the sentence names it.
    """

    select: Selection = "main"
    """Which faces of the target. `main` leaves out who is small, blurred, seen from the side or hidden beside somebody
    who is not."""
    same_person: float = SAME_PERSON_COSINE
    """Cosine above which a face of the target is the person of a reference photo (`select`, `map_source`)."""
    shape_rate: float = 1.0
    """Face shape: 1 the source's, 0 the target's, between them a mixture."""
    id_rate: float = 1.0
    """The same for the identity embedding."""
    passes: int = 1
    """Generator passes; each starts from the result of the one before."""
    mask_erosion: int = 7
    """Rounds of soft erosion of the network's mask, for a crop of 256 px (others in proportion): more keeps further
    inside the face and blends wider; 0 none."""
    mask_feather_px: float = 0.0
    """Gaussian blur of the mask after that, in pixels of the crop."""
    match_colour: bool = True
    """Bring the generated face to the colour statistics of the target's face: part of a recogniser's idea of a person
    is the tone of the skin, and the neck keeps the target's."""
    detail: float = 1.0
    """Share of the target's texture finer than the crop (pores, grain of the video) that is kept on the new face."""
    detection_threshold: float | None = None
    """Least score of a face, 0 to 1; None is the detector's own."""
    rotated: bool = False
    """Also find faces that stand on their heads or lie, at several times the cost."""
    smallest_face_px: float = 20.0
    """Smaller faces of the target stay as they are (square root of the box's area)."""
    largest_turn_deg: float = 75.0
    """Faces turned further aside, up or down stay as they are: the network has seen none such."""
    batch_size: int = 8
    """Faces generated in one run of the network, at most: bounds memory in a crowd."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "select", _checked_selection(self.select))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # written so that NaN is refused
                raise OptionError(f"{name} is {value}; a number from {low:g} to {high:g} was expected.")
        for name, (least, most) in WHOLE_RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value <= most:
                raise OptionError(f"{name} is {value}; a whole number from {least} to {most} was expected.")
        if self.detection_threshold is not None and not 0.0 < self.detection_threshold < 1.0:
            raise OptionError(
                f"detection_threshold is {self.detection_threshold}; a number between 0 and 1 was expected."
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SwapOptions):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        # A photo given as pixels cannot be hashed: options that differ in it alone share a hash.
        values = (getattr(self, f.name) for f in fields(self))
        return hash(tuple(None if isinstance(value, np.ndarray) else value for value in values))

    @property
    def indices(self) -> tuple[int, ...] | None:
        """Numbers of the faces selected, or None where they are not selected by number."""
        return self.select if isinstance(self.select, tuple) else None

    @property
    def reference(self) -> Path | RGBImage | None:
        """The photo of the person selected, or None where faces are not selected by a photo."""
        return self.select if isinstance(self.select, (Path, np.ndarray)) else None


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What a result tells and how it is written; the generated pixels do not depend on it.

    Raises:
        OptionError: a value of another kind; the sentence names it.
    """

    similarity: bool = False
    """Measure how alike the result is to source and target; costs two runs of the recogniser for each face."""
    compare: bool = False
    """`SwapResult.save` writes target and result side by side."""
    consent_confirmed: bool | None = None
    """What the file's mark says about it: whether the user confirmed that the people shown agreed; None: not asked."""
    consent_statement: str | None = None
    """The very words that the user confirmed, for the file's mark; at most 1000 characters."""

    def __post_init__(self) -> None:
        if self.consent_confirmed is not None and type(self.consent_confirmed) is not bool:  # 1 is no consent
            raise OptionError(
                f"consent_confirmed is {self.consent_confirmed!r}; True, False or None was expected."
            )
        if self.consent_statement is not None and not (
            self.consent_confirmed and 0 < len(self.consent_statement) <= LONGEST_STATEMENT
        ):
            raise OptionError(
                f"consent_statement has {len(self.consent_statement)} characters and consent_confirmed is "
                f"{self.consent_confirmed}; 1 to {LONGEST_STATEMENT} characters that were confirmed were expected."
            )


def parse_selection(text: str) -> Selection:
    """What people type: `main`, `all`, `largest`, `0,2`, or the path of a reference photo."""
    numbers = [word.strip() for word in text.split(",")]
    if all(word.isdecimal() and len(word) < 10 for word in numbers):
        return tuple(int(word) for word in numbers)
    return text if text in NAMED_SELECTIONS else Path(text)


def _checked_selection(select: Any) -> str | Path | tuple[int, ...] | RGBImage:
    if isinstance(select, str):
        if not select.strip():
            raise OptionError(
                "select is empty; main, all, largest, numbers of faces or a reference photo was expected."
            )
        return select if select in NAMED_SELECTIONS else Path(select)
    if isinstance(select, os.PathLike):
        return Path(select)
    if isinstance(select, np.ndarray):
        if select.ndim == 3 and select.dtype == np.uint8:
            return select
        raise OptionError(
            f"select is an array of {select.shape} {select.dtype}; a reference photo (H, W, 3) uint8 was expected."
        )
    numbers = tuple(select) if isinstance(select, Sequence) else (select,)
    if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise OptionError(
            f"select is {select!r}; main, all, largest, numbers of faces from 0 or a reference photo was expected."
        )
    return numbers


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other)
    return bool(one == other)


@overload
def with_changes(changes: Mapping[str, Any], one: A, /) -> tuple[A]: ...
@overload
def with_changes(changes: Mapping[str, Any], one: A, other: B, /) -> tuple[A, B]: ...
@overload
def with_changes(changes: Mapping[str, Any], one: A, other: B, third: C, /) -> tuple[A, B, C]: ...
def with_changes(changes: Mapping[str, Any], /, *options: Any) -> tuple[Any, ...]:
    """Options changed by name: each of the frozen dataclasses gets the changes that are fields of its own.

    Raises:
        OptionError: a name that none of them has, or a value out of its range.
    """
    known = [{f.name for f in fields(one)} for one in options]
    for name in changes:
        if not any(name in names for names in known):
            near = get_close_matches(name, sorted(set().union(*known)), 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise OptionError(f"There is no option {name!r}.{meant}")
    return tuple(
        replace(one, **{name: value for name, value in changes.items() if name in names})
        for one, names in zip(options, known, strict=True)
    )
