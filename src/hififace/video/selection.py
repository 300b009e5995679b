"""Which faces of a video get which source, and why the others get none.

The rules are those of images (`swap/bystanders.py`, `faces/selection.py`), decided over a track's frames and not frame
by frame: a face that is out of focus for a moment, a profile between two front views, or a dog that passes for a person
once in ten frames would flicker. So each rule sees medians over the views of a track, those of the frames that follow
included (`LOOKAHEAD_GROUPS`), and whoever was meant once stays so until the next cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from statistics import median
from typing import Any, Final

from hififace.faces.appearance import Appearance, appearance_of
from hififace.faces.identity import cosine
from hififace.faces.second_opinion import HUMAN, STRONG, SURE_SCORE
from hififace.faces.selection import left_out
from hififace.swap.bystanders import NOT_HUMAN, SELECT_ALL
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source, SourceMap
from hififace.types import Face, FloatArray, RGBImage
from hififace.video.track import SteadyFace

LOOKAHEAD_GROUPS: Final = 3
"""Groups of frames that are looked at before the faces of one are decided: half a second at 24 frames per second."""

RECENT_S: Final = 0.6
"""How a face is shown is judged by the views of so long a time..."""
LEAST_RECENT: Final = 3
"""...and at least by so many."""

MOST_VIEWS: Final = 64
"""Views of a track that are kept of all that were seen: once there are more, every other one goes."""

UNSEEN: Final = "it is not seen clearly"

_LEADER_S: Final = 1.0
"""How long `select="largest"` waits for the face it chose before it chooses another."""


@dataclass(frozen=True, slots=True)
class View:
    """What one frame showed of a face."""

    time_s: float
    size_px: float
    blur: float
    turn_deg: float
    disagreement: float
    mesh_score: float
    """This and those before as in `Appearance`."""
    score: float
    """Of the detector."""
    strength: float | None
    """Length of its embedding before it is brought to unit length; None where it was not embedded."""


def _view(values: Sequence[Any]) -> View:
    """What `astuple` gave."""
    return View(**dict(zip((field.name for field in fields(View)), values, strict=True)))


class _Sample:
    """At most `MOST_VIEWS` of any number of views, evenly spread over all of them."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {"views": [], "every": 1, "num": 0}
        self.views = [_view(one) for one in state["views"]]
        self._every: int = state["every"]
        self._num: int = state["num"]

    def add(self, view: View) -> None:
        if self._num % self._every == 0:
            self.views.append(view)
        self._num += 1
        if len(self.views) > MOST_VIEWS:
            self.views, self._every = self.views[::2], 2 * self._every

    def state(self) -> dict[str, Any]:
        return {"views": [list(astuple(one)) for one in self.views], "every": self._every, "num": self._num}


class TrackViews:
    """What the frames of one shot showed of one face."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {"all": None, "embedded": None, "recent": []}
        self._all, self._embedded = _Sample(state["all"]), _Sample(state["embedded"])
        self._recent = [_view(one) for one in state["recent"]]

    def add(self, view: View) -> None:
        """Take in the next view."""
        self._all.add(view)
        if view.strength is not None:
            self._embedded.add(view)
        self._recent.append(view)
        while len(self._recent) > LEAST_RECENT and self._recent[0].time_s < view.time_s - RECENT_S:
            del self._recent[0]

    @property
    def appearance(self) -> Appearance:
        """How it is shown now: medians of the recent views."""
        return _typical(self._recent)

    @property
    def is_human(self) -> bool:
        """Whether detector, mesh and recogniser together take it for a human face, over all of its views."""
        if median(one.score for one in self._all.views) >= SURE_SCORE:
            return True
        sums = [one.score + one.mesh_score + (one.strength or 0.0) / STRONG for one in self._embedded.views]
        # Out of focus, people and dogs look alike to these networks, and people are more often filmed.
        return (bool(sums) and median(sums) >= HUMAN) or _typical(self._all.views).is_blurred

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it; `TrackViews(state)` goes on."""
        recent = [list(astuple(one)) for one in self._recent]
        return {"all": self._all.state(), "embedded": self._embedded.state(), "recent": recent}


class ShotViews:
    """The views of all faces, by shot and track."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[int, int], TrackViews] = {}

    def look(
        self, image: RGBImage, shot: int, index: int, face: Face, time_s: float, strength: float | None
    ) -> None:
        """Take in one detected face (with landmarks) of an image (H, W, 3)."""
        assert face.landmarks is not None
        shown = appearance_of(image, face.detection, face.landmarks)
        view = View(
            time_s,
            shown.size_px,
            round(shown.blur, 4),
            round(shown.turn_deg, 2),
            round(shown.disagreement, 4),
            round(shown.mesh_score, 4),
            face.detection.score,
            strength,
        )
        self._tracks.setdefault((shot, index), TrackViews()).add(view)

    def of(self, shot: int) -> dict[int, TrackViews]:
        """Track -> its views in one shot."""
        return {index: views for (number, index), views in self._tracks.items() if number == shot}

    def rename(self, shot: int, index: int, known: int) -> None:
        """A track of a shot turned out to be somebody else's continued."""
        views = self._tracks.pop((shot, index), None)
        if views is not None:
            self._tracks[shot, known] = views

    def forget_before(self, shot: int) -> None:
        """Drop what earlier shots showed."""
        self._tracks = {key: views for key, views in self._tracks.items() if key[0] >= shot}

    def state(self) -> list[Any]:
        """Everything needed to go on, as JSON can hold it."""
        return [[*key, views.state()] for key, views in self._tracks.items()]

    def restore(self, state: list[Any]) -> None:
        """Go on from what `state()` gave."""
        self._tracks = {(shot, index): TrackViews(views) for shot, index, views in state}


class TrackSelection:
    """Decides for the faces of each frame, in order; `state` and `restore` carry it over an interruption."""

    def __init__(
        self, options: SwapOptions, source_map: SourceMap, reference: FloatArray | None = None
    ) -> None:
        self._options, self._source_map, self._reference = options, source_map, reference
        # A selection may also be numbers or the pixels of a photo.
        self._named = options.select if isinstance(options.select, str) else None
        self.cut()

    def cut(self) -> None:
        """A new shot: who is in the background may be in front now."""
        self._human: set[int] = set()
        self._meant: set[int] = set()
        self._leader: int | None = None
        self._leader_s = 0.0

    def decide(
        self, steady: Sequence[SteadyFace], views: dict[int, TrackViews], time_s: float
    ) -> tuple[tuple[Source | None, ...], tuple[str, ...]]:
        """Sources, and reasons where there is none (sentences without their ends), for each face of a frame.

        Args:
            steady: its faces.
            views: of the tracks of its shot, frames that follow included.
            time_s: of the frame.
        """
        self._human |= {index for index, one in views.items() if index not in self._human and one.is_human}
        reasons = {
            index: NOT_HUMAN if index in views else UNSEEN
            for index in (one.face.index for one in steady)
            if index not in self._human
        }
        if self._named == "main":
            reasons |= self._bystanders(steady, views)
        if self._named == "largest":
            self._choose_leader([one for one in steady if one.face.index not in reasons], time_s)
        decided = [self._decided(one, reasons.get(one.face.index, "")) for one in steady]
        return tuple(source for source, _ in decided), tuple(reason for _, reason in decided)

    def _bystanders(self, steady: Sequence[SteadyFace], views: dict[int, TrackViews]) -> dict[int, str]:
        """Why faces of the shot are left out; who was meant once is not."""
        least_px = self._options.smallest_face_px
        shown = {index: views[index].appearance for index in sorted(self._human & views.keys())}
        out = left_out({index: one for index, one in shown.items() if one.size_px >= least_px})
        self._meant |= {one.face.index for one in steady if one.face.index in shown} - out.keys()
        return {index: f"{why} ({SELECT_ALL})" for index, why in out.items() if index not in self._meant}

    def _choose_leader(self, steady: Sequence[SteadyFace], time_s: float) -> None:
        """The largest face, kept while it is there: two people of one size must not take turns."""
        if any(one.face.index == self._leader and not one.bridged for one in steady):
            self._leader_s = time_s
        elif self._leader is None or time_s - self._leader_s > _LEADER_S:
            largest = max(steady, key=lambda one: one.face.detection.size_px, default=None)
            self._leader, self._leader_s = None if largest is None else largest.face.index, time_s

    def _decided(self, one: SteadyFace, doubt: str) -> tuple[Source | None, str]:
        options, source_map, index = self._options, self._source_map, one.face.index
        selected = index in source_map.by_index
        if not selected and options.indices is not None:
            selected = index in options.indices
        elif not selected:
            if doubt and not source_map.shows(one.identity, options.same_person):
                return None, doubt
            selected = self._named in {"main", "all"} or index == self._leader
            if self._reference is not None:
                alike = 0.0 if one.identity is None else cosine(one.identity, self._reference)
                selected = one.identity is not None and alike >= options.same_person
        if not selected:
            return None, "it was not selected"
        size = one.face.detection.size_px
        if size < options.smallest_face_px:
            return None, f"it is {size:.0f} px large, below the limit of {options.smallest_face_px:g} px"
        if index in source_map.by_index:
            return source_map.by_index[index], ""
        source = (
            source_map.default
            if one.identity is None
            else source_map.source_for(one.identity, options.same_person)
        )
        return source, "" if source is not None else "no source was given for this person"

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {
            "human": sorted(self._human),
            "meant": sorted(self._meant),
            "leader": self._leader,
            "leader_s": self._leader_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._human, self._meant = set(state["human"]), set(state["meant"])
        self._leader, self._leader_s = state["leader"], state["leader_s"]


def _typical(views: Sequence[View]) -> Appearance:
    names = ("size_px", "blur", "turn_deg", "disagreement", "mesh_score")
    return Appearance(**{name: median(getattr(one, name) for one in views) for name in names})
