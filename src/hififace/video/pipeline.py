"""Stages of work that overlap, each in a thread of its own, with bounded queues between them.

Order is kept, and a slow stage holds back the ones before it, so that memory does not depend on the video's length.
NumPy, OpenCV, FFmpeg and ONNX Runtime let go of Python's lock while they compute: threads are enough.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.1
"""How soon a waiting thread notices that everything is to stop."""


class _End:
    """Behind the last item."""


class _Failure:
    """An exception on its way to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Pipeline(Generic[T]):
    """Iterates over what the last stage gives; use as a context manager, so that no thread outlives it.

    Attributes:
        busy_s: stage -> seconds spent working, waiting left out; the source is called "decode".
        processor_s: stage -> seconds of processor time of its thread; what it has others do is not in it.
        waited_s: seconds that the consumer waited for the last stage.
    """

    def __init__(
        self, source: Iterable[Any], stages: Mapping[str, Callable[[Any], Any]], *, depth: int = 2
    ) -> None:
        """Nothing runs before the first item is asked for.

        Args:
            source: drawn from in the first thread.
            stages: name -> function from item to item, in order; each runs in one thread, items in order.
            depth: items that may wait between two stages.
        """
        self._source, self._stages = source, dict(stages)
        self._queues: list[queue.Queue[Any]] = [queue.Queue(depth) for _ in range(len(stages) + 1)]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.busy_s: dict[str, float] = {"decode": 0.0, **dict.fromkeys(stages, 0.0)}
        self.processor_s: dict[str, float] = dict.fromkeys(self.busy_s, 0.0)
        self.waited_s = 0.0

    def __enter__(self) -> Pipeline[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        if self._threads:
            raise RuntimeError("a pipeline runs once")
        self._start()
        while True:
            began = time.perf_counter()
            item = self._get(self._queues[-1])
            self.waited_s += time.perf_counter() - began
            if isinstance(item, _Failure):
                self.close()
                raise item.error
            if isinstance(item, _End):
                return
            yield item

    def close(self) -> None:
        """Stop all stages and wait until they have stopped; what is under way is dropped."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        self._threads.append(threading.Thread(target=self._draw, name="decode", daemon=True))
        for number, (name, work) in enumerate(self._stages.items()):
            arguments = (name, work, self._queues[number], self._queues[number + 1])
            self._threads.append(threading.Thread(target=self._run, args=arguments, name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def _draw(self) -> None:
        items = iter(self._source)
        try:
            while not self._stop.is_set():
                with self._timed("decode"):
                    item = next(items, _End())
                self._put(self._queues[0], item)
                if isinstance(item, _End):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where the results are consumed
            self._put(self._queues[0], _Failure(error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _run(
        self, name: str, work: Callable[[Any], Any], inlet: queue.Queue[Any], outlet: queue.Queue[Any]
    ) -> None:
        while True:
            item = self._get(inlet)
            if not isinstance(item, (_End, _Failure)):
                with self._timed(name):
                    try:
                        item = work(item)
                    except BaseException as error:  # noqa: BLE001 - likewise
                        item = _Failure(error)
            self._put(outlet, item)
            if isinstance(item, (_End, _Failure)):
                return

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.busy_s[name] += time.perf_counter() - began
            self.processor_s[name] += time.thread_time() - worked

    def _get(self, inlet: queue.Queue[Any]) -> Any:
        while not self._stop.is_set():
            try:
                return inlet.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        return _End()

    def _put(self, outlet: queue.Queue[Any], item: Any) -> None:
        while not self._stop.is_set():
            try:
                outlet.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue
