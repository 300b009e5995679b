"""One face of a video over time: where it really is, steadied, and what is known about who it is.

Every frame's place comes from the face mesh, never now from the detector and now from the mesh: the two disagree by
a pixel or so, and a face would hop with the rhythm of detection. What the detector's five points lie beside the
mesh's is learned over the track and added, because networks were trained on the detector's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import estimate_similarity, invert, transform_points
from hififace.faces.landmarks import mesh_points5
from hififace.faces.templates import Template
from hififace.types import Detection, Face, FloatArray, Landmarks, Matrix23
from hififace.video.shape_smoothing import SteadyShape
from hififace.video.smoothing import PointSmoother, SmoothingOptions, face_size

_OFFSET_S = 0.76
"""Time constant by which the learned distance between the two kinds of five points follows the last one seen: every
frame by a little, or a face would hop with the rhythm of detection."""
_FARTHEST_STEP = 0.5
"""A face is not expected farther from where it was than this share of its size."""
_LIGHT_S = 0.5
"""Time constant by which the light of a face is steadied..."""
_OTHER_LIGHT = 1.3
"""...unless it changed by more than this factor: then a lamp was switched, and the gain of before would cut off what is
bright now."""
_OLD_S = 0.2
"""Motion seen so long ago says nothing any more."""


def mesh_box(points: NDArray[Any]) -> FloatArray:
    """(4,) the box around a mesh."""
    plane = np.asarray(points)[:, :2]
    return np.concatenate([plane.min(axis=0), plane.max(axis=0)]).astype(np.float32)


def box_px(points: NDArray[Any]) -> float:
    """Square root of the area of the box around a mesh: 0.92 to 0.98 of what the detector calls a face's size, where
    `smoothing.face_size` is 0.58 to 0.63 of it (20 portraits).
    """
    x0, y0, x1, y1 = mesh_box(points)
    return float(np.sqrt((x1 - x0) * (y1 - y0)))


@dataclass(frozen=True, slots=True)
class SteadyFace:
    """A face of one frame, ready to be swapped."""

    face: Face
    """With steadied landmarks and five points; its index is that of the track."""
    matrix: Matrix23
    """Image pixels to pixels of the bundle's crop."""
    bridged: bool
    """Not seen in this frame: carried on along its path."""
    gain: float = 1.0
    """By how much the generator is to see it brighter, steadied (`faces/exposure.py`)."""
    identity: FloatArray | None = None
    """(D,) of the best view of its track so far, None before the first."""
    is_resting: bool = False
    """Its landmarks are those of an earlier frame, moved to where the detector sees it."""


class Track:
    """The memory of one track.

    Attributes:
        index: of the track.
        mesh: (468, 3) as last measured, not steadied: where the next frame looks first.
        seen_s: when it was last seen.
        detected_s: when the detector itself last saw it.
        looked_s: when the detector last looked in a way that would have shown it.
        identity: (D,) of its best view so far, None before the first.
        num_views: how many views were looked at.
        gain: by how much the generator is to see it brighter, None before the first look.
        is_resting: not swapped, so the mesh does not follow it: it is where the detector last saw it.
        is_swapped: whether it was swapped when that was last decided, some groups of frames ago.
        rested_px: how large it was when it was decided that it may rest.
        measured_frame: number of the frame in which the mesh was last laid on it, -1 before the first.
        asked_frame: number of the frame in which who it is was last asked, -1 before the first.
    """

    def __init__(self, index: int, template: Template, smoothing: SmoothingOptions | None) -> None:
        self.index = index
        self.mesh: FloatArray | None = None
        self.seen_s = self.detected_s = self.looked_s = -1e9
        self.identity: FloatArray | None = None
        self.num_views = 0
        self.gain: float | None = None
        self.is_resting = self.is_swapped = False
        self.rested_px = 0.0
        self.measured_frame = self.asked_frame = -1
        self._template, self._smoothing = template, smoothing
        self._smoother = PointSmoother(smoothing)
        self._offset: NDArray[np.float64] | None = None
        self._seen_offset: NDArray[np.float64] | None = None
        self._score = 0.0
        self._best_view = 0.0
        self._shape = SteadyShape()
        self._velocity = np.zeros(2)

    def predict(self, time_s: float) -> FloatArray | None:
        """(468, 3) where the mesh should be now, if the face goes on as it did; None before the first."""
        if self.mesh is None:
            return None
        since_s = time_s - self.seen_s
        if not 0 < since_s <= _OLD_S:
            return self.mesh
        step = self._velocity * since_s
        length, most = float(np.linalg.norm(step)), _FARTHEST_STEP * face_size(self.mesh)
        if length > most:
            step *= most / length
        moved: FloatArray = (self.mesh + np.array([*step, 0.0])).astype(np.float32)
        return moved

    def update(self, face: Face, time_s: float, *, detected: bool, gain: float = 1.0) -> SteadyFace:
        """Take in where the face is now.

        Args:
            face: with landmarks; its five points are the detector's if `detected`.
            time_s: of the frame.
            detected: whether the detector saw it, or only the mesh followed it.
            gain: by how much the generator would have to see it brighter, by this frame alone.
        """
        if face.landmarks is None:
            raise ValueError("a followed face needs landmarks")
        since_s = max(time_s - self.seen_s, 0.0)
        self._learn_light(gain, time_s)
        self._learn_velocity(face.landmarks.points, time_s)
        self._learn_offset(face if detected else None, time_s)
        self.mesh, self._score, self.seen_s = face.landmarks.points, face.detection.score, time_s
        if detected:
            self.detected_s = self.looked_s = time_s
        if face.identity is not None:
            self._look(face)
        steady = face.landmarks.points
        if self._smoothing is not None:
            smoothed = self._smoother.update(steady, time_s)
            steady = steady if smoothed is None else smoothed
            face = replace(face, coefficients=self._shape.update(steady, since_s))
        return self._place(steady, replace(face, index=self.index), bridged=False)

    def rest(self, size_px: float) -> None:
        """Stop following it by the mesh: it is not swapped. `carried` and `stay` tell where it is from now on.

        Args:
            size_px: how large it was when that was decided.
        """
        self.is_resting, self.rested_px = True, size_px
        self._smoother.reset()
        self._velocity = np.zeros(2)

    def carried(self, found: Detection) -> FloatArray:
        """(468, 3) the mesh as it last was, moved, turned and scaled to where the detector sees the face now."""
        assert self.mesh is not None
        there = estimate_similarity(mesh_points5(self.mesh), found.points)
        return transform_points(there, self.mesh).astype(np.float32)

    def stay(self, face: Face, time_s: float, *, detected: bool) -> SteadyFace:
        """Take in where a resting face is; nothing of it is steadied, since nothing is put there."""
        assert face.landmarks is not None
        self.mesh, self._score, self.seen_s = face.landmarks.points, face.detection.score, time_s
        if detected:
            self.detected_s = self.looked_s = time_s
        if face.identity is not None:
            self._look(face)
        matrix = estimate_similarity(face.detection.points, self._template.points)
        gain = 1.0 if self.gain is None else self.gain
        return SteadyFace(
            replace(face, index=self.index), matrix, False, gain, self.identity, is_resting=True
        )

    def mark_missed(self, time_s: float) -> SteadyFace | None:
        """Where the face probably is while nobody sees it; None once it is given up."""
        steadied = self._smoothing is not None and not self.is_resting
        guess = self._smoother.update(None, time_s) if steadied else None
        if guess is None:
            return None
        found = Detection(mesh_box(guess), self._score, mesh_points5(guess).astype(np.float32))
        face = Face(self.index, found, Landmarks(guess, 0.0), coefficients=self._shape.at(guess))
        return self._place(guess, face, bridged=True)

    def _place(self, mesh: FloatArray, face: Face, *, bridged: bool) -> SteadyFace:
        points5 = mesh_points5(mesh)
        if self._offset is not None:
            aligned = estimate_similarity(points5, self._template.points)
            points5 = transform_points(invert(aligned), transform_points(aligned, points5) + self._offset)
        detection = replace(face.detection, points=points5.astype(np.float32))
        landmarks = Landmarks(mesh, 0.0 if face.landmarks is None else face.landmarks.score)
        return SteadyFace(
            replace(face, detection=detection, landmarks=landmarks),
            estimate_similarity(points5, self._template.points),
            bridged,
            1.0 if self.gain is None else self.gain,
            self.identity,
        )

    def _learn_light(self, gain: float, time_s: float) -> None:
        """One pole on the gain's logarithm: the light of a face is steady, what is read off it is not."""
        if self._smoothing is None or self.gain is None:
            self.gain = gain
            return
        change = float(np.log(gain / self.gain))
        if abs(change) > np.log(_OTHER_LIGHT):
            self.gain = gain
        else:
            share = 1.0 - float(np.exp(-max(time_s - self.seen_s, 0.0) / _LIGHT_S))
            self.gain *= float(np.exp(share * change))

    def _learn_velocity(self, mesh: FloatArray, time_s: float) -> None:
        """Pixels per second of the face as a whole; half of what was believed before, against single bad looks."""
        since_s = time_s - self.seen_s
        if self.mesh is None or not 0 < since_s <= _OLD_S:
            self._velocity = np.zeros(2)
            return
        now = (mesh[:, :2].mean(axis=0) - self.mesh[:, :2].mean(axis=0)).astype(np.float64) / since_s
        self._velocity = 0.5 * (self._velocity + now)

    def _learn_offset(self, detected: Face | None, time_s: float) -> None:
        """The detector's points less the mesh's, in pixels of the crop, where the face's size and turn do not count.

        Args:
            detected: what the detector saw in this frame; None where it did not look.
            time_s: of the frame.
        """
        if detected is not None:
            assert detected.landmarks is not None
            mesh5 = mesh_points5(detected.landmarks.points)
            aligned = estimate_similarity(mesh5, self._template.points)
            found = transform_points(aligned, detected.detection.points)
            self._seen_offset = found - transform_points(aligned, mesh5)
        if self._seen_offset is None:
            return
        if self._offset is None:
            self._offset = self._seen_offset
            return
        share = 1.0 - float(np.exp(-max(time_s - self.seen_s, 0.0) / _OFFSET_S))
        self._offset = self._offset + share * (self._seen_offset - self._offset)

    def _look(self, face: Face) -> None:
        """Keep the identity of the best view: large and well seen."""
        self.num_views += 1
        view = face.detection.size_px * face.detection.score
        if self.identity is None or view > self._best_view:
            self.identity, self._best_view = face.identity, view

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""

        def listed(array: NDArray[Any] | None) -> Any:
            return None if array is None else array.tolist()

        return {
            "index": self.index,
            "mesh": listed(self.mesh),
            "seen_s": self.seen_s,
            "detected_s": self.detected_s,
            "looked_s": self.looked_s,
            "identity": listed(self.identity),
            "num_views": self.num_views,
            "gain": self.gain,
            "is_resting": self.is_resting,
            "is_swapped": self.is_swapped,
            "rested_px": self.rested_px,
            "measured_frame": self.measured_frame,
            "asked_frame": self.asked_frame,
            "smoother": self._smoother.state(),
            "offset": listed(self._offset),
            "seen_offset": listed(self._seen_offset),
            "score": self._score,
            "best_view": self._best_view,
            "shape": listed(self._shape.value),
            "num_shapes": self._shape.num_seen,
            "velocity": self._velocity.tolist(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], template: Template, smoothing: SmoothingOptions | None) -> Track:
        """What `state()` described."""

        def array(name: str, dtype: Any) -> Any:
            return None if state[name] is None else np.array(state[name], dtype)

        face = cls(state["index"], template, smoothing)
        face.mesh, face.identity = array("mesh", np.float32), array("identity", np.float32)
        face.seen_s, face.detected_s = state["seen_s"], state["detected_s"]
        face.looked_s = state["looked_s"]
        face.num_views = state["num_views"]
        face.gain = state["gain"]
        face.is_resting, face.is_swapped = state["is_resting"], state["is_swapped"]
        face.rested_px = state["rested_px"]
        face.measured_frame, face.asked_frame = state["measured_frame"], state["asked_frame"]
        face._smoother.restore(state["smoother"])
        face._offset, face._seen_offset = array("offset", np.float64), array("seen_offset", np.float64)
        face._score, face._best_view = state["score"], state["best_view"]
        face._shape.value, face._shape.num_seen = array("shape", np.float32), state["num_shapes"]
        face._velocity = array("velocity", np.float64)
        return face
