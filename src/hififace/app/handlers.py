"""What the buttons of the picture tab do: plain functions over one visitor's state, without a page.

studio = Studio(bundles, sessions, limits)
studio.add_source("visitor", upload, "me.jpg")
studio.set_target("visitor", upload, "holiday.jpg")
made = studio.swap("visitor", SwapRequest(model="mini", consent=True))

The lock of the visitor's session is held throughout, so two clicks of one person follow each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hififace.app.bundles import Bundles
from hififace.app.limits import LimitError, Limits, RequestMeter
from hififace.app.photos import Photo, open_photo, read_photo
from hififace.app.sessions import Session, Sessions
from hififace.errors import OptionError
from hififace.media.image import suffix_for
from hififace.swap.casting import Cast, Source
from hififace.swap.options import SwapOptions
from hififace.swap.result import SwapResult
from hififace.swap.swapper import FaceSwapper
from hififace.types import RGBImage

CONSENT: Final = (
    "I have the right to use both faces: the people shown agreed. (This is written into the file.)"
)


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """The settings of the page at the moment of the click; ranges are those of `SwapOptions`."""

    model: str | None
    consent: bool = False
    average: bool = False
    """All source photos show one person: their identities are averaged."""
    shape_rate: float = 1.0
    id_rate: float = 1.0
    passes: int = 1
    mask_erosion: int = SwapOptions().mask_erosion
    mask_feather_px: float = 0.0
    match_colour: bool = False
    detail: float = 0.0

    def options(self) -> SwapOptions:
        """As the library takes them.

        Raises:
            OptionError: the use of the faces was not confirmed, or a value is out of its range.
        """
        if not self.consent:
            raise OptionError(
                "The use of both faces is not confirmed yet. Tick the statement above the button first."
            )
        return SwapOptions(
            shape_rate=self.shape_rate,
            id_rate=self.id_rate,
            passes=self.passes,
            mask_erosion=self.mask_erosion,
            mask_feather_px=self.mask_feather_px,
            match_colour=self.match_colour,
            detail=self.detail,
            similarity=True,
            consent_confirmed=True,
        )


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
class PictureState:
    """What one visitor has put together."""

    sources: list[Photo] = field(default_factory=list)
    target: Photo | None = None
    chosen: int | None = None
    """The source face that the next click on a face of the target puts in: its place in `source_faces`."""
    mapping: dict[int, int] = field(default_factory=dict)
    """Face of the target -> place in `source_faces`; empty: every face becomes the chosen one."""
    mask: tuple[tuple[int, int], bytes] | None = None
    """(height, width) and packed pixels of the last result's mask."""
    known: dict[tuple[str, tuple[Path, ...], int | None], Source] = field(default_factory=dict)
    """Sources already worked out, which is the costly half."""

    @property
    def source_faces(self) -> list[tuple[Photo, int]]:
        """Every face of every source photo, in the order shown."""
        return [(photo, face.index) for photo in self.sources for face in photo.faces]

    def forget_result(self) -> None:
        """The page's choices changed, so the mask shown no longer belongs to them."""
        self.mask = None


class Studio:
    """The picture tab without its page. Visitors are told apart by a key; each has a state of their own."""

    def __init__(
        self, bundles: Bundles, sessions: Sessions, limits: Limits, meter: RequestMeter | None = None
    ) -> None:
        self.bundles, self.sessions, self.limits = bundles, sessions, limits
        self.meter = meter or RequestMeter(limits.requests_per_minute)

    @contextmanager
    def _state(self, key: str) -> Iterator[tuple[Session, PictureState]]:
        with self.sessions.visit(key) as session:
            yield session, session.state.setdefault(PictureState, PictureState())

    def look(self, key: str) -> PictureState:
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
            if len(state.sources) >= self.limits.photos:
                raise LimitError(
                    f"There are {len(state.sources)} source photos, as many as this page takes. Remove them first."
                )
            photo = self._open(session, upload, name, model)
            first = len(state.source_faces)
            state.sources.append(photo)
            if state.chosen is None:
                state.chosen = first + photo.main_face
            state.forget_result()

    def clear_sources(self, key: str) -> None:
        """Remove all source photos, from the disk too."""
        with self._state(key) as (_, state):
            for photo in state.sources:
                photo.path.unlink(missing_ok=True)
            state.sources, state.chosen = [], None
            state.mapping.clear()
            state.known.clear()
            state.forget_result()

    def set_target(self, key: str, upload: Path, name: str, model: str | None, client: str = "") -> None:
        """Take the photo whose faces are replaced; the one before is removed.

        Raises:
            HififaceError: as `add_source`.
        """
        self.meter.count(client)
        self.clear_target(key)
        with self._state(key) as (session, state):
            state.target = self._open(session, upload, name, model)

    def clear_target(self, key: str) -> None:
        """Remove the target, from the disk too."""
        with self._state(key) as (_, state):
            if state.target is not None:
                state.target.path.unlink(missing_ok=True)
            state.target = None
            state.mapping.clear()
            state.forget_result()

    def choose_source(self, key: str, place: int) -> None:
        """Say which source face the next clicks put in.

        Raises:
            OptionError: there is no such face.
        """
        with self._state(key) as (_, state):
            if not 0 <= place < len(state.source_faces):
                raise OptionError(
                    f"There is no source face {place}; {len(state.source_faces)} are shown. Choose one of them."
                )
            state.chosen = place

    def assign(self, key: str, face: int) -> None:
        """Put the chosen source face into this face of the target; again takes it back.

        Raises:
            OptionError: there is no such face, or no source yet.
        """
        with self._state(key) as (_, state):
            if state.target is None or not 0 <= face < len(state.target.faces):
                raise OptionError(f"The target shows no face {face}. Choose one of the faces shown.")
            if state.chosen is None:
                raise OptionError("Nobody was given to put in. Add a source photo first.")
            if state.mapping.get(face) == state.chosen:
                del state.mapping[face]
            else:
                state.mapping[face] = state.chosen
            state.forget_result()

    def choose_model(self, key: str, model: str | None) -> None:
        """Find the faces again: another model may see them by another detector, with other numbers.

        Raises:
            HififaceError: the model cannot be used.
        """
        swapper = self.bundles.swapper(model)
        with self._state(key) as (_, state):
            state.sources = [open_photo(p.path, p.name, swapper, self.limits) for p in state.sources]
            if state.target is not None:
                old = state.target
                state.target = open_photo(old.path, old.name, swapper, self.limits)
            state.chosen = state.sources[0].main_face if state.sources else None
            state.mapping.clear()
            state.forget_result()

    def who(self, key: str) -> list[str]:
        """Sentences that say who becomes whom."""
        with self._state(key) as (_, state):
            if state.chosen is None:
                return ["Add a photo of the person to put in."]
            if state.target is None:
                return ["Add the photo whose faces shall be replaced."]
            faces = state.source_faces
            if not state.mapping:
                return [f"Every face of the target becomes {_called(*faces[state.chosen])}."]
            return [
                f"Face {face} of the target becomes {_called(*faces[place])}."
                for face, place in sorted(state.mapping.items())
            ]

    # -------------------------------------------------------------------------------------------------------
    # Swap

    def swap(self, key: str, request: SwapRequest, client: str = "") -> Made:
        """Swap, and write the result into the visitor's folder.

        Raises:
            HififaceError: something is missing, or cannot be done; the sentence says what.
        """
        options = request.options()
        self.meter.count(client)
        swapper = self.bundles.swapper(request.model)
        with self._state(key) as (session, state):
            if state.target is None:
                raise OptionError("There is no target yet. Add the photo whose faces shall be replaced.")
            cast = self._cast(state, swapper, average=request.average)
            target = read_photo(state.target.path, state.target.name, self.limits)
            result = swapper.swap(target, options, cast=cast)
            mask = np.rint(result.mask() * 255).astype(np.uint8)
            state.mask = (mask.shape[0], mask.shape[1]), zlib.compress(mask.tobytes(), 1)
            return _written(session, result, state.target)

    def mask(self, key: str) -> NDArray[np.uint8] | None:
        """(H, W) 0..255: how much of each pixel the last swap painted; None before the first."""
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
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _cast(self, state: PictureState, swapper: FaceSwapper, *, average: bool) -> Cast:
        if state.chosen is None:
            raise OptionError("Nobody was given to put in. Add a source photo first.")
        if average:
            return Cast(default=self._source(state, swapper, state.sources, None))
        faces = state.source_faces

        def source(place: int) -> Source:
            photo, face = faces[place]
            return self._source(state, swapper, [photo], face)

        if not state.mapping:
            return Cast(default=source(state.chosen))
        return Cast(by_index={face: source(place) for face, place in state.mapping.items()})

    def _source(
        self, state: PictureState, swapper: FaceSwapper, photos: list[Photo], face: int | None
    ) -> Source:
        question = (str(swapper.bundle.folder), tuple(photo.path for photo in photos), face)
        if question not in state.known:
            pictures = [read_photo(photo.path, photo.name, self.limits) for photo in photos]
            state.known[question] = swapper.read_source(pictures, face="main" if face is None else face)
        return state.known[question]


def _called(photo: Photo, face: int) -> str:
    return photo.name if len(photo.faces) == 1 else f"face {face} of {photo.name}"


def _written(session: Session, result: SwapResult, target: Photo) -> Made:
    # BMP has no room for the mark that every result carries.
    suffix = ".png" if target.format == "BMP" else suffix_for(target.format)
    file = result.save(session.path(f"{Path(target.name).stem}-swapped{suffix}"))
    shown = file
    if not target.shown_by_browsers:
        shown = result.save(session.path("shown.png"))
    return Made(file, shown, result.to_json())
