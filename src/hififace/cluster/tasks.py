"""Tasks over Ray that say how far they are, can be stopped, and are done again when the machine at them is lost.

with Cluster() as cluster:
    for place, outcome in cluster.run_many(work, orders, note=print):
        ...

The machines share a disk: orders name files, by paths that are the same everywhere.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar

from hififace.errors import HififaceError, InterruptedByUserError, RuntimeUnavailableError
from hififace.spread import start_ray

Order = TypeVar("Order")
Outcome = TypeVar("Outcome")

Say: TypeAlias = "Callable[[Any], None]"
"""Told how far a task is; costs a message, so not for every frame."""

ShouldStop: TypeAlias = "Callable[[], bool]"
"""Whether the task shall end; costs a question to another machine."""

Work: TypeAlias = "Callable[[Order, Say, ShouldStop], Outcome]"
"""A function of a module that every machine has installed."""

_LOOK_EVERY_S: Final = 0.2
_TRIES: Final = 5
"""How often a task is begun again after a machine was lost."""


class Desk:
    """Where tasks say how far they are, and ask whether to stop; an actor on the machine of whoever waits."""

    def __init__(self) -> None:
        self._said: dict[int, Any] = {}
        self._stopped: set[int] = set()

    def say(self, task: int, said: Any) -> None:
        """Keep the last that a task said."""
        self._said[task] = said

    def take(self) -> dict[int, Any]:
        """What was said since the last time."""
        said, self._said = self._said, {}
        return said

    def stop(self, tasks: Sequence[int]) -> None:
        """These shall end."""
        self._stopped.update(tasks)

    def is_stopped(self, task: int) -> bool:
        """Whether it shall."""
        return task in self._stopped


class Cluster:
    """A connection to Ray, at RAY_ADDRESS or on this machine; use as a context manager. Threads may share one.

    Args:
        cores_per_task: cores that one task takes.
        use_gpus: give each task a GPU where the cluster has some; False for work that runs on CPUs.

    Attributes:
        num_tasks: tasks that run at the same time, about.

    Raises:
        RuntimeUnavailableError: Ray is not installed, or does not start.
    """

    def __init__(self, *, cores_per_task: int = 1, use_gpus: bool = True) -> None:
        try:
            import ray
        except ImportError as error:
            raise RuntimeUnavailableError(
                "--ray was asked for and Ray is not installed. Run `pip install '.[scale]'`, or leave --ray out."
            ) from error
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            start_ray(ray, max(os.cpu_count() or 1, cores_per_task))
        resources: dict[str, float] = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if use_gpus else 0
        self.num_tasks = max(gpus or int(resources.get("CPU", 1)) // cores_per_task, 1)
        self._how = {"num_cpus": cores_per_task, "num_gpus": 1 if gpus else 0, "max_retries": _TRIES}
        self._task = self._ray.remote(run_task)
        # Here, where its questioner is: the loss of another machine must not take it along.
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        self._desk = self._ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()
        self._numbers, self._said = itertools.count(), {}  # type: tuple[itertools.count[int], dict[int, Any]]
        self._lock = threading.Lock()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go; what was started here ends."""
        if self._started:
            self._ray.shutdown()

    @property
    def num_machines(self) -> int:
        """How many machines are there now."""
        return sum(bool(node["Alive"]) for node in self._ray.nodes())

    def run(self, work: Work[Order, Outcome], order: Order, say: Say, should_stop: ShouldStop) -> Outcome:
        """Do one thing somewhere, and wait for it.

        Args:
            work: what to do.
            order: what it is done to.
            say: told what it says, in this thread.
            should_stop: asked a few times a second.

        Raises:
            HififaceError: it failed, or its machine was lost again and again.
        """
        number, reference = self._begin(work, order)
        while True:
            ready, _ = self._ray.wait([reference], timeout=_LOOK_EVERY_S)
            self._collect()
            with self._lock:
                said = self._said.pop(number, None)
            if said is not None:
                say(said)
            if ready:
                return self._result(reference)  # type: ignore[no-any-return]
            if should_stop():
                self._desk.stop.remote([number])

    def run_many(
        self,
        work: Work[Order, Outcome],
        orders: Sequence[Order],
        say: Callable[[int, Any], None] = lambda place, said: None,
    ) -> Iterator[tuple[int, Outcome | HififaceError]]:
        """Do many things at once; each comes with its place among the orders, as it ends, in any order.

        Args:
            work: what to do.
            orders: what it is done to; those beyond what the cluster does at once are sent later.
            say: told what a task says, with the place of its order.

        Raises:
            InterruptedByUserError: Ctrl-C; tasks at work are told to stop.
        """
        waiting = iter(enumerate(orders))
        tasks: dict[Any, tuple[int, int]] = {}  # reference -> place, number
        try:
            while True:
                for place, order in itertools.islice(waiting, 2 * self.num_tasks - len(tasks)):
                    number, reference = self._begin(work, order)
                    tasks[reference] = place, number
                if not tasks:
                    return
                ready, _ = self._ray.wait(list(tasks), timeout=_LOOK_EVERY_S)
                self._collect()
                for place, number in tasks.values():
                    said = self._said.pop(number, None)
                    if said is not None:
                        say(place, said)
                for reference in ready:
                    place, _ = tasks.pop(reference)
                    try:
                        yield place, self._result(reference)
                    except HififaceError as error:
                        yield place, error
        except KeyboardInterrupt:
            self._ray.get(self._desk.stop.remote([number for _, number in tasks.values()]))
            self._ray.wait(list(tasks), num_returns=len(tasks), timeout=60.0)
            raise InterruptedByUserError("stopped; finished results are kept.") from None

    def _begin(self, work: Work[Order, Outcome], order: Order) -> tuple[int, Any]:
        with self._lock:
            number = next(self._numbers)
        return number, self._task.options(**self._how).remote(work, order, number, self._desk)

    def _collect(self) -> None:
        said = self._ray.get(self._desk.take.remote())
        with self._lock:
            self._said.update(said)

    def _result(self, reference: Any) -> Any:
        failures = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (failures.WorkerCrashedError, failures.NodeDiedError, failures.OutOfMemoryError) as error:
            raise HififaceError(
                f"The machine working on this was lost {_TRIES + 1} times ({type(error).__name__}); most likely its "
                "memory is too small. Finished results are kept."
            ) from error
        except failures.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, HififaceError):
                raise HififaceError(str(cause)) from error
            raise HififaceError(f"A task failed unexpectedly:\n{error}") from error


def run_task(work: Work[Order, Outcome], order: Order, number: int, desk: Any) -> Outcome:
    """What a Ray worker runs."""
    import ray

    engine: Any = ray

    def say(said: Any) -> None:
        desk.say.remote(number, said)

    def should_stop() -> bool:
        return bool(engine.get(desk.is_stopped.remote(number)))

    return work(order, say, should_stop)


class Rarely:
    """Whether it is time to say or ask something again."""

    def __init__(self, every_s: float = _LOOK_EVERY_S) -> None:
        self._every_s, self._next_s = every_s, 0.0

    def __call__(self) -> bool:
        """True at most once in `every_s`."""
        if time.monotonic() < self._next_s:
            return False
        self._next_s = time.monotonic() + self._every_s
        return True
