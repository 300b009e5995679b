"""One process's share of an evaluation: photos described, pairs swapped and measured. Plain tasks in, rows out.

Each result depends on its own pair alone and every network runs on one thread, so the number of processes changes
nothing but the time.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np

from hififace.errors import DataError, FaceError
from hififace.evaluation.contestants import Contestant, Entry, Subject
from hififace.evaluation.description import Describer, Description, DescriptionCache
from hififace.evaluation.features import feature_network_name
from hififace.evaluation.measure import Measured, measure_result
from hififace.evaluation.photos import Photo
from hififace.faces.shape import MeshShapePrior
from hififace.media.atomic import atomic_write
from hififace.types import RGBImage

BASELINE_VERSION: Final = 1
"""Raised whenever a baseline or a measure would come out otherwise, so that kept rows are made again."""

PAIRS_PER_TASK: Final = 10


class SwapTask(NamedTuple):
    """A few pairs for one contestant."""

    entry: Entry
    pairs: tuple[tuple[Photo, Photo], ...]
    """(source, target)"""
    keep_images: bool
    """Whether the results' images come back too, for the contact sheet."""


class SwapOutcome(NamedTuple):
    """What became of one pair."""

    measured: Measured | None
    """None where the swapper refused."""
    refusal: str = ""
    image: RGBImage | None = None


@dataclass
class Worker:
    """The parts of one process, opened when first needed.

    Attributes:
        cache_folder: of descriptions and baselines; None takes the user's.
    """

    cache_folder: Path | None

    def __post_init__(self) -> None:
        self._cache = DescriptionCache(self.cache_folder, feature_network_name())
        self._describer: Describer | None = None
        self._prior = MeshShapePrior.load()
        self._contestants: dict[str, Contestant] = {}
        self._subject = lru_cache(maxsize=64)(self._read_subject)

    def describe(self, photos: tuple[Photo, ...]) -> int:
        """Describe and keep; returns how many."""
        for photo in photos:
            self._cache.save(photo, self._parts().describe_photo(photo.pixels()))
        return len(photos)

    def swap(self, task: SwapTask) -> list[SwapOutcome]:
        """One outcome for each pair; those of baselines are kept, and looked up the next time."""
        kept = self._kept_rows(task) if task.entry.folder is None and not task.keep_images else None
        if kept is not None and kept.is_file():
            try:
                return _read_rows(kept)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                pass  # damaged: measured again
        outcomes = [self._swap_pair(task, *pair) for pair in task.pairs]
        if kept is not None:
            _write_rows(kept, outcomes)
        return outcomes

    def _swap_pair(self, task: SwapTask, source_photo: Photo, target_photo: Photo) -> SwapOutcome:
        source, target = self._subject(source_photo), self._subject(target_photo)
        try:
            swapped = self._contestant(task.entry).swap(source, target)
        except FaceError as error:
            return SwapOutcome(None, str(error))
        unchanged = swapped.image is target.pixels
        result = target.face if unchanged else self._parts().describe_result(swapped.image, target.face)
        measured = measure_result(source, target, swapped, result, self._prior)
        return SwapOutcome(measured, image=swapped.image if task.keep_images else None)

    def _read_subject(self, photo: Photo) -> Subject:
        _, found = self._cache.load(photo)
        if found is None:
            raise DataError(f"The description of {photo.key} has gone from {self._cache.folder}; run again.")
        return Subject(photo.sha256, photo.pixels(), found)

    def _parts(self) -> Describer:
        if self._describer is None:
            self._describer = Describer()
        return self._describer

    def _contestant(self, entry: Entry) -> Contestant:
        if entry.name not in self._contestants:
            self._contestants[entry.name] = entry.open()
        return self._contestants[entry.name]

    def _kept_rows(self, task: SwapTask) -> Path:
        pairs = " ".join(f"{source.sha256}>{target.sha256}" for source, target in task.pairs)
        digest = hashlib.sha256(pairs.encode()).hexdigest()
        folder = f"baselines-{self._cache.version}-{BASELINE_VERSION}"
        return self._cache.root / folder / task.entry.name / f"{digest}.npz"


Task = TypeVar("Task")
Answer = TypeVar("Answer")
_WORKER: list[Worker] = []
"""Of this process, where it is one of a pool's."""


def work_through(
    kind: Callable[[Worker, Task], Answer], tasks: Sequence[Task], *, workers: int, cache_folder: Path | None
) -> Iterator[Answer]:
    """Answers in the order of the tasks.

    Args:
        kind: `Worker.describe` or `Worker.swap`.
        tasks: what to do.
        workers: processes; 1 works in this one.
        cache_folder: see `Worker`.
    """
    if workers == 1 or len(tasks) < 2:
        with _one_thread():
            worker = Worker(cache_folder)
            yield from (kind(worker, task) for task in tasks)
        return
    with ProcessPoolExecutor(
        min(workers, len(tasks)), get_context("spawn"), initializer=_start, initargs=(cache_folder,)
    ) as pool:
        try:
            yield from pool.map(partial(_call, kind), tasks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_tasks(items: Iterable[Task], size: int = PAIRS_PER_TASK) -> list[tuple[Task, ...]]:
    """Cut into groups."""
    listed = list(items)
    return [tuple(listed[start : start + size]) for start in range(0, len(listed), size)]


def _call(kind: Callable[[Worker, Task], Answer], task: Task) -> Answer:
    """A method of this process's worker."""
    return kind(_WORKER[0], task)


def _start(cache_folder: Path | None) -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _WORKER.append(Worker(cache_folder))


class _one_thread:  # noqa: N801 - a context manager
    """PyTorch on one thread, and as before afterwards."""

    def __enter__(self) -> None:
        import torch

        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._before)


def _write_rows(path: Path, outcomes: Sequence[SwapOutcome]) -> None:
    rows = [outcome.measured for outcome in outcomes]
    whole = [row for row in rows if row is not None]
    if len(whole) < len(rows):
        return
    buffer = io.BytesIO()
    np.savez(
        buffer,
        names=np.array(list(whole[0].values)),
        values=np.array([list(row.values.values()) for row in whole]),
        sface=np.stack([row.sface for row in whole]),
        dlib=np.stack([row.dlib for row in whole]),
        features=np.stack([row.features for row in whole]),
    )
    atomic_write(path, buffer.getvalue())


def _read_rows(path: Path) -> list[SwapOutcome]:
    with np.load(path, allow_pickle=False) as stored:
        names = [str(name) for name in stored["names"]]
        columns = [stored[name] for name in ("values", "sface", "dlib", "features")]
    return [
        SwapOutcome(Measured(dict(zip(names, map(float, values), strict=True)), *vectors))
        for values, *vectors in zip(*columns, strict=True)
    ]


def described(photos: Sequence[Photo], cache: DescriptionCache) -> dict[str, Description | None]:
    """SHA-256 -> what is kept of each photo that was described."""
    loaded = ((photo, cache.load(photo)) for photo in photos)
    return {photo.sha256: found for photo, (kept, found) in loaded if kept}
