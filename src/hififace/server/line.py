"""Images wait in one line; a few threads take several at a time, whoever sent them, and run the network once.

line = ImageLine(metrics, [bundles], workers=2, batch=8, waiting=64)
finished = await line.swap(work)             # a request's, as bytes
result = line.swap_loaded("mini", image, options, output, source_map)     # the page's, in its own thread
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from hififace.errors import HififaceError, ImageError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError
from hififace.media.image import LoadedImage, read_image
from hififace.server.metrics import Metrics
from hififace.server.problems import FieldError, ProblemError
from hififace.swap.image import swap_images
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.result import SwapResult
from hififace.swap.source_map import SourceMap
from hififace.swap.sources import FaceChoice
from hififace.swapper import FaceSwapper

Made = TypeVar("Made", covariant=True)


class Work(Protocol[Made]):
    """One image to swap, wherever it comes from."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def options(self) -> SwapOptions:
        """How; images that share a run have equal ones."""

    @property
    def output_options(self) -> OutputOptions:
        """What its result tells."""

    def read(self, swapper: FaceSwapper) -> tuple[LoadedImage, SourceMap]:
        """Target, and who becomes whom."""

    def made(self, result: SwapResult | Exception) -> Made:
        """What the sender gets; raises what the sender is told."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A marked file, and what was done."""

    data: bytes = field(repr=False)
    format: str
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SwapWork:
    """One image of a request."""

    model: str
    sources: tuple[bytes, ...] = field(repr=False)
    """Photos of one person."""
    source_face: FaceChoice
    target: bytes = field(repr=False)
    options: SwapOptions
    output_options: OutputOptions
    format: str | None
    """Pillow's name; None keeps the target's."""
    quality: int | None
    megapixels: float
    """Of each photo, at most, in millions."""

    def read(self, swapper: FaceSwapper) -> tuple[LoadedImage, SourceMap]:
        """Both, from the bytes that came.

        Raises:
            FieldError: a photo that cannot be used; it names the field.
        """
        photos = [
            read_photo(data, "source" if len(self.sources) == 1 else f"source.{place}", self.megapixels)
            for place, data in enumerate(self.sources)
        ]
        target = read_photo(self.target, "target", self.megapixels)
        try:
            source = swapper.read_source(photos, face=self.source_face)
        except HififaceError as error:
            raise FieldError("source", error) from error
        return target, SourceMap(source)

    def made(self, result: SwapResult | Exception) -> Finished:
        """The marked file.

        Raises:
            FieldError: the target shows nobody to swap, or the result does not fit into the format.
        """
        if isinstance(result, HififaceError):
            raise FieldError("target", result)
        if isinstance(result, Exception):
            raise result
        format = self.format or ("PNG" if result.target.format == "BMP" else result.target.format)
        try:
            data = result.to_bytes(format, quality=self.quality)
        except HififaceError as error:
            raise FieldError("format", error) from error
        return Finished(data, format, result.to_json())


@dataclass(frozen=True, slots=True)
class LoadedWork:
    """One image that was read already, with its sources."""

    model: str
    target: LoadedImage
    options: SwapOptions
    output_options: OutputOptions
    source_map: SourceMap

    def read(self, swapper: FaceSwapper) -> tuple[LoadedImage, SourceMap]:
        """As they are."""
        return self.target, self.source_map

    def made(self, result: SwapResult | Exception) -> SwapResult:
        """The result as it is."""
        if isinstance(result, Exception):
            raise result
        return result


@dataclass(frozen=True, slots=True, eq=False)
class _Place(Generic[Made]):
    """One image in the line."""

    work: Work[Made]
    future: Future[Made] = field(default_factory=Future)

    def shares_a_run_with(self, other: _Place[Any]) -> bool:
        """Whether both can go through the network at once."""
        return self.work.model == other.work.model and self.work.options == other.work.options


class ImageLine:
    """The line and its threads.

    Args:
        metrics: told what was done.
        benches: the models of each device, opened there.
        workers: threads of each device.
        batch: images in one run of the network, at most.
        waiting: images that may wait.
    """

    def __init__(
        self, metrics: Metrics, benches: Sequence[Bundles], *, workers: int, batch: int, waiting: int
    ) -> None:
        self._metrics, self._batch, self._most = metrics, batch, waiting
        self._waiting: deque[_Place[Any]] = deque()
        self._changed = threading.Condition()
        self._stopped, self._num_idle = False, 0
        self._threads = [
            threading.Thread(
                target=self._serve, args=(bench,), name=f"hififace-images-{device}-{number}", daemon=True
            )
            for number in range(workers)
            for device, bench in enumerate(benches)
        ]
        for thread in self._threads:
            thread.start()

    async def swap(self, work: Work[Made]) -> Made:
        """Wait for the result; whoever stops waiting takes the image out of the line.

        Raises:
            ProblemError: the line is full, or the service stops.
            FieldError: an image cannot be read, or shows no face that can be used.
        """
        return await asyncio.wrap_future(self._join(work))

    def swap_loaded(
        self,
        model: str,
        target: LoadedImage,
        options: SwapOptions,
        output_options: OutputOptions,
        source_map: SourceMap,
    ) -> SwapResult:
        """The same for an image that was read already; blocks the calling thread.

        Raises:
            LimitError: the line is full, or the service stops.
            HififaceError: as `FaceSwapper.swap`.
        """
        try:
            future = self._join(LoadedWork(model, target, options, output_options, source_map))
        except ProblemError as error:
            raise LimitError(error.detail) from None
        return future.result()

    def stop(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _join(self, work: Work[Made]) -> Future[Made]:
        place = _Place(work)
        with self._changed:
            if self._stopped:
                raise ProblemError(
                    503, "The service is stopping. Try again later.", headers={"Retry-After": "10"}
                )
            if len(self._waiting) >= self._most:
                raise ProblemError(
                    503,
                    f"{len(self._waiting)} images are waiting, as many as this service takes. Try again later.",
                    headers={"Retry-After": "2"},
                )
            self._waiting.append(place)
            self._metrics.waiting.set(len(self._waiting))
            self._changed.notify()
        return place.future

    def _serve(self, bench: Bundles) -> None:
        while taken := self._take():
            self._metrics.batches.inc()
            self._work(bench, taken)

    def _take(self) -> list[_Place[Any]]:
        """The first image that still has somebody waiting for it, and others that can share its run; empty: stop."""
        with self._changed:
            self._num_idle += 1
            try:
                while True:
                    taken = self._taken()
                    if taken or self._stopped:
                        return taken
                    self._changed.wait()
            finally:
                self._num_idle -= 1

    def _taken(self) -> list[_Place[Any]]:
        # Threads that have nothing to do get their share: a run of all would leave their cores without work.
        most = min(self._batch, -(-len(self._waiting) // self._num_idle))
        taken: list[_Place[Any]] = []
        kept: deque[_Place[Any]] = deque()
        for place in self._waiting:
            if len(taken) < most and (not taken or place.shares_a_run_with(taken[0])):
                if place.future.set_running_or_notify_cancel():
                    taken.append(place)
            else:
                kept.append(place)
        self._waiting = kept
        self._metrics.waiting.set(len(kept))
        return taken

    def _work(self, bench: Bundles, places: Sequence[_Place[Any]]) -> None:
        """Swap images in one run; nobody's fault harms another."""
        ready: list[tuple[_Place[Any], FaceSwapper, LoadedImage, SourceMap]] = []
        for place in places:
            try:
                swapper = bench.swapper(place.work.model)
                ready.append((place, swapper, *place.work.read(swapper)))
            except Exception as error:  # noqa: BLE001  # told to its own sender alone
                self._fail(place, error)
        if not ready:
            return
        first, swapper, _, _ = ready[0]
        try:
            swapped: Sequence[SwapResult | Exception] = swap_images(
                swapper.engine,
                [target for _, _, target, _ in ready],
                first.work.options,
                [source_map for _, _, _, source_map in ready],
                [place.work.output_options for place, *_ in ready],
            )
        except Exception as error:  # noqa: BLE001  # told to the senders
            swapped = [error] * len(ready)
        for (place, *_), result in zip(ready, swapped, strict=True):
            self._tell(place, result)

    def _tell(self, place: _Place[Any], result: SwapResult | Exception) -> None:
        try:
            made = place.work.made(result)
        except Exception as error:  # noqa: BLE001  # told to its sender
            self._fail(place, error)
            return
        assert isinstance(result, SwapResult)
        self._metrics.images.labels("swapped").inc()
        self._metrics.faces.labels("swapped").inc(result.num_swapped)
        self._metrics.faces.labels("unchanged").inc(len(result.faces) - result.num_swapped)
        self._metrics.note_stages(result.timings_ms)
        place.future.set_result(made)

    def _fail(self, place: _Place[Any], error: Exception) -> None:
        self._metrics.images.labels("failed").inc()
        place.future.set_exception(error)


def read_photo(data: bytes, name: str, megapixels: float) -> LoadedImage:
    """An image that was sent.

    Raises:
        FieldError: it cannot be read, or has too many pixels; `name` is the field.
    """
    try:
        return read_image(data, max_megapixels=megapixels)
    except ImageError as error:
        raise FieldError(name, error) from error
