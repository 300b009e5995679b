from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hififace.hosting.meter import LimitError
from hififace.server.store import Job, JobStore


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def added(store: JobStore, owner: str = "anna", most: int = 9) -> Job:
    with store.incoming() as (job_id, place):
        (place / "target-0000").write_bytes(b"x")
        return store.add(job_id, place, owner, "images", {"consent": True}, most=most)


def test_what_is_not_taken_in_leaves_nothing(tmp_path: Path):
    store = JobStore(tmp_path)
    with store.incoming() as (_, place):
        (place / "source-0000").write_bytes(b"x")
    assert not place.exists()
    assert store.of("anna") == []
    added(store)
    with pytest.raises(LimitError, match="1 jobs of yours"):
        added(store, most=1)
    assert len(list((tmp_path / "files").iterdir())) == 1


def test_a_full_disk_leaves_the_list_usable(tmp_path: Path):
    """SQLite's own limit on its pages stands for the disk."""
    store = JobStore(tmp_path)
    store._base.execute("PRAGMA max_page_count = 1")  # as few as there are
    with pytest.raises(sqlite3.OperationalError, match="full"):
        all(added(store, most=999) for _ in range(200))
    jobs = store.of("anna")
    assert len(list((tmp_path / "files").iterdir())) == len(jobs)
    store._base.execute("PRAGMA max_page_count = 1000000")
    assert {added(store, most=999).id, *(job.id for job in jobs)} == {job.id for job in store.of("anna")}


def test_two_services_share_the_jobs_and_none_gets_two_workers(tmp_path: Path):
    one, other = JobStore(tmp_path), JobStore(tmp_path)
    jobs = {added(one).id, added(other).id}
    claimed = [one.claim(), other.claim(), one.claim()]
    assert {job.id for job in claimed if job is not None} == jobs
    assert claimed[2] is None
    other.sweep()  # the other service lives: its job is its own
    assert one.counts()["working"] == 2


def test_jobs_of_a_dead_service_wait_again(tmp_path: Path):
    dead = JobStore(tmp_path)
    job = added(dead)
    assert dead.claim() is not None
    with dead.incoming() as (_, half):
        dead._own_lock.release()  # as the system does when a process dies
        store = JobStore(tmp_path)
        store.sweep()
        assert not half.exists()
    again = store.claim()
    assert again is not None
    assert again.id == job.id
    assert (store.folder(job.id) / "target-0000").read_bytes() == b"x"


def test_finished_jobs_are_kept_for_a_while_and_no_longer(tmp_path: Path):
    clock = Clock()
    store = JobStore(tmp_path, clock=clock)
    job = added(store)
    store.claim()
    store.finish(job.id, result="result.zip", report={"images": []})
    waiting = added(store)
    clock.now += 59
    store.sweep(keep_s=60)
    assert store.find(job.id, "anna") is not None
    clock.now += 2
    store.sweep(keep_s=60)
    assert store.find(job.id, "anna") is None
    assert not store.folder(job.id).exists()
    assert store.find(waiting.id, "anna") is not None  # what was not worked on yet is not lost


def test_a_removed_job_at_work_goes_when_its_worker_lets_go(tmp_path: Path):
    store = JobStore(tmp_path)
    job = added(store)
    store.claim()
    assert store.remove(job.id, "ben") is False
    assert store.remove(job.id, "anna") is True
    assert store.is_wanted(job.id) is False
    assert store.folder(job.id).exists()
    store.give_back(job.id)
    store.sweep()
    assert not store.folder(job.id).exists()
    assert store.claim() is None
