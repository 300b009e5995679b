"""The parts of a running service, opened and closed together: models, the line of images, jobs, metrics."""

from __future__ import annotations

import threading

from hififace.errors import HififaceError
from hififace.hosting.bundles import Bundles
from hififace.server.line import ImageLine
from hififace.server.logs import LOGGER
from hififace.server.metrics import Metrics
from hififace.server.schemas import Standing
from hififace.server.settings import ServiceOptions
from hififace.server.store import JobStore
from hififace.server.work import JobWorkers


class Service:
    """What the routes work with.

    Args:
        options: see `ServiceOptions`.
        bundles: models already looked at, such as the page's; None looks for them.

    Raises:
        OptionError: a folder without bundles.
        HififaceError: the folder of the jobs cannot be worked in.
    """

    def __init__(self, options: ServiceOptions, bundles: Bundles | None = None) -> None:
        self.options = options
        self.metrics = Metrics()
        self.bundles = bundles or Bundles(
            options.bundles,
            providers=options.providers,
            threads=options.threads,
            commercial=options.commercial,
        )
        self.store = JobStore(options.data)
        self.line = ImageLine(
            self.metrics, workers=options.workers, batch=options.batch, waiting=options.limits.queue
        )
        self.stopping = threading.Event()
        self._problem: str | None = None
        self._ready = threading.Event()
        self.workers: JobWorkers | None = None
        self._opening = threading.Thread(target=self._open, name="hififace-open", daemon=True)

    def start(self) -> None:
        """Begin with the jobs, and open the model that most will ask for; returns at once."""
        self.workers = JobWorkers(
            self.store,
            self.bundles,
            self.options.limits,
            self.metrics,
            at_once=self.options.jobs_at_once,
            default_model=self.options.model,
        )
        self._opening.start()

    def close(self) -> None:
        """Finish the images that wait, give the jobs back, and let go of everything."""
        self.stopping.set()
        self.line.stop()
        if self.workers is not None:
            self.workers.stop()
        if self._opening.ident is not None:
            self._opening.join()  # a thread that loads a network while Python ends would bring the process down
        self.store.close()

    @property
    def standing(self) -> Standing:
        """Whether it can take work."""
        if self.stopping.is_set():
            return Standing(status="stopping")
        if self._problem is not None:
            return Standing(status="broken", detail=self._problem)
        return Standing(status="ok" if self._ready.is_set() else "starting")

    def _open(self) -> None:
        try:
            swapper = self.bundles.swapper(self.options.model)
        except HififaceError as error:
            self._problem = str(error)
            LOGGER.error("the default model cannot be used: %s", error)
            return
        self.metrics.model.info(
            {"name": swapper.bundle.name, "version": swapper.bundle.version, "provider": swapper.provider}
        )
        self._ready.set()
