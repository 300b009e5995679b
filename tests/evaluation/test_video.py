"""Whole videos whose flicker is put in by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hififace.cli.main import build_app
from hififace.errors import NoFaceFoundError, VideoError
from hififace.evaluation.video import changed, identity_of_photo, measure_flicker
from hififace.faces.identity import cosine
from tests.support.face_videos import SIZE, face_video, head, put, room

NUM = 8


def walk(number, brightness=0.0):
    """A head that moves on; its face and no more made brighter."""
    frame = put(room(), head(), 130 + 2 * number, 120)
    if brightness:
        x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
        inside = np.hypot(x - 130 - 2 * number, y - 110) < 32
        frame = np.clip(frame + brightness * inside[..., None], 0, 255).astype(np.uint8)
    return frame


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """The video, a result that is always 20 levels brighter, and one that is so in every second frame."""
    folder = tmp_path_factory.mktemp("flicker")
    recipes = {
        "video.mp4": walk,
        "steady.mp4": lambda n: walk(n, 20.0),
        "flickering.mp4": lambda n: walk(n, 20.0 if n % 2 else 40.0),
    }
    return {name: face_video(folder / name, draw, NUM) for name, draw in recipes.items()}


@pytest.fixture(scope="module")
def rows(videos):
    return measure_flicker(videos["video.mp4"], [videos["steady.mp4"], videos["flickering.mp4"]])


def test_the_same_tracks_are_measured_in_every_video(rows, videos):
    assert [row.video for row in rows] == list(videos.values())
    assert [[(t.index, t.num_frames) for t in row.tracks] for row in rows] == [[(0, NUM)]] * 3


def test_a_recogniser_that_training_never_sees_is_asked_frame_by_frame(videos):
    """The third frame of each video shows somebody else: 0.7 and not 0.5."""
    meshes = []

    def unseen(image, mesh):
        meshes.append(mesh)
        return 0.7 if len(meshes) in (5, 6) else 0.5

    rows = measure_flicker(videos["video.mp4"], [videos["steady.mp4"]], unseen=unseen)
    assert [mesh.shape for mesh in meshes] == [(468, 3)] * 2 * NUM
    for row in rows:
        assert row.distance == pytest.approx((0.5 * (NUM - 1) + 0.7) / NUM)
        assert row.same_share == pytest.approx((NUM - 1) / NUM)
    (alone,) = measure_flicker(videos["video.mp4"], [])
    assert alone.distance is alone.same_share is None


def test_what_flickers_has_the_larger_numbers(rows):
    video, steady, flickering = rows
    # 20 levels between any two neighbouring frames, on the face and on nothing else.
    assert flickering.warping_error == pytest.approx(20.0, abs=3.0)
    assert steady.warping_error < 4.0
    assert video.warping_error < 4.0
    assert flickering.similarity_flicker > 4 * steady.similarity_flicker
    assert min(row.similarity for row in rows) > 0.9


def test_similarity_is_to_the_source_where_one_is_given(videos):
    source = np.zeros(128, np.float32)
    source[0] = 1.0
    (row,) = measure_flicker(videos["video.mp4"], [], source=source)
    assert abs(row.similarity) < 0.5


def test_a_result_may_be_the_beginning_or_a_later_part_of_the_video(videos, tmp_path):
    short = face_video(tmp_path / "short.mp4", walk, 4)
    told = []
    video, result = measure_flicker(videos["video.mp4"], [short], tell=told.append)
    assert told == [1, 2, 3, 4]
    assert video.num_frames == result.num_frames == 4
    later = face_video(tmp_path / "later.mp4", lambda n: walk(n + 4), 4)
    _, result = measure_flicker(videos["video.mp4"], [later], start_s=4 / 25)
    # Nothing was changed: nothing can be compared, but who is there can be.
    assert result.num_frames == 4


def test_videos_that_are_not_the_same_are_refused(videos, tmp_path):
    other = face_video(tmp_path / "rate.mp4", walk, 4, rate=50)
    with pytest.raises(VideoError, match=r"same stretch.*--fps"):
        measure_flicker(videos["video.mp4"], [other])
    long = face_video(tmp_path / "long.mp4", walk, NUM + 1)
    with pytest.raises(VideoError, match="same frames"):
        measure_flicker(videos["video.mp4"], [long])


def test_where_a_result_was_changed():
    target = np.full((40, 40, 3), 100, np.uint8)
    result = target.copy()
    result[10:30, 10:30] += 12
    result[35, 35] += 60  # one pixel of noise
    where = changed(target, result)
    assert where[14:26, 14:26].all()
    assert not where[:6].any()
    assert not where[33:].any()


def test_by_one_command(videos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    words = ["flicker", str(videos["video.mp4"]), str(videos["flickering.mp4"])]
    app = build_app(["flicker"])
    done = run(app, words)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == ["video", "video.mp4", "flickering.mp4"]
    told = json.loads(run(app, [*words, "--json"]).output)
    assert told[1]["tracks"][0]["warping_error"] == pytest.approx(told[1]["warping_error"])
    assert f"{told[1]['warping_error']:.2f}" == lines[2].split()[-1]


def test_who_was_put_in_comes_from_a_photo(tmp_path):
    from PIL import Image

    Image.fromarray(head()).save(tmp_path / "me.png")
    Image.fromarray(room()).save(tmp_path / "room.png")
    identity = identity_of_photo(tmp_path / "me.png")
    assert cosine(identity, identity) == pytest.approx(1.0)
    with pytest.raises(NoFaceFoundError, match=r"room\.png"):
        identity_of_photo(tmp_path / "room.png")
