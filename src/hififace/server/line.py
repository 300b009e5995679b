"""Images wait in one line; a few threads take several at a time, whoever sent them, and run the network once.

line = ImageLine(metrics, workers=1, batch=8, waiting=64)
finished = await line.swap(work)
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hififace.errors import HififaceError, ImageError
from hififace.media.image import LoadedImage, read_image
from hififace.server.metrics import Metrics
from hififace.server.problems import FieldError, ProblemError
from hififace.swap.image import swap_images
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.result import SwapResult
from hififace.swap.source_map import SourceMap
from hififace.swap.sources import FaceChoice
from hififace.swapper import FaceSwapper


@dataclass(frozen=True, slots=True)
class SwapWork:
    """One image to swap."""

    swapper: FaceSwapper
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

    def shares_a_run_with(self, other: SwapWork) -> bool:
        """Whether both can go through the network at once."""
        return self.swapper is other.swapper and self.options == other.options


@dataclass(frozen=True, slots=True)
class Finished:
    """A marked file, and what was done."""

    data: bytes = field(repr=False)
    format: str
    report: dict[str, Any]


class ImageLine:
    """The line and its threads."""

    def __init__(self, metrics: Metrics, *, workers: int, batch: int, waiting: int) -> None:
        self._metrics, self._batch, self._most = metrics, batch, waiting
        self._waiting: deque[tuple[SwapWork, Future[Finished]]] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"hififace-images-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def swap(self, work: SwapWork) -> Finished:
        """Wait for the result; whoever stops waiting takes the image out of the line.

        Raises:
            ProblemError: the line is full, or the service stops.
            FieldError: an image cannot be read, or shows no face that can be used.
        """
        future: Future[Finished] = Future()
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
            self._waiting.append((work, future))
            self._metrics.waiting.set(len(self._waiting))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _waiting_count(self) -> int:
        with self._changed:
            return len(self._waiting)

    def _serve(self) -> None:
        while taken := self._take():
            outcomes = _outcomes([work for work, _ in taken])
            self._metrics.batches.inc()
            for (_, future), outcome in zip(taken, outcomes, strict=True):
                self._tell(future, outcome)

    def _take(self) -> list[tuple[SwapWork, Future[Finished]]]:
        """The first image that still has somebody waiting for it, and others that can share its run; empty: stop."""
        with self._changed:
            while True:
                taken: list[tuple[SwapWork, Future[Finished]]] = []
                kept: deque[tuple[SwapWork, Future[Finished]]] = deque()
                for work, future in self._waiting:
                    if len(taken) < self._batch and (not taken or work.shares_a_run_with(taken[0][0])):
                        if future.set_running_or_notify_cancel():
                            taken.append((work, future))
                    else:
                        kept.append((work, future))
                self._waiting = kept
                self._metrics.waiting.set(len(kept))
                if taken or self._stopped:
                    return taken
                self._changed.wait()

    def _tell(self, future: Future[Finished], outcome: tuple[SwapResult, Finished] | Exception) -> None:
        if isinstance(outcome, Exception):
            self._metrics.images.labels("failed").inc()
            future.set_exception(outcome)
            return
        result, finished = outcome
        self._metrics.images.labels("swapped").inc()
        self._metrics.faces.labels("swapped").inc(result.num_swapped)
        self._metrics.faces.labels("unchanged").inc(len(result.faces) - result.num_swapped)
        self._metrics.note_stages(result.timings_ms)
        future.set_result(finished)


def _outcomes(works: Sequence[SwapWork]) -> list[tuple[SwapResult, Finished] | Exception]:
    """For each image its result, or what its own sender is told; nobody's fault harms another."""
    outcomes: dict[int, tuple[SwapResult, Finished] | Exception] = {}
    ready: list[tuple[int, LoadedImage, SourceMap]] = []
    for place, work in enumerate(works):
        try:
            ready.append((place, *_read(work)))
        except Exception as error:  # noqa: BLE001  # told to its own sender alone
            outcomes[place] = error
    if ready:
        first = works[ready[0][0]]
        try:
            swapped: Sequence[SwapResult | Exception] = swap_images(
                first.swapper.engine,
                [target for _, target, _ in ready],
                first.options,
                [source_map for _, _, source_map in ready],
                [works[place].output_options for place, _, _ in ready],
            )
        except Exception as error:  # noqa: BLE001  # told to the senders
            swapped = [error] * len(ready)
        for (place, *_), result in zip(ready, swapped, strict=True):
            outcomes[place] = _written(works[place], result)
    return [outcomes[place] for place in range(len(works))]


def _read(work: SwapWork) -> tuple[LoadedImage, SourceMap]:
    photos = [
        read_photo(data, "source" if len(work.sources) == 1 else f"source.{place}", work.megapixels)
        for place, data in enumerate(work.sources)
    ]
    target = read_photo(work.target, "target", work.megapixels)
    try:
        source = work.swapper.read_source(photos, face=work.source_face)
    except HififaceError as error:
        raise FieldError("source", error) from error
    return target, SourceMap(source)


def _written(work: SwapWork, result: SwapResult | Exception) -> tuple[SwapResult, Finished] | Exception:
    if isinstance(result, HififaceError):
        return FieldError("target", result)
    if isinstance(result, Exception):
        return result
    format = work.format or ("PNG" if result.target.format == "BMP" else result.target.format)
    try:
        data = result.to_bytes(format, quality=work.quality)
    except HififaceError as error:
        return FieldError("format", error)
    except Exception as error:  # noqa: BLE001  # told to its sender
        return error
    return result, Finished(data, format, result.to_json())


def read_photo(data: bytes, name: str, megapixels: float) -> LoadedImage:
    """An image that was sent.

    Raises:
        FieldError: it cannot be read, or has too many pixels; `name` is the field.
    """
    try:
        return read_image(data, max_megapixels=megapixels)
    except ImageError as error:
        raise FieldError(name, error) from error
