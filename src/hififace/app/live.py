"""Cameras of visitors: each has a secret, by which its frames find the swap that belongs to them.

Frames do not wait in the page's queue: they come by a route of their own (`live_route`), which knows no visitor.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.sessions import Session
from hififace.errors import OptionError
from hififace.hosting.meter import LimitError
from hififace.provenance.claim import Claim
from hififace.swap.image import claim_of
from hififace.swap.output import live_jpeg
from hififace.video.live import LiveSwap

LARGEST_FRAME_PX: Final = 1280 * 720
"""Of a camera's frame; a larger one is refused."""
_IDLE_S: Final = 20.0
"""A camera without frames for so long makes room for another one."""


@dataclass(slots=True, eq=False)
class _Camera:
    """One visitor's camera."""

    swap: LiveSwap
    claim: Claim
    last_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """What becomes of one frame."""

    jpeg: bytes = field(repr=False)
    """Labelled."""
    swapped: bool
    """It shows a swapped face."""


@dataclass(slots=True, eq=False)
class LiveState:
    """What one visitor has on the live tab."""

    secret: str = ""
    """Of the camera at work; empty: none is."""


class Lives:
    """All cameras of a page. Threads may share one.

    Args:
        studio: sources, models and visitors.
        clock: seconds that only grow.
    """

    def __init__(self, studio: Studio, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._studio, self._clock = studio, clock
        self._cameras: dict[str, _Camera] = {}
        self._lock = threading.Lock()

    def look(self, key: str) -> LiveState:
        """The state of a visitor, for showing it."""
        with self._studio.sessions.visit(key) as session:
            return self._state(session)

    def begin(self, key: str, request: SwapRequest, client: str = "") -> str:
        """Open a camera; its secret comes back, and the one before ends.

        Raises:
            OptionError: no consent, or no source.
            LimitError: as many cameras as this page takes are at work.
            HififaceError: why the face cannot be a source.
        """
        options, output = request.options(), request.output_options()
        self._studio.meter.count(client)
        self.end(key)
        swapper = self._studio.bundles.live_swapper(request.model)
        people = self._studio.look(key).people
        source = people.everybody(swapper, self._studio.limits, average=request.average)
        most = self._studio.limits.cameras
        with self._lock:
            self._make_room(most)
            secret = secrets.token_hex(16)
            swap = LiveSwap(swapper.engine, source, options)
            self._cameras[secret] = _Camera(swap, claim_of(swapper.engine, output), self._clock())
        with self._studio.sessions.visit(key) as session:
            self._state(session).secret = secret
        return secret

    def change(self, key: str, request: SwapRequest) -> None:
        """Other source, other settings, while the camera runs; without consent or source it ends.

        Raises:
            HififaceError: why the face cannot be a source.
        """
        camera = self._cameras.get(self.look(key).secret)
        if camera is None:
            return
        people = self._studio.look(key).people
        if request.consent is not True or people.chosen is None:
            self.end(key)
            return
        swapper = self._studio.bundles.live_swapper(request.model)
        if swapper.engine.for_videos() is not camera.swap.engine:  # another model
            self.end(key)
            return
        source = people.everybody(swapper, self._studio.limits, average=request.average)
        options = request.options()
        if source is not camera.swap.source or options != camera.swap.options:
            camera.swap.source, camera.swap.options = source, options

    def end(self, key: str) -> None:
        """Close a visitor's camera, if it has one."""
        with self._studio.sessions.visit(key) as session:
            state = self._state(session)
            secret, state.secret = state.secret, ""
        self._close(secret)

    def frame(self, secret: str, jpeg: bytes) -> LiveFrame | None:
        """Swap one frame.

        Args:
            secret: of the camera.
            jpeg: the frame.

        Returns:
            The labelled frame; None where the camera is not at work any more.

        Raises:
            OptionError: it is no JPEG, or larger than `LARGEST_FRAME_PX`.
        """
        camera = self._cameras.get(secret)
        if camera is None:
            return None
        packed = np.frombuffer(jpeg, np.uint8)
        seen = cv2.imdecode(packed, cv2.IMREAD_COLOR) if jpeg[:2] == b"\xff\xd8" else None
        if seen is None or seen.shape[0] * seen.shape[1] > LARGEST_FRAME_PX:
            raise OptionError("The frame is no JPEG of up to 1280 x 720 pixels, which was expected.")
        with camera.lock:
            camera.last_s = self._clock()
            before = camera.swap.tally.num_swapped
            shown = camera.swap.frame(np.ascontiguousarray(seen[..., ::-1]))
            swapped = camera.swap.tally.num_swapped > before
        return LiveFrame(live_jpeg(shown, camera.claim), swapped)

    def stop(self) -> None:
        """Close all cameras."""
        for secret in list(self._cameras):
            self._close(secret)

    def _make_room(self, most: int) -> None:
        idle = [secret for secret, one in self._cameras.items() if self._clock() - one.last_s > _IDLE_S]
        for secret in idle:
            self._cameras.pop(secret).swap.close()
        if len(self._cameras) >= most:
            raise LimitError(
                f"{len(self._cameras)} cameras are at work, as many as this page takes. Try again later."
            )

    def _close(self, secret: str) -> None:
        with self._lock:
            camera = self._cameras.pop(secret, None)
        if camera is not None:
            camera.swap.close()

    def _state(self, session: Session) -> LiveState:
        if LiveState not in session.state:
            state = session.state[LiveState] = LiveState()
            session.closers.append(lambda: self._close(state.secret))
        found: LiveState = session.state[LiveState]
        return found
