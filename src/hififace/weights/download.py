"""One file from several mirrors: resumed where it was cut, checked, and moved into its place whole.

Only the standard library and `filelock`: an installation that cannot download must at least be able to say why.
"""

from __future__ import annotations

import bz2
import errno
import glob
import hashlib
import http.client
import lzma
import os
import struct
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, TypeAlias

from filelock import FileLock, Timeout

from hififace.errors import WeightsError

Progress: TypeAlias = Callable[[int, "int | None"], None]

_ATTEMPTS: Final = 3
_TIMEOUT_S: Final = 30.0
_PIECE: Final = 1 << 16
# The server may do better next time: too many requests, and every kind of server trouble.
_PASSING_STATUS: Final = {408, 425, 429, 500, 502, 503, 504}


_MOST_BYTES: Final = 4_000_000_000
_OURS: Final = {
    errno.ENOSPC,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EDQUOT if hasattr(errno, "EDQUOT") else 0,
}
"""Troubles of this machine: another mirror does not help."""
_UNPACKING_ERRORS: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    LookupError,
    OSError,
    ValueError,
    RuntimeError,  # encrypted, nested too deeply, or packed in a way that is not known here
    zlib.error,
    lzma.LZMAError,
    struct.error,
)


class _MirrorError(Exception):
    """This mirror will not do; try the next."""


class _CutShortError(Exception):
    """The connection ended early; what came is kept, go on from there."""


def download(
    urls: Sequence[str],
    final: Path,
    *,
    sha256: str,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch one file; on any failure nothing is left under its name, and what came is kept for next time.

    Args:
        urls: mirrors, best first; `ARCHIVE#MEMBER` takes one file out of a wheel, zip or tar, and a name
            ending in .bz2 is unpacked.
        final: where the file goes; folders are made.
        sha256: of the file (of the member, not of its archive).
        progress: called with (bytes so far, bytes in all or None).
        sleep: how to wait between attempts.

    Raises:
        WeightsError: every mirror failed; the message has the reason for each.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(_unwritable(final.parent, error)) from error
    with _alone(final):
        _from_any(urls, final, sha256, progress, sleep)


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """One program at a time fetches one file; what a killed one had not finished unpacking is swept.

    The operating system holds the lock, not the file: it ends with the process, however that ends.
    """
    lock = FileLock(final.with_name(f".{final.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise WeightsError(f"{final} is being fetched by another program; wait for it.") from None
    except OSError as error:
        raise WeightsError(_unwritable(final, error)) from error
    try:
        for leftover in final.parent.glob(f".{glob.escape(final.name)}.*.new"):
            leftover.unlink(missing_ok=True)
        yield
    finally:
        with suppress(OSError):  # Windows lets go of the file only with the lock
            Path(lock.lock_file).unlink()
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)


def _from_any(
    urls: Sequence[str],
    final: Path,
    sha256: str,
    progress: Progress | None,
    sleep: Callable[[float], None],
) -> None:
    """The first mirror that has the file."""
    reasons: list[str] = []
    for url in urls:
        try:
            _from_mirror(url, final, sha256, progress, sleep)
        except _MirrorError as error:
            reasons.append(f"{url.split('#')[0]}: {error}")
        except OSError as error:
            if error.errno in _OURS:
                raise WeightsError(_unwritable(final, error)) from error
            reasons.append(f"{url.split('#')[0]}: {error}")
        else:
            return
    raise WeightsError(
        f"{final.name} could not be fetched from any of {len(urls)} mirrors:\n  "
        + "\n  ".join(reasons)
        + "\nTry again later (the download resumes where it stopped), or put the file with "
        + f"SHA-256 {sha256} at {final}."
    )


def _from_mirror(
    url: str, final: Path, sha256: str, progress: Progress | None, sleep: Callable[[float], None]
) -> None:
    address, _, member = url.partition("#")
    # Named by the path without its host: mirrors of one archive go on from each other's part.
    identity = hashlib.sha256(address.split("://", 1)[-1].partition("/")[2].encode()).hexdigest()[:12]
    part = final.with_name(f".{final.name}.{identity}.part")
    for restart in (False, True):
        resumed = part.exists() and part.stat().st_size > 0
        _fetch_part(address, part, progress, sleep)
        reason = _unpack(part, address, member, final, sha256)
        part.unlink(missing_ok=True)
        if reason is None:
            return
        # Two halves of different versions do not fit; from the beginning they may.
        if restart or not resumed:
            raise _MirrorError(reason)


def _fetch_part(address: str, part: Path, progress: Progress | None, sleep: Callable[[float], None]) -> None:
    """Complete `part` from one address, with patience for passing trouble."""
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        try:
            _fetch_once(address, part, progress)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # our part is longer than the file: it is of another version
                part.unlink(missing_ok=True)
            elif error.code not in _PASSING_STATUS:
                break
        except _CutShortError as error:
            reason = str(error)
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
            ValueError,
        ) as error:
            # ValueError: addresses and headers that are none, from a mirror or on the way to one.
            reason = f"{getattr(error, 'reason', None) or error or type(error).__name__}"
        else:
            return
    raise _MirrorError(reason)


def _fetch_once(address: str, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "hififace"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if response.status != 206:
            have = 0  # the server does not resume: from the beginning
        length = response.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() and len(length) < 16 else None
        with part.open("ab" if have else "wb") as file:
            while piece := response.read(_PIECE):
                have += len(piece)
                if have > _MOST_BYTES:
                    raise _MirrorError(
                        f"it sends more than {_MOST_BYTES / 1e9:g} GB, and no file here is as large"
                    )
                file.write(piece)
                if progress is not None:
                    progress(have, total)
    # A dropped connection looks like the end of the file to read(n): only the length tells.
    if total is not None and have < total:
        raise _CutShortError(f"the connection was cut after {have} of {total} bytes")


def _unpack(part: Path, address: str, member: str, final: Path, sha256: str) -> str | None:
    """Check the content and move it into place; the reason if it is not what was expected."""
    temporary = final.with_name(f".{final.name}.{os.getpid()}.new")
    digest = hashlib.sha256()
    try:
        with _content(part, address, member) as source, temporary.open("wb") as target:
            num_bytes = 0
            while piece := source.read(_PIECE):
                num_bytes += len(piece)
                if num_bytes > _MOST_BYTES:  # a few bytes can unpack to any number
                    return f"what came unpacks to more than {_MOST_BYTES / 1e9:g} GB"
                digest.update(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != sha256:
            return f"what came has SHA-256 {digest.hexdigest()}, expected {sha256}"
        temporary.replace(final)
    except _UNPACKING_ERRORS as error:
        if isinstance(error, OSError) and error.errno in _OURS:
            raise
        return f"what came cannot be unpacked ({error or type(error).__name__})"
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return None


def _unwritable(place: Path, error: OSError) -> str:
    return (
        f"{place} cannot be written ({error.strerror or error}). Make room or choose another folder: "
        "HIFIFACE_HOME=FOLDER."
    )


@contextmanager
def _content(part: Path, address: str, member: str) -> Iterator[IO[bytes]]:
    """The wanted bytes: the file itself, or one member of the archive it is."""
    if not member:
        with bz2.open(part, "rb") if address.endswith(".bz2") else part.open("rb") as file:
            yield file
    elif address.endswith((".whl", ".zip")):
        with zipfile.ZipFile(part) as archive, archive.open(member) as inside:
            yield inside
    else:
        with tarfile.open(part) as tar:
            extracted = tar.extractfile(member)
            if extracted is None:
                raise KeyError(f"{member} is not a file of the archive")
            with extracted:
                yield extracted
