"""Settings of one running service: its limits, address, keys and devices; each is a flag of `hififace serve`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from annotated_types import Interval

from hififace.errors import OptionError
from hififace.hosting.limits import require_positive
from hififace.hosting.strangers import is_loopback
from hififace.option_fields import check
from hififace.processes import usable_cores
from hififace.server.keys import Keys
from hififace.swap.precision import WantedPrecision

_MOST_WORKERS: Final = 8
"""Chosen by ourselves, at most: each may hold the memory of a whole run."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """The limits of one running service.

    Raises:
        OptionError: a limit that is not above 0.
    """

    upload_mb: float = 50.0
    """Maximum size of one photo, in 10^6 bytes."""
    megapixels: float = 50.0
    """Maximum number of pixels of one photo, in millions."""
    photos: int = 12
    """Maximum number of source photos of one request."""
    video_mb: float = 500.0
    """Maximum size of the targets of one job, in 10^6 bytes."""
    video_minutes: float = 10.0
    """Maximum length of one video, in minutes."""
    video_megapixels: float = 9.0
    """Maximum number of pixels of a video frame, in millions; 4K needs 9."""
    targets: int = 100
    """Maximum number of images of one job."""
    requests_per_minute: int = 600
    """Maximum number of requests per minute of one key; without keys, of one address."""
    queue: int = 64
    """Maximum number of waiting images; further ones are answered with 503."""
    jobs_per_key: int = 20
    """Maximum number of unfinished jobs of one key."""
    disk_mb: float = 20_000.0
    """Maximum size of the files of all jobs together, in 10^6 bytes."""
    keep_minutes: float = 60.0
    """Delete the files of a finished job after this many minutes."""
    body_seconds: float = 30.0
    """Maximum wait for a request's body, in seconds, added to the time that its size takes at the lowest speed."""
    slowest_kb_per_s: float = 50.0
    """Lowest speed of an upload, in 1000 bytes per second; slower ones are aborted."""

    def __post_init__(self) -> None:
        require_positive(self)

    @property
    def image_body_bytes(self) -> int:
        """Most that a request about images holds: its photos, as base64, and the form around them."""
        return round((self.photos + 1) * self.upload_mb * 1e6 * 4 / 3) + 1_000_000

    @property
    def job_body_bytes(self) -> int:
        """Most that a request for a job holds."""
        return round((self.video_mb + self.photos * self.upload_mb) * 1e6) + 1_000_000

    @property
    def video_frames(self) -> int:
        """Most frames that are swapped of one video, whatever its container says about its length."""
        return round(self.video_minutes * 60 * 60)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How and where the service runs. Checked when made.

    Raises:
        OptionError: other machines would reach it without a key, or a number is out of its range.
    """

    data: Path
    """Folder of the jobs and their files; several services on one machine may share one."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own (127.0.0.1) needs API keys."""
    port: Annotated[int, Interval(ge=0, le=65535)] = 8000
    """Port; 0 chooses a free one."""
    names: tuple[str, ...] = ()
    """Further host names by which it is reached; requests under any other name are refused."""
    keys: Keys = field(default_factory=Keys)
    model: str = "mini"
    """Default model, for requests that name none."""
    bundles: tuple[Path, ...] = ()
    providers: tuple[str, ...] | None = None
    threads: int | None = None
    precision: WantedPrecision = "float32"
    """Arithmetic of the generator for images; auto uses what was measured to be the fastest here. Videos always do."""
    commercial: bool = False
    """Offer no model that may not be used commercially."""
    devices: tuple[str, ...] = ()
    """Devices to run on, such as cuda:0 and cuda:1: every model is opened on each. Empty: `providers`."""
    workers: Annotated[int, Interval(ge=1)] | None = None
    """Worker threads per device for images; default: one per core on the CPU, else two, so that one reads and writes
    images while the other uses the device."""
    batch: Annotated[int, Interval(ge=1)] | None = None
    """Maximum number of images, of different requests, in one network run; default: 2 on the CPU, else 8."""
    jobs_at_once: Annotated[int, Interval(ge=0)] | None = None
    """Jobs running at the same time; default: one per device. 0 leaves them to other services on the same folder."""
    ray: bool = False
    """Run the jobs on a Ray cluster, as many at a time as it has room for."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    def __post_init__(self) -> None:
        if not self.keys and not is_loopback(self.host):
            raise OptionError(
                f"--host {self.host} offers the service to other machines, and there are no API keys. Make one with "
                "--new-key NAME and give its line by --keys FILE, or leave out --host to serve this machine alone."
            )
        check(self)
        if self.devices and self.providers is not None:
            raise OptionError("Both devices and providers were given; choose one.")

    @property
    def num_jobs(self) -> int:
        """Jobs at work at the same time on this machine."""
        return max(len(self.devices), 1) if self.jobs_at_once is None else self.jobs_at_once

    @property
    def benches(self) -> tuple[tuple[str, ...] | None, ...]:
        """Providers of each device."""
        return tuple((device,) for device in self.devices) or (self.providers,)

    def images_per_run(self, *, on_cpu: bool) -> int:
        """Images of different requests in one run, at most.

        On the CPU large runs fall out of its caches: 8 images took 15 to 25 % longer each than 2.
        """
        return self.batch or (2 if on_cpu else 8)

    def shares(self, *, on_cpu: bool, cores: int | None = None) -> tuple[int, int | None]:
        """How many threads swap images, and how many each run of a network takes; None leaves it to the runtime.

        On the CPU, images stand side by side with one thread each: they cost the processor what one image with all
        threads does, and leave no core without work. `benchmarks/service.py` compares the two.

        Args:
            on_cpu: whether the networks run there.
            cores: that this process may use; None asks the system.
        """
        if not on_cpu:
            return self.workers or 2, self.threads
        cores = cores or usable_cores()
        workers = self.workers or min(max(1, cores // (self.threads or 1)), _MOST_WORKERS)
        return workers, self.threads or max(1, cores // workers)


def server_settings(options: ServiceOptions) -> dict[str, Any]:
    """How uvicorn serves it."""
    return {
        "host": options.host,
        "port": options.port,
        "log_config": None,  # ours
        "access_log": False,  # names of paths are not for logs
        "server_header": False,
        "timeout_keep_alive": 30,
        "h11_max_incomplete_event_size": 32_768,
        "http": "h11",
        "ws": "none",
        "lifespan": "on",
    }
