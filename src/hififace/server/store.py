"""Jobs on the disk: one SQLite file in WAL mode, which several services may share, and a folder for each job's files.

A service that works on a job holds a lock that the operating system takes away when the process dies, however that
dies. Jobs whose service is gone are given back to those that wait.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from hififace.errors import HififaceError
from hififace.hosting.meter import LimitError

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, asked TEXT NOT NULL,
    created REAL NOT NULL, over REAL, done INTEGER NOT NULL DEFAULT 0, expected INTEGER, per_second REAL,
    problem TEXT, result TEXT, report TEXT, worker TEXT, removed INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as it was at one moment."""

    id: str
    owner: str
    kind: str
    """`video` or `images`."""
    state: str
    """`waiting`, `working`, `done` or `failed`."""
    asked: dict[str, Any]
    """What was asked for, as JSON has it."""
    created: float
    """Seconds since 1970."""
    over: float | None
    """When it came to an end."""
    done: int
    expected: int | None
    per_second: float | None
    problem: str | None
    result: str | None
    """Name of the result in the job's folder."""
    report: dict[str, Any] | None


_COLUMNS: Final = ", ".join(Job.__dataclass_fields__)


class JobStore:
    """The jobs of one folder. Threads may share one.

    Args:
        folder: private to the services that share it; made where it is missing.
        clock: seconds since 1970.

    Raises:
        HififaceError: the folder cannot be worked in.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files, self._locks = folder / "files", folder / "services"
        self._lock = threading.RLock()
        self.service = secrets.token_hex(8)
        """Of this process, among those that share the folder."""
        try:
            for place in (folder, self._files, self._locks):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own_lock = FileLock(self._locks / self.service)
            self._own_lock.acquire(blocking=False)
            self._base = sqlite3.connect(
                folder / "jobs.sqlite", timeout=30, isolation_level=None, check_same_thread=False
            )
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.execute(_TABLE)
        except (OSError, Timeout, sqlite3.Error) as error:
            raise HififaceError(f"{folder}: the jobs cannot be kept there: {error}.") from error

    def close(self) -> None:
        """Give the jobs at work back, and let go of the file."""
        with self._lock:
            self._base.execute(
                "UPDATE jobs SET state = 'waiting', worker = NULL WHERE worker = ? AND state = 'working'",
                (self.service,),
            )
            self._base.close()
        self._own_lock.release()
        (self._locks / self.service).unlink(missing_ok=True)

    # -------------------------------------------------------------------------------------------------------
    # By those who ask

    @contextlib.contextmanager
    def incoming(self) -> Iterator[tuple[str, Path]]:
        """A new id, and a folder for its files that is removed unless `add` takes it."""
        job_id = secrets.token_urlsafe(15)
        place = self._files / f".{self.service}.{job_id}"
        place.mkdir(mode=0o700)
        try:
            yield job_id, place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def add(
        self, job_id: str, place: Path, owner: str, kind: str, asked: dict[str, Any], *, most: int
    ) -> Job:
        """Take a job in.

        Args:
            job_id: from `incoming`.
            place: from there, with everything that the job needs.
            owner: who alone may see it.
            kind: `video` or `images`.
            asked: what for.
            most: unfinished jobs of one owner.

        Raises:
            LimitError: the owner has as many already.
        """
        try:
            self._take_in(job_id, place, owner, kind, asked, most)
        except BaseException:
            shutil.rmtree(self.folder(job_id), ignore_errors=True)  # the list does not have it
            raise
        job = self.find(job_id, owner)
        assert job is not None
        return job

    def _take_in(
        self, job_id: str, place: Path, owner: str, kind: str, asked: dict[str, Any], most: int
    ) -> None:
        with self._lock, self._transaction():
            (unfinished,) = self._base.execute(
                "SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ('waiting', 'working') AND NOT removed",
                (owner,),
            ).fetchone()
            if unfinished >= most:
                raise LimitError(
                    f"{unfinished} jobs of yours are unfinished, as many as are taken. Wait, or cancel one.",
                    retry_after_s=30.0,
                )
            place.rename(self.folder(job_id))
            self._base.execute(
                "INSERT INTO jobs (id, owner, kind, state, asked, created) VALUES (?, ?, ?, 'waiting', ?, ?)",
                (job_id, owner, kind, json.dumps(asked), self._clock()),
            )

    def find(self, job_id: str, owner: str) -> Job | None:
        """A job of this owner; None where there is none, or it is another's."""
        found = self._rows("WHERE id = ? AND owner = ? AND NOT removed", job_id, owner)
        return found[0] if found else None

    def of(self, owner: str) -> list[Job]:
        """All jobs of an owner, oldest first."""
        return self._rows("WHERE owner = ? AND NOT removed ORDER BY created, id", owner)

    def remove(self, job_id: str, owner: str) -> bool:
        """Cancel a job and remove its files; those of one at work go when its worker has stopped.

        Returns:
            Whether there was one.
        """
        with self._lock:
            changed = self._base.execute(
                "UPDATE jobs SET removed = 1 WHERE id = ? AND owner = ? AND NOT removed", (job_id, owner)
            ).rowcount
        self.sweep()
        return bool(changed)

    def folder(self, job_id: str) -> Path:
        """Where the files of a job lie."""
        return self._files / job_id

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        with self._lock:
            rows = self._base.execute(
                "SELECT state, COUNT(*) FROM jobs WHERE NOT removed GROUP BY state"
            ).fetchall()
        return {"waiting": 0, "working": 0, "done": 0, "failed": 0, **dict(rows)}

    # -------------------------------------------------------------------------------------------------------
    # By those who work

    def claim(self) -> Job | None:
        """Take the oldest job that waits; no other worker gets it."""
        with self._lock, self._transaction():
            found = self._rows("WHERE state = 'waiting' AND NOT removed ORDER BY created, id LIMIT 1")
            if not found:
                return None
            self._base.execute(
                "UPDATE jobs SET state = 'working', worker = ? WHERE id = ?", (self.service, found[0].id)
            )
            return found[0]

    def is_wanted(self, job_id: str) -> bool:
        """Whether nobody cancelled it."""
        with self._lock:
            return bool(
                self._base.execute("SELECT 1 FROM jobs WHERE id = ? AND NOT removed", (job_id,)).fetchone()
            )

    def note(self, job_id: str, done: int, expected: int | None, per_second: float | None) -> None:
        """How far it is."""
        with self._lock:
            self._base.execute(
                "UPDATE jobs SET done = ?, expected = ?, per_second = ? WHERE id = ?",
                (done, expected, per_second, job_id),
            )

    def finish(self, job_id: str, *, result: str, report: dict[str, Any]) -> None:
        """It is done; `result` names a file in its folder."""
        self._end(job_id, "done", result=result, report=json.dumps(report))

    def fail(self, job_id: str, problem: str) -> None:
        """End a job as failed; `problem` is the reason, a sentence."""
        self._end(job_id, "failed", problem=problem)

    def give_back(self, job_id: str) -> None:
        """Return a job to the queue; the next worker resumes it."""
        with self._lock:
            self._base.execute(
                "UPDATE jobs SET state = 'waiting', worker = NULL WHERE id = ? AND state = 'working'",
                (job_id,),
            )

    # -------------------------------------------------------------------------------------------------------
    # By itself

    def sweep(self, keep_s: float | None = None) -> None:
        """Give back jobs of services that are gone; remove what was cancelled, is kept no longer, or belongs to nobody.

        Args:
            keep_s: how long finished jobs are kept; None leaves those alone.
        """
        # In a transaction: what another service is taking in must not look as if it belonged to nobody.
        with self._lock, self._transaction():
            gone = self._gone_services()
            for name in gone:
                self._base.execute(
                    "UPDATE jobs SET state = 'waiting', worker = NULL WHERE worker = ? AND state = 'working'",
                    (name,),
                )
            if keep_s is not None:
                self._base.execute("UPDATE jobs SET removed = 1 WHERE over < ?", (self._clock() - keep_s,))
            leaving = [
                row[0]
                for row in self._base.execute("SELECT id FROM jobs WHERE removed AND state <> 'working'")
            ]
            for job_id in leaving:
                shutil.rmtree(self.folder(job_id), ignore_errors=True)
                if not self.folder(job_id).exists():
                    self._base.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            known = {row[0] for row in self._base.execute("SELECT id FROM jobs")}
            for place in self._files.iterdir():
                owner = place.name.split(".")[1] if place.name.startswith(".") else None
                lost = owner in gone if owner is not None else place.name not in known
                if lost:
                    shutil.rmtree(place, ignore_errors=True)
            for name in gone:
                (self._locks / name).unlink(missing_ok=True)

    def _gone_services(self) -> set[str]:
        gone: set[str] = set()
        working = {row[0] for row in self._base.execute("SELECT worker FROM jobs WHERE state = 'working'")}
        incoming = {p.name.split(".")[1] for p in self._files.iterdir() if p.name.startswith(".")}
        for name in {p.name for p in self._locks.iterdir()} | working | incoming:
            if name == self.service:
                continue
            lock = FileLock(self._locks / name)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            lock.release()
            gone.add(name)
        return gone

    def _end(self, job_id: str, state: str, **values: str) -> None:
        names = "".join(f", {name} = ?" for name in values)
        with self._lock:
            self._base.execute(
                f"UPDATE jobs SET state = ?, over = ?, worker = NULL{names} WHERE id = ?",
                (state, self._clock(), *values.values(), job_id),
            )

    def _rows(self, condition: str, *values: Any) -> list[Job]:
        with self._lock:
            rows = self._base.execute(f"SELECT {_COLUMNS} FROM jobs {condition}", values).fetchall()
        return [_job(row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:  # a full disk may have ended it already
                self._base.execute("ROLLBACK")
            raise


def _job(row: tuple[Any, ...]) -> Job:
    values = dict(zip(Job.__dataclass_fields__, row, strict=True))
    values["asked"] = json.loads(values["asked"])
    values["report"] = None if values["report"] is None else json.loads(values["report"])
    return Job(**values)
