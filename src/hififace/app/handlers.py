"""What the buttons of the page do for photos: plain functions over one visitor's state, without a page.

studio = Studio(bundles, sessions, limits)
studio.add_source("visitor", upload, "me.jpg", "mini")
studio.set_target("visitor", upload, "holiday.jpg", "mini")
made = studio.swap("visitor", SwapRequest(model="mini", consent=True))

The lock of the visitor's session is held throughout, so two clicks of one person follow each other.
"""

from __future__ import annotations

import base64
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.app.asking import SwapRequest
from hififace.app.limits import Limits
from hififace.app.people import People
from hififace.app.photos import Photo, open_photo, read_photo
from hififace.app.preview import Patch, preview
from hififace.app.sessions import Session, Sessions
from hififace.errors import HififaceError, OptionError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError
from hififace.hosting.turns import Turns, own_turns
from hififace.media.image import LoadedImage, suffix_for
from hififace.provenance.claim import Claim
from hififace.swap.image import swap_images, with_similarities
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.output import marked_image
from hififace.swap.result import SwapResult
from hififace.swap.source_map import Source, SourceMap
from hififace.swapper import FaceSwapper
from hififace.types import Face, RGBImage

_SMALL_PX: Final = 160
"""Longest side of a result among the kept."""
MOST_KEPT: Final = 24
"""Results of one visitor that stay for download; older ones are removed."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished swap, as the page shows it."""

    file: Path
    """The marked result, for download."""
    shown: Path
    """The marked result in a format that browsers show."""
    report: dict[str, Any]
    """`SwapResult.to_json`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A result of this visit."""

    file: Path
    thumbnail: str = field(repr=False)
    """A data URL of a small image, marked as every result is; empty where there is none."""
    is_video: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Unmeasured:
    """A result that is shown already, and what comparing it takes."""

    result: SwapResult
    swapper: FaceSwapper
    sources: Mapping[int, Source]
    options: SwapOptions


@dataclass(slots=True, eq=False)
class ImageState:
    """What one visitor has put together on the image tab."""

    people: People
    target: Photo | None = None
    mapping: dict[int, int] = field(default_factory=dict)
    """Face of the target -> place in `people.faces`. The main face at first."""
    touched: bool = False
    """A face of the target was clicked: nothing is chosen for the visitor any more."""
    everybody: bool = False
    """Instead: every face becomes the chosen one."""
    made: Made | None = None
    """The last result of this target."""
    made_from: object = None
    """The choices that it was made from: others make it out of date."""
    drawing: object = None
    """The drawing begun last: an earlier one comes too late to be shown."""
    unmeasured: _Unmeasured | None = None
    """The last result, until its figures are asked for."""
    mask: tuple[tuple[int, int], bytes] | None = None
    """(height, width) and packed pixels of its mask."""
    kept: list[Kept] = field(default_factory=list)
    """Results of this visit, the latest first."""
    target_png: Path | None = None
    """The target for browsers, where they do not show its format."""
    packed: Path | None = None
    """The ZIP file that was asked for last."""
    previewed: tuple[object, list[Patch]] | None = None
    """Choices, and the preview that belongs to them."""

    def choices(self, request: SwapRequest) -> tuple[object, ...]:
        """Everything that decides how the result looks, to compare; taking back the statement changes no result."""
        target = None if self.target is None else self.target.path
        photos = tuple(photo.path for photo in self.people.photos)
        chosen = self.people.chosen if self.everybody else None
        looks = request.model, request.average, request.swap, request.format, request.quality
        return looks, target, photos, self.everybody, chosen, tuple(sorted(self.mapping.items()))

    def is_current(self, request: SwapRequest) -> bool:
        """Whether the last result is of these choices."""
        return self.made is not None and self.made_from == self.choices(request)

    def choose_main(self) -> None:
        """Put the chosen face into the main face of the target, unless the visitor chose otherwise."""
        if self.target is None or self.people.chosen is None:
            self.mapping.clear()
        elif not self.touched or (len(self.target.faces) == 1 and self.mapping):
            self.mapping = {self.target.main_face: self.people.chosen}

    def forget_result(self) -> None:
        """Another target: what was made of the one before stays among the kept alone."""
        self.made = self.made_from = self.mask = self.unmeasured = self.previewed = self.target_png = None


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
        self.meter, self._turns = turns.meter, turns
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
        """Take a photo of a source face; its largest face is chosen if nobody is yet.

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
            state.choose_main()

    def remove_source(self, key: str, number: int) -> None:
        """Remove one source photo, from the disk too.

        Args:
            key: the visitor.
            number: of the photo, from 0.

        Raises:
            OptionError: there is no such photo.
        """
        with self._state(key) as (session, state):
            self.sessions.drop(session, state.people.remove(number).path)
            self._renumbered(session, state)

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
            state.target = self._open(session, upload, name, model, is_target=True)
            state.people.model = model
            state.choose_main()

    def clear_target(self, key: str) -> None:
        """Remove the target, from the disk too."""
        with self._state(key) as (session, state):
            if state.target is not None:
                self.sessions.drop(session, state.target.path)
            state.target = None
            state.mapping.clear()
            state.touched = state.everybody = False
            state.forget_result()

    def choose_source(self, key: str, place: int) -> None:
        """Choose the source face that the next clicks assign.

        Raises:
            OptionError: there is no such face.
        """
        with self._state(key) as (_, state):
            state.people.choose(place)
            state.choose_main()

    def assign(self, key: str, face: int) -> None:
        """Put the chosen source face into this face of the target; again takes it back.

        Raises:
            OptionError: there is no such face, or no source yet.
        """
        with self._state(key) as (_, state):
            if state.target is None or not 0 <= face < len(state.target.faces):
                raise OptionError(f"The target shows no face {face + 1}. Choose one of the faces shown.")
            state.people.assign(state.mapping, face)
            state.touched, state.everybody = True, False

    def choose_everybody(self, key: str, *, wanted: bool | None = None) -> None:
        """Let every face of the target become the chosen one, as the command does; again goes back to clicks.

        Args:
            key: the visitor.
            wanted: None changes it.
        """
        with self._state(key) as (_, state):
            state.everybody = not state.everybody if wanted is None else wanted

    def choose_model(self, key: str, model: str | None) -> None:
        """Find the faces again: another model may see them by another detector, with other numbers.

        Raises:
            HififaceError: the model cannot be used, or its detector sees no face in a photo.
        """
        swapper = self.bundles.swapper(model)
        with self._state(key) as (session, state):
            people, old = state.people, state.target
            photos = [open_photo(p.path, p.name, swapper, self.limits) for p in people.photos]
            target = None
            if old is not None:
                target = open_photo(old.path, old.name, swapper, self.limits, is_target=True)
            people.photos, state.target, people.model = photos, target, model
            people.chosen = photos[0].main_face if photos else None
            self._renumbered(session, state)

    def who(self, key: str) -> list[str]:
        """Sentences that say who becomes whom."""
        with self._state(key) as (_, state):
            people = state.people
            if people.chosen is None:
                return ["Add a photo of the source face."]
            if state.target is None:
                return ["Add the photo whose faces shall be replaced."]
            if state.everybody:
                return [f"Every face of the target becomes {people.called(people.chosen)}."]
            if not state.mapping:
                return ["Click the face of the target that shall be replaced."]
            if len(state.target.faces) == 1:
                return [f"The target's face becomes {people.called(state.mapping[0])}."]
            return [
                f"Face {face + 1} of the target becomes {people.called(place)}."
                for face, place in sorted(state.mapping.items())
            ]

    # -------------------------------------------------------------------------------------------------------
    # Swap

    def swap(self, key: str, request: SwapRequest, client: str = "") -> Made:
        """Swap, and write the result into the visitor's folder.

        Raises:
            HififaceError: something is missing, or cannot be done; the sentence says what.
        """
        with self._state(key) as (_, state):
            self.swap_unmeasured(key, request, client)
            self._measure(state)
            assert state.made is not None
            return state.made

    def swap_unmeasured(self, key: str, request: SwapRequest, client: str = "") -> Made:
        """The same without figures, which are half of the work: `measure` gives them when the image is shown.

        Raises:
            HififaceError: as `swap`.
        """
        options, output = request.options(), request.output_options()
        self.meter.count(client)
        swapper = self.bundles.swapper(request.model)
        with self._state(key) as (session, state):
            if state.target is None:
                raise OptionError("There is no target yet. Add the photo whose faces shall be replaced.")
            source_map = self._source_map(state, swapper, average=request.average)
            target = read_photo(state.target.path, state.target.name, self.limits)
            result = self._result(request, swapper, state.target.faces, target, options, output, source_map)
            state.made = _written(session, result, state.target, request)
            state.made_from, state.mask, state.drawing = state.choices(request), None, None
            default = source_map.default
            sources = (
                source_map.by_index if default is None else dict.fromkeys(range(len(result.faces)), default)
            )
            state.unmeasured = _Unmeasured(result, swapper, sources, options)
            self.keep(key, Kept(state.made.file, kept_thumbnail(result.pixels, result.claim)))
            return state.made

    def measure(self, key: str) -> Made | None:
        """The last result with its figures; None where there is none."""
        with self._state(key) as (_, state):
            self._measure(state)
            return state.made

    def preview(self, key: str, request: SwapRequest) -> list[Patch]:
        """What the faces of the target would become, as pieces to lay over it; nothing where nobody is chosen.

        Raises:
            HififaceError: why a face cannot be a source, or an option that is out of its range.
        """
        options, output = request.options(), request.output_options()
        swapper = self.bundles.swapper(request.model)
        with self._state(key) as (_, state):
            if state.target is None or state.people.chosen is None:
                return []
            choices = state.choices(request)
            if state.previewed is None or state.previewed[0] != choices:
                places = state.mapping
                if state.everybody:
                    places = {face.index: state.people.chosen for face in state.target.faces}
                sources = {
                    face: state.people.source(place, swapper, self.limits, average=request.average)
                    for face, place in places.items()
                }
                patches = preview(swapper, state.target.pieces, sources, options, output)
                state.previewed = choices, patches
            return state.previewed[1]

    def keep(self, key: str, kept: Kept) -> None:
        """Remember a result for the visit; the oldest beyond `MOST_KEPT` is removed from the disk."""
        with self._state(key) as (_, state):
            state.kept.insert(0, kept)
            for old in state.kept[MOST_KEPT:]:
                old.file.unlink(missing_ok=True)
            del state.kept[MOST_KEPT:]

    def pack(self, key: str) -> Path | None:
        """All results of the visit in one ZIP file; None where there are none."""
        with self._state(key) as (session, state):
            files = [kept.file for kept in reversed(state.kept) if kept.file.is_file()]
            if not files:
                return None
            packed = session.path("hififace-results.zip")
            with zipfile.ZipFile(
                packed, "w", zipfile.ZIP_STORED
            ) as archive:  # images and videos are packed already
                for number, file in enumerate(files, 1):
                    archive.write(file, f"{number:02d}-{file.name}")
            if state.packed is not None:
                state.packed.unlink(missing_ok=True)
            state.packed = packed
            return packed

    def _result(
        self,
        request: SwapRequest,
        swapper: FaceSwapper,
        faces: Sequence[Face],
        target: LoadedImage,
        options: SwapOptions,
        output: OutputOptions,
        source_map: SourceMap,
    ) -> SwapResult:
        """From the faces that were found at the upload, where this page has its process to itself."""
        if not self._turns.alone:
            return self._turns.swap_image(request.model or "", target, options, output, source_map)
        (result,) = swap_images(
            swapper.engine, [target], options, source_map, output, faces=faces, check=False
        )
        if isinstance(result, HififaceError):
            raise result
        return result

    def _measure(self, state: ImageState) -> None:
        """Figures and mask of the last result, which is let go of: it holds all its pixels."""
        if state.unmeasured is None or state.made is None:
            return
        one, state.unmeasured = state.unmeasured, None
        result = one.result
        if not any(face.similarity_source is not None for face in result.faces):
            result = with_similarities(one.swapper.engine, result, one.sources, one.options)
        mask = np.rint(result.mask() * 255).astype(np.uint8)
        state.mask = (mask.shape[0], mask.shape[1]), zlib.compress(mask.tobytes(), 1)
        state.made = replace(state.made, report=result.to_json())

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

    def _open(
        self, session: Session, upload: Path, name: str, model: str | None, *, is_target: bool = False
    ) -> Photo:
        swapper = self.bundles.swapper(model)
        path = self.sessions.take(session, upload, name)
        try:
            return open_photo(path, name, swapper, self.limits, is_target=is_target)
        except HififaceError:
            self.sessions.drop(session, path)
            raise

    def _renumbered(self, session: Session, state: ImageState) -> None:
        state.mapping.clear()
        state.touched = False
        state.choose_main()
        for tell in self.on_people_change:
            tell(session)

    def _source_map(self, state: ImageState, swapper: FaceSwapper, *, average: bool) -> SourceMap:
        people = state.people
        if state.everybody or people.chosen is None:
            return SourceMap(default=people.everybody(swapper, self.limits, average=average))
        if not state.mapping:
            raise OptionError("No face of the target is chosen. Click the face that shall be replaced.")
        return SourceMap(
            by_index={
                face: people.source(place, swapper, self.limits, average=average)
                for face, place in state.mapping.items()
            }
        )


def _written(session: Session, result: SwapResult, target: Photo, request: SwapRequest) -> Made:
    # BMP has no room for the mark that every result carries.
    own = ".png" if target.format == "BMP" else suffix_for(target.format)
    suffix = request.suffix or own
    quality = request.quality if suffix == ".jpg" else None
    file = result.save(session.path(f"{Path(target.name).stem}-swapped{suffix}"), quality=quality)
    shown = file
    if suffix == own and not target.shown_by_browsers:
        shown = result.save(session.path("shown.png"))
    return Made(file, shown, result.to_json())


def kept_thumbnail(pixels: RGBImage, claim: Claim) -> str:
    """A data URL of a result (H, W, 3), `_SMALL_PX` at most, marked as every result is."""
    height, width = pixels.shape[:2]
    scale = min(_SMALL_PX / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    jpeg = marked_image(small, LoadedImage.from_pixels(small), claim, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
