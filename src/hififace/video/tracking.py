"""Keeping a face's index across the frames of a video: by place, motion and identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hififace.faces.candidates import iou_matrix
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.types import Face, FloatArray
from hififace.video.assignment import FORBIDDEN, assign

MOST_TRACKS = 100


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """When two faces of neighbouring frames are one."""

    least_overlap: float = 0.2
    """Intersection over union with where the face is expected, where identities do not decide."""
    same_cosine: float = SAME_PERSON_COSINE
    """Identities at least so alike may be joined over any distance."""
    other_cosine: float = 0.1
    """Identities less alike are two people, even in one place."""
    keep_frames: int = 45
    """A face not seen for so many frames is forgotten, unless its identity is known."""
    identity_rate: float = 0.1
    """How fast the identity of a track follows what is seen, once it is the mean of so many views that each counts for
    less than this."""
    trial_views: int = 5
    """So many views of somebody new are compared with those who were there before the cut: the first alone may be a
    profile, or blurred."""

    def __post_init__(self) -> None:
        if not (0 < self.least_overlap < 1 and 0 < self.identity_rate <= 1 and self.keep_frames >= 0):
            raise ValueError(f"tracking options out of range: {self}")


@dataclass(slots=True)
class _Track:
    index: int
    box: NDArray[np.float64]
    velocity: NDArray[np.float64]
    """(4,) change of the box per frame."""
    identity: FloatArray | None
    missing: int = 0
    num_views: int = 0
    """How many views its identity is made of."""
    is_new: bool = True
    """Begun since the last cut."""

    def expected(self) -> NDArray[np.float64]:
        """Where the box would be now; a lost face is thought to slow down."""
        return self.box + self.velocity * min(self.missing + 1, 3)


class FaceTracker:
    """Gives every face the index it had in the frames before.

    Usage: ``faces = tracker.update(faces)`` for each frame; ``tracker.cut()`` where a new shot begins.

    Attributes:
        renamed: tracks that the last update found to be somebody known from before the cut: the index that they had
            until then, and the one that they have now.
    """

    def __init__(self, options: TrackingOptions | None = None) -> None:
        self.options = options or TrackingOptions()
        self.reset()

    def reset(self) -> None:
        """Another video: forget everybody, and count from 0 again."""
        self._tracks: list[_Track] = []
        self._next = 0
        self.renamed: dict[int, int] = {}

    def cut(self) -> None:
        """A new shot: places and motions mean nothing any more, so only identities can bring an index back."""
        self._tracks = [track for track in self._tracks if track.identity is not None]
        for track in self._tracks:
            track.box = np.full(4, np.nan)
            track.velocity = np.zeros(4)
            track.missing = 0
            track.is_new = False

    def update(self, faces: Sequence[Face]) -> list[Face]:
        """The faces of the next frame, each with its index among all faces of the video, by rising index."""
        pairs = assign(self._costs(faces))
        matched = {column: self._tracks[row] for row, column in pairs}
        seen = {track.index for track in matched.values()}
        gaps = {track.index: track.missing + 1 for track in self._tracks}
        for track in self._tracks:
            track.missing = 0 if track.index in seen else track.missing + 1
        tracked = []
        for column, face in enumerate(faces):
            if column in matched:
                track = matched[column]
                self._continue(track, face, gaps[track.index])
            else:
                track = self._begin(face)
            tracked.append((track, face))
        self.renamed = self._recognise([track for track, face in tracked if face.identity is not None])
        self._forget()
        named = [replace(face, index=track.index) for track, face in tracked]
        return sorted(named, key=lambda face: face.index)

    def _recognise(self, seen: Sequence[_Track]) -> dict[int, int]:
        """Give new tracks that turn out to be somebody from before the cut their old index: old by new index."""
        renamed: dict[int, int] = {}
        for track in seen:
            if not (track.is_new and 1 < track.num_views <= self.options.trial_views):
                continue
            gone = [
                one for one in self._tracks if not np.isfinite(one.box).all() and one.identity is not None
            ]
            alike = [float(np.dot(_identity(one), _identity(track))) for one in gone]
            if not gone or max(alike) < self.options.same_cosine:
                continue
            known = gone[int(np.argmax(alike))]
            renamed[track.index] = known.index
            track.index, track.is_new = known.index, False
            total = known.num_views * _identity(known) + track.num_views * _identity(track)
            track.identity = (total / np.linalg.norm(total)).astype(np.float32)
            track.num_views += known.num_views
            self._tracks = [one for one in self._tracks if one is not known]
        return renamed

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {"next": self._next, "tracks": [_packed(track) for track in self._tracks]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._next = int(state["next"])
        self._tracks = [
            _Track(
                index=one["index"],
                box=np.array(one["box"] or [np.nan] * 4, np.float64),
                velocity=np.array(one["velocity"], np.float64),
                identity=None if one["identity"] is None else np.array(one["identity"], np.float32),
                missing=one["missing"],
                num_views=one["num_views"],
                is_new=one["is_new"],
            )
            for one in state["tracks"]
        ]

    def _costs(self, faces: Sequence[Face]) -> NDArray[np.float64]:
        """(tracks, faces): less overlap and less likeness cost more; what cannot be one face is forbidden."""
        options = self.options
        costs = np.full((len(self._tracks), len(faces)), FORBIDDEN)
        if costs.size == 0:
            return costs
        boxes = np.stack([face.detection.box for face in faces])
        overlap = iou_matrix(np.stack([t.expected() for t in self._tracks]).astype(np.float32), boxes)
        overlap = np.maximum(
            overlap, iou_matrix(np.stack([t.box for t in self._tracks]).astype(np.float32), boxes)
        )
        overlap = np.nan_to_num(overlap)
        for row, track in enumerate(self._tracks):
            for column, face in enumerate(faces):
                place = float(overlap[row, column])
                # A face unseen for long may be anywhere by now.
                if track.missing > options.keep_frames:
                    place = 0.0
                alike = None
                if track.identity is not None and face.identity is not None:
                    alike = float(np.dot(track.identity, face.identity))
                if alike is None:
                    possible = place >= options.least_overlap
                else:
                    near = place >= options.least_overlap and alike >= options.other_cosine
                    possible = near or alike >= options.same_cosine
                if possible:
                    costs[row, column] = (1.0 - place) + (1.0 - (alike if alike is not None else 0.5))
        return costs

    def _forget(self) -> None:
        """Drop who is long gone and unknown, and of the known the longest gone: a video of crowds stays cheap."""
        kept = [t for t in self._tracks if t.missing <= self.options.keep_frames or t.identity is not None]
        kept.sort(key=lambda track: track.missing)
        self._tracks = kept[: max(MOST_TRACKS, sum(t.missing == 0 for t in kept))]

    def _begin(self, face: Face) -> _Track:
        box = face.detection.box.astype(np.float64)
        seen = int(face.identity is not None)
        track = _Track(self._next, box, np.zeros(4), face.identity, num_views=seen)
        self._tracks.append(track)
        self._next += 1
        return track

    def _continue(self, track: _Track, face: Face, num_frames: int) -> None:
        box = face.detection.box.astype(np.float64)
        if np.isfinite(track.box).all():
            # Half of the new speed and half of the old one: one badly placed box does not throw the track.
            track.velocity = 0.5 * track.velocity + 0.5 * (box - track.box) / num_frames
        track.box = box
        if face.identity is None:
            return
        track.num_views += 1
        if track.identity is None:
            track.identity = face.identity
            return
        rate = max(self.options.identity_rate, 1.0 / track.num_views)
        mixed = (1 - rate) * track.identity + rate * face.identity
        track.identity = (mixed / np.linalg.norm(mixed)).astype(np.float32)


def _packed(track: _Track) -> dict[str, Any]:
    return {
        "index": track.index,
        # After a cut there is no place; JSON knows no NaN.
        "box": track.box.tolist() if np.isfinite(track.box).all() else None,
        "velocity": track.velocity.tolist(),
        "identity": None if track.identity is None else track.identity.tolist(),
        "missing": track.missing,
        "num_views": track.num_views,
        "is_new": track.is_new,
    }


def _identity(track: _Track) -> FloatArray:
    assert track.identity is not None
    return track.identity
