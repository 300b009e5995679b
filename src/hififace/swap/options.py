"""Options of a swap: one frozen object, checked when it is made, the same for images and videos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar, overload

import numpy as np
from annotated_types import Interval

from hififace.errors import OptionError
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.option_fields import check
from hififace.types import RGBImage

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Selection: TypeAlias = str | os.PathLike[str] | int | Sequence[int] | RGBImage
"""``"main"`` (prominent faces, without bystanders), ``"all"``, ``"largest"``, numbers of faces counted from 0 at the
left, or a reference photo of the person: its path or its pixels. A photo selects the one face that is most similar."""

NAMED_SELECTIONS = ("main", "all", "largest")

LONGEST_STATEMENT: Final = 1000
"""Characters of `consent_statement`, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class SwapOptions:
    """How to swap: everything the pixels depend on. Immutable; `dataclasses.replace` makes a changed copy.

    Raises:
        OptionError: a value is out of its range; the message names it.
    """

    select: Selection = "main"
    """Faces of the target: main (prominent faces, no bystanders), all, largest, numbers from the left, counted from 0,
    such as 0,2, or a reference photo of the person."""
    same_person: Annotated[float, Interval(ge=-1, le=1)] = SAME_PERSON_COSINE
    """Cosine similarity above which a face of the target is the person of a reference photo."""
    shape_rate: Annotated[float, Interval(ge=0, le=1)] = 1.0
    """Face shape: 1 is the source's, 0 the target's; values between are interpolated."""
    warp_shape: bool = True
    """Warp the face's shape: jaw, brows, nose, eyes and mouth take the source's shape, and the background beside it
    bends a little; no effect with Basel models."""
    id_rate: Annotated[float, Interval(ge=0, le=1)] = 1.0
    """Identity: 1 is the source's, 0 the target's; values between are interpolated."""
    refine: bool = True
    """Refine the likeness: each face is generated twice, the second time asking for more of what the first result lacks
    of the source's identity (videos: on some frames); no effect with models that do not provide for it."""
    passes: Annotated[int, Interval(ge=1, le=10)] = 1
    """Generator passes: each starts from the previous result."""
    keep_glasses: bool = True
    """Keep eyeglass frames: the target's stay in front of the new face; no effect with models that cannot find them."""
    mask_erosion: Annotated[int, Interval(ge=0, le=64)] = 7
    """Mask erosion: rounds of erosion and blur of the network's mask, at a crop of 256 px; 0 leaves it unchanged."""
    mask_feather_px: Annotated[float, Interval(ge=0, le=64)] = 0.0
    """Mask feather: additional blur of the mask, in pixels of the crop."""
    match_colour: bool = True
    """Match the target's skin colour."""
    detail: Annotated[float, Interval(ge=0, le=1)] = 1.0
    """Fine texture: share of the target's pores and grain that is transferred to the generated face."""
    detection_threshold: Annotated[float, Interval(gt=0, lt=1)] | None = None
    """Minimum detection score of a face; default: the detector's own."""
    rotated: bool = False
    """Also find faces that lie on their side or upside down; several times slower."""
    smallest_face_px: Annotated[float, Interval(ge=0, le=1e5)] = 20.0
    """Leave target faces smaller than this unchanged, in pixels (square root of the box's area)."""
    largest_turn_deg: Annotated[float, Interval(ge=0, le=180)] = 75.0
    """Leave target faces turned further than this (aside, up or down) unchanged, in degrees."""
    batch_size: Annotated[int, Interval(ge=1, le=256)] = 8
    """Maximum number of faces per generator run; limits memory in crowds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "select", _checked_selection(self.select))
        check(self)

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
    """What is measured and written with a result; the generated pixels do not depend on it.

    Raises:
        OptionError: a value has the wrong type; the message names it.
    """

    similarity: bool = False
    """Report the similarity of each result to source and target, by two runs of the recogniser per face."""
    check: bool = True
    """Warn if a generated face is more similar to the target than to the source, or similar to neither; costs as much
    as `similarity`."""
    compare: bool = False
    """Write target and result side by side."""
    consent_confirmed: bool | None = None
    """Record in the file's mark that the people shown consented."""
    consent_statement: str | None = None
    """The exact words that the user confirmed, for the file's mark; at most 1000 characters."""

    def __post_init__(self) -> None:
        check(self)  # of truth values, so that 1 is no consent
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
    return _named_or_photo(text)


def _named_or_photo(text: str) -> str | Path:
    """A name, else a path; a word that is neither is a name misspelt, and no photo that is missing."""
    if text in NAMED_SELECTIONS:
        return text
    path = Path(text)
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # no name that a file can have
        is_there = False
    if not path.suffix and path.name == text and not is_there:
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        raise OptionError(
            f"select is {shown!r}; {', '.join(NAMED_SELECTIONS)}, numbers of faces or the path of a reference photo "
            "was expected."
        )
    return path


def _checked_selection(select: Any) -> str | Path | tuple[int, ...] | RGBImage:
    if isinstance(select, str):
        if not select.strip():
            raise OptionError(
                "select is empty; main, all, largest, numbers of faces or a reference photo was expected."
            )
        return _named_or_photo(select)
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


def options_or_default(options: A | None, kind: type[A]) -> A:
    """The options that were given, or those of `kind` by default.

    Raises:
        OptionError: options of another kind.
    """
    if options is None:
        return kind()
    if not isinstance(options, kind):
        raise OptionError(
            f"{type(options).__name__} was given where {kind.__name__} was expected. Options can also be given by "
            'name, such as select="largest".'
        )
    return options


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
