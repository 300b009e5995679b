from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hififace import FaceSwapper, FilmError, OptionError, SwapOptions
from hififace.app.asking import CONSENT, SwapRequest
from hififace.app.bundles import Bundles
from hififace.app.film_handlers import FilmStudio
from hififace.app.film_jobs import FilmJobs
from hififace.app.handlers import Studio
from hififace.app.limits import LimitError, Limits
from hififace.app.sessions import Sessions
from hififace.media.probe import probe
from hififace.media.video import FilmReader
from hififace.provenance.verify import check_file
from hififace.swap.source_map import Cast, Role
from hififace.video.job import swap_film
from hififace.video.options import FilmOptions
from tests.support.face_films import face_film, head, put, room

ASKED = SwapRequest(model="double", consent=True)
WAIT_S = 120


def scene(number: int) -> np.ndarray:
    """An empty room for five frames, then one head that moves."""
    if number < 5:
        return room()
    return put(room(), head(), 160 + 20 * math.sin(number / 6), 120)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face_film(tmp_path_factory.mktemp("films") / "film.mp4", scene, 30, sound=True)


@pytest.fixture
def jobs() -> Iterator[FilmJobs]:
    jobs = FilmJobs(at_once=1, waiting=3)
    yield jobs
    jobs.stop()


@pytest.fixture
def films(studio: Studio, jobs: FilmJobs) -> FilmStudio:
    return FilmStudio(studio, jobs)


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
    films: FilmStudio,
    upload: Callable[[str], Path],
    receive: Callable[[Path], Path],
    film: Path,
) -> FilmStudio:
    """With a source, and a film."""
    studio.add_source("v", upload("me.png"), "me.png", "double")
    films.set_film("v", receive(film), "my film.mp4", "double")
    return films


def pictures(film: Path) -> list[np.ndarray]:
    return [frame.rgb() for frame in FilmReader(film)]


def test_the_first_frame_with_a_face_is_shown_and_its_face_may_be_picked(ready: FilmStudio):
    state = ready.look("v")
    assert state.frame is not None
    assert state.frame.moment_s > 0.0  # the room is empty at first
    assert [shown.face.index for shown in state.frame.faces] == [0]
    assert ready.who("v") == ["Everybody in the film becomes me.png."]
    ready.assign("v", 0)
    assert ready.who("v") == ["Person 1 of the film becomes me.png."]
    ready.show_frame("v", 1.0, "double")
    assert state.pick_of(0) == 0  # the same person on another frame
    ready.assign("v", 0)
    assert ready.who("v") == ["Everybody in the film becomes me.png."]
    ready.show_frame("v", 0.0, "double")
    assert state.frame.faces == ()


def test_the_film_is_the_librarys_and_is_marked(
    ready: FilmStudio, bundle: Path, album: Path, film: Path, tmp_path: Path
):
    ready.assign("v", 0)
    job = ready.start("v", ASKED, own_format=True)
    assert job.wait(WAIT_S)
    standing = job.standing
    assert standing.status == "done"
    assert standing.file is not None
    assert standing.file.name == "my film-swapped.mp4"
    assert standing.progress is not None
    assert standing.progress.done == 30
    assert probe(standing.file).of_kind("audio")
    claim = check_file(standing.file).claim
    assert claim is not None
    assert (claim.consent_confirmed, claim.consent_statement) == (True, CONSENT)

    swapper = FaceSwapper.load(bundle, threads=1)
    frame = ready.look("v").picks[0]
    cast = Cast(roles=(Role("someone", frame.identity, swapper.read_source(album / "me.png")),))
    swap_film(swapper, film, tmp_path / "library.mp4", SwapOptions(), FilmOptions(), cast=cast)
    for page, library in zip(pictures(standing.file), pictures(tmp_path / "library.mp4"), strict=True):
        np.testing.assert_array_equal(page, library)
    assert any(
        (page != target).any() for page, target in zip(pictures(standing.file), pictures(film), strict=True)
    )


def test_a_preview_is_short_and_begins_at_the_frame_shown(ready: FilmStudio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hififace.app.film_handlers.PREVIEW_S", 0.4)
    ready.show_frame("v", 0.4, "double")
    job = ready.start("v", ASKED, preview=True)
    assert job.wait(WAIT_S)
    assert job.standing.file is not None
    assert job.standing.file.name == "my film-preview.mp4"
    assert len(pictures(job.standing.file)) == 10
    assert (ready.look("v").is_preview, ready.look("v").start_s) == (True, 0.4)
    ready.show_frame("v", 1.1, "double")
    assert ready.start("v", ASKED, preview=True).wait(WAIT_S)
    assert ready.look("v").start_s == pytest.approx(0.8)  # the last that gives a whole preview


def test_cancelling_stops_and_the_same_settings_go_on(ready: FilmStudio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hififace.app.film_handlers.SEGMENT_FRAMES", 8)
    at_frame_12, go_on = threading.Event(), threading.Event()

    def watched(*args: object, progress: Callable[..., None], **kwargs: object) -> object:
        def slow(told: object) -> None:
            progress(told)
            if told.done == 12:  # type: ignore[attr-defined]
                at_frame_12.set()
                go_on.wait(WAIT_S)

        return swap_film(*args, progress=slow, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("hififace.app.film_handlers.swap_film", watched)
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
    folder = ready.look("v").film.path.parent  # type: ignore[union-attr]
    assert not list(folder.glob("my film-*"))
    again = ready.start("v", ASKED)
    assert again.wait(WAIT_S)
    assert again.standing.report is not None
    assert again.standing.report.num_resumed == 8
    assert len(pictures(again.standing.report.output)) == 30


def test_unfinished_work_of_other_settings_is_removed(ready: FilmStudio):
    state = ready.look("v")
    assert state.film is not None
    stale = state.film.path.parent / ".my film-swapped.mp4.0123456789ab.unfinished"
    stale.mkdir()
    assert ready.start("v", ASKED).wait(WAIT_S)
    assert not stale.exists()


def test_leaving_cancels_and_nothing_is_left(
    ready: FilmStudio, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
):
    begun = threading.Event()

    def endless(*args: object, should_stop: Callable[[], bool], **kwargs: object) -> object:
        begun.set()
        while not should_stop():
            pass
        raise FilmError("stopped")

    monkeypatch.setattr("hififace.app.film_handlers.swap_film", endless)
    job = ready.start("v", ASKED)
    assert begun.wait(WAIT_S)
    sessions.close("v")
    assert job.standing.over
    assert not [path for path in sessions.root.rglob("*") if path.is_file()]


def test_another_film_replaces_the_first_on_the_disk_too(
    ready: FilmStudio, receive: Callable[[Path], Path], film: Path, sessions: Sessions
):
    ready.assign("v", 0)
    ready.set_film("v", receive(film), "again.mp4", "double")
    state = ready.look("v")
    assert state.film is not None
    assert (state.film.name, state.mapping) == ("again.mp4", {})
    names = sorted(path.name for path in sessions.root.rglob("*.mp4"))
    assert names == ["again.mp4", "film.mp4"]  # the visitor's and the upload
    ready.clear_film("v")
    assert not list(sessions.root.rglob("*.mp4"))
    assert ready.who("v") == ["Add the film whose faces shall be replaced."]


def test_removing_the_sources_takes_their_parts_away(ready: FilmStudio, studio: Studio):
    ready.assign("v", 0)
    studio.clear_sources("v")
    assert ready.look("v").mapping == {}
    assert ready.who("v") == ["Add a photo of the person to put in."]
    with pytest.raises(OptionError, match="Add a source"):
        ready.start("v", ASKED)


def test_without_consent_nothing_is_begun(ready: FilmStudio):
    with pytest.raises(OptionError, match="not confirmed"):
        ready.start("v", SwapRequest("double"))
    assert ready.look("v").job is None


def test_what_is_missing_is_a_sentence(films: FilmStudio, studio: Studio):
    with pytest.raises(OptionError, match="no film"):
        films.start("v", ASKED)
    with pytest.raises(OptionError, match="no film"):
        films.show_frame("v", 0.0, "double")
    with pytest.raises(OptionError, match="no face 3"):
        films.assign("v", 3)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(film_mb=0.001), r"film\.mp4 has .* MB; this page takes films of up to 0\.001 MB"),
        (Limits(film_minutes=0.01), r"film\.mp4 lasts 0\.0 minutes; this page takes films of up to 0\.01"),
        (Limits(film_megapixels=0.01), r"film\.mp4 has frames of 320 x 240 pixels"),
    ],
)
def test_limits_are_sentences_and_leave_nothing(
    bundles: Bundles,
    sessions: Sessions,
    jobs: FilmJobs,
    receive: Callable[[Path], Path],
    film: Path,
    limits: Limits,
    words: str,
):
    strict = Sessions(limits, root=sessions.root)
    films = FilmStudio(Studio(bundles, strict, limits), jobs)
    place = strict.root / "upload" / "film.mp4"
    place.parent.mkdir()
    place.write_bytes(film.read_bytes())
    with pytest.raises(LimitError, match=words):
        films.set_film("v", place, "film.mp4", "double")
    assert not list(strict.root.rglob("*.mp4"))
    strict.stop()


def test_a_file_that_is_no_film_is_a_sentence_in_the_visitors_words(
    films: FilmStudio, receive: Callable[[Path], Path], tmp_path: Path, sessions: Sessions
):
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no film. " * 50)
    with pytest.raises(FilmError, match=r"^letter\.mp4 is not a film") as told:
        films.set_film("v", receive(tmp_path / "letter.mp4"), "letter.mp4", "double")
    assert str(sessions.root) not in str(told.value)
    assert films.look("v").film is None


def test_visitors_do_not_see_each_others_films(ready: FilmStudio):
    assert ready.look("other").film is None
