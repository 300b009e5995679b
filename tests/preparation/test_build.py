import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from preparation_doubles import DoubleDescriber, double_factory, make_image, png, save

from hififace.data.index import PreparedSet
from hififace.data.shards import TarWriter
from hififace.errors import DataError, OptionError
from hififace.preparation import build
from hififace.preparation.build import PrepareOptions, Workers, prepare_set
from hififace.preparation.quality import QualityOptions
from hififace.weights.registry import find_card

OPTIONS = PrepareOptions(resolution=64, photos_per_shard=20)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Eight people with twenty photos each, and one of every fault."""
    folder = tmp_path_factory.mktemp("photos") / "people"
    for person in range(8):
        for variant in range(20):
            save(
                folder / f"p{person}" / f"{variant:02d}.png",
                make_image(person, variant, texture=20 * person + variant),
            )
    save(folder / "p0" / "f1.png", make_image(0, 30, faces=0))
    save(folder / "p0" / "f2.png", make_image(0, 30, faces=2))
    save(folder / "p0" / "f3.png", make_image(0, 31, yaw=80))
    save(folder / "p0" / "f4.png", make_image(0, 32, score=20))
    save(folder / "p0" / "f5.png", make_image(0, 33, size=10))
    save(folder / "p0" / "f6.png", make_image(5, 34, texture=900))
    save(folder / "p0" / "f7.png", make_image(0, 35, texture=901, blur=6.0))
    smaller = cv2.resize(make_image(0, 3, texture=3), (80, 80), interpolation=cv2.INTER_AREA)
    smaller[0, :2] = make_image(0, 3, texture=3)[0, :2]
    save(folder / "p0" / "f8.png", smaller)
    (folder / "p0" / "f9.png").write_bytes(png(make_image())[:200])
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory):
    output = tmp_path_factory.mktemp("sets") / "set"
    prepare_set([people], output, OPTIONS, factory=double_factory)
    return output


def test_the_set_holds_every_good_photo(finished):
    prepared = PreparedSet.open(finished)
    assert len(prepared) == 160
    assert prepared.card.num_identities == 8
    assert prepared.card.num_shards == 8
    assert set(prepared.columns["identity"]) == {f"people/p{n}" for n in range(8)}
    assert prepared.card.settings["quality"]["max_yaw_deg"] == 65.0
    assert not (finished / ".preparing").exists()


def test_every_rejected_photo_is_listed_with_its_reason(finished):
    with (finished / "rejected.csv").open() as file:
        rejected = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    # f8 repeats photo 03 with fewer pixels.
    assert rejected == {
        "people/p0/f1.png": "no face",
        "people/p0/f2.png": "several faces",
        "people/p0/f3.png": "extreme pose",
        "people/p0/f4.png": "mesh disagrees",
        "people/p0/f5.png": "too small",
        "people/p0/f6.png": "not the same person",
        "people/p0/f7.png": "blurred",
        "people/p0/f8.png": "near-duplicate",
        "people/p0/f9.png": "unreadable",
    }
    summary = json.loads((finished / "report.json").read_text())
    assert summary["photos"] == {"seen": 169, "kept": 160, "rejected": 9, "without_identity": 0}
    assert summary["rejected"]["blurred"] == 1
    assert "| blurred | 1 |" in (finished / "report.md").read_text()
    assert (finished / "contact-sheet.png").stat().st_size > 10_000


def test_two_workers_write_the_same_bytes(people, finished, tmp_path):
    prepare_set([people], tmp_path / "set", OPTIONS, workers=Workers(2), factory=double_factory)
    assert files_of(tmp_path / "set") == files_of(finished)


class RayDouble:
    """The calls of Ray that are made, answered by a process that was started in another folder, last task first."""

    def __init__(self, elsewhere: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=os.chdir, initargs=(elsewhere,))
        self.init = lambda **settings: None

    def is_initialized(self):
        return False

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **settings):
        return lambda function: SimpleNamespace(remote=lambda *given: self.pool.submit(function, *given))

    def wait(self, tasks):
        return tasks[-1:], tasks[:-1]

    def get(self, tasks):
        return [task.result() for task in tasks]

    def shutdown(self):
        self.pool.shutdown()


def test_ray_writes_the_same_bytes(people, finished, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setitem(sys.modules, "ray", RayDouble(tmp_path / "elsewhere"))
    monkeypatch.chdir(people.parent)
    output = Path(os.path.relpath(tmp_path / "set"))
    prepare_set([Path("people")], output, OPTIONS, workers=Workers(2, ray=True), factory=double_factory)
    assert files_of(tmp_path / "set") == files_of(finished)


@pytest.mark.slow
def test_the_real_ray_writes_the_same_bytes(people, finished, tmp_path):
    """Needs a machine with a core to spare: Ray gives its own processes half a minute to start."""
    pytest.importorskip("ray")
    prepare_set([people], tmp_path / "set", OPTIONS, workers=Workers(1, ray=True), factory=double_factory)
    assert files_of(tmp_path / "set") == files_of(finished)


def test_killed_and_run_again_gives_the_same_bytes(people, finished, tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from preparation_doubles import slow_factory\n"
        "from hififace.preparation.build import *\n"
        f"prepare_set([Path({str(people)!r})], Path({str(tmp_path / 'set')!r}),\n"
        "    PrepareOptions(resolution=64, photos_per_shard=20), factory=slow_factory)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"})
    done = tmp_path / "set" / ".preparing" / "block-000000.json"
    until = time.monotonic() + 60
    while not done.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert done.exists()
    assert not (tmp_path / "set" / "set.json").exists()
    with pytest.raises(DataError, match="run the same command again"):
        PreparedSet.open(tmp_path / "set")
    first = done.stat().st_mtime_ns
    seen = []
    prepare_set(
        [people],
        tmp_path / "set",
        OPTIONS,
        factory=double_factory,
        progress=lambda p: seen.append((p, done.stat().st_mtime_ns)),
    )
    assert seen[0][1] == first, "a finished block must not be made again"
    assert (seen[-1][0].done, seen[-1][0].total) == (169, 169)
    assert seen[-1][0].resumed == 128
    assert files_of(tmp_path / "set") == files_of(finished)


def test_running_again_on_a_finished_set_does_nothing(people, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir()}
    card = prepare_set([people], finished, OPTIONS, factory=double_factory)
    assert card.num_photos == 160
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == before
    with pytest.raises(DataError, match="already holds a finished set"):
        prepare_set([people], finished, PrepareOptions(resolution=32), factory=double_factory)


@pytest.mark.parametrize("change", ["removed", "added", "replaced"])
def test_a_finished_set_of_photos_that_changed_is_refused(people, finished, tmp_path, change):
    copied, done = tmp_path / people.name, tmp_path / "set"
    shutil.copytree(people, copied)
    shutil.copytree(finished, done)
    assert prepare_set([copied], done, OPTIONS, factory=double_factory).num_photos == 160
    person = sorted(path for path in copied.iterdir() if path.is_dir())[0]
    photo = sorted(person.iterdir())[0]
    if change == "removed":
        shutil.rmtree(person)
    elif change == "added":
        shutil.copy(photo, person / "another.jpg")
    else:
        photo.write_bytes(photo.read_bytes() + b"more")
    with pytest.raises(DataError, match=f"{people.name} has changed since"):
        prepare_set([copied], done, OPTIONS, factory=double_factory)


def test_an_interrupted_preparation_refuses_other_settings(people, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_set([people], tmp_path / "set", OPTIONS, factory=double_factory, progress=stop)
    with pytest.raises(DataError, match="interrupted and had other photos or settings"):
        prepare_set([people], tmp_path / "set", PrepareOptions(resolution=32), factory=double_factory)


def test_the_card_says_which_files_described_the_set(finished):
    card = PreparedSet.open(finished).card
    assert card.parts == {"face_mesh_topology": find_card("face_mesh_topology").sha256}


@pytest.fixture
def interrupted(tmp_path):
    folder = tmp_path / "flat"
    for number in range(3):
        save(folder / f"{number}.png", make_image(number))

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_set([folder], tmp_path / "set", OPTIONS, factory=double_factory, progress=stop)
    return folder, tmp_path / "set"


def test_going_on_with_another_part_is_refused(interrupted, monkeypatch):
    photos, output = interrupted
    monkeypatch.setattr(build, "hashes_of", lambda names: dict.fromkeys(names, "0" * 64))
    with pytest.raises(DataError, match="begun with another face_mesh_topology"):
        prepare_set([photos], output, OPTIONS, factory=double_factory)


def test_a_preparation_begun_before_hashes_were_noted_goes_on_without_them(interrupted, caplog):
    photos, output = interrupted
    (output / ".preparing" / "parts.json").unlink()
    card = prepare_set([photos], output, OPTIONS, factory=double_factory)
    assert card.num_photos == 3
    assert card.parts == {}
    assert "begun by an earlier version" in caplog.text


def test_photos_that_change_between_two_runs_are_noticed(interrupted):
    photos, output = interrupted
    save(photos / "00.png", make_image(9))
    with pytest.raises(DataError, match="photos changed since"):
        prepare_set([photos], output, OPTIONS, factory=double_factory)


def test_tar_shards_with_ages_and_identities(tmp_path):
    with TarWriter(tmp_path / "faces-000.tar") as writer:
        for number, facts in enumerate(
            [{"age": 17}, {"age": 18}, {"identity": 7}, {"identity": 7, "age": 40}, {}]
        ):
            writer.add(f"{number:04d}.png", png(make_image(4 if "identity" in facts else 0, number)))
            writer.add(f"{number:04d}.json", json.dumps(facts).encode())
    prepare_set([tmp_path / "faces-000.tar"], tmp_path / "set", OPTIONS, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    assert list(prepared.columns["identity"]) == [None, "faces/7", "faces/7", None]
    assert list(prepared.columns["key"]) == ["00000001", "00000002", "00000003", "00000004"]
    assert json.loads(prepared.member(2, "json"))["age"] == 40
    assert "age 17, below 18" in (tmp_path / "set" / "rejected.csv").read_text()


def test_labels_and_the_real_resolution_stand_in_the_index(tmp_path):
    with TarWriter(tmp_path / "faces-000.tar") as writer:
        for number, facts in enumerate(
            [{"gender": "female", "group": "asian"}, {"gender": 7, "group": ""}, {"gender": "male"}]
        ):
            writer.add(f"{number:04d}.png", png(make_image(number, blur=2.0 * number)))
            writer.add(f"{number:04d}.json", json.dumps(facts).encode())
    options = replace(OPTIONS, quality=QualityOptions(min_relative_sharpness=0))
    prepare_set([tmp_path / "faces-000.tar"], tmp_path / "set", options, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    assert list(prepared.columns["gender"]) == ["female", None, "male"]
    assert list(prepared.columns["group"]) == ["asian", None, None]
    assert 64 >= prepared.native_px[0] > prepared.native_px[1] >= prepared.native_px[2] >= 32
    assert json.loads(prepared.member(0, "json"))["group"] == "asian"


def test_small_photos_stay_as_sources_of_people_with_two_photos(tmp_path):
    folder = tmp_path / "people"
    for person, photos in enumerate([(96, 20), (20,), (18, 19), (96,)]):
        for variant, size in enumerate(photos):
            save(folder / f"p{person}" / f"{variant}.png", make_image(person, variant, size=size))
    prepare_set([folder], tmp_path / "set", OPTIONS, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    assert list(prepared.columns["source"]) == [
        "people/p0/0.png", "people/p0/1.png", "people/p2/0.png", "people/p2/1.png", "people/p3/0.png",
    ]  # fmt: skip
    small = prepared.columns["magnification"] > 3
    assert small.tolist() == [False, True, True, True, False]
    assert (
        "3.2 times, more than 3, and the person has no other photo"
        in (tmp_path / "set" / "rejected.csv").read_text()
    )


def test_avif_members_of_tar_shards_and_avif_files_are_read(tmp_path):
    """Photos of a data set's AVIF archive give the set that their own pixels give."""
    originals, folder = [], tmp_path / "pngs"
    with TarWriter(tmp_path / "faces-000.tar") as writer:
        for number in range(2):
            data = io.BytesIO()
            # The doubles read numbers from two pixels: nothing may be lost.
            Image.fromarray(make_image(number, number)).save(data, "AVIF", quality=100, subsampling="4:4:4")
            writer.add(f"{number:04d}.avif", data.getvalue())
            decoded = np.asarray(Image.open(io.BytesIO(data.getvalue())).convert("RGB"))
            originals.append(decoded)
            save(folder / f"{number:04d}.png", decoded)
            (tmp_path / "files").mkdir(exist_ok=True)
            (tmp_path / "files" / f"{number:04d}.avif").write_bytes(data.getvalue())
    sets = []
    # Describers are kept by their settings: another resolution asks for another describer than the other tests'.
    for name, source in (("a", tmp_path / "faces-000.tar"), ("b", folder), ("c", tmp_path / "files")):
        prepare_set([source], tmp_path / name, replace(OPTIONS, resolution=72), factory=SeesOneFace)
        sets.append(PreparedSet.open(tmp_path / name))
    for other in sets:
        assert len(other) == 2, (other.folder / "rejected.csv").read_text()
        for row in range(2):
            assert other.member(row, "jpg") == sets[0].member(row, "jpg")


class SeesOneFace(DoubleDescriber):
    """Reads nothing from pixels that a codec may have changed."""

    def detect(self, image):
        return super().detect(self.marked(image))

    def describe(self, image, face, crop):
        return super().describe(self.marked(image), face, crop)

    @staticmethod
    def marked(image):
        image = image.copy()
        image[0, 0], image[0, 1] = (1, int(image[1].mean()) % 16, 0), (100, 90, 0)
        return image


def test_a_damaged_avif_is_unreadable_and_not_the_end(tmp_path):
    data = io.BytesIO()
    Image.fromarray(make_image(0)).save(data, "AVIF", quality=90)
    broken = bytearray(data.getvalue())
    payload = broken.find(b"mdat") + 4
    broken[payload:] = bytes(len(broken) - payload)
    save(tmp_path / "flat" / "good.png", make_image(1))
    (tmp_path / "flat" / "broken.avif").write_bytes(bytes(broken))
    (tmp_path / "flat" / "cut.avif").write_bytes(data.getvalue()[:300])
    prepare_set([tmp_path / "flat"], tmp_path / "set", OPTIONS, factory=double_factory)
    assert len(PreparedSet.open(tmp_path / "set")) == 1
    assert (tmp_path / "set" / "rejected.csv").read_text().count(",unreadable,") == 2


def test_no_usable_photo_is_a_sentence_and_still_a_report(tmp_path):
    save(tmp_path / "flat" / "a.png", make_image(faces=0))
    with pytest.raises(DataError, match=r"None of the 1 photos can be used.*rejected\.csv"):
        prepare_set([tmp_path / "flat"], tmp_path / "set", OPTIONS, factory=double_factory)
    assert "no face" in (tmp_path / "set" / "rejected.csv").read_text()


def test_options_out_of_range_are_sentences():
    with pytest.raises(OptionError, match="min_age is -1"):
        PrepareOptions(min_age=-1)
    with pytest.raises(OptionError, match="0 workers"):
        Workers(0)
    with pytest.raises(OptionError, match=r"max_rival is 3"):
        QualityOptions(max_rival=3)


def test_a_set_among_its_photos_is_refused(people, tmp_path):
    copied = tmp_path / "photos"
    shutil.copytree(people, copied)
    for output in (copied, copied / "set"):
        with pytest.raises(OptionError, match="Choose a folder outside"):
            prepare_set([copied], output, OPTIONS, factory=double_factory)
    assert not (copied / "set").exists()
