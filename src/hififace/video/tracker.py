"""The faces of a video, frame by frame: who is where, steadied, and who becomes whom.

Known faces are followed by the face mesh, from where they were to where they are. The detector
(`video/detection_schedule.py`) finds new ones, and confirms or denies those that are followed. A track keeps its
number through crossings and cuts (`video/tracking.py`), and its person by its best view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hififace.faces.candidates import iou_matrix
from hififace.faces.exposure import BOX_SHARES, exposure_gain
from hififace.faces.landmarks import FaceMeshLandmarker, mesh_points5
from hififace.faces.templates import Template
from hififace.media.frames import Frame
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source, SourceMap
from hififace.types import Detection, Face, FloatArray, Landmarks, RGBImage
from hififace.video.assignment import FORBIDDEN, assign
from hififace.video.detection_schedule import DetectionSchedule, FindFaces, Look
from hififace.video.options import VideoOptions
from hififace.video.selection import ShotViews, TrackSelection
from hififace.video.shot_detection import CutDetector
from hififace.video.smoothing import face_size
from hififace.video.track import SteadyFace, Track, mesh_box
from hififace.video.tracking import FaceTracker

_ENOUGH_VIEWS = 5
"""Views of a person that are looked at before the best one is trusted."""
_ASK_AGAIN_FRAMES = 64
"""After so many frames, who somebody is is asked again..."""
_ASK_NEAR_FRAMES = 6
"""...and after so many while two people are so near each other that they could be mistaken."""
_FOLLOW_SCORE = 0.5
"""The mesh network's own confidence below which a face counts as lost."""
_FOLLOW_S = 1.0
"""How long the mesh alone may follow a face that the detector does not see although it looks."""
_SAME_OVERLAP = 0.3
_SAME_POINTS = 0.2
"""A detection and a mesh are one face if their boxes overlap so much, and their five points lie no farther apart than
this, on average, in face sizes (a mesh that slid off its face is found anew)."""
_WAITING_SHOTS = 16
"""Shots whose frames may still wait to be decided."""

Embed = Callable[[RGBImage, Face], tuple[FloatArray, float]]
"""The identity (D,) of a face of an image, and how long the vector was before it was brought to unit length."""


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """What is to be done with one frame."""

    frame: Frame
    faces: tuple[SteadyFace, ...]
    """All faces, also those that stay as they are."""
    is_cut: bool
    shot: int
    """Number of the shot, from 0."""
    state: dict[str, Any] | None = None
    """Everything needed to go on behind this frame, where a segment ends with it."""
    sources: tuple[Source | None, ...] = ()
    """One for each; None: it stays as it is. Empty until the frame is decided."""
    reasons: tuple[str, ...] = ()
    """Why each stays as it is: a sentence without its end, empty where it does not."""


class VideoFaces:
    """Takes frames in order, and decides about them in order; `restore` carries it over an interruption."""

    def __init__(
        self,
        find_faces: FindFaces,
        embed: Embed,
        landmarker: FaceMeshLandmarker,
        template: Template,
        options: SwapOptions,
        video_options: VideoOptions,
        source_map: SourceMap,
        reference: FloatArray | None = None,
    ) -> None:
        self._embed, self._landmarker = embed, landmarker
        self._schedule = DetectionSchedule(find_faces, video_options.detect_every)
        self._template, self._video_options = template, video_options
        self._selection, self._views = TrackSelection(options, source_map, reference), ShotViews()
        self._smoothing = video_options.smoothing if video_options.smooth else None
        self._cuts, self._tracker = CutDetector(), FaceTracker()
        self._followed: dict[int, Track] = {}
        self._look_now = True
        self._asked = -_ASK_AGAIN_FRAMES
        self._shot = 0

    def take(self, frame: Frame) -> FrameFaces:
        """The faces of the next frame, not decided yet."""
        thumbnail = frame.thumbnail()
        is_cut = self._cuts.update(thumbnail)
        if is_cut:
            self._tracker.cut()
            self._followed.clear()
            self._shot += 1
            self._views.forget_before(self._shot - _WAITING_SHOTS)
        time_s = float(frame.time_s)
        look = self._schedule.look(
            frame, thumbnail, force=is_cut or self._look_now, anybody=bool(self._followed)
        )
        self._look_now = False
        faces = self._seen(frame, time_s, look)
        steady = self._update(frame, faces, time_s) if faces or self._followed else []
        ends_segment = (frame.index + 1) % self._video_options.segment_frames == 0
        return FrameFaces(
            frame,
            tuple(steady),
            is_cut,
            self._shot,
            self._state() if ends_segment else None,
        )

    # -------------------------------------------------------------------------------------------------------
    # Where they are

    def _seen(self, frame: Frame, time_s: float, look: Look | None) -> list[tuple[Face, bool]]:
        """Faces with landmarks, and whether the detector itself saw each."""
        known = [one for one in self._followed.values() if one.looked_s - one.detected_s <= _FOLLOW_S]
        places = [place for place in (one.predict(time_s) for one in known) if place is not None]
        meshes = self._landmarker.follow(frame.rgb(), places) if places else []
        meshes = [mesh for mesh in meshes if mesh.score >= _FOLLOW_SCORE]
        detections = () if look is None else look.detections
        confirmed = confirmations(meshes, detections)
        new = [one for place, one in enumerate(detections) if place not in confirmed.values()]
        found = [(Face(0, detections[there], meshes[here]), True) for here, there in confirmed.items()]
        if new:
            located = self._landmarker.locate_many(frame.rgb(), new)
            found += [(Face(0, one, mesh), True) for one, mesh in zip(new, located, strict=True)]
        taken = [_box_of(face) for face, _ in found]
        for place, mesh in enumerate(meshes):
            box = mesh_box(mesh.points)
            # A mesh that nobody confirms, on a face that is somebody's: it slid there from a face that is hidden.
            slid = bool(taken) and iou_matrix(box[None], np.stack(taken)).max() >= _SAME_OVERLAP
            if place not in confirmed and not slid:
                points5 = mesh_points5(mesh.points).astype(np.float32)
                found.append((Face(0, Detection(box, mesh.score, points5), mesh), False))
        if look is not None:
            for one in self._followed.values():
                if one.mesh is not None and face_size(one.mesh) >= look.reliable_px:
                    one.looked_s = time_s
        return found

    def _update(self, frame: Frame, faces: Sequence[tuple[Face, bool]], time_s: float) -> list[SteadyFace]:
        """Match faces with tracks, take them in, and carry on those that nobody sees."""
        strengths: list[float | None] = [None] * len(faces)
        if any(seen for _, seen in faces) and self._must_know_who([face for face, _ in faces], frame.index):
            self._asked = frame.index
            faces = list(faces)
            for place, (face, detected) in enumerate(faces):
                if detected:
                    identity, strengths[place] = self._embed(frame.rgb(), face)
                    faces[place] = replace(face, identity=identity), detected
        # Boxes of one kind, or a track's speed would change with the rhythm of detection.
        boxed = [
            replace(face, index=place, detection=replace(face.detection, box=_box_of(face)))
            for place, (face, _) in enumerate(faces)
        ]
        by_mesh = {id(face.landmarks): place for place, face in enumerate(boxed)}
        steady = []
        for tracked in self._tracker.update(boxed):
            place = by_mesh[id(tracked.landmarks)]
            face, detected = faces[place]
            followed = self._followed.get(tracked.index)
            if followed is None:
                followed = Track(tracked.index, self._template, self._smoothing)
                self._followed[tracked.index] = followed
            if detected:
                self._views.look(frame.rgb(), self._shot, tracked.index, face, time_s, strengths[place])
            gain = _gain_of(frame.rgb(), face)
            steady.append(followed.update(face, time_s, detected=detected, gain=gain))
        seen = {one.face.index for one in steady}
        for index in [i for i in self._followed if i not in seen]:
            guess = self._followed[index].mark_missed(time_s)
            self._look_now = True
            if guess is None:
                del self._followed[index]
            else:
                steady.append(guess)
        return sorted(steady, key=lambda one: one.face.index)

    def _must_know_who(self, faces: Sequence[Face], index: int) -> bool:
        """Whether identities are worth their time: somebody is new or lost, or two come near each other."""
        if not faces:
            return False
        since = index - self._asked
        views = [one.num_views for one in self._followed.values()]
        if len(faces) != len(views) or min(views) < _ENOUGH_VIEWS or since >= _ASK_AGAIN_FRAMES:
            return True
        boxes = np.stack([_box_of(face) for face in faces])
        near = float((iou_matrix(boxes, boxes) - np.eye(len(faces))).max()) > 0.02
        return near and since >= _ASK_NEAR_FRAMES

    # -------------------------------------------------------------------------------------------------------
    # Who becomes whom

    def decide(self, taken: FrameFaces) -> FrameFaces:
        """The same with its sources: as late as possible, as frames that were taken since tell more of its faces."""
        if taken.is_cut:
            self._selection.cut()
        self._views.forget_before(taken.shot)
        sources, reasons = self._selection.decide(
            taken.faces, self._views.of(taken.shot), float(taken.frame.time_s)
        )
        state = None if taken.state is None else {**taken.state, "selection": self._selection.state()}
        return replace(taken, sources=sources, reasons=reasons, state=state)

    # -------------------------------------------------------------------------------------------------------
    # Going on

    def _state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it, but for what `decide` remembers."""
        return {
            "cuts": self._cuts.state(),
            "schedule": self._schedule.state(),
            "tracker": self._tracker.state(),
            "followed": [one.state() for one in self._followed.values()],
            "look_now": self._look_now,
            "asked": self._asked,
            "shot": self._shot,
            "views": self._views.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of a decided frame."""
        self._cuts.restore(state["cuts"])
        self._schedule.restore(state["schedule"])
        self._tracker.restore(state["tracker"])
        restored = [Track.restored(s, self._template, self._smoothing) for s in state["followed"]]
        self._followed = {one.index: one for one in restored}
        self._look_now, self._asked = state["look_now"], state["asked"]
        self._shot = state["shot"]
        self._views.restore(state["views"])
        self._selection.restore(state["selection"])


def confirmations(meshes: Sequence[Landmarks], detections: Sequence[Detection]) -> dict[int, int]:
    """Which meshes are confirmed by which detections: place of the mesh -> place of the detection, one to one."""
    if not meshes or not detections:
        return {}
    overlap = iou_matrix(
        np.stack([mesh_box(mesh.points) for mesh in meshes]), np.stack([one.box for one in detections])
    )
    costs = np.where(overlap >= _SAME_OVERLAP, 1.0 - overlap, FORBIDDEN)
    for row, mesh in enumerate(meshes):
        five, size = mesh_points5(mesh.points), face_size(mesh.points)
        for column, one in enumerate(detections):
            if float(np.linalg.norm(five - one.points, axis=1).mean()) > _SAME_POINTS * size:
                costs[row, column] = FORBIDDEN
    return dict(assign(costs))


def _box_of(face: Face) -> FloatArray:
    return face.detection.box if face.landmarks is None else mesh_box(face.landmarks.points)


def _gain_of(image: RGBImage, face: Face) -> float:
    """By how much a face would have to be brighter to be in ordinary light."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in np.clip(_box_of(face), 0, (width, height, width, height)))
    return exposure_gain(image[y0:y1, x0:x1], BOX_SHARES) if x1 > x0 and y1 > y0 else 1.0
