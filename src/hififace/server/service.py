"""The parts of a running service, opened and closed together: models, the line of images, jobs, metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import cv2

from hififace.errors import HififaceError, RuntimeUnavailableError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import RequestMeter
from hififace.hosting.turns import Turns
from hififace.server.line import ImageLine
from hififace.server.logs import LOGGER
from hififace.server.metrics import Metrics
from hififace.server.schemas import Standing
from hififace.server.settings import ServiceOptions
from hififace.server.store import JobStore
from hififace.server.work import JobWorkers
from hififace.weights.sessions import CPU, available_providers, choose_providers, full_provider_name

_MOST_ELSEWHERE: Final = 256
"""Jobs handed to a cluster at the same time: each has a thread here that waits."""


class Service:
    """What the routes work with.

    Args:
        options: see `ServiceOptions`.

    Raises:
        OptionError: a folder without bundles, or a device that does not exist.
        HififaceError: the folder of the jobs cannot be worked in.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        on_cpu = _on_cpu(options.benches[0])
        workers, threads = options.shares(on_cpu=on_cpu)
        self._threads_of_opencv = threads if on_cpu else None
        self.benches = tuple(
            Bundles(
                options.bundles,
                providers=providers,
                threads=threads,
                precision=options.precision,
                commercial=options.commercial,
            )
            for providers in options.benches
        )
        """The models, once for each device."""
        self.bundles = self.benches[0]
        self.meter = RequestMeter(options.limits.requests_per_minute)
        self.store = JobStore(options.data)
        self.line = ImageLine(
            self.metrics,
            self.benches,
            workers=workers,
            batch=options.images_per_run(on_cpu=on_cpu),
            waiting=options.limits.queue,
        )
        self._turns = threading.BoundedSemaphore(max(options.num_jobs, 1))
        self.stopping = threading.Event()
        self._problem: str | None = None
        self._ready = threading.Event()
        self.workers: JobWorkers | None = None
        self._to_close: list[Callable[[], None]] = []
        self._opening = threading.Thread(target=self._open, name="hififace-open", daemon=True)

    def start(self) -> None:
        """Begin with the jobs, and open the model that most will ask for; returns at once."""
        if self._threads_of_opencv is not None:
            # Images stand side by side on all cores: threads of its own beside them would only fight over these.
            self._to_close.append(partial(cv2.setNumThreads, cv2.getNumThreads()))
            cv2.setNumThreads(self._threads_of_opencv)
        self._opening.start()

    def _start_jobs(self) -> None:
        options, turns, at_once, elsewhere = self.options, self._turns, self.options.num_jobs, None
        if options.ray and at_once:
            from hififace.cluster.tasks import Cluster
            from hififace.server.elsewhere import Elsewhere

            threads = options.threads or 1
            cluster = Cluster(cores_per_task=threads, use_gpus=options.providers != ("cpu",))
            self._to_close.append(cluster.close)
            elsewhere = Elsewhere(
                cluster,
                options.bundles,
                options.providers,
                threads,
                precision=options.precision,
                commercial=options.commercial,
            )
            LOGGER.info("a cluster does the jobs", extra={"fields": {"machines": cluster.num_machines}})
            # They do not take turns with what is swapped here.
            at_once = min(2 * cluster.num_tasks, _MOST_ELSEWHERE)
            turns = threading.BoundedSemaphore(at_once)
        self.workers = JobWorkers(
            self.store,
            self.benches,
            options.limits,
            self.metrics,
            at_once=at_once,
            default_model=options.model,
            turns=turns,
            elsewhere=elsewhere,
        )

    def close(self) -> None:
        """Finish the images that wait, give the jobs back, and let go of everything."""
        self.stopping.set()
        self.line.stop()
        if self._opening.ident is not None:
            self._opening.join()  # a thread that loads a network while Python ends would bring the process down
        if self.workers is not None:
            self.workers.stop()
        for close in self._to_close:
            close()
        self.store.close()

    def turns(self) -> Turns:
        """What the page shares with the service."""
        return Turns(self.bundles, self.line.swap_loaded, self._turns, self.meter)

    @property
    def standing(self) -> Standing:
        """Whether it can take work."""
        if self.stopping.is_set():
            return Standing(status="stopping")
        if self._problem is not None:
            return Standing(status="broken", detail=self._problem)
        return Standing(status="ok" if self._ready.is_set() else "starting")

    def _open(self) -> None:
        # Not in the main thread: Ray would take over what it does at SIGTERM there.
        try:
            self._start_jobs()
        except HififaceError as error:
            self._problem = str(error)
            LOGGER.error("jobs cannot be worked on: %s", error)
            return
        try:
            for bench in self.benches:
                swapper = bench.swapper(self.options.model)
                LOGGER.info("model opened", extra={"fields": {"provider": swapper.reason}})
        except HififaceError as error:
            self._problem = str(error)
            LOGGER.error("the default model cannot be used: %s", error)
            return
        self.metrics.model.info(
            {
                "name": swapper.bundle.name,
                "version": swapper.bundle.version,
                "provider": swapper.provider,
                "devices": str(len(self.benches)),
            }
        )
        self._ready.set()


def _on_cpu(providers: Sequence[str] | None) -> bool:
    """Whether networks will run on the CPU."""
    wanted = None if providers is None else [full_provider_name(name) for name in providers]
    try:
        return choose_providers(wanted, available_providers())[0][0] == CPU
    except RuntimeUnavailableError:  # said where a model is opened
        return True
