from __future__ import annotations

import io
import json
import re
import sqlite3
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from hififace.media.video import VideoReader
from hififace.provenance.verify import check_file
from hififace.server import jobs as routes
from hififace.server.keys import Keys, new_key
from hififace.server.settings import ServiceLimits
from tests.support.face_videos import face_video, head, put, room
from tests.support.services import finished, process, running


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("videos") / "secret-name.mp4"
    return face_video(file, lambda number: put(room(), head(), 160 + number, 120), 24, sound=True)


def hand_in(client: httpx.Client, album: Path, *targets: Path, **more: Any) -> httpx.Response:
    files = [("source", ("secret.png", (album / "me.png").read_bytes()))]
    files += [("target", (path.name, path.read_bytes())) for path in targets]
    return client.post("/v1/jobs", files=files, data={"consent": "true"}, **more)


def pixels(file: Path) -> np.ndarray:
    return np.stack([frame.rgb() for frame in VideoReader(file).frames()])


def test_a_video_becomes_a_marked_video(client: httpx.Client, album: Path, video: Path, tmp_path: Path):
    answer = hand_in(client, album, video)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["kept_until"]) == ("video", None)
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        said = stream.read().decode()
    names = [line[7:] for line in said.splitlines() if line.startswith("event: ")]
    assert set(names[:-1]) <= {"progress"}
    assert names[-1] == "done"
    told = finished(client, job["id"])
    assert json.loads(said.splitlines()[-2][6:]) == told
    assert (told["done"], told["expected"]) == (24, 24)
    assert told["report"]["num_frames_changed"] == 24
    assert "secret" not in json.dumps(told)
    result = client.get(told["result"])
    assert result.headers["content-type"] == "video/mp4"
    (tmp_path / "result.mp4").write_bytes(result.content)
    claim = check_file(tmp_path / "result.mp4").claim
    assert claim is not None
    assert claim.consent_confirmed is True
    assert pixels(tmp_path / "result.mp4").shape == pixels(video).shape
    part = client.get(told["result"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, result.content[:10])
    for asked, status in (("bytes=999999999-", 416), ("bytes=x-y", 400)):
        refused = client.get(told["result"], headers={"Range": asked})
        assert refused.status_code == status
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert ("content-range" in refused.headers) == (status == 416)
    assert job["id"] in [one["id"] for one in client.get("/v1/jobs").json()["jobs"]]


def test_images_become_a_zip_and_say_which_could_not(client: httpx.Client, album: Path, tmp_path: Path):
    job = hand_in(client, album, album / "target.jpg", album / "empty.png", album / "two.png").json()
    told = finished(client, job["id"])
    assert (told["kind"], told["state"], told["done"]) == ("images", "done", 3)
    reports = told["report"]["images"]
    assert [one["file"] for one in reports] == ["image-0000.jpg", None, "image-0002.png"]
    assert "No face was found" in reports[1]["problem"]
    packed = zipfile.ZipFile(io.BytesIO(client.get(told["result"]).content))
    assert packed.namelist() == ["image-0000.jpg", "image-0002.png"]
    for name, size in zip(packed.namelist(), [(230, 230), (460, 230)], strict=True):
        assert Image.open(packed.open(name)).size == size
        assert check_file(Path(packed.extract(name, tmp_path))).marked


def test_jobs_that_cannot_be_are_refused_at_once(client: httpx.Client, album: Path, video: Path):
    for targets, sentence in (
        ([album / "broken.jpg"], "target"),
        ([video, album / "two.png"], "one video, or images alone"),
        ([], "0 files came"),
    ):
        answer = hand_in(client, album, *targets)
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]
        assert str(client.service.options.data) not in answer.text  # type: ignore[attr-defined]
    answer = client.post("/v1/jobs", files=[("target", ("x", b"x"))], data={"consent": "false"})
    assert answer.status_code == 422


def test_a_job_that_fails_says_why(client: httpx.Client, album: Path):
    told = finished(client, hand_in(client, album, album / "empty.png").json()["id"])
    assert told["state"] == "failed"
    assert "None of the 1 images could be swapped" in told["problem"]
    refused = client.get(f"/v1/jobs/{told['id']}/result")
    assert refused.status_code == 409
    assert "None of the 1 images" in refused.json()["detail"]


def test_removed_jobs_leave_nothing(client: httpx.Client, album: Path):
    job = hand_in(client, album, album / "target.jpg").json()["id"]
    finished(client, job)
    folder = client.service.store.folder(job)  # type: ignore[attr-defined]
    assert folder.is_dir()
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert not folder.exists()
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/events")):
        assert client.request(method, f"/v1/jobs/{job}{path}").status_code == 404


def test_cancel_stops_what_runs(client: httpx.Client, album: Path, tmp_path: Path):
    long = face_video(tmp_path / "long.mp4", lambda _: put(room(), head(), 160, 120), 400)
    job = hand_in(client, album, long).json()["id"]
    while client.get(f"/v1/jobs/{job}").json()["done"] == 0:
        time.sleep(0.1)
    folder = client.service.store.folder(job)  # type: ignore[attr-defined]
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert client.get(f"/v1/jobs/{job}").status_code == 404
    until = time.monotonic() + 60
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()
    assert 'hififace_jobs_total{kind="video",state="cancelled"} 1.0' in client.get("/metrics").text


def test_nobody_sees_anothers_job(mesh_bundle: Path, album: Path, tmp_path: Path):
    (anna, annas), (ben, bens) = new_key("anna"), new_key("ben")
    limits = ServiceLimits(jobs_per_key=1)
    keys = Keys.parse(f"{annas},{bens}", "test")
    with running(mesh_bundle, tmp_path, keys=keys, limits=limits, jobs_at_once=0) as client:
        own, others = ({"Authorization": f"Bearer {key}"} for key in (anna, ben))
        job = hand_in(client, album, album / "two.png", headers=own).json()["id"]
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/events")):
            answer = client.request(method, f"/v1/jobs/{job}{path}", headers=others)
            assert answer.status_code == 404
        assert client.get("/v1/jobs", headers=others).json() == {"jobs": []}
        assert client.get(f"/v1/jobs/{job}", headers=own).json()["state"] == "waiting"
        again = hand_in(client, album, album / "two.png", headers=own)
        assert again.status_code == 429
        assert "1 jobs of yours are unfinished" in again.json()["detail"]
        assert hand_in(client, album, album / "two.png", headers=others).status_code == 202


def test_a_full_disk_is_an_answer(client: httpx.Client, album: Path, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(routes.shutil, "disk_usage", lambda _: usage)
    answer = hand_in(client, album, album / "two.png")
    assert answer.status_code == 507
    assert answer.json()["title"] == "Insufficient Storage"


def test_a_full_disk_under_the_list_of_jobs_is_an_answer_and_nothing_is_lost(
    mesh_bundle: Path, album: Path, tmp_path: Path
):
    """SQLite's own limit on its pages stands for the disk; jobs taken in before go on when there is room again."""
    limits = ServiceLimits(jobs_per_key=1000)
    with running(mesh_bundle, tmp_path, limits=limits, jobs_at_once=0) as client:
        store = client.service.store  # type: ignore[attr-defined]
        store._base.execute("PRAGMA max_page_count = 1")  # as few as there are
        statuses: list[int] = []
        while 507 not in statuses:
            assert len(statuses) < 200
            answer = hand_in(client, album, album / "target.jpg")
            statuses.append(answer.status_code)
        assert set(statuses) <= {202, 507}
        assert answer.json()["title"] == "Insufficient Storage"
        assert answer.headers["content-type"] == "application/problem+json"
        jobs = client.get("/v1/jobs").json()["jobs"]
        assert len(jobs) == statuses.count(202)
        assert len(list((tmp_path / "files").iterdir())) == len(jobs), "files of a job that was not taken in"
        store._base.execute("PRAGMA max_page_count = 1000000")
        assert hand_in(client, album, album / "target.jpg").status_code == 202


def test_a_job_whose_end_cannot_be_noted_is_done_again(mesh_bundle: Path, album: Path, tmp_path: Path):
    full = sqlite3.OperationalError("database or disk is full")
    with running(mesh_bundle, tmp_path) as client:
        store = client.service.store  # type: ignore[attr-defined]
        finish, tried = store.finish, []

        def refuse_once(*told: Any, **more: Any) -> None:
            tried.append(told)
            if len(tried) == 1:
                raise full
            finish(*told, **more)

        store.finish = refuse_once
        told = finished(client, hand_in(client, album, album / "target.jpg").json()["id"])
        assert told["state"] == "done"
        assert len(tried) == 2


def test_a_killed_service_goes_on_with_the_same_pixels(
    client: httpx.Client, mesh_bundle: Path, album: Path, tmp_path: Path
):
    """Killed while it works, twice; the finished video is that of a service nobody killed."""
    video = face_video(tmp_path / "v.mp4", lambda number: put(room(), head(), 100 + number, 120), 60)
    expected = tmp_path / "expected.mp4"
    expected.write_bytes(
        client.get(finished(client, hand_in(client, album, video).json()["id"])["result"]).content
    )
    words = ("--data", tmp_path / "data", "--bundles", mesh_bundle, "--model", "double", "--threads", "1")
    job = None
    for at_least in (2, 10):
        with process(*words, home=tmp_path / "home") as (service, again):
            if job is None:
                job = hand_in(again, album, video).json()["id"]
            while again.get(f"/v1/jobs/{job}").json()["done"] < at_least:
                time.sleep(0.1)
            service.kill()
            service.wait()
    with process(*words, home=tmp_path / "home") as (service, again):
        told = finished(again, str(job))
        assert told["state"] == "done", told
        (tmp_path / "result.mp4").write_bytes(again.get(told["result"]).content)
        service.terminate()
        assert service.wait(60) == 143
    assert np.array_equal(pixels(tmp_path / "result.mp4"), pixels(expected))


def test_sigterm_finishes_the_images_that_wait(mesh_bundle: Path, album: Path, tmp_path: Path):
    words = ("--data", tmp_path / "data", "--bundles", mesh_bundle, "--model", "double", "--workers", "1")
    files = [
        (name, ("x", (album / file).read_bytes()))
        for name, file in (("source", "me.png"), ("target", "two.png"))
    ]
    asked = {"consent": "true"}

    def number(name: str, figures: str) -> int:
        found = re.search(rf"^{re.escape(name)} ([0-9]+)", figures, re.M)
        return int(found[1]) if found else 0

    with (
        process(*words, "--batch", "1", home=tmp_path / "home") as (service, client),
        ThreadPoolExecutor(8) as threads,
    ):
        answers = [threads.submit(client.post, "/v1/swap", files=files, data=asked) for _ in range(8)]
        waiting = came = 0
        while waiting == 0 or came < 8:
            assert not all(one.done() for one in answers), (
                "all were answered before all were seen in the line"
            )
            figures = client.get("/metrics").text
            waiting = number("hififace_waiting_images", figures)
            came = waiting + 1 + number('hififace_images_total{outcome="swapped"}', figures)
        service.terminate()
        assert [one.result().status_code for one in answers] == [200] * 8
        assert service.wait(60) == 143


def test_sigterm_gives_jobs_back(mesh_bundle: Path, album: Path, tmp_path: Path):
    video = face_video(tmp_path / "v.mp4", lambda number: put(room(), head(), 160, 120), 600)
    words = ("--data", tmp_path / "data", "--bundles", mesh_bundle, "--model", "double", "--threads", "1")
    with process(*words, home=tmp_path / "home") as (service, client):
        job = hand_in(client, album, video).json()["id"]
        while client.get(f"/v1/jobs/{job}").json()["done"] == 0:
            time.sleep(0.1)
        with client.stream("GET", f"/v1/jobs/{job}/events"):  # must not hold the service up
            service.terminate()
            assert service.wait(60) == 143
    with process(*words, "--jobs-at-once", "0", home=tmp_path / "home") as (_, client):
        assert client.get(f"/v1/jobs/{job}").json()["state"] == "waiting"
