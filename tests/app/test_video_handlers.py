from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hififace import FaceSwapper, OptionError, SwapOptions, VideoError
from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions
from hififace.app.video_handlers import VideoStudio
from hififace.app.video_jobs import VideoJobs
from hififace.hosting.bundles import Bundles
from hififace.hosting.consent import CONSENT
from hififace.hosting.meter import LimitError
from hififace.media.probe import probe
from hififace.media.video import VideoReader
from hififace.provenance.claim import claim_in_xmp
from hififace.provenance.verify import check_file
from hififace.swap.source_map import ReferencePerson, SourceMap
from hififace.video.job import swap_video
from hififace.video.options import VideoOptions
from tests.support.face_videos import face_video, head, put, room

ASKED = SwapRequest(model="double", consent=True)
WAIT_S = 120


def scene(number: int) -> np.ndarray:
    """An empty room for five frames, then one head that moves."""
    if number < 5:
        return room()
    return put(room(), head(), 160 + 20 * math.sin(number / 6), 120)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face_video(tmp_path_factory.mktemp("videos") / "video.mp4", scene, 30, sound=True)


@pytest.fixture
def jobs() -> Iterator[VideoJobs]:
    jobs = VideoJobs(at_once=1, waiting=3)
    yield jobs
    jobs.stop()


@pytest.fixture
def videos(studio: Studio, jobs: VideoJobs) -> VideoStudio:
    return VideoStudio(studio, jobs)


@pytest.fixture
def receive(sessions: Sessions) -> Callable[[Path], Path]:
    def receive(file: Path) -> Path:
        place = sessions.root / f"upload-{file.stem}"
        place.mkdir(exist_ok=True)
        (place / "arriving").write_bytes(file.read_bytes())
        return (place / "arriving").rename(place / file.name)

    return receive


@pytest.fixture
def ready(
    studio: Studio,
    videos: VideoStudio,
    upload: Callable[[str], Path],
    receive: Callable[[Path], Path],
    video: Path,
) -> VideoStudio:
    """With a source, and a video."""
    studio.add_source("v", upload("me.png"), "me.png", "double")
    videos.set_video("v", receive(video), "my video.mp4", "double")
    return videos


def images(video: Path) -> list[np.ndarray]:
    return [frame.rgb() for frame in VideoReader(video)]


def test_the_first_frame_with_a_face_is_shown_and_its_face_may_be_picked(ready: VideoStudio):
    state = ready.look("v")
    assert state.frame is not None
    assert state.frame.moment_s > 0.0  # the room is empty at first
    assert [shown.face.index for shown in state.frame.faces] == [0]
    assert ready.who("v") == ["Everybody in the video becomes me.png."]
    ready.assign("v", 0)
    assert ready.who("v") == ["Person 1 of the video becomes me.png."]
    ready.show_frame("v", 1.0, "double")
    assert state.pick_of(0) == 0  # the same person on another frame
    ready.assign("v", 0)
    assert ready.who("v") == ["Everybody in the video becomes me.png."]
    ready.show_frame("v", 0.0, "double")
    assert state.frame.faces == ()


def test_the_video_is_the_librarys_and_is_marked(
    ready: VideoStudio, bundle: Path, album: Path, video: Path, tmp_path: Path
):
    ready.assign("v", 0)
    job = ready.start("v", ASKED, own_format=True)
    assert job.wait(WAIT_S)
    standing = job.standing
    assert standing.status == "done"
    assert standing.file is not None
    assert standing.file.name == "my video-swapped.mp4"
    assert standing.progress is not None
    assert standing.progress.done == 30
    assert probe(standing.file).of_kind("audio")
    claim = check_file(standing.file).claim
    assert claim is not None
    assert (claim.consent_confirmed, claim.consent_statement) == (True, CONSENT)

    swapper = FaceSwapper.load(bundle, threads=1)
    frame = ready.look("v").picks[0]
    source_map = SourceMap(
        people=(ReferencePerson("someone", frame.identity, swapper.read_source(album / "me.png")),)
    )
    swapper.swap_video(video, tmp_path / "library.mp4", SwapOptions(), VideoOptions(), sources=source_map)
    for page, library in zip(images(standing.file), images(tmp_path / "library.mp4"), strict=True):
        np.testing.assert_array_equal(page, library)
    assert any(
        (page != target).any() for page, target in zip(images(standing.file), images(video), strict=True)
    )


def test_a_preview_is_short_and_begins_at_the_frame_shown(
    ready: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hififace.app.video_handlers.PREVIEW_S", 0.4)
    ready.show_frame("v", 0.4, "double")
    job = ready.start("v", ASKED, preview=True)
    assert job.wait(WAIT_S)
    assert job.standing.file is not None
    assert job.standing.file.name == "my video-preview.mp4"
    assert len(images(job.standing.file)) == 10
    assert (ready.look("v").is_preview, ready.look("v").start_s) == (True, 0.4)
    ready.show_frame("v", 1.1, "double")
    assert ready.start("v", ASKED, preview=True).wait(WAIT_S)
    assert ready.look("v").start_s == pytest.approx(0.8)  # the last that gives a whole preview


def test_a_frame_can_be_watched_while_the_video_is_worked_on(
    ready: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hififace.app.watching.EVERY_S", 0.0)
    monkeypatch.setattr("hififace.app.watching._PATIENCE_S", math.inf)
    ready.start("v", ASKED).wait(WAIT_S)
    watching = ready.look("v").watching
    assert watching is not None
    jpeg = watching.latest()
    assert jpeg is not None
    claim = claim_in_xmp(jpeg)
    assert claim is not None
    assert claim.consent_statement == CONSENT
    ready.clear_video("v")
    assert ready.look("v").watching is None


def test_cancelling_stops_and_the_same_settings_go_on(ready: VideoStudio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hififace.app.video_handlers.SEGMENT_FRAMES", 8)
    at_frame_12, go_on = threading.Event(), threading.Event()

    def watched(*args: object, progress: Callable[..., None], **kwargs: object) -> object:
        def slow(told: object) -> None:
            progress(told)
            if told.done == 12:  # type: ignore[attr-defined]
                at_frame_12.set()
                go_on.wait(WAIT_S)

        return swap_video(*args, progress=slow, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("hififace.app.video_handlers.swap_video", watched)
    job = ready.start("v", ASKED)
    assert at_frame_12.wait(WAIT_S)
    with pytest.raises(OptionError, match="is being made"):
        ready.start("v", ASKED)
    ready.cancel("v")
    assert job.standing.stopping
    go_on.set()
    assert job.wait(WAIT_S)
    assert job.standing.status == "cancelled"
    assert job.standing.file is None
    folder = ready.look("v").video.path.parent  # type: ignore[union-attr]
    assert not list(folder.glob("my video-*"))
    again = ready.start("v", ASKED)
    assert again.wait(WAIT_S)
    assert again.standing.report is not None
    assert again.standing.report.num_resumed == 8
    assert len(images(again.standing.report.output)) == 30


def test_unfinished_work_of_other_settings_is_removed(ready: VideoStudio):
    state = ready.look("v")
    assert state.video is not None
    stale = state.video.path.parent / ".my video-swapped.mp4.0123456789ab.unfinished"
    stale.mkdir()
    assert ready.start("v", ASKED).wait(WAIT_S)
    assert not stale.exists()


def test_leaving_cancels_and_nothing_is_left(
    ready: VideoStudio, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
):
    begun = threading.Event()

    def endless(*args: object, should_stop: Callable[[], bool], **kwargs: object) -> object:
        begun.set()
        while not should_stop():
            pass
        raise VideoError("stopped")

    monkeypatch.setattr("hififace.app.video_handlers.swap_video", endless)
    job = ready.start("v", ASKED)
    assert begun.wait(WAIT_S)
    sessions.close("v")
    assert job.standing.over
    assert not [path for path in sessions.root.rglob("*") if path.is_file()]


def test_another_video_replaces_the_first_on_the_disk_too(
    ready: VideoStudio, receive: Callable[[Path], Path], video: Path, sessions: Sessions
):
    ready.assign("v", 0)
    ready.set_video("v", receive(video), "again.mp4", "double")
    state = ready.look("v")
    assert state.video is not None
    assert (state.video.name, state.mapping) == ("again.mp4", {})
    names = sorted(path.name for path in sessions.root.rglob("*.mp4"))
    assert names == ["again.mp4", "video.mp4"]  # the visitor's and the upload
    ready.clear_video("v")
    assert not list(sessions.root.rglob("*.mp4"))
    assert ready.who("v") == ["Add the video whose faces shall be replaced."]


def test_removing_the_sources_takes_their_parts_away(ready: VideoStudio, studio: Studio):
    ready.assign("v", 0)
    studio.clear_sources("v")
    assert ready.look("v").mapping == {}
    assert ready.who("v") == ["Add a photo of the source face."]
    with pytest.raises(OptionError, match="Add a source"):
        ready.start("v", ASKED)


def test_without_consent_nothing_is_begun(ready: VideoStudio):
    with pytest.raises(OptionError, match="not confirmed"):
        ready.start("v", SwapRequest("double"))
    assert ready.look("v").job is None


def test_what_is_missing_is_a_sentence(videos: VideoStudio, studio: Studio):
    with pytest.raises(OptionError, match="no video"):
        videos.start("v", ASKED)
    with pytest.raises(OptionError, match="no video"):
        videos.show_frame("v", 0.0, "double")
    with pytest.raises(OptionError, match="no face 4"):
        videos.assign("v", 3)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(video_mb=0.001), r"video\.mp4 has .* MB; this page takes videos of up to 0\.001 MB"),
        (Limits(video_minutes=0.01), r"video\.mp4 lasts 0\.0 minutes; this page takes videos of up to 0\.01"),
        (Limits(video_megapixels=0.01), r"video\.mp4 has frames of 320 x 240 pixels"),
    ],
)
def test_limits_are_sentences_and_leave_nothing(
    bundles: Bundles,
    sessions: Sessions,
    jobs: VideoJobs,
    receive: Callable[[Path], Path],
    video: Path,
    limits: Limits,
    words: str,
):
    strict = Sessions(limits, root=sessions.root)
    videos = VideoStudio(Studio(bundles, strict, limits), jobs)
    place = strict.root / "upload" / "video.mp4"
    place.parent.mkdir()
    place.write_bytes(video.read_bytes())
    with pytest.raises(LimitError, match=words):
        videos.set_video("v", place, "video.mp4", "double")
    assert not list(strict.root.rglob("*.mp4"))
    strict.stop()


def test_frames_are_counted_whatever_the_container_says(
    ready: VideoStudio, studio: Studio, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(studio.limits), "video_frames", property(lambda _: 10))
    job = ready.start("v", ASKED)
    assert job.wait(WAIT_S)
    assert job.standing.status == "failed"
    assert "my video.mp4 has more than 10 frames" in job.standing.problem


def test_nothing_behind_the_limit_is_decoded(ready: VideoStudio, studio: Studio):
    """Also of a video that says how long it is: a container may say what it likes."""
    state = ready.look("v")
    assert state.video is not None
    assert state.video.length_s
    options = ready._video_options(state, None, own_format=False)
    assert options.end_s == studio.limits.video_minutes * 60


def test_a_file_that_is_no_video_is_a_sentence_in_the_visitors_words(
    videos: VideoStudio, receive: Callable[[Path], Path], tmp_path: Path, sessions: Sessions
):
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no video. " * 50)
    with pytest.raises(VideoError, match=r"^letter\.mp4 is not a video") as told:
        videos.set_video("v", receive(tmp_path / "letter.mp4"), "letter.mp4", "double")
    assert str(sessions.root) not in str(told.value)
    assert videos.look("v").video is None


def test_visitors_do_not_see_each_others_videos(ready: VideoStudio):
    assert ready.look("other").video is None
