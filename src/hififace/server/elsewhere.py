"""Jobs of the service on the machines of a Ray cluster, which see its folder under the same path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hififace.cluster.tasks import Cluster, Say, ShouldStop
from hififace.hosting.bundles import Bundles
from hififace.server.job_work import JobOrder, JobOutcome, Note, work_on
from hififace.swap.precision import WantedPrecision


@dataclass(frozen=True, slots=True)
class _RemoteOrder:
    job: JobOrder
    bundles: tuple[Path, ...]
    providers: tuple[str, ...] | None
    threads: int | None
    precision: WantedPrecision
    commercial: bool


class Elsewhere:
    """Hands jobs to a cluster; `JobWorkers` calls it in place of this machine.

    Args:
        cluster: the machines.
        bundles: folders of models; there, too.
        providers: as in `FaceSwapper.load`.
        threads: likewise.
        precision: likewise.
        commercial: likewise.
    """

    def __init__(
        self,
        cluster: Cluster,
        bundles: Sequence[Path],
        providers: tuple[str, ...] | None,
        threads: int | None,
        *,
        precision: WantedPrecision,
        commercial: bool,
    ) -> None:
        self._cluster = cluster
        self._how = tuple(path.resolve() for path in bundles), providers, threads, precision, commercial

    def __call__(self, job: JobOrder, note: Note, should_stop: ShouldStop) -> JobOutcome:
        """Do a job there, and wait for it."""

        def say(said: tuple[int, int | None, float]) -> None:
            note(*said)

        return self._cluster.run(work_there, _RemoteOrder(job, *self._how), say, should_stop)


def work_there(order: _RemoteOrder, say: Say, should_stop: ShouldStop) -> JobOutcome:
    """What a machine of the cluster does."""
    bundles = _bundles(order.bundles, order.providers, order.threads, order.precision, order.commercial)
    return work_on(order.job, bundles, lambda done, expected, rate: say((done, expected, rate)), should_stop)


@cache
def _bundles(
    folders: tuple[Path, ...],
    providers: tuple[str, ...] | None,
    threads: int | None,
    precision: WantedPrecision,
    commercial: bool,
) -> Bundles:
    """Kept between the tasks of a worker."""
    return Bundles(folders, providers=providers, threads=threads, precision=precision, commercial=commercial)
