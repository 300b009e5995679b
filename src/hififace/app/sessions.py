"""Where a visitor's photos and results lie, and how they are forgotten.

One private folder (0700) for the page, one in it for each visitor. A visitor's folder goes when the tab was closed
(`visits.py`), or after a time without requests, whichever comes first; everything goes when the page stops, and what
a killed page left goes when the next one starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from hififace.app.limits import Limits
from hififace.errors import OptionError
from hififace.hosting.meter import LimitError

LOGGER = logging.getLogger(__name__)

PAGE_PREFIX: Final = "hififace-app-"
_PREFIX: Final = "visitor-"


@dataclass(frozen=True, slots=True)
class _Upload:
    """One file as the web server received it, told from an equal one that took its place later."""

    path: Path
    inode: int
    changed_ns: int

    @classmethod
    def at(cls, path: Path) -> _Upload:
        """What lies there now.

        Raises:
            FileNotFoundError: nothing does.
        """
        found = path.stat()
        return cls(path, found.st_ino, found.st_mtime_ns)

    def is_there(self) -> bool:
        """Whether it lies there still."""
        try:
            return self.at(self.path) == self
        except FileNotFoundError:
            return False


@dataclass(slots=True, eq=False)
class Session:
    """One visitor. `lock` is held while one of their requests is worked on."""

    key: str
    folder: Path
    """Private; its name cannot be guessed, since who knows a file's path may fetch the file."""
    last_used: float
    address: str = ""
    """Where its first request came from."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    state: dict[type, Any] = field(default_factory=dict, repr=False)
    """What handlers remember about the visitor, by its type."""
    uploads: dict[Path, _Upload] = field(default_factory=dict, repr=False)
    """File in the folder -> the same as the web server received it."""
    closers: list[Callable[[], None]] = field(default_factory=list, repr=False)
    """Called before the folder is removed: they stop what works in it without the lock."""

    @property
    def has_files(self) -> bool:
        """Whether anything of theirs is kept on the disk."""
        return bool(self.uploads) or any(path.is_file() for path in self.folder.rglob("*"))

    def path(self, name: str) -> Path:
        """A new place in the folder that ends in this name, cleaned of everything that is not plain."""
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(name).name).strip(".")
        place = self.folder / secrets.token_hex(8)
        place.mkdir(mode=0o700)
        return place / (plain[-80:] or "photo")


class Sessions:
    """All visitors of one page.

    Attributes:
        root: the page's private folder; the web server's uploads arrive in it.
    """

    def __init__(
        self, limits: Limits, *, root: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits, self._clock = limits, clock
        place = Path(tempfile.gettempdir()) if root is None else root
        remove_dead_pages(place)
        self.root = Path(tempfile.mkdtemp(prefix=PAGE_PREFIX, dir=place)).resolve()
        # Beside the folder, not in it: the system lets go of it when this process ends, however that happens.
        self._alive = FileLock(_lock_of(self.root))
        self._alive.acquire(blocking=False)
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sweeper: threading.Thread | None = None

    def start_sweeping(self, *others: Callable[[], None]) -> None:
        """Sweep from now on, several times within each time limit.

        Args:
            others: called each time, too.
        """
        every_s = min(30.0, self._limits.minutes * 60 / 4, self._limits.return_s / 4)

        def sweep() -> None:
            while not self._stop.wait(every_s):
                for one in (*others, self.sweep):
                    one()

        self._sweeper = threading.Thread(target=sweep, name="hififace-sweeper", daemon=True)
        self._sweeper.start()

    @contextlib.contextmanager
    def visit(self, key: str) -> Iterator[Session]:
        """The session of a visitor, made at the first visit, locked until the block ends.

        Raises:
            LimitError: too many visitors at the same time.
        """
        while True:
            session = self._find(key)
            with session.lock:
                if self._sessions.get(key) is not session:
                    continue  # it was closed while this request waited for the lock
                try:
                    yield session
                finally:
                    session.last_used = self._clock()
                return

    def arrive(self, key: str, address: str) -> None:
        """Make sure that a visitor has a session, counted for the address of their first request.

        A visitor who has no files makes room for the next one when all places are taken, so refused requests,
        which leave none, take nobody's place.

        Raises:
            LimitError: too many visitors at the same time, of all or of this address.
        """
        self._find(key, address)

    def _find(self, key: str, address: str = "") -> Session:
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                self._make_room(address)
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.root))
                session = self._sessions[key] = Session(key, folder, self._clock(), address)
            session.last_used = self._clock()
            return session

    def _make_room(self, address: str) -> None:
        same = [session for session in self._sessions.values() if session.address == address]
        if address and len(same) >= self._limits.sessions_per_address and not self._evict(same):
            raise LimitError(
                f"{len(same)} visitors of your address are using this page, as many as it takes. Try again later."
            )
        everybody = list(self._sessions.values())
        if len(everybody) >= self._limits.sessions and not self._evict(everybody):
            raise LimitError(
                f"{len(everybody)} people are using this page, as many as it takes. Try again later."
            )

    def _evict(self, among: Sequence[Session]) -> bool:
        """Forget the one without files who was away for longest; False if all have some or are being served."""
        for session in sorted(among, key=lambda session: session.last_used):
            if not session.has_files and session.lock.acquire(blocking=False):
                try:
                    del self._sessions[session.key]
                    session.state.clear()
                    _remove(session.folder)
                finally:
                    session.lock.release()
                return True
        return False

    def arriving(self) -> Path:
        """A new folder where a file may lie as an upload does, for files that the page brings itself."""
        return Path(tempfile.mkdtemp(prefix="brought-", dir=self.root))

    def take(self, session: Session, upload: Path, name: str, *, video: bool = False) -> Path:
        """Put an upload into the visitor's folder; the upload itself goes with the visitor.

        It is not moved: the web server gives equal files of two visitors one place. Where the file system can, the
        two are one file of two names, since videos are large.

        Raises:
            OptionError: it does not lie where uploads arrive, or is gone.
            LimitError: it is too large.
        """
        upload = upload.resolve()
        gone = OptionError(f"{name} is no longer there; files are kept for a short time. Upload it again.")
        if not upload.is_relative_to(self.root) or not upload.is_file():
            raise gone
        taken = session.path(name)
        try:
            session.uploads[taken] = _Upload.at(upload)
            _link_or_copy(upload, taken)
            self._limits.check_size(taken, name, video=video)
        except FileNotFoundError:
            self.drop(session, taken)
            raise gone from None
        except BaseException:
            self.drop(session, taken)
            raise
        return taken

    def drop(self, session: Session, taken: Path) -> None:
        """Remove a file that `take` gave, and its upload unless somebody else needs it.

        An equal file that has been uploaded since lies in the same place, and is about to be taken: it stays.
        """
        upload = session.uploads.pop(taken, None)
        if upload is not None:
            self._remove_uploads({upload})
        taken.unlink(missing_ok=True)

    def _needed(self) -> set[_Upload]:
        return {one for session in self._sessions.values() for one in tuple(session.uploads.values())}

    def _remove_uploads(self, uploads: Set[_Upload]) -> None:
        with self._lock:
            for upload in uploads - self._needed():
                if upload.is_there():
                    _remove(upload.path)
                    # Its folder is that of all files of this content, which others may have by other names.
                    if upload.path.parent != self.root:
                        with contextlib.suppress(OSError):
                            upload.path.parent.rmdir()

    def close(self, key: str) -> None:
        """Forget a visitor: the folder, the uploads, and what was remembered."""
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                return
        # Waits for a request that is being worked on, which could write after the folder has gone.
        with session.lock:
            for stop in session.closers:
                stop()
            session.state.clear()
            _remove(session.folder)
            self._remove_uploads({*session.uploads.values()})

    def sweep(self) -> None:
        """Forget visitors who did nothing for the time limit, and uploads that nobody took within it."""
        oldest = self._clock() - self._limits.minutes * 60
        with self._lock:
            idle = [key for key, session in self._sessions.items() if session.last_used < oldest]
        for key in idle:
            self.close(key)
        with self._lock:
            known = {session.folder for session in self._sessions.values()}
            known |= {upload.path.parent for upload in self._needed()}
        for place in list(self.root.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if place not in known and place.stat().st_mtime < oldest:
                    _remove(place)

    def __len__(self) -> int:
        return len(self._sessions)

    def remove_files(self) -> None:
        """Remove all visitors' files at once, also those of requests that are being worked on."""
        _remove(self.root)

    def stop(self) -> None:
        """Forget everybody, and remove the page's folder."""
        self._stop.set()
        if self._sweeper is not None:
            self._sweeper.join()
        for key in list(self._sessions):
            self.close(key)
        _remove(self.root)
        self._alive.release()
        _remove(_lock_of(self.root))


def remove_dead_pages(place: Path) -> None:
    """Remove what pages left that were killed: a folder whose page lives is held by it, and stays.

    Only folders of this user are touched; whatever somebody else put there under such a name is not.
    """
    for folder in place.glob(f"{PAGE_PREFIX}*"):
        lock = FileLock(_lock_of(folder))
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                continue
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        LOGGER.warning("removing what a page left that did not end by itself: %s", folder)
        _remove(folder)
        lock.release()
        _remove(_lock_of(folder))


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _link_or_copy(upload: Path, taken: Path) -> None:
    try:
        taken.hardlink_to(upload)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without such names, or a folder on another one
        shutil.copyfile(upload, taken)


def _remove(path: Path) -> None:
    """Remove a file or folder; say loudly when that fails, since its removal was promised."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        LOGGER.error("%s cannot be removed (%s); remove it by hand.", path, error.strerror or error)
