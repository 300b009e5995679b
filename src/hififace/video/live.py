"""A swap while the camera runs: every frame is answered at once, the generator follows as fast as it can.

    with LiveSwap(engine, source) as live:
        shown = live.frame(image)          # (H, W, 3) in, the same size out

The generator takes several frames' time on a processor. So it works in a thread of its own, always on the newest frame,
and each frame gets the face generated last: moved, turned and bent to where the 468 points are now. A mouth that opens
is followed at once; what the network alone knows (light, teeth, wrinkles) is one generated face late.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import TracebackType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import compose, estimate_similarity, invert, transform_points
from hififace.faces.landmarks import FaceMeshLandmarker, mesh_points5, point_groups
from hififace.faces.shape_warp import warped
from hififace.swap.engine import Engine, Target, generate_faces, ready_to_paste
from hififace.swap.generate import TargetFace
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source
from hififace.types import Detection, Face, FloatArray, Landmarks, Matrix23, RGBImage
from hififace.video.identity_smoothing import TrackIdentities
from hififace.video.shape_smoothing import SteadyShape
from hififace.video.smoothing import PointSmoother

LEAST_SCORE: Final = 0.5
"""Below it by the mesh network, the face is taken for lost, and looked for again."""
LOOK_EVERY_S: Final = 0.4
"""How often a frame without a face is searched for one: the detector costs as much as all the rest of a frame."""
CHECK_EVERY_S: Final = 2.0
"""How often the detector says whether what is followed still is the largest face."""
_PATIENT_NICE: Final = 10
"""Priority of the generator's thread, under Linux: frames are shown first."""
_GRID: Final = 24
"""Nodes of the bending, on a side."""
_REACH: Final = 0.07
"""How far a point bends its surroundings, in shares of the crop."""


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A generated face, ready to be put anywhere."""

    crop: RGBImage = field(repr=False)
    """(N, N, 3)."""
    mask: FloatArray = field(repr=False)
    """(N, N) 0..1."""
    points: FloatArray = field(repr=False)
    """(468, 2) of the face that it was generated on, in pixels of the crop."""
    enlarge: Matrix23
    """Aligned pixels to pixels of the crop."""


@dataclass(slots=True)
class LiveTally:
    """What happened so far."""

    num_frames: int = 0
    num_swapped: int = 0
    num_generated: int = 0
    busy_s: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds; `generate` beside the others."""


class LiveSwap:
    """One camera. Frames come one after the other; `source` and `options` may be changed at any time.

    Args:
        engine: what runs the networks.
        source: the source face.
        options: see `SwapOptions`; which faces is not asked: it is the largest.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        options: SwapOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.source, self.options = engine.for_videos(), source, options or SwapOptions()
        self.tally = LiveTally()
        self._clock = clock
        self._landmarker = FaceMeshLandmarker(
            providers=[engine.provider], threads=1, passes=2, mirrored=False
        )
        self._mesh: FloatArray | None = None
        self._offset: NDArray[np.float64] | None = None
        self._smoother, self._shape = PointSmoother(), SteadyShape()
        self._looked_s = self._checked_s = -1e9
        self._last_s = self._placed_s = -1e9
        self._made: _Made | None = None
        self._identities = self._new_identities()
        self._identity: tuple[TrackIdentities, FloatArray] | None = None
        self._wanted: tuple[RGBImage, Face, Matrix23] | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._generate_on, name="hififace-live", daemon=True)
        self._thread.start()

    def __enter__(self) -> LiveSwap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the generator; frames after this stay as they are."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def forget(self) -> None:
        """Let go of the face generated last: the source is another one now."""
        self._made = None
        self._identities = self._new_identities()

    def frame(self, image: RGBImage) -> RGBImage:
        """The next frame (H, W, 3) with its largest face swapped; the frame itself where there is none.

        What comes back is not marked: it leaves through `swap.output.live_jpeg` alone.
        """
        self.tally.num_frames += 1
        with self._timed("follow"):
            face = self._follow(image)
        if face is None:
            return image
        matrix = estimate_similarity(face.detection.points, self.engine.template.points)
        with self._changed:
            if self._wanted is None:
                self._wanted = image, face, matrix
                self._changed.notify()
        made = self._made
        if made is None:
            return image
        with self._timed("bend"):
            crop, mask, to_crop = _bent(made, face, matrix)
            # What was generated saw its frame warped likewise.
            base = warped(image, self.engine.shape_warps([face], [self.source], self.options))
        with self._timed("blend"):
            shown = _blended(base, crop, mask, to_crop)
        self.tally.num_swapped += 1
        return shown

    # -------------------------------------------------------------------------------------------------------

    def _follow(self, image: RGBImage) -> Face | None:
        """The face followed, with steady landmarks; None where there is none."""
        now = max(self._clock(), self._last_s + 1e-4)
        self._last_s = now
        if self._mesh is not None:
            (found,) = self._landmarker.follow(image, [self._mesh])
            if found.score >= LEAST_SCORE and now - self._checked_s < CHECK_EVERY_S:
                return self._placed(found, now)
            if found.score < LEAST_SCORE:
                self._lose()
        return self._look(image, now)

    def _look(self, image: RGBImage, now: float) -> Face | None:
        if self._mesh is None and now - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = self._checked_s = now
        faces = self.engine.find_faces(image)
        if not faces:
            self._lose()
            return None
        largest = max(faces, key=lambda face: face.detection.size_px)
        (found,) = self._landmarker.locate_many(image, [largest.detection])
        if self._mesh is not None:
            size = largest.detection.size_px
            moved = np.linalg.norm((found.points - self._mesh)[:, :2].mean(axis=0))
            if moved > size / 2:  # somebody else is the largest now
                self._lose()
        aligned = estimate_similarity(mesh_points5(found.points), self.engine.template.points)
        seen = transform_points(aligned, largest.detection.points)
        self._offset = seen - transform_points(aligned, mesh_points5(found.points))
        return self._placed(found, now)

    def _lose(self) -> None:
        self._mesh = self._offset = self._made = None
        self._identities = self._new_identities()
        self._smoother, self._shape = PointSmoother(), SteadyShape()

    def _placed(self, found: Landmarks, now: float) -> Face:
        self._mesh = found.points
        steady = self._smoother.update(found.points, now)
        points = found.points if steady is None else steady
        points5 = mesh_points5(points)
        if self._offset is not None:
            # Faces are aligned by the detector's five points, from which the mesh's lie a little aside.
            aligned = estimate_similarity(points5, self.engine.template.points)
            points5 = transform_points(invert(aligned), transform_points(aligned, points5) + self._offset)
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        box = np.concatenate([low, high]).astype(np.float32)
        detection = Detection(box, found.score, np.asarray(points5, np.float32))
        coefficients = self._shape.update(points, now - self._placed_s)
        self._placed_s = now
        return Face(0, detection, Landmarks(points, found.score), coefficients=coefficients)

    def _generate_on(self) -> None:
        _step_back()
        while True:
            with self._changed:
                while self._wanted is None and not self._ended:
                    self._changed.wait()
                if self._ended or self._wanted is None:
                    return
                image, face, matrix = self._wanted
            with self._timed("generate"):
                made = self._generated(image, face, matrix)
            with self._changed:
                self._wanted = None
            self._made = made if self._mesh is not None else None
            self.tally.num_generated += 1

    def _generated(self, image: RGBImage, face: Face, matrix: Matrix23) -> _Made | None:
        identities, now = self._identities, self._clock()
        known = self._identity
        if known is None or known[0] is not identities:
            # Once for each face that is followed: two runs of the recogniser.
            known = self._identity = identities, self.engine.identity(image, face)
        face = replace(face, identity=known[1])
        (generated,) = generate_faces(
            self.engine,
            [Target(image, [face], [self.source], [matrix])],
            self.options,
            crops_only=True,
            steady=(lambda faces, sources, _: identities.update(faces, sources, now))
            if self.engine.refines(self.options)
            else None,
        )
        if not generated.faces:  # turned away
            return None
        (made,) = generated.faces
        crop, mask = ready_to_paste(made, self.options)
        if mask.shape != crop.shape[:2]:  # coarser, where the network's own is
            mask = np.asarray(cv2.resize(mask, (crop.shape[1], crop.shape[0])), np.float32)
        assert face.landmarks is not None
        points = transform_points(made.matrix, face.landmarks.points[:, :2]).astype(np.float32)
        if crop.dtype != np.uint8:
            crop = np.clip(np.asarray(crop, np.float32) * 255.0 + 0.5, 0, 255)
        return _Made(np.asarray(crop, np.uint8), mask, points, compose_after(matrix, made.matrix))

    def _new_identities(self) -> TrackIdentities:
        return TrackIdentities(self._identity_lacks)

    def _identity_lacks(self, faces: Sequence[TargetFace], sources: Sequence[Source]) -> list[FloatArray]:
        return self.engine.identity_lacks(faces, sources, self.options)

    def _timed(self, stage: str) -> _Timed:
        return _Timed(self.tally.busy_s, stage)


class _Timed:
    """Adds up the seconds of a stage."""

    def __init__(self, busy_s: dict[str, float], stage: str) -> None:
        self._busy_s, self._stage = busy_s, stage

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._began
        self._busy_s[self._stage] = self._busy_s.get(self._stage, 0.0) + spent


def _step_back() -> None:
    """Let the frames go before this thread: Linux has a priority for each; elsewhere the system decides."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PATIENT_NICE)


def compose_after(first: Matrix23, both: Matrix23) -> Matrix23:
    """The matrix that leads from where `first` leads to where `both` leads."""
    return compose(invert(first), both)


@cache
def _chosen_points() -> NDArray[np.int64]:
    """Places of the points that bend a face: those on its features and its outline."""
    return np.array(sorted({index for group in point_groups().values() for index in group}), np.int64)


def _bent(made: _Made, face: Face, matrix: Matrix23) -> tuple[RGBImage, FloatArray, Matrix23]:
    """The generated face with its features where the points are now: crop, mask, and image pixels to its own."""
    assert face.landmarks is not None
    side = made.crop.shape[0]
    to_crop = compose(matrix, made.enlarge)
    chosen = _chosen_points()
    now = transform_points(to_crop, face.landmarks.points[chosen, :2]).astype(np.float32)
    # From where each pixel is fetched, less where it is: the points' own way back, fading away from them.
    back = made.points[chosen] - now
    nodes = np.linspace(0, side - 1, _GRID, dtype=np.float32)
    across = np.exp(-(((nodes[:, None] - now[:, 0]) / (_REACH * side)) ** 2))
    down = np.exp(-(((nodes[:, None] - now[:, 1]) / (_REACH * side)) ** 2))
    weight = down @ across.T
    field_x = (down * back[:, 0]) @ across.T / (weight + 0.3)
    field_y = (down * back[:, 1]) @ across.T / (weight + 0.3)
    small = np.dstack([field_x, field_y]).astype(np.float32)
    grid = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    place = np.arange(side, dtype=np.float32)
    grid[..., 0] += place
    grid[..., 1] += place[:, None]
    moved = [
        cv2.remap(layer, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        for layer in (made.crop, made.mask)
    ]
    return np.asarray(moved[0], np.uint8), np.asarray(moved[1], np.float32), to_crop


def _blended(image: RGBImage, crop: RGBImage, mask: FloatArray, to_crop: Matrix23) -> RGBImage:
    """A new frame with the crop over it, through its mask."""
    height, width = image.shape[:2]
    side = crop.shape[0]
    corners = transform_points(invert(to_crop), np.array([[0, 0], [side, 0], [0, side], [side, side]]))
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (width, height))
    if x0 >= x1 or y0 >= y1:
        return image
    there = invert(to_crop).astype(np.float64)
    there[:, 2] -= (x0, y0)
    size = (int(x1 - x0), int(y1 - y0))
    moved = cv2.warpAffine(crop, there, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask.astype(np.float32), there, size, flags=cv2.INTER_LINEAR)[..., None]
    result = image.copy()
    part = result[y0:y1, x0:x1]
    part[:] = (part + alpha * (moved.astype(np.float32) - part) + 0.5).astype(np.uint8)
    return result
