"""Two real Ray nodes, one of which is killed in the middle: what comes out is what one machine makes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

from hififace.provenance.verify import check_file
from tests.support.face_videos import face_video, head, put, room
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.services import finished, process

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no process groups"),
]

VIDEOS = ("one.mp4", "two.mp4")


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    """A folder of twenty images, one of them without a face, and two videos of two segments."""
    folder = tmp_path / "targets"
    folder.mkdir()
    face = np.ascontiguousarray(data.astronaut()[20:250, 110:340])
    Image.fromarray(face).save(tmp_path / "me.png")
    for number in range(19):
        Image.fromarray(np.roll(face // 2 + 5 * number, number, axis=1)).save(folder / f"{number:02d}.png")
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save(folder / "empty.png")
    for name, left in zip(VIDEOS, (90, 130), strict=True):
        face_video(folder / name, lambda n, x=left: put(room(), head(), x + n / 8, 120), 400, sound=True)
    return folder


def content(file: Path) -> Any:
    """Everything of a result but its signature, which is another each time: pixels, or packets of all streams."""
    if file.suffix != ".mp4":
        return np.asarray(Image.open(file)).tobytes()
    with av.open(str(file)) as video:
        return [(p.stream.index, p.pts, p.dts, p.duration, bytes(p)) for p in video.demux() if p.size]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "hififace", *map(str, words)]


def wait_for(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def segments(folder: Path, name: str) -> list[Path]:
    """Whole ones."""
    found = folder.glob(f".{name}*.unfinished/*.hfseg")
    return [path for path in found if not path.name.startswith(".")]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[RayNodes]:
    with ray_nodes(tmp_path / "home") as nodes:
        nodes.join(1)
        yield nodes


def test_a_folder_and_two_videos_survive_the_loss_of_a_machine(
    nodes: RayNodes, mesh_bundle: Path, targets: Path, tmp_path: Path
):
    words = [tmp_path / "me.png", targets, "--model", mesh_bundle, "--threads", 1, "-o"]
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    here = {name: value for name, value in nodes.env.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command("swap", *words, alone), env=here, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # one image shows nobody

    with subprocess.Popen(
        command("swap", *words, spread, "--ray"),
        env=nodes.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        # Each node has one core, so each has one of the videos.
        wait_for(
            lambda: all(segments(spread, name) for name in VIDEOS) or running.poll() is not None,
            "no segment of both videos",
        )
        assert not any((spread / name).exists() for name in VIDEOS)
        nodes.kill(1)
        told, errors = running.communicate(timeout=600)
    assert running.returncode == 1, errors
    assert "empty.png" in errors
    assert "1 of 22 could not be swapped" in errors
    # Ray may take longer to call a machine lost than the other one needs to finish its work.
    assert re.search(
        r"19 images and 800 frames \(\d+\.\d a second\), in \d+\.\d s on (1 machine|2 machines)", errors
    )
    assert len(told.splitlines()) == 21
    # What the lost machine had finished of its video was not done again.
    assert "frames were there from an earlier run" in told
    names = sorted(path.name for path in alone.iterdir())
    assert sorted(path.name for path in spread.iterdir()) == names
    assert len(names) == 21
    for name in names:
        assert content(spread / name) == content(alone / name), name
        assert check_file(spread / name).marked


def test_jobs_of_the_service_survive_the_loss_of_a_machine(
    nodes: RayNodes, mesh_bundle: Path, targets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def hand_in(client: Any, name: str) -> str:
        files = [
            ("source", ("x", (tmp_path / "me.png").read_bytes())),
            ("target", ("x", (targets / name).read_bytes())),
        ]
        answer = client.post("/v1/jobs", files=files, data={"consent": "true"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def results(client: Any, jobs: list[str]) -> list[Any]:
        made = []
        for number, job in enumerate(jobs):
            told = finished(client, job)
            assert told["state"] == "done", told
            assert told["done"] == told["expected"] == 400
            file = tmp_path / f"{number}.mp4"
            file.write_bytes(client.get(told["result"]).content)
            assert check_file(file).marked
            made.append(content(file))
        return made

    words = ("--bundles", mesh_bundle, "--model", "double", "--threads", "1")
    with process("--data", tmp_path / "alone", *words, home=tmp_path / "home") as (_, client):
        expected = results(client, [hand_in(client, name) for name in VIDEOS])
    for name, value in nodes.env.items():
        monkeypatch.setenv(name, value)
    data_folder = tmp_path / "spread"
    with process("--data", data_folder, *words, "--ray", home=tmp_path / "home") as (_, client):
        jobs = [hand_in(client, name) for name in VIDEOS]
        wait_for(
            lambda: all(segments(data_folder / "files" / job, "result") for job in jobs),
            "no segment of both videos",
        )
        assert all(client.get(f"/v1/jobs/{job}").json()["state"] == "working" for job in jobs)
        nodes.kill(1)
        assert results(client, jobs) == expected
        cancelled = hand_in(client, VIDEOS[0])
        wait_for(lambda: client.get(f"/v1/jobs/{cancelled}").json()["done"] > 0, "no progress")
        assert client.delete(f"/v1/jobs/{cancelled}").status_code == 204
        wait_for(lambda: not (data_folder / "files" / cancelled).exists(), "the task goes on")
