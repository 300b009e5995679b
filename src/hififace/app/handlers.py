"""What the buttons of the page do for photos: plain functions over one visitor's state, without a page.

studio = Studio(bundles, sessions, limits)
studio.add_source("visitor", upload, "me.jpg", "mini")
studio.set_target("visitor", upload, "holiday.jpg", "mini")
made = studio.swap("visitor", SwapRequest(model="mini", consent=True))

The lock of the visitor's session is held throughout, so two clicks of one person follow each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hififace.app.asking import SwapRequest
from hififace.app.limits import Limits
from hififace.app.people import People
from hififace.app.photos import Photo, open_photo, read_photo
from hififace.app.sessions import Session, Sessions
from hififace.errors import HififaceError, OptionError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError
from hififace.hosting.turns import Turns, own_turns
from hififace.media.image import suffix_for
from hififace.swap.result import SwapResult
from hififace.swap.source_map import SourceMap
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage


@dataclass(frozen=True, slots=True)
class Made:
    """A finished swap, as the page shows it."""

    file: Path
    """The marked result, for download."""
    shown: Path
    """The marked result in a format that browsers show."""
    report: dict[str, Any]
    """`SwapResult.to_json`."""


@dataclass(slots=True, eq=False)
class ImageState:
    """What one visitor has put together on the image tab."""

    people: People
    target: Photo | None = None
    mapping: dict[int, int] = field(default_factory=dict)
    """Face of the target -> place in `people.faces`; empty: every face becomes the chosen one."""
    made: Made | None = None
    """The last result, until a choice changes."""
    mask: tuple[tuple[int, int], bytes] | None = None
    """(height, width) and packed pixels of its mask."""
    files: set[Path] = field(default_factory=set)
    """Results on the disk; the next swap removes them."""

    def forget_result(self) -> None:
        """The choices changed, so the mask shown no longer belongs to them."""
        self.made = self.mask = None


class Studio:
    """The image tab without its page, and the people that all tabs share.

    Visitors are told apart by a key; each has a state of their own.
    """

    def __init__(
        self, bundles: Bundles, sessions: Sessions, limits: Limits, turns: Turns | None = None
    ) -> None:
        turns = turns or own_turns(
            bundles, videos_at_once=limits.videos_at_once, requests_per_minute=limits.requests_per_minute
        )
        self.bundles, self.sessions, self.limits = bundles, sessions, limits
        self.meter, self._swap_image = turns.meter, turns.swap_image
        self.on_people_change: list[Callable[[Session], None]] = []
        """Told when source faces go or get other numbers, for tabs that refer to them."""

    @contextmanager
    def _state(self, key: str) -> Iterator[tuple[Session, ImageState]]:
        with self.sessions.visit(key) as session:
            people = session.state.setdefault(People, People())
            yield session, session.state.setdefault(ImageState, ImageState(people))

    def look(self, key: str) -> ImageState:
        """The state of a visitor, for showing it."""
        with self._state(key) as (_, state):
            return state

    # -------------------------------------------------------------------------------------------------------
    # Who

    def add_source(self, key: str, upload: Path, name: str, model: str | None, client: str = "") -> None:
        """Take a photo of somebody to put in; its largest face is chosen if nobody is yet.

        Raises:
            HififaceError: it cannot be read, is too large, or shows no face; the sentence says which.
        """
        self.meter.count(client)
        with self._state(key) as (session, state):
            people = state.people
            if len(people.photos) >= self.limits.photos:
                raise LimitError(
                    f"There are {len(people.photos)} source photos, as many as this page takes. Remove them first."
                )
            photo = self._open(session, upload, name, model)
            first = len(people.faces)
            people.photos.append(photo)
            people.model = model
            if people.chosen is None:
                people.chosen = first + photo.main_face
            state.forget_result()

    def clear_sources(self, key: str) -> None:
        """Remove all source photos, from the disk too."""
        with self._state(key) as (session, state):
            for photo in state.people.photos:
                self.sessions.drop(session, photo.path)
            state.people.photos, state.people.chosen = [], None
            state.people.known.clear()
            self._renumbered(session, state)

    def set_target(self, key: str, upload: Path, name: str, model: str | None, client: str = "") -> None:
        """Take the photo whose faces are replaced; the one before is removed.

        Raises:
            HififaceError: as `add_source`.
        """
        self.meter.count(client)
        self.clear_target(key)
        with self._state(key) as (session, state):
            state.target = self._open(session, upload, name, model)
            state.people.model = model

    def clear_target(self, key: str) -> None:
        """Remove the target, from the disk too."""
        with self._state(key) as (session, state):
            if state.target is not None:
                self.sessions.drop(session, state.target.path)
            state.target = None
            state.mapping.clear()
            state.forget_result()

    def choose_source(self, key: str, place: int) -> None:
        """Say which source face the next clicks put in.

        Raises:
            OptionError: there is no such face.
        """
        with self._state(key) as (_, state):
            state.people.choose(place)

    def assign(self, key: str, face: int) -> None:
        """Put the chosen source face into this face of the target; again takes it back.

        Raises:
            OptionError: there is no such face, or no source yet.
        """
        with self._state(key) as (_, state):
            if state.target is None or not 0 <= face < len(state.target.faces):
                raise OptionError(f"The target shows no face {face}. Choose one of the faces shown.")
            state.people.assign(state.mapping, face)
            state.forget_result()

    def choose_model(self, key: str, model: str | None) -> None:
        """Find the faces again: another model may see them by another detector, with other numbers.

        Raises:
            HififaceError: the model cannot be used, or its detector sees no face in a photo.
        """
        swapper = self.bundles.swapper(model)
        with self._state(key) as (session, state):
            people, old = state.people, state.target
            photos = [open_photo(p.path, p.name, swapper, self.limits) for p in people.photos]
            target = None if old is None else open_photo(old.path, old.name, swapper, self.limits)
            people.photos, state.target, people.model = photos, target, model
            people.chosen = photos[0].main_face if photos else None
            self._renumbered(session, state)

    def who(self, key: str) -> list[str]:
        """Sentences that say who becomes whom."""
        with self._state(key) as (_, state):
            people = state.people
            if people.chosen is None:
                return ["Add a photo of the person to put in."]
            if state.target is None:
                return ["Add the photo whose faces shall be replaced."]
            if not state.mapping:
                return [f"Every face of the target becomes {people.called(people.chosen)}."]
            return [
                f"Face {face} of the target becomes {people.called(place)}."
                for face, place in sorted(state.mapping.items())
            ]

    # -------------------------------------------------------------------------------------------------------
    # Swap

    def swap(self, key: str, request: SwapRequest, client: str = "") -> Made:
        """Swap, and write the result into the visitor's folder.

        Raises:
            HififaceError: something is missing, or cannot be done; the sentence says what.
        """
        options, output = request.options(), request.output_options()
        self.meter.count(client)
        swapper = self.bundles.swapper(request.model)
        with self._state(key) as (session, state):
            if state.target is None:
                raise OptionError("There is no target yet. Add the photo whose faces shall be replaced.")
            source_map = self._source_map(state, swapper, average=request.average)
            target = read_photo(state.target.path, state.target.name, self.limits)
            result = self._swap_image(request.model or "", target, options, output, source_map)
            mask = np.rint(result.mask() * 255).astype(np.uint8)
            for file in state.files:
                file.unlink(missing_ok=True)
            state.made = _written(session, result, state.target)
            state.files = {state.made.file, state.made.shown}
            state.mask = (mask.shape[0], mask.shape[1]), zlib.compress(mask.tobytes(), 1)
            return state.made

    def mask(self, key: str) -> NDArray[np.uint8] | None:
        """(H, W) 0..255: how much of each pixel of the last result was generated; None before the first."""
        with self._state(key) as (_, state):
            if state.mask is None:
                return None
            size, packed = state.mask
            return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(size)

    def target_pixels(self, key: str) -> RGBImage:
        """(H, W, 3) of the target, for formats that browsers do not show.

        Raises:
            OptionError: there is no target.
        """
        with self._state(key) as (_, state):
            if state.target is None:
                raise OptionError("There is no target yet. Add the photo whose faces shall be replaced.")
            return read_photo(state.target.path, state.target.name, self.limits).pixels

    def _open(self, session: Session, upload: Path, name: str, model: str | None) -> Photo:
        swapper = self.bundles.swapper(model)
        path = self.sessions.take(session, upload, name)
        try:
            return open_photo(path, name, swapper, self.limits)
        except HififaceError:
            self.sessions.drop(session, path)
            raise

    def _renumbered(self, session: Session, state: ImageState) -> None:
        state.mapping.clear()
        state.forget_result()
        for tell in self.on_people_change:
            tell(session)

    def _source_map(self, state: ImageState, swapper: FaceSwapper, *, average: bool) -> SourceMap:
        people = state.people
        if not state.mapping:
            return SourceMap(default=people.everybody(swapper, self.limits, average=average))
        return SourceMap(
            by_index={
                face: people.source(place, swapper, self.limits, average=average)
                for face, place in state.mapping.items()
            }
        )


def _written(session: Session, result: SwapResult, target: Photo) -> Made:
    # BMP has no room for the mark that every result carries.
    suffix = ".png" if target.format == "BMP" else suffix_for(target.format)
    file = result.save(session.path(f"{Path(target.name).stem}-swapped{suffix}"))
    shown = file
    if not target.shown_by_browsers:
        shown = result.save(session.path("shown.png"))
    return Made(file, shown, result.to_json())
