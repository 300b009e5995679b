"""The protocol `portraits`: its pairs, and a whole evaluation of a bundle that generates one flat colour."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.errors import DataError, OptionError, WeightsError
from hififace.evaluation.photos import Photo, PhotoSet, read_photo_set
from hififace.evaluation.protocol import build_protocol
from hififace.evaluation.report import to_markdown, write_report
from hififace.evaluation.run import Settings, evaluate
from hififace.evaluation.scenes import OCCLUDERS, PLAIN
from hififace.faces.shape import load_shape_basis
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.evaluation_doubles import (
    description,
    portrait,
    write_dlib_weights,
    write_landmarks68,
    write_portrait_shards,
    write_validation_shards,
)
from tests.support.face_videos import face_video, head, put, room

FRONTAL = 60 * load_shape_basis().mean + np.array([100.0, 100.0, 0.0])


def photo(key: str, identity: str | None = None, group: str | None = None) -> Photo:
    return Photo(key, identity, Path("shard.tar"), 0, 1, f"hash-{key}", group)


PEOPLE = tuple(photo(f"{n:02d}_{i}", str(n)) for n in range(15) for i in range(3))
LARGE = tuple(photo(f"large_{n}{i}", f"large/{n}") for n in range(3) for i in range(2))
PORTRAITS = tuple(photo(f"p{n}", None, {0: "a", 1: "b", 2: "b", 3: "b"}.get(n % 8)) for n in range(24))
SET = PhotoSet((*PEOPLE, *LARGE), (*PORTRAITS, *LARGE))
KNOWN = {p.sha256: description(FRONTAL, size_px=500.0 if "large" in p.key else 310.0) for p in SET.all()}


def test_pairs_are_the_same_every_time():
    protocol = build_protocol("portraits", SET, KNOWN, num_pairs=200)
    # A literal, made by printing it: whoever changes the choice of pairs makes older reports incomparable.
    assert protocol.sha256[:12] == "53f6552522a9"
    assert {part: len(pairs) for part, pairs in protocol.parts.items()} == {
        "swap": 200,
        "size_100": 40,
        "size_200": 40,
        "size_400": 40,
        "groups": 100,
        "occluded": 40,
        "dim": 20,
        "glasses": 20,
        "reconstruction": 30,
    }
    few = protocol.first(10)
    assert {part: len(pairs) for part, pairs in few.parts.items()}["size_100"] == 2


def test_nobody_is_put_into_their_own_photo():
    protocol = build_protocol("portraits", SET, KNOWN, num_pairs=300)
    for part, pairs in protocol.parts.items():
        if part != "reconstruction":
            assert all(pair.source is not pair.target for pair in pairs), part
            people = [(pair.source.identity, pair.target.identity) for pair in pairs]
            assert not [one for one in people if one[0] == one[1] and one[0] is not None], part
    assert any(pair.source in LARGE and pair.target in LARGE for pair in protocol.parts["swap"])
    counts = Counter(pair.person for pair in protocol.parts["swap"])
    assert max(counts.values()) - min(counts.values()) <= 1


def test_no_photo_is_enlarged():
    parts = build_protocol("portraits", SET, KNOWN, num_pairs=100).parts
    assert {pair.target for pair in parts["size_400"]} == set(LARGE)
    assert {pair.target for pair in parts["size_200"]} - set(LARGE)
    assert all(pair.scene.face_px == 400 for pair in parts["size_400"])
    small = {digest: description(FRONTAL, size_px=310.0) for digest in KNOWN}
    assert "size_400" not in build_protocol("portraits", SET, small, num_pairs=100).parts


def test_groups_are_asked_equally_often_whatever_their_numbers():
    pairs = build_protocol("portraits", SET, KNOWN, num_pairs=80).parts["groups"]
    assert Counter(pair.source.group for pair in pairs) == {"a": 20, "b": 20}
    assert len({pair.source for pair in pairs if pair.source.group == "b"}) == 9


def test_every_occluder_comes_and_glasses_are_on_the_source():
    parts = build_protocol("portraits", SET, KNOWN, num_pairs=100).parts
    assert Counter(pair.scene.occluder for pair in parts["occluded"]) == dict.fromkeys(OCCLUDERS, 4)
    assert {pair.source_scene.occluder for pair in parts["glasses"]} == {"glasses"}
    assert {pair.scene for pair in parts["glasses"]} == {PLAIN}
    assert {pair.scene.gain for pair in parts["dim"]} == {0.25}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    (folder / "data").mkdir()
    write_validation_shards(folder / "data")
    write_portrait_shards(folder / "data")
    write_dlib_weights(folder / "home")
    write_landmarks68(folder / "home")
    write_mesh_bundle(folder / "bundle")
    (folder / "large").mkdir()
    for n, (brightness, mirrored) in enumerate(((1.0, False), (0.9, False), (0.8, True), (0.85, True))):
        image = Image.fromarray(portrait(brightness, mirrored)).resize((500, 500))
        image.save(folder / "large" / f"{n // 2:03d}_{n % 2}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def evaluation(workplace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(workplace / "home"))
        video = face_video(workplace / "walk.mp4", lambda n: put(room(), head(), 130 + 2 * n, 120), 12)
        settings = Settings(
            workplace / "data", "portraits", 5, people=workplace / "large", videos=(video,), video_s=0.2
        )
        return evaluate([str(workplace / "bundle")], settings)


def parts(evaluation, name):
    return next(one.parts for one in evaluation.results if one.entry.name == name)


def test_a_folder_of_large_photos_gives_sources_and_targets(workplace):
    photos = read_photo_set(workplace / "data", "portraits", workplace / "large")
    assert [p.identity for p in photos.people[-4:]] == ["large/000", "large/000", "large/001", "large/001"]
    assert photos.people[-4:] == photos.portraits[-4:]
    assert (photos.portraits[0].group, photos.portraits[0].gender) == ("north", "female")
    assert len(photos.all()) == 4 + 4 + 4
    with pytest.raises(DataError, match=r"No photo PERSON_WHAT\.jpg"):
        read_photo_set(workplace / "data", "portraits", workplace / "home")


def test_a_copy_and_a_perfect_network_bound_what_is_measured(evaluation):
    copy, small, large = (parts(evaluation, name) for name in ("copy", "perfect_128", "perfect_512"))
    assert copy["size_100"]["sharpness"].mean == 1
    assert copy["swap"]["moved_jaw"].mean == pytest.approx(0, abs=1e-3)
    assert copy["occluded"]["occluder_change"].mean == 0
    assert copy["glasses"]["frames_leak"].mean == 0
    assert copy["dim"]["dim_error"].mean < 1.5
    assert small["size_200"]["sharpness"].mean < large["size_200"]["sharpness"].mean < 1
    assert "swap" not in small


def test_a_flat_colour_has_no_detail_and_covers_what_lies_before_the_face(evaluation):
    double = parts(evaluation, "double")
    assert double["size_100"]["sharpness_plain"].mean < 0.2
    assert double["occluded"]["occluder_change"].mean > 1
    assert double["swap"]["frechet_sface"].num == 5


def test_another_photo_of_the_source_is_the_ceiling(evaluation):
    other = parts(evaluation, "other photo")["swap"]
    assert other["sface_source"].mean > 0.8
    assert "psnr_db" not in other


def test_a_video_is_swapped_and_measured_over_time(evaluation):
    (one,) = evaluation.videos
    assert one.entry.name == "double"
    assert one.target.num_frames == one.result.num_frames == 5  # 0.2 s at 25 frames a second
    assert one.result.similarity != one.target.similarity
    assert one.result.distance is not None
    assert "| walk.mp4 | - | 5 |" in to_markdown(evaluation)


def test_videos_are_looked_for_before_any_work(workplace):
    with pytest.raises(OptionError, match="no video"):
        Settings(workplace / "data", videos=(workplace / "nowhere.mp4",))
    with pytest.raises(OptionError, match="more than 0"):
        Settings(workplace / "data", video_s=0.0)


def test_the_report_tells_groups_and_scenes(evaluation, tmp_path, workplace, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    text = to_markdown(evaluation)
    assert (
        "| measure | copy | paste | perfect_128 | perfect_256 | perfect_512 | double 1 | other photo |"
        in text
    )
    assert "group north" in text
    assert "tone" in text
    write_report(evaluation, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["protocol"]["name"] == "portraits"
    lines = [json.loads(line) for line in (tmp_path / "pairs-double.jsonl").read_text().splitlines()]
    assert {line.get("target_scene") for line in lines} >= {None, "100px", "gain0.25", "fingers"}
    sheet = np.asarray(Image.open(tmp_path / "contact-double-1.jpg"))
    assert sheet.shape[1] > 600


def test_landmarks_that_are_missing_are_said_before_any_work(workplace, tmp_path, monkeypatch):
    write_dlib_weights(tmp_path)
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="hififace weights fetch evaluation"):
        evaluate([], replace(Settings(workplace / "data"), protocol="portraits"))
