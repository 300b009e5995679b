from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace import FilmError, OptionError
from hififace.app.film_player import film_html
from hififace.app.films import first_frame_with_faces, frame_at, open_film
from hififace.app.limits import Limits
from hififace.swapper import FaceSwapper
from tests.support.face_films import face_film, head, put, room
from tests.support.films import Recipe, make_film


@pytest.fixture(scope="module")
def swapper(bundle: Path) -> FaceSwapper:
    return FaceSwapper.load(bundle, threads=1)


def test_a_film_is_described(tmp_path: Path):
    film = open_film(face_film(tmp_path / "a.mp4", lambda _: room(), 10, sound=True), "My Film.MP4", Limits())
    assert film.sentence() == "320 x 240, 25 frames per second, 0.4 seconds, with sound"
    assert (film.own_suffix, film.played_by_browsers) == (".mp4", True)


def test_a_film_that_browsers_do_not_play_is_known(tmp_path: Path):
    film = open_film(make_film(tmp_path / "a.avi", Recipe(codec="mpeg4", options={})), "a.avi", Limits())
    assert (film.own_suffix, film.played_by_browsers) == (".avi", False)
    other = open_film(make_film(tmp_path / "a.mkv", Recipe(codec="mpeg4", options={})), "a.wmv", Limits())
    assert other.own_suffix == ".mp4"


def test_the_frame_of_a_moment_is_the_one_on_screen(tmp_path: Path, swapper: FaceSwapper):
    path = face_film(tmp_path / "a.mp4", lambda n: np.full((240, 320, 3), 40 + 20 * n, np.uint8), 10)
    film = open_film(path, "a.mp4", Limits())
    assert abs(int(frame_at(film, 0.21, swapper).picture.mean()) - 140) < 4
    assert str(film.says(FilmError(f"{path} is broken"))) == "a.mp4 is broken"
    with pytest.raises(OptionError, match="behind the end"):
        frame_at(film, 9.0, swapper)


def test_a_film_without_faces_shows_its_first_frame(tmp_path: Path, swapper: FaceSwapper):
    film = open_film(face_film(tmp_path / "a.mp4", lambda _: room(), 10), "a.mp4", Limits())
    frame = first_frame_with_faces(film, swapper)
    assert (frame.moment_s, frame.faces) == (0.0, ())


def test_faces_of_a_frame_carry_who_they_are(tmp_path: Path, swapper: FaceSwapper):
    path = face_film(tmp_path / "a.mp4", lambda _: put(room(), head(), 160, 120), 5)
    (face,) = first_frame_with_faces(open_film(path, "a.mp4", Limits()), swapper).faces
    assert np.linalg.norm(face.identity) == pytest.approx(1.0, abs=1e-4)
    assert face.thumbnail.shape == (128, 128, 3)


def test_the_player_shows_both_where_browsers_can():
    html = film_html(Path("/tmp/v/a b.mp4"), Path("/tmp/v/t.mp4"), 2.5)
    assert 'src="gradio_api/file=/tmp/v/a%20b.mp4"' in html
    assert 'data-start="2.500"' in html
    assert "hf-target" not in film_html(Path("a.mp4"), None)
