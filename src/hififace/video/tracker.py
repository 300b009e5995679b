"""The faces of a video, frame by frame: who is where, steadied, and who becomes whom.

Known faces are followed by the face mesh, from where they were to where they are. The detector
(`video/detection_schedule.py`) finds new ones, and confirms or denies those that are followed. A track keeps its
number through crossings and cuts (`video/tracking.py`), and its person by its best view. People who are not swapped
rest (`video/resting.py`): the detector alone tells where they are, so that a crowd costs little more than the one of it
who is swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import estimate_similarity
from hififace.faces.candidates import iou_matrix
from hififace.faces.exposure import BOX_SHARES, exposure_gain
from hififace.faces.landmarks import FaceMeshLandmarker, mesh_points5
from hififace.faces.templates import Template
from hififace.media.frames import Frame
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source, SourceMap
from hififace.types import Detection, Face, FloatArray, Landmarks, RGBImage
from hififace.video.assignment import FORBIDDEN, assign
from hififace.video.detection_schedule import (
    RELIABLE_PX,
    DetectionSchedule,
    FindFaces,
    Look,
    coarse_size,
)
from hififace.video.options import FRAMES_PER_GROUP, VideoOptions
from hififace.video.resting import RestOrders
from hififace.video.selection import UNSEEN, ShotViews, TrackSelection
from hififace.video.shot_detection import CutDetector
from hififace.video.smoothing import face_size
from hififace.video.track import SteadyFace, Track, box_px, mesh_box
from hififace.video.tracking import FaceTracker

_ENOUGH_VIEWS = 5
"""Views of a person that are looked at before the best one is trusted."""
_ASK_AGAIN_FRAMES = 64
"""After so many frames, who somebody is is asked again..."""
_ASK_RESTING_FRAMES = 256
"""...of people who are not swapped after so many..."""
_ASK_NEAR_FRAMES = 6
"""...and after so many while two people are so near each other that they could be mistaken."""
_NEAR_OVERLAP = 0.02
"""Boxes that overlap so much are near each other."""
_REST_S = 0.25
"""How long somebody who rests is thought to be where the detector last saw them..."""
_REST_OVERLAP = 0.2
"""...how much a detection must overlap that place to be them..."""
_OTHER_SIZE = 1.2
"""...beyond which change of their size they are followed again, as somebody who comes nearer..."""
_MEASURE_FRAMES = 8
"""...and after how many frames the mesh is laid on them once more: they may have turned to the camera meanwhile."""
_FOLLOW_SCORE = 0.5
"""The mesh network's own confidence below which a face counts as lost."""
_JUMP = 0.12
"""A mesh that lies so far from where it was expected, on average, in face sizes, has jumped: 0.11 at most in 600 frames
of four videos; over cuts between shots of one kind, with somebody else in the same place, 0.14 and more..."""
_MAYBE_CUT = 0.2
"""...and where all of them have, and the image differs so much from the one before, there was a cut."""
_SURE_SCORE = 0.9
"""...and up to which it is in doubt: 0.99 and more on faces that are seen, also behind a hand."""
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


class _Seen(NamedTuple):
    """One face of a frame before it is known whose it is."""

    face: Face
    """With landmarks."""
    detected: bool
    """Whether the detector itself saw it in this frame."""
    track: int | None
    """Which track was looked for there; None: the detector found somebody new."""
    measured: bool = True
    """Whether its landmarks are of this frame."""


@dataclass(frozen=True, slots=True)
class _Renamed:
    """Somebody new who turned out to be known: what was taken before must still be decided under the right number."""

    shot: int
    before_frame: int
    index: int
    known: int


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
        self._shot = 0
        self._orders = RestOrders()
        self._renamed: list[_Renamed] = []

    def take(self, frame: Frame) -> FrameFaces:
        """The faces of the next frame, not decided yet."""
        thumbnail, time_s = frame.thumbnail(), float(frame.time_s)
        is_cut = self._cuts.update(thumbnail)
        followed: dict[int, Landmarks] = {}
        if not is_cut:
            if frame.index % FRAMES_PER_GROUP == 0:
                self._rest_and_wake(frame)
            expected = self._expected(time_s)
            followed = self._follow(frame, expected)
            is_cut = self._cuts.difference > _MAYBE_CUT and _have_jumped(expected, followed)
        if is_cut:
            self._cuts.cut()
            self._tracker.cut()
            self._followed.clear()
            followed = {}
            self._shot += 1
            self._views.forget_before(self._shot - _WAITING_SHOTS)
        look = self._schedule.look(
            frame,
            thumbnail,
            force=is_cut or self._look_now,
            anybody=bool(self._followed),
            settled=self._is_settled(frame.size, followed),
        )
        self._look_now = False
        faces = self._seen(frame, time_s, look, followed)
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

    def _expected(self, time_s: float) -> dict[int, FloatArray]:
        """(468, 3) where the mesh of everybody who is awake should be now, by the number of the track."""
        awake = [
            one
            for one in self._followed.values()
            if not one.is_resting and one.looked_s - one.detected_s <= _FOLLOW_S
        ]
        return {one.index: there for one in awake if (there := one.predict(time_s)) is not None}

    def _follow(self, frame: Frame, expected: Mapping[int, FloatArray]) -> dict[int, Landmarks]:
        """Where their meshes are, as far as the network still believes them."""
        if not expected:
            return {}
        found = self._landmarker.follow(frame.rgb(), list(expected.values()))
        return {
            index: mesh for index, mesh in zip(expected, found, strict=True) if mesh.score >= _FOLLOW_SCORE
        }

    def _seen(
        self, frame: Frame, time_s: float, look: Look | None, followed: Mapping[int, Landmarks]
    ) -> list[_Seen]:
        """Faces with landmarks: those that are followed, those that rest, and new ones."""
        tracks, meshes = list(followed), list(followed.values())
        detections = () if look is None else look.detections
        confirmed = confirmations(meshes, detections)
        found = [
            _Seen(Face(0, detections[there], meshes[here]), True, tracks[here])
            for here, there in confirmed.items()
        ]
        left = [one for place, one in enumerate(detections) if place not in confirmed.values()]
        resting, new = self._resting(frame, look, left, time_s)
        found += resting
        if new:
            located = self._landmarker.locate_many(frame.rgb(), [one for one, _ in new])
            found += [
                _Seen(Face(0, one, mesh), True, track)
                for (one, track), mesh in zip(new, located, strict=True)
            ]
        taken = [_box_of(one.face) for one in found]
        for place, measured in enumerate(meshes):
            box = mesh_box(measured.points)
            # A mesh that nobody confirms, on a face that is somebody's: it slid there from a face that is hidden.
            slid = bool(taken) and iou_matrix(box[None], np.stack(taken)).max() >= _SAME_OVERLAP
            if place not in confirmed and not slid:
                points5 = mesh_points5(measured.points).astype(np.float32)
                face = Face(0, Detection(box, measured.score, points5), measured)
                found.append(_Seen(face, False, tracks[place]))
        if look is not None:
            for one in self._followed.values():
                if one.mesh is not None and box_px(one.mesh) >= look.reliable_px:
                    one.looked_s = time_s
        return found

    def _is_settled(self, size: tuple[int, int], followed: Mapping[int, Landmarks]) -> bool:
        """Whether the detector has only new faces to find.

        Everybody is known well, was seen by every look that would have shown them, and rests or is swapped, whatever
        further looks tell; and nobody who is swapped is small, hard to see or near somebody else.
        """
        tracks = [(one, mesh) for one in self._followed.values() if (mesh := one.mesh) is not None]
        if not tracks:
            return False
        near = _are_near(np.stack([mesh_box(mesh) for _, mesh in tracks]))
        least_px = _coarsely_seen_px(*size)

        def is_sure(one: Track, mesh: FloatArray, is_near: bool) -> bool:
            now = followed.get(one.index)
            return (
                one.is_swapped
                and now is not None
                and now.score >= _SURE_SCORE
                and not is_near
                and box_px(mesh) >= least_px
            )

        return all(
            one.num_views >= _ENOUGH_VIEWS
            and one.looked_s <= one.detected_s
            and (one.is_resting or is_sure(one, mesh, bool(is_near)))
            for (one, mesh), is_near in zip(tracks, near, strict=True)
        )

    def _resting(
        self, frame: Frame, look: Look | None, detections: Sequence[Detection], time_s: float
    ) -> tuple[list[_Seen], list[tuple[Detection, int | None]]]:
        """People who rest: where the detector sees them, or else where it last did.

        Returns:
            Them; and the detections on which the mesh is to be laid, each with the track that rests there, None where
            nobody does.
        """
        resting = [one for one in self._followed.values() if one.is_resting]
        meshes = [one.mesh for one in resting if one.mesh is not None]
        pairs: dict[int, int] = {}
        if resting and detections:
            overlap = iou_matrix(
                np.stack([mesh_box(mesh) for mesh in meshes]), np.stack([one.box for one in detections])
            )
            pairs = dict(assign(np.where(overlap >= _REST_OVERLAP, 1.0 - overlap, FORBIDDEN)))
        found: list[_Seen] = []
        asked: list[tuple[Detection, int | None]] = [
            (one, None) for place, one in enumerate(detections) if place not in pairs.values()
        ]
        for row, (one, mesh) in enumerate(zip(resting, meshes, strict=True)):
            if row in pairs:
                seen = detections[pairs[row]]
                carried = one.carried(seen)
                if _is_other_size(face_size(carried), one.rested_px):
                    one.is_resting = False
                if not one.is_resting or frame.index - one.measured_frame >= _MEASURE_FRAMES:
                    asked.append((seen, one.index))
                else:
                    found.append(
                        _Seen(Face(0, seen, Landmarks(carried, seen.score)), True, one.index, measured=False)
                    )
                continue
            should_show = look is not None and look.reliable_px <= box_px(mesh)
            # It may come back in this moment, but not for long.
            if should_show and time_s - one.detected_s > _REST_S:
                continue
            there = Detection(mesh_box(mesh), 0.0, mesh_points5(mesh).astype(np.float32))
            found.append(_Seen(Face(0, there, Landmarks(mesh, 0.0)), False, one.index, measured=False))
        return found, asked

    def _update(self, frame: Frame, faces: Sequence[_Seen], time_s: float) -> list[SteadyFace]:
        """Match faces with tracks, take them in, and carry on those that nobody sees."""
        asked = self._whom_to_ask(faces, frame.index)
        strengths: dict[int, float] = {}
        faces = list(faces)
        for place in sorted(asked):
            identity, strengths[place] = self._embed(frame.rgb(), faces[place].face)
            faces[place] = faces[place]._replace(face=replace(faces[place].face, identity=identity))
        steady = []
        for index, place in self._tracked([one.face for one in faces], frame.index):
            face, detected, _, measured = faces[place]
            followed = self._followed.get(index)
            if followed is None:
                followed = self._followed[index] = Track(index, self._template, self._smoothing)
            if place in asked:
                followed.asked_frame = frame.index
            if measured:
                followed.measured_frame = frame.index
            if detected and measured:
                self._views.look(frame.rgb(), self._shot, index, face, time_s, strengths.get(place))
            if followed.is_resting:
                steady.append(followed.stay(face, time_s, detected=detected))
            else:
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

    def _tracked(self, faces: Sequence[Face], frame_index: int) -> list[tuple[int, int]]:
        """Number of the track and place of each face, by rising number."""
        # Boxes of one kind, or a track's speed would change with the rhythm of detection.
        boxed = [
            replace(face, index=place, detection=replace(face.detection, box=_box_of(face)))
            for place, face in enumerate(faces)
        ]
        by_mesh = {id(face.landmarks): place for place, face in enumerate(boxed)}
        found = [(one.index, by_mesh[id(one.landmarks)]) for one in self._tracker.update(boxed)]
        for index, known in self._tracker.renamed.items():
            self._rename(frame_index, index, known)
        return found

    def _rename(self, frame_index: int, index: int, known: int) -> None:
        """Go on with a track under the number of the person that it turned out to be."""
        if index in self._followed:
            track = self._followed.pop(index)
            track.index = known
            self._followed[known] = track
        self._views.rename(self._shot, index, known)
        self._renamed.append(_Renamed(self._shot, frame_index, index, known))

    def _whom_to_ask(self, faces: Sequence[_Seen], index: int) -> set[int]:
        """Whose identity is worth its time: who is new or little known, was lost, or comes near somebody else."""
        if not any(one.detected for one in faces):
            return set()
        boxes = np.stack([_box_of(one.face) for one in faces])
        near = _are_near(boxes)
        asked = set()
        for place, one in enumerate(faces):
            if not one.detected:
                continue
            track = None if one.track is None else self._followed.get(one.track)
            if track is None or track.num_views < _ENOUGH_VIEWS:
                asked.add(place)
                continue
            since = index - track.asked_frame
            again = _ASK_RESTING_FRAMES if track.is_resting else _ASK_AGAIN_FRAMES
            if since >= again or (near[place] and since >= _ASK_NEAR_FRAMES):
                asked.add(place)
        return asked

    def _rest_and_wake(self, frame: Frame) -> None:
        """Who was not swapped four groups ago rests; who was is followed.

        A face rests only if even a coarse look of the detector shows it, or it would be lost from whole look to whole
        look; and only once it is known well.
        """
        least_px = _coarsely_seen_px(*frame.size)
        for index, (size_px, is_swapped) in self._orders.due(self._shot, frame.index).items():
            track = self._followed.get(index)
            if track is None or track.mesh is None:
                continue
            track.is_swapped = is_swapped
            if is_swapped:
                track.is_resting = False
                continue
            now_px = face_size(track.mesh)
            is_known = track.num_views >= _ENOUGH_VIEWS
            is_seen = float(frame.time_s) - track.detected_s <= _REST_S and box_px(track.mesh) >= least_px
            if is_known and is_seen and not track.is_resting and not _is_other_size(now_px, size_px):
                track.rest(size_px)

    # -------------------------------------------------------------------------------------------------------
    # Who becomes whom

    def decide(self, taken: FrameFaces) -> FrameFaces:
        """The same with its sources: as late as possible, as frames that were taken since tell more of its faces."""
        taken = self._under_right_numbers(taken)
        if taken.is_cut:
            self._selection.cut()
        self._views.forget_before(taken.shot)
        sources, reasons = self._selection.decide(
            taken.faces, self._views.of(taken.shot), float(taken.frame.time_s)
        )
        decisions = {
            one.face.index: (0.0 if mesh is None else face_size(mesh.points), source is not None)
            for one, source in zip(taken.faces, sources, strict=True)
            for mesh in (one.face.landmarks,)
        }
        self._orders.note(taken.shot, taken.frame.index, decisions)
        state = (
            None
            if taken.state is None
            else {**taken.state, "selection": self._selection.state(), "orders": self._orders.state()}
        )
        decided = replace(taken, sources=sources, reasons=reasons, state=state)
        return self._with_measured(decided) if any(one.is_resting for one in taken.faces) else decided

    def _under_right_numbers(self, taken: FrameFaces) -> FrameFaces:
        """The same, with those who were recognised in frames that were taken since."""
        self._renamed = [one for one in self._renamed if one.before_frame > taken.frame.index]
        numbers = {one.index: one.known for one in self._renamed if one.shot == taken.shot}
        if not numbers:
            return taken
        faces = [
            replace(one, face=replace(one.face, index=numbers.get(one.face.index, one.face.index)))
            for one in taken.faces
        ]
        return replace(taken, faces=tuple(sorted(faces, key=lambda one: one.face.index)))

    def _with_measured(self, decided: FrameFaces) -> FrameFaces:
        """Those who rested when the frame was taken and are swapped after all, with the mesh laid on them now."""
        faces, sources, reasons = list(decided.faces), list(decided.sources), list(decided.reasons)
        for place, one in enumerate(faces):
            if not one.is_resting or sources[place] is None or one.face.landmarks is None:
                continue
            image = decided.frame.rgb()
            mesh = self._landmarker.follow(image, [one.face.landmarks.points])[0]
            if mesh.score < _FOLLOW_SCORE:
                sources[place], reasons[place] = None, UNSEEN
                continue
            points5 = mesh_points5(mesh.points).astype(np.float32)
            there = replace(one.face.detection, box=mesh_box(mesh.points), points=points5)
            face = replace(one.face, detection=there, landmarks=mesh)
            matrix = estimate_similarity(points5, self._template.points)
            faces[place] = replace(
                one, face=face, matrix=matrix, gain=_gain_of(image, face), is_resting=False
            )
        return replace(decided, faces=tuple(faces), sources=tuple(sources), reasons=tuple(reasons))

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
        self._look_now = state["look_now"]
        self._shot = state["shot"]
        self._views.restore(state["views"])
        self._selection.restore(state["selection"])
        self._orders.restore(state["orders"])


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


def _coarsely_seen_px(width: int, height: int) -> float:
    """Faces from this size on are seen by coarse looks at images of that size."""
    coarse = coarse_size(width, height)
    return RELIABLE_PX * (1.0 if coarse is None else height / coarse[1])


def _are_near(boxes: FloatArray) -> NDArray[np.bool_]:
    """(N,) whether each of some boxes (N, 4) is near another."""
    overlap = iou_matrix(boxes, boxes) - np.eye(len(boxes))
    return np.asarray(overlap.max(axis=1) > _NEAR_OVERLAP)


def _have_jumped(expected: Mapping[int, FloatArray], found: Mapping[int, Landmarks]) -> bool:
    """Whether every mesh that was found, of one at least, lies elsewhere than expected."""

    def moved(index: int, mesh: Landmarks) -> float:
        there = expected[index]
        apart = np.linalg.norm((mesh.points - there)[:, :2], axis=1)
        return float(apart.mean()) / face_size(there)

    return bool(found) and all(moved(index, mesh) > _JUMP for index, mesh in found.items())


def _is_other_size(one_px: float, other_px: float) -> bool:
    """Whether a face is so much larger or smaller than before that what was decided then says nothing any more."""
    return max(one_px, other_px) > _OTHER_SIZE * min(one_px, other_px)


def _box_of(face: Face) -> FloatArray:
    return face.detection.box if face.landmarks is None else mesh_box(face.landmarks.points)


def _gain_of(image: RGBImage, face: Face) -> float:
    """By how much a face would have to be brighter to be in ordinary light."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in np.clip(_box_of(face), 0, (width, height, width, height)))
    return exposure_gain(image[y0:y1, x0:x1], BOX_SHARES) if x1 > x0 and y1 > y0 else 1.0
