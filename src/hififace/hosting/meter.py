"""How often one client may ask: requests of the last minute, counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from hififace.errors import HififaceError


class LimitError(HififaceError):
    """More was asked for than is allowed here; the sentence says what the limit is.

    Attributes:
        retry_after_s: seconds after which the same may be asked again; None where waiting does not help.
    """

    def __init__(self, sentence: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class RequestMeter:
    """Counts the requests of each client over the last minute. Threads may share one."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def count(self, client: str) -> None:
        """Note one request.

        Raises:
            LimitError: the client has made as many in the last minute as it may; this one is not counted.
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            times = self._times.setdefault(client, deque())
            if len(times) >= self._per_minute:
                wait_s = 60.0 - (now - times[0])
                raise LimitError(
                    f"{self._per_minute} requests a minute are taken from one place, and that many came. Try again in "
                    f"{max(wait_s, 1.0):.0f} seconds.",
                    retry_after_s=max(wait_s, 1.0),
                )
            times.append(now)

    @property
    def num_clients(self) -> int:
        """How many clients are remembered: those of the last minute."""
        with self._lock:
            self._forget(self._clock())
            return len(self._times)

    def _forget(self, now: float) -> None:
        for client in list(self._times):
            times = self._times[client]
            while times and now - times[0] >= 60.0:
                times.popleft()
            if not times:
                del self._times[client]
