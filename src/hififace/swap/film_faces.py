"""The faces of a film, frame by frame: who is where, steadied, and who becomes whom.

Looked for in every so manieth frame, at cuts, and where one was lost; followed by the face mesh between. A track
keeps its number through crossings and cuts (`faces/tracking.py`), and its person by its best view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hififace.faces.candidates import iou_matrix
from hififace.faces.identity import cosine
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.templates import Template
from hififace.faces.tracking import FaceTracker
from hififace.media.cuts import CutDetector
from hififace.media.frames import FilmFrame
from hififace.swap.casting import Cast, Source
from hififace.swap.film_options import FilmOptions
from hififace.swap.following import FollowedFace, SteadyFace, mesh_box, mesh_points5
from hififace.swap.options import SwapOptions
from hififace.types import Detection, Face, FloatArray, RGBImage

_ENOUGH_VIEWS = 5
"""Views of a person that are looked at before the best one is trusted."""
_LOOK_AGAIN_FRAMES = 32
_FOLLOW_SCORE = 0.5
"""The mesh network's own confidence below which a face counts as lost."""
_FOLLOW_S = 1.0
"""How long the mesh alone may follow a face that the detector does not see."""
_LEADER_S = 1.0
"""How long `select="largest"` waits for the face it chose before it chooses another."""

FindFaces = Callable[[RGBImage], list[Face]]
Embed = Callable[[RGBImage, Face], FloatArray]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """What is to be done with one frame."""

    frame: FilmFrame
    faces: tuple[SteadyFace, ...]
    """All faces, also those that stay as they are."""
    sources: tuple[Source | None, ...]
    """One for each; None: it stays as it is."""
    is_cut: bool
    state: dict[str, Any] | None = None
    """Everything needed to go on behind this frame, where a segment ends with it."""


class FilmFaces:
    """Takes frames in order; `state` and `restore` carry it over an interruption."""

    def __init__(
        self,
        find_faces: FindFaces,
        embed: Embed,
        landmarker: FaceMeshLandmarker,
        template: Template,
        options: SwapOptions,
        film_options: FilmOptions,
        cast: Cast,
        reference: FloatArray | None = None,
    ) -> None:
        self._find_faces, self._embed, self._landmarker = find_faces, embed, landmarker
        self._template, self._options, self._film_options = template, options, film_options
        self._cast, self._reference = cast, reference
        # A selection may also be numbers or the pixels of a photo.
        self._named = options.select if isinstance(options.select, str) else None
        self._smoothing = film_options.smoothing if film_options.smooth else None
        self._cuts, self._tracker = CutDetector(), FaceTracker()
        self._followed: dict[int, FollowedFace] = {}
        self._look_now = True
        self._leader: int | None = None

    def take(self, frame: FilmFrame) -> FrameFaces:
        """What is to be done with the next frame."""
        is_cut = self._cuts.update(frame.thumbnail())
        if is_cut:
            self._tracker.cut()
            self._followed.clear()
            self._leader = None
        time_s = float(frame.time_s)
        detect = is_cut or self._look_now or frame.index % self._film_options.detect_every == 0
        self._look_now = False
        faces: list[tuple[Face, bool]] = []
        if detect or self._followed:
            faces = self._seen(frame.rgb(), time_s, detect)
        steady = self._update(frame, faces, time_s) if faces or self._followed else []
        ends_segment = (frame.index + 1) % self._film_options.segment_frames == 0
        return FrameFaces(
            frame,
            tuple(steady),
            self._sources(steady, time_s),
            is_cut,
            self.state() if ends_segment else None,
        )

    # -------------------------------------------------------------------------------------------------------
    # Where they are

    def _seen(self, image: RGBImage, time_s: float, detect: bool) -> list[tuple[Face, bool]]:
        """Faces with landmarks, and whether the detector itself saw each."""
        detections = [face.detection for face in self._find_faces(image)] if detect else []
        meshes = self._landmarker.locate_many(image, detections)
        found = [(Face(0, detection, mesh), True) for detection, mesh in zip(detections, meshes, strict=True)]
        known = [
            one
            for one in self._followed.values()
            if one.mesh is not None and time_s - one.detected_s <= _FOLLOW_S
        ]
        if found and known:
            overlap = iou_matrix(
                np.stack([mesh_box(one.mesh) for one in known if one.mesh is not None]),
                np.stack([mesh_box(mesh.points) for mesh in meshes]),
            )
            known = [one for one, row in zip(known, overlap, strict=True) if row.max() < 0.3]
        followed = self._landmarker.follow(image, [one.mesh for one in known if one.mesh is not None])
        for mesh in followed:
            if mesh.score >= _FOLLOW_SCORE:
                points5 = mesh_points5(mesh.points).astype(np.float32)
                found.append((Face(0, Detection(mesh_box(mesh.points), mesh.score, points5), mesh), False))
        return found

    def _update(
        self, frame: FilmFrame, faces: Sequence[tuple[Face, bool]], time_s: float
    ) -> list[SteadyFace]:
        """Match faces with tracks, take them in, and carry on those that nobody sees."""
        if self._must_know_who([face for face, _ in faces], frame.index):
            image = frame.rgb()
            faces = [
                (replace(face, identity=self._embed(image, face)) if detected else face, detected)
                for face, detected in faces
            ]
        # Boxes of one kind, or a track's speed would change with the rhythm of detection.
        boxed = [
            replace(face, index=place, detection=replace(face.detection, box=_box_of(face)))
            for place, (face, _) in enumerate(faces)
        ]
        by_mesh = {id(face.landmarks): place for place, face in enumerate(boxed)}
        steady = []
        for tracked in self._tracker.update(boxed):
            face, detected = faces[by_mesh[id(tracked.landmarks)]]
            followed = self._followed.get(tracked.index)
            if followed is None:
                followed = FollowedFace(tracked.index, self._template, self._smoothing)
                self._followed[tracked.index] = followed
            steady.append(followed.see(face, time_s, detected=detected))
        seen = {one.face.index for one in steady}
        for index in [i for i in self._followed if i not in seen]:
            guess = self._followed[index].miss(time_s)
            self._look_now = True
            if guess is None:
                del self._followed[index]
            else:
                steady.append(guess)
        return sorted(steady, key=lambda one: one.face.index)

    def _must_know_who(self, faces: Sequence[Face], index: int) -> bool:
        """Whether identities are worth their time: somebody is new, or two come near each other."""
        if not faces:
            return False
        views = [one.num_views for one in self._followed.values()]
        if len(faces) != len(views) or min(views) < _ENOUGH_VIEWS or index % _LOOK_AGAIN_FRAMES == 0:
            return True
        boxes = np.stack([_box_of(face) for face in faces])
        return bool((iou_matrix(boxes, boxes) - np.eye(len(faces))).max() > 0.02)

    # -------------------------------------------------------------------------------------------------------
    # Who becomes whom

    def _sources(self, steady: Sequence[SteadyFace], time_s: float) -> tuple[Source | None, ...]:
        if self._named == "largest":
            self._choose_leader(steady, time_s)
        return tuple(self._source(one) for one in steady)

    def _choose_leader(self, steady: Sequence[SteadyFace], time_s: float) -> None:
        """The largest face, kept while it is there: two people of one size must not take turns."""
        leader = None if self._leader is None else self._followed.get(self._leader)
        if leader is not None and time_s - leader.seen_s <= _LEADER_S:
            return
        largest = max(steady, key=lambda one: one.face.detection.size_px, default=None)
        self._leader = None if largest is None else largest.face.index

    def _source(self, one: SteadyFace) -> Source | None:
        options, index = self._options, one.face.index
        if one.face.detection.size_px < options.smallest_face_px:
            return None
        if index in self._cast.by_index:
            return self._cast.by_index[index]
        identity = self._followed[index].identity
        if self._reference is not None:
            selected = identity is not None and cosine(identity, self._reference) >= options.same_person
        elif options.indices is not None:
            selected = index in options.indices
        else:
            selected = self._named == "all" or index == self._leader
        if not selected:
            return None
        if identity is None or not self._cast.roles:
            return self._cast.default
        return self._cast.source_for(identity, options.same_person)

    # -------------------------------------------------------------------------------------------------------
    # Going on

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {
            "cuts": self._cuts.state(),
            "tracker": self._tracker.state(),
            "followed": [one.state() for one in self._followed.values()],
            "look_now": self._look_now,
            "leader": self._leader,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._cuts.restore(state["cuts"])
        self._tracker.restore(state["tracker"])
        restored = [FollowedFace.restored(s, self._template, self._smoothing) for s in state["followed"]]
        self._followed = {one.index: one for one in restored}
        self._look_now, self._leader = state["look_now"], state["leader"]


def _box_of(face: Face) -> FloatArray:
    return face.detection.box if face.landmarks is None else mesh_box(face.landmarks.points)
