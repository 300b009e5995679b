from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hififace import FilmError
from hififace.app.film_jobs import FilmJobs
from hififace.app.limits import LimitError
from hififace.errors import InterruptedByUserError
from hififace.video.report import FilmReport, FilmTally, Progress

WAIT_S = 30


def report(output: str = "out.mp4") -> FilmReport:
    tally = FilmTally(num_frames=12)
    return FilmReport(Path("film.mp4"), Path(output), tally, "double", "CPU", 2.0, 0, {"swap": 1.0})


class Film:
    """Work that is at frame 5 of 12 until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> FilmReport:
        progress(Progress(5, 12, 2.5, {}))
        self.begun.set()
        while not self.go_on.wait(0.01):
            if should_stop():
                raise InterruptedByUserError("stopped")
        return report()


@pytest.fixture
def jobs() -> Iterator[FilmJobs]:
    jobs = FilmJobs(at_once=1, waiting=2)
    yield jobs
    jobs.stop()


def test_a_film_is_waited_for_worked_on_and_done(jobs: FilmJobs):
    film, other = Film(), Film()
    first, second = jobs.submit(film), jobs.submit(other)
    assert film.begun.wait(WAIT_S)
    assert (first.standing.status, first.standing.progress) == ("working", Progress(5, 12, 2.5, {}))
    assert (second.standing.status, second.standing.before) == ("waiting", 1)
    film.go_on.set()
    assert first.wait(WAIT_S)
    assert first.standing.status == "done"
    assert first.standing.file == Path("out.mp4")
    assert other.begun.wait(WAIT_S)
    other.go_on.set()
    assert second.wait(WAIT_S)


def test_cancelling_stops_the_one_at_work_and_takes_one_out_of_the_line(jobs: FilmJobs):
    film, other = Film(), Film()
    first, second = jobs.submit(film), jobs.submit(other)
    assert film.begun.wait(WAIT_S)
    jobs.cancel(second)
    assert second.standing.status == "cancelled"
    jobs.cancel(first)
    assert first.wait(WAIT_S)
    assert (first.standing.status, first.standing.problem) == ("cancelled", "Cancelled after 5 frames.")
    assert first.standing.file is None
    assert not other.begun.is_set()
    jobs.cancel(first)
    assert first.standing.status == "cancelled"


def test_a_full_line_is_a_sentence(jobs: FilmJobs):
    film = Film()
    jobs.submit(film)
    assert film.begun.wait(WAIT_S)
    jobs.submit(Film())
    jobs.submit(Film())
    with pytest.raises(LimitError, match="2 films are waiting"):
        jobs.submit(Film())


def test_two_at_once(jobs: FilmJobs):
    both = FilmJobs(at_once=2, waiting=2)
    films = [Film(), Film()]
    for film in films:
        both.submit(film)
    assert all(film.begun.wait(WAIT_S) for film in films)
    both.stop()


def test_what_fails_is_a_sentence_and_the_line_goes_on(jobs: FilmJobs, caplog: pytest.LogCaptureFixture):
    def broken(*_: object) -> FilmReport:
        raise FilmError("film.mp4 is broken.")

    def faulty(*_: object) -> FilmReport:
        raise ZeroDivisionError("secret detail")

    first = jobs.submit(broken)
    assert first.wait(WAIT_S)
    assert (first.standing.status, first.standing.problem) == ("failed", "film.mp4 is broken.")
    with caplog.at_level(logging.ERROR):
        second = jobs.submit(faulty)
        assert second.wait(WAIT_S)
    assert "secret" not in second.standing.problem
    assert "secret detail" in caplog.text
    third = jobs.submit(lambda *_: report())
    assert third.wait(WAIT_S)
    assert third.standing.status == "done"


def test_stopping_cancels_everything():
    jobs = FilmJobs(at_once=1, waiting=2)
    film = Film()
    first, second = jobs.submit(film), jobs.submit(Film())
    assert film.begun.wait(WAIT_S)
    jobs.stop()
    assert (first.standing.status, second.standing.status) == ("cancelled", "cancelled")
