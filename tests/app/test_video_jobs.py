from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hififace import VideoError
from hififace.app.video_jobs import VideoJobs
from hififace.errors import InterruptedByUserError
from hififace.hosting.meter import LimitError
from hififace.video.report import VideoProgress, VideoReport, VideoTally

WAIT_S = 30


def report(output: str = "out.mp4") -> VideoReport:
    tally = VideoTally(num_frames=12)
    return VideoReport(Path("video.mp4"), Path(output), tally, "double", "CPU", 2.0, 0, {"swap": 1.0})


class Video:
    """Work that is at frame 5 of 12 until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(
        self, progress: Callable[[VideoProgress], None], should_stop: Callable[[], bool]
    ) -> VideoReport:
        progress(VideoProgress(5, 12, 2.5, {}))
        self.begun.set()
        while not self.go_on.wait(0.01):
            if should_stop():
                raise InterruptedByUserError("stopped")
        return report()


@pytest.fixture
def jobs() -> Iterator[VideoJobs]:
    jobs = VideoJobs(at_once=1, waiting=2)
    yield jobs
    jobs.stop()


def test_a_video_is_waited_for_worked_on_and_done(jobs: VideoJobs):
    video, other = Video(), Video()
    first, second = jobs.submit(video), jobs.submit(other)
    assert video.begun.wait(WAIT_S)
    assert (first.standing.status, first.standing.progress) == ("working", VideoProgress(5, 12, 2.5, {}))
    assert (second.standing.status, second.standing.before) == ("waiting", 1)
    video.go_on.set()
    assert first.wait(WAIT_S)
    assert first.standing.status == "done"
    assert first.standing.file == Path("out.mp4")
    assert other.begun.wait(WAIT_S)
    other.go_on.set()
    assert second.wait(WAIT_S)


def test_cancelling_stops_the_one_at_work_and_takes_one_out_of_the_line(jobs: VideoJobs):
    video, other = Video(), Video()
    first, second = jobs.submit(video), jobs.submit(other)
    assert video.begun.wait(WAIT_S)
    jobs.cancel(second)
    assert second.standing.status == "cancelled"
    jobs.cancel(first)
    assert first.wait(WAIT_S)
    assert (first.standing.status, first.standing.problem) == ("cancelled", "Cancelled after 5 frames.")
    assert first.standing.file is None
    assert not other.begun.is_set()
    jobs.cancel(first)
    assert first.standing.status == "cancelled"


def test_a_full_line_is_a_sentence(jobs: VideoJobs):
    video = Video()
    jobs.submit(video)
    assert video.begun.wait(WAIT_S)
    jobs.submit(Video())
    jobs.submit(Video())
    with pytest.raises(LimitError, match="2 videos are waiting"):
        jobs.submit(Video())


def test_two_at_once(jobs: VideoJobs):
    both = VideoJobs(at_once=2, waiting=2)
    videos = [Video(), Video()]
    for video in videos:
        both.submit(video)
    assert all(video.begun.wait(WAIT_S) for video in videos)
    both.stop()


def test_what_fails_is_a_sentence_and_the_line_goes_on(jobs: VideoJobs, caplog: pytest.LogCaptureFixture):
    def broken(*_: object) -> VideoReport:
        raise VideoError("video.mp4 is broken.")

    def faulty(*_: object) -> VideoReport:
        raise ZeroDivisionError("secret detail")

    first = jobs.submit(broken)
    assert first.wait(WAIT_S)
    assert (first.standing.status, first.standing.problem) == ("failed", "video.mp4 is broken.")
    with caplog.at_level(logging.ERROR):
        second = jobs.submit(faulty)
        assert second.wait(WAIT_S)
    assert "secret" not in second.standing.problem
    assert "secret detail" in caplog.text
    third = jobs.submit(lambda *_: report())
    assert third.wait(WAIT_S)
    assert third.standing.status == "done"


def test_stopping_cancels_everything():
    jobs = VideoJobs(at_once=1, waiting=2)
    video = Video()
    first, second = jobs.submit(video), jobs.submit(Video())
    assert video.begun.wait(WAIT_S)
    jobs.stop()
    assert (first.standing.status, second.standing.status) == ("cancelled", "cancelled")
