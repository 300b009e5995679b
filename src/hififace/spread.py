"""Spreading blocks over workers: this process, several processes, or a Ray cluster.

All three do the same work on the same blocks; only a bounded number of blocks is under way at a time, so
that an archive streamed from disk never piles up in memory.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from hififace.errors import DataError, RuntimeUnavailableError
from hififace.processes import end_with_parent

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_this_process(work: Callable[[Item], Done], items: Iterable[Item], workers: int = 1) -> Iterator[Done]:
    """One after the other."""
    return map(work, items)


def over_processes(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """In fresh processes (spawned, not forked: sessions and threads do not survive a fork).

    Results come in the order in which they are ready.

    Raises:
        DataError: a worker was killed, most likely for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    stream = iter(items)
    waiting: set[Future[Done]] = set()
    try:
        for item in islice(stream, 2 * workers):
            waiting.add(pool.submit(work, item))
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            for item in islice(stream, len(finished)):
                waiting.add(pool.submit(work, item))
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process ended unexpectedly; most likely the machine ran out of memory. Run the same "
            "command again with fewer --workers: what is finished is kept."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def over_ray(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """As Ray tasks, on this machine or on the cluster that RAY_ADDRESS names.

    The output folder, and inputs other than compressed archives, must be reachable under the same paths on
    every machine.

    Raises:
        RuntimeUnavailableError: Ray is not installed, or does not start.
    """
    try:
        import ray
    except ImportError as error:
        raise RuntimeUnavailableError(
            "--ray was asked for and Ray is not installed. Run `pip install '.[scale]'`, or leave "
            "--ray out: `--workers` uses the cores of this machine."
        ) from error
    engine: Any = ray  # partly typed where it is installed, unknown where it is not
    started = not engine.is_initialized()
    if started:
        start_ray(engine, workers)
    try:
        task = engine.remote(num_cpus=1, max_retries=2)(work_in_ray)
        resources: dict[str, float] = engine.cluster_resources()
        limit = 2 * max(workers, int(resources.get("CPU", workers)))
        stream = iter(items)
        waiting = [task.remote(work, item) for item in islice(stream, limit)]
        while waiting:
            finished, waiting = engine.wait(waiting)
            yield from engine.get(finished)
            waiting += [task.remote(work, item) for item in islice(stream, len(finished))]
    finally:
        if started:
            engine.shutdown()


def start_ray(ray: Any, workers: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start Ray on this machine.

    Raises:
        RuntimeUnavailableError: it does not start.
    """
    cluster = "RAY_ADDRESS" in os.environ
    # The dashboard serves pages that nobody asked for; a cluster brings its own.
    settings = {} if cluster else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, **settings)
    except Exception as error:
        ray.shutdown()  # what did start must not stay behind
        place = f"at RAY_ADDRESS={os.environ['RAY_ADDRESS']}" if cluster else "on this machine"
        raise RuntimeUnavailableError(
            f"Ray did not start {place} ({error}). It gives its own processes half a minute, which a machine that is "
            f"busy with other work exceeds: try again when it is idle, look at Ray's logs below /tmp/ray, or leave "
            f"--ray out: `--workers` uses the cores of this machine."
        ) from error


def work_in_ray(work: Callable[[Item], Done], item: Item) -> Done:
    """What a Ray worker runs; workers keep their describers between tasks."""
    _one_thread()
    return work(item)


def _start_worker() -> None:
    end_with_parent()
    _one_thread()


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
