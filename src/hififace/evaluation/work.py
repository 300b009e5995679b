"""Workers of an evaluation: describe photos, swap pairs and measure them, from picklable tasks to rows.

Each result depends only on its own pair, and every network runs on one thread, so results do not depend on the number
of processes.
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
from hififace.evaluation.description import OPEN, Asked, Describer, Description, DescriptionCache, placed
from hififace.evaluation.features import feature_network_name
from hififace.evaluation.identity import DlibEmbedder
from hififace.evaluation.measure import Measured, measure_result
from hififace.evaluation.methods import BundleMethod, Entry, Method, Subject, Swapped
from hififace.evaluation.pairs import Pair
from hififace.evaluation.photos import Photo
from hififace.evaluation.scenes import PLAIN, Scene, render
from hififace.evaluation.temporal import VideoFlicker
from hififace.evaluation.untouched import SEEN_PERCENT, dim_error, frames_kept, frames_leak
from hififace.evaluation.video import measure_flicker
from hififace.faces.shape import MeshShapePrior
from hififace.media.atomic import atomic_write
from hififace.processes import end_with_parent, scratch_folder
from hififace.types import FloatArray, RGBImage

BASELINE_VERSION: Final = 2
"""To be increased with every change of a baseline or a measure, so that cached rows are computed again."""

PAIRS_PER_TASK: Final = 10

VECTORS: Final = tuple(name for name in Measured._fields if name != "values")


class SwapTask(NamedTuple):
    """A few pairs for one method."""

    entry: Entry
    pairs: tuple[Pair, ...]
    keep_images: bool
    """Whether to return the result images too, for the contact sheet."""


class SwapOutcome(NamedTuple):
    """Outcome of one pair."""

    measured: Measured | None
    """None where the swapper refused."""
    refusal: str = ""
    image: RGBImage | None = None


class VideoTask(NamedTuple):
    """A video for one bundle."""

    entry: Entry
    video: Path
    seconds: float
    """Duration from its beginning."""
    source: Photo


class VideoOutcome(NamedTuple):
    """Figures of a video and of a bundle's result."""

    entry: Entry
    target: VideoFlicker
    result: VideoFlicker


@dataclass
class Worker:
    """The networks of one process, loaded when first used.

    Attributes:
        cache_folder: of descriptions and baselines; None takes the user's data folder.
        asked: additional features.
    """

    cache_folder: Path | None
    asked: Asked = OPEN

    def __post_init__(self) -> None:
        self._cache = DescriptionCache(self.cache_folder, feature_network_name(), self.asked)
        self._describer: Describer | None = None
        self._prior = MeshShapePrior.load()
        self._methods: dict[str, Method] = {}
        self._subject = lru_cache(maxsize=64)(self._read_subject)

    def describe(self, photos: tuple[Photo, ...]) -> int:
        """Describe photos into the cache; returns their number."""
        for photo in photos:
            self._cache.save(photo, self._parts().describe_photo(photo.pixels()))
        return len(photos)

    def swap(self, task: SwapTask) -> list[SwapOutcome]:
        """Swap and measure pairs; outcomes of baselines are cached."""
        kept = self._kept_rows(task) if task.entry.folder is None and not task.keep_images else None
        if kept is not None and kept.is_file():
            try:
                return _read_rows(kept)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                pass  # damaged: computed again
        outcomes = [self._swap_pair(task, pair) for pair in task.pairs]
        if kept is not None:
            _write_rows(kept, outcomes)
        return outcomes

    def swap_video(self, task: VideoTask) -> VideoOutcome:
        """Swap the beginning of a video, and measure result and original.

        Raises:
            VideoError: it cannot be read.
            FaceError: nothing in it can be swapped.
        """
        source = self._subject(task.source)
        method = self._method(task.entry)
        if not isinstance(method, BundleMethod):
            raise TypeError(f"{task.entry.name} swaps no videos")
        dlib = DlibEmbedder()

        def distance(image: RGBImage, mesh: FloatArray) -> float:
            return float(np.linalg.norm(dlib.embed(image, mesh) - source.face.dlib))

        with scratch_folder() as folder:
            result = folder / f"{task.video.stem}.mp4"
            method.swap_video(source, task.video, result, task.seconds)
            rows = measure_flicker(task.video, [result], source=source.face.sface, unseen=distance)
        return VideoOutcome(task.entry, *rows)

    def _swap_pair(self, task: SwapTask, pair: Pair) -> SwapOutcome:
        source = self._subject(pair.source, pair.source_scene)
        target = self._subject(pair.target, pair.scene)
        method = self._method(task.entry)
        try:
            swapped = method.swap(source, target)
        except FaceError as error:
            return SwapOutcome(None, str(error))
        unchanged = swapped.image is target.pixels
        result = target.face if unchanged else self._parts().describe_result(swapped.image, target.face)
        measured = measure_result(source, target, swapped, result, self._prior, self.asked)
        try:
            measured.values.update(self._beside_its_twin(method, pair, target, swapped))
        except FaceError as error:
            return SwapOutcome(None, str(error))
        return SwapOutcome(measured, image=swapped.image if task.keep_images else None)

    def _beside_its_twin(
        self, method: Method, pair: Pair, target: Subject, swapped: Swapped
    ) -> dict[str, float]:
        """Measures that need the same swap without the scene.

        Raises:
            FaceError: the swapper refuses that swap.
        """
        mesh = target.face.mesh
        if pair.source_scene.occluder == "glasses":
            plain = method.swap(self._subject(pair.source, PLAIN), target).image
            leak = frames_leak(swapped.image, plain, mesh)
            return {"frames_leak": leak, "frames_seen": 100.0 * (leak > SEEN_PERCENT)}
        if pair.scene.gain != 1.0:
            bright = self._subject(pair.target, pair.scene._replace(gain=1.0))
            twin = method.swap(self._subject(pair.source, PLAIN), bright)
            return {"dim_error": dim_error(swapped.image, twin.image, pair.scene.gain, bright.face.mesh)}
        if pair.scene.occluder == "glasses" and target.drawn is not None:
            return {"frames_kept": frames_kept(swapped.image, target.pixels, target.drawn)}
        return {}

    def _read_subject(self, photo: Photo, scene: Scene = PLAIN) -> Subject:
        _, found = self._cache.load(photo)
        if found is None:
            raise DataError(f"The description of {photo.key} has gone from {self._cache.folder}; run again.")
        if scene == PLAIN:
            return Subject(photo.sha256, photo.pixels(), found)
        shown = render(scene, photo.pixels(), found.size_px, found.mesh)
        kept, face = self._cache.load(photo, scene)
        if not kept or face is None:
            face = self._parts().describe_result(shown.pixels, placed(found, shown.scale))
            self._cache.save(photo, face, scene)
        return Subject(f"{photo.sha256}-{scene.tag}", shown.pixels, face, shown.drawn)

    def _parts(self) -> Describer:
        if self._describer is None:
            self._describer = Describer(self.asked)
        return self._describer

    def _method(self, entry: Entry) -> Method:
        if entry.name not in self._methods:
            self._methods[entry.name] = entry.open()
        return self._methods[entry.name]

    def _kept_rows(self, task: SwapTask) -> Path:
        pairs = " ".join(
            f"{pair.source.sha256}{pair.source_scene.tag}>{pair.target.sha256}{pair.scene.tag}"
            for pair in task.pairs
        )
        digest = hashlib.sha256(pairs.encode()).hexdigest()
        folder = f"baselines-{self._cache.version}-{BASELINE_VERSION}"
        return self._cache.root / folder / task.entry.name / f"{digest}.npz"


Task = TypeVar("Task")
Answer = TypeVar("Answer")
_WORKER: list[Worker] = []
"""The worker of this process, if it belongs to a pool; empty or one element."""


class Workforce:
    """A pool of processes that keep their networks loaded between tasks; a context manager.

    Args:
        workers: number of processes; 1 uses the calling one.
        cache_folder: see `Worker`.
        asked: likewise.
    """

    def __init__(self, workers: int, cache_folder: Path | None, asked: Asked = OPEN) -> None:
        self._workers, self._cache_folder, self._asked = workers, cache_folder, asked
        self._own: Worker | None = None
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workforce:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def work_through(self, kind: Callable[[Worker, Task], Answer], tasks: Sequence[Task]) -> Iterator[Answer]:
        """Results in the order of the tasks.

        Args:
            kind: the method of `Worker` to call.
            tasks: its arguments.
        """
        if not tasks:
            return
        if self._workers == 1:
            with _one_thread():
                self._own = self._own or Worker(self._cache_folder, self._asked)
                yield from (kind(self._own, task) for task in tasks)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                get_context("spawn"),
                initializer=_start,
                initargs=(self._cache_folder, self._asked),
            )
        yield from self._pool.map(partial(_call, kind), tasks)


def in_tasks(items: Iterable[Task], size: int = PAIRS_PER_TASK) -> list[tuple[Task, ...]]:
    """Split into groups of at most `size`."""
    listed = list(items)
    return [tuple(listed[start : start + size]) for start in range(0, len(listed), size)]


def _call(kind: Callable[[Worker, Task], Answer], task: Task) -> Answer:
    """Call a method of this process's worker."""
    return kind(_WORKER[0], task)


def _start(cache_folder: Path | None, asked: Asked) -> None:
    import cv2
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _WORKER.append(Worker(cache_folder, asked))


class _one_thread:  # noqa: N801 - a context manager
    """Limits PyTorch to one thread within the context."""

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
    names = sorted({name for row in whole for name in row.values})
    columns = {name: np.stack([getattr(row, name) for row in whole]) for name in VECTORS}
    columns["names"] = np.array(names)
    columns["values"] = np.array([[row.values.get(name, np.nan) for name in names] for row in whole])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **columns)
    atomic_write(path, buffer.getvalue())


def _read_rows(path: Path) -> list[SwapOutcome]:
    with np.load(path, allow_pickle=False) as stored:
        names = [str(name) for name in stored["names"]]
        columns = [stored[name] for name in ("values", *VECTORS)]
    return [
        SwapOutcome(Measured(dict(zip(names, map(float, values), strict=True)), *vectors))
        for values, *vectors in zip(*columns, strict=True)
    ]


def described(photos: Sequence[Photo], cache: DescriptionCache) -> dict[str, Description | None]:
    """SHA-256 -> cached description of each photo."""
    loaded = ((photo, cache.load(photo)) for photo in photos)
    return {photo.sha256: found for photo, (kept, found) in loaded if kept}
