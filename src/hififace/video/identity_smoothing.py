"""Identities over time: whom a face shows, and what results lack of the source's, steadied.

What results lack (`Engine.identity_lacks`) costs a run of the generator and two of the recogniser. It hardly changes
while one person is seen, so it is measured on a few frames of each track, and the mean of the measurements is followed
slowly: a face that is generated from it does not jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hififace.pixels import packed, unpacked
from hififace.swap.generate import TargetFace
from hififace.swap.identity_vector import IDENTITY, unit
from hififace.swap.source_map import Source
from hififace.types import FloatArray

FIRST_EVERY: Final = 8
"""Measured on every so many of the first frames of a track..."""
FIRST_FRAMES: Final = 64
"""...which are so many..."""
LATER_EVERY: Final = 32
"""...and on every so many after them."""
MOST_VIEWS: Final = 8
"""The mean forgets older measurements than so many."""
STEADY_S: Final = 0.5
"""Time constant with which the mean, and a target's identity, are followed."""
FORGET_S: Final = 5.0
"""A track that was not seen for so long begins anew."""

Measure = Callable[[Sequence[TargetFace], Sequence[Source]], list[FloatArray]]
"""What first results lack, (D,) each (`Engine.identity_lacks`)."""


@dataclass(slots=True)
class _Known:
    """What is known of one track."""

    source: Source
    num_frames: int = 0
    num_views: int = 0
    time_s: float = 0.0
    mean: FloatArray | None = None
    """(D,) of the measurements."""
    lack: FloatArray | None = None
    """(D,) the mean, followed slowly."""
    target: FloatArray | None = None
    """(D,) the target's identity, likewise."""

    @property
    def is_due(self) -> bool:
        every = FIRST_EVERY if self.num_frames < FIRST_FRAMES else LATER_EVERY
        return self.num_frames % every == 0


class TrackIdentities:
    """What is known of the identities of all faces of a video, by the number of their track.

    Args:
        measure: None where results are not refined.
    """

    def __init__(self, measure: Measure | None) -> None:
        self._measure = measure
        self._known: dict[int, _Known] = {}
        self._stored: dict[int, dict[str, Any]] = {}

    def update(
        self, faces: Sequence[TargetFace], sources: Sequence[Source], time_s: float
    ) -> tuple[list[TargetFace], list[FloatArray] | None]:
        """The faces of one frame with their steadied identities, and what their results lack.

        Args:
            faces: encoded; their indices are those of their tracks.
            sources: one for each.
            time_s: of the frame, later than the one before.
        """
        known = [
            self._of(face.face.index, source, time_s) for face, source in zip(faces, sources, strict=True)
        ]
        shares = [
            1.0 if one.num_frames == 0 else 1.0 - math.exp((one.time_s - time_s) / STEADY_S) for one in known
        ]
        steady = [_steadied(*each) for each in zip(faces, known, shares, strict=True)]
        if self._measure is not None:
            due = [place for place, one in enumerate(known) if one.is_due]
            if due:
                measured = self._measure([steady[place] for place in due], [sources[place] for place in due])
                for place, lack in zip(due, measured, strict=True):
                    _take_in(known[place], lack)
            for one, share in zip(known, shares, strict=True):
                one.lack = _followed(one.lack, one.mean, share)
        for one in known:
            one.num_frames += 1
            one.time_s = time_s
        self._known = {track: one for track, one in self._known.items() if time_s - one.time_s <= FORGET_S}
        if self._measure is None:
            return steady, None
        return steady, [one.lack for one in known if one.lack is not None]

    def _of(self, track: int, source: Source, time_s: float) -> _Known:
        one = self._known.get(track)
        if one is None:
            one = _Known(source)
            if track in self._stored:
                _restore(one, self._stored.pop(track))
        if one.source is not source or (one.num_frames and time_s - one.time_s > FORGET_S):
            one = _Known(source)
        self._known[track] = one
        return one

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {str(track): _state(one) for track, one in self._known.items()} | {
            str(track): one for track, one in self._stored.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave; the sources are those of the next frames."""
        self._known = {}
        self._stored = {int(track): one for track, one in state.items()}


def _steadied(face: TargetFace, known: _Known, share: float) -> TargetFace:
    """The face with its track's identity, where the network is given it."""
    if IDENTITY not in face.features:
        return face
    followed = _followed(known.target, face.features[IDENTITY], share)
    assert followed is not None
    known.target = unit(followed)
    return replace(face, features={**face.features, IDENTITY: known.target})


def _take_in(known: _Known, lack: FloatArray) -> None:
    known.num_views += 1
    known.mean = _followed(known.mean, lack, 1.0 / min(known.num_views, MOST_VIEWS))


def _followed(before: FloatArray | None, now: FloatArray | None, share: float) -> FloatArray | None:
    if before is None or now is None:
        return now
    return np.asarray(before + np.float32(share) * (now - before), np.float32)


_ARRAYS: Final = ("mean", "lack", "target")


def _state(one: _Known) -> dict[str, Any]:
    arrays = {name: getattr(one, name) for name in _ARRAYS}
    return {
        "num_frames": one.num_frames,
        "num_views": one.num_views,
        "time_s": one.time_s,
        **{
            name: None if value is None else [packed(value.astype("<f4")), len(value)]
            for name, value in arrays.items()
        },
    }


def _restore(one: _Known, state: dict[str, Any]) -> None:
    one.num_frames, one.num_views, one.time_s = state["num_frames"], state["num_views"], state["time_s"]
    for name in _ARRAYS:
        if state[name] is not None:
            data, size = state[name]
            setattr(one, name, unpacked(data, "<f4", [size]).astype(np.float32))
