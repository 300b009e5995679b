"""Two processes of the service on one folder: each job is worked on by one of them, and a dead one's by the other."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.test_jobs import hand_in, pixels
from tests.support.face_videos import face_video, head, put, room
from tests.support.services import finished, process


def begun(home: Path) -> list[str]:
    """Jobs that a service says it began, in order."""
    lines = [json.loads(line) for line in (home / "log").read_text().splitlines() if line.startswith("{")]
    return [line["job"] for line in lines if line["message"] == "job begins"]


@pytest.mark.slow
def test_two_services_share_a_folder_and_the_living_takes_over(
    client: httpx.Client, mesh_bundle: Path, album: Path, tmp_path: Path
):
    words: tuple[Any, ...] = (
        *("--data", tmp_path / "data", "--bundles", mesh_bundle, "--model", "double", "--threads", "1"),
    )
    homes = [tmp_path / "one", tmp_path / "other"]
    video = face_video(tmp_path / "v.mp4", lambda number: put(room(), head(), 100 + number / 4, 120), 300)
    with (
        process(*words, home=homes[0]) as (one, client_of_one),
        process(*words, home=homes[1]) as (other, client_of_other),
    ):
        both = [client_of_one, client_of_other]
        targets = [album / "target.jpg", album / "two.png"] * 3
        jobs = [hand_in(both[number % 2], album, *targets).json()["id"] for number in range(8)]
        for job in jobs:
            assert finished(client_of_other, job)["state"] == "done"
            assert client_of_one.get(f"/v1/jobs/{job}/result").status_code == 200
        assert sorted(begun(homes[0]) + begun(homes[1])) == sorted(jobs)
        assert begun(homes[0])
        assert begun(homes[1])

        long = hand_in(client_of_one, album, video).json()["id"]
        while client_of_one.get(f"/v1/jobs/{long}").json()["done"] < 250:  # a segment is safe
            time.sleep(0.05)
        dead, living = (one, 1) if long in begun(homes[0]) else (other, 0)
        dead.kill()
        dead.wait()
        told = finished(both[living], long)
        assert told["state"] == "done", told
        assert told["report"]["num_frames_resumed"] == 240
        assert begun(homes[living])[-1] == long
        (tmp_path / "taken-over.mp4").write_bytes(both[living].get(told["result"]).content)
    alone = finished(client, hand_in(client, album, video).json()["id"])
    (tmp_path / "alone.mp4").write_bytes(client.get(alone["result"]).content)
    assert (pixels(tmp_path / "taken-over.mp4") == pixels(tmp_path / "alone.mp4")).all()
