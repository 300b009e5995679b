"""What one visitor may ask of the page, and where the page may be offered: numbers, each set by a flag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hififace.errors import OptionError
from hififace.hosting.limits import require_positive
from hififace.hosting.meter import LimitError
from hififace.hosting.strangers import is_loopback
from hififace.media.probe import VideoInfo

FRAMES_PER_SECOND: Final = 60
"""The fastest video that may be as long as the limit; a faster one may be shorter."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one running page.

    Raises:
        OptionError: a limit that is not above 0.
    """

    upload_mb: float = 50.0
    """Size of one photo, in 10^6 bytes."""
    megapixels: float = 50.0
    """Pixels of one photo, in millions."""
    video_mb: float = 500.0
    """Size of one video, in 10^6 bytes."""
    video_minutes: float = 10.0
    """Length of one video, in minutes."""
    video_megapixels: float = 9.0
    """Pixels of one frame of a video, in millions; 9 takes 4K."""
    photos: int = 12
    """Source photos of one visitor at a time."""
    requests_per_minute: int = 60
    """Photos, videos and swaps of one address (and user) in a minute."""
    queue: int = 20
    """Requests of all visitors that may wait, and as many videos; further ones are refused."""
    at_once: int = 1
    """Images swapped at the same time."""
    videos_at_once: int = 1
    """Videos swapped at the same time."""
    cameras: int = 2
    """Cameras of the live tab swapped at the same time."""
    sessions: int = 100
    """Visitors at the same time."""
    sessions_per_address: int = 25
    """Visitors from one address at the same time."""
    disk_mb: float = 20_000.0
    """Files of all visitors together, in 10^6 bytes; further uploads are refused."""
    minutes: float = 30.0
    """Files of a visitor who does nothing for so long are removed."""
    return_s: float = 120.0
    """Files are removed so many seconds after the tab was closed; a page reloaded within finds them."""

    def __post_init__(self) -> None:
        require_positive(self)

    @property
    def largest_upload_mb(self) -> float:
        """What the web server refuses before anybody knows whether it is a photo or a video."""
        return max(self.upload_mb, self.video_mb)

    @property
    def body_bytes(self) -> int:
        """Most that one upload may hold: a video, or as many photos as one visitor may have."""
        return round(max(self.video_mb, self.photos * self.upload_mb) * 1e6)

    @property
    def video_frames(self) -> int:
        """Most frames that are decoded of one video, whatever its container says about its length."""
        return round(self.video_minutes * 60 * FRAMES_PER_SECOND)

    def check_size(self, path: Path, name: str, *, video: bool = False) -> None:
        """Refuse a file that is too large.

        Raises:
            LimitError: it is.
        """
        size_mb = path.stat().st_size / 1e6
        kind, most = ("videos", self.video_mb) if video else ("photos", self.upload_mb)
        if size_mb > most:
            raise LimitError(
                f"{name} has {size_mb:.3g} MB; this page takes {kind} of up to {most:g} MB. Make it smaller."
            )

    def check_video(self, info: VideoInfo, name: str) -> None:
        """Refuse a video that is too long or has too many pixels; one that hides its length is cut at the limit.

        Raises:
            LimitError: it is, or has.
        """
        pixels = info.width * info.height / 1e6
        if pixels > self.video_megapixels:
            raise LimitError(
                f"{name} has frames of {info.width} x {info.height} pixels; this page takes videos of up to "
                f"{self.video_megapixels:g} million pixels a frame. Make it smaller."
            )
        minutes = 0.0 if info.duration_s is None else float(info.duration_s) / 60
        if minutes > self.video_minutes:
            raise LimitError(
                f"{name} lasts {minutes:.1f} minutes; this page takes videos of up to {self.video_minutes:g} minutes. "
                "Cut it, or use the command `hififace swap`, which has no limit."
            )


def parse_auth(text: str | None) -> tuple[str, str] | None:
    """`user:password` as the command line takes it; the password may hold colons.

    Raises:
        OptionError: one of the two is missing.
    """
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not user or not password:
        raise OptionError("--auth does not have both parts; USER:PASSWORD was expected.")
    return user, password


def check_address(host: str, auth: tuple[str, str] | None) -> None:
    """Refuse to offer the page to other machines without a password.

    Raises:
        OptionError: others would reach it, and nobody would be asked who they are.
    """
    if auth is None and not is_loopback(host):
        raise OptionError(
            f"--host {host} offers the page to other machines, and no user and password were given. Add --auth "
            "USER:PASSWORD, or leave out --host to serve this machine alone."
        )
