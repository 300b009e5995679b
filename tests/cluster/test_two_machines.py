"""Two real Ray nodes, one of which is killed in the middle: what comes out is what one machine makes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from hififace.provenance.verify import check_file
from tests.support.face_videos import head, put, room
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.services import finished, process
from tests.support.videos import Recipe, Sound, make_video

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no process groups"),
]

VIDEOS = ("one.mp4", "two.mp4")
ENCODER = "ultrafast"


class Size(NamedTuple):
    """How much there is to do. A segment has 240 frames; when it is safe, the 40 behind it are nearly done, too."""

    images: int
    """With a face; one more shows none."""
    frames: int
    """Of each video."""
    side: tuple[int, int]
    """Of a frame, px."""


class Work(NamedTuple):
    """What is to be done, and what one machine made of it."""

    size: Size
    source: Path
    targets: Path
    alone: Path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Size(7, 440, (160, 120)), id="small"),
        pytest.param(Size(19, 500, (320, 240)), id="large"),
    ],
)
def work(request: pytest.FixtureRequest, nodes: RayNodes, mesh_bundle: Path, tmp_path_factory: Any) -> Work:
    """A folder of images, one of them without a face, and two videos of two segments or more; and their results."""
    size, place = request.param, tmp_path_factory.mktemp("work")
    done = Work(size, place / "me.png", place / "targets", place / "alone")
    done.targets.mkdir()
    face = np.ascontiguousarray(data.astronaut()[20:250, 110:340])
    Image.fromarray(face).save(done.source)
    for number in range(size.images):
        Image.fromarray(np.roll(face // 2 + 5 * number, number, axis=1)).save(
            done.targets / f"{number:02d}.png"
        )
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save(done.targets / "empty.png")
    for name, left in zip(VIDEOS, (90, 130), strict=True):
        recipe = Recipe(
            seconds=size.frames / 25,
            size=size.side,
            draw=lambda n, _seconds, side, x=left: cv2.resize(put(room(), head(), x + n / 8, 120), side),
            sounds=(Sound(click_times_s=(0.2, 0.6)),),
            options={"crf": "14", "preset": "ultrafast"},
        )
        make_video(done.targets / name, recipe)
    here = {name: value for name, value in nodes.env.items() if name != "RAY_ADDRESS"}
    ended = subprocess.run(
        command(*words_of(done, mesh_bundle), "-o", done.alone), env=here, capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr  # one image shows nobody
    return done


def words_of(work: Work, bundle: Path) -> list[object]:
    """The command, without where its results are to be."""
    told = ["--model", bundle, "--threads", 1, "--preset", ENCODER]
    return ["swap", work.source, work.targets, *told]


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


def is_at_work(nodes: RayNodes, node: int, folder: Path, name: str) -> bool:
    """Whether this node holds the unfinished work on a video, and a segment of it is safe."""
    return any(nodes.has_open(node, one.with_name(".in-use")) for one in segments(folder, name))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    """The head; each test has another second node, which it kills."""
    with ray_nodes(tmp_path_factory.mktemp("nodes") / "home") as nodes:
        yield nodes


def test_a_folder_and_two_videos_survive_the_loss_of_a_machine(
    nodes: RayNodes, mesh_bundle: Path, work: Work, tmp_path: Path
):
    other, spread = nodes.join(1), tmp_path / "spread"
    with subprocess.Popen(
        command(*words_of(work, mesh_bundle), "-o", spread, "--ray"),
        env=nodes.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        # Each node has one core, so each has one of the videos.
        wait_for(
            lambda: (
                any(is_at_work(nodes, other, spread, name) for name in VIDEOS) or running.poll() is not None
            ),
            "no segment by the second node",
        )
        assert running.poll() is None
        nodes.kill(other)
        told, errors = running.communicate(timeout=600)
    size = work.size
    assert running.returncode == 1, errors
    assert "empty.png" in errors
    assert f"1 of {size.images + 3} could not be swapped" in errors
    # How many machines are left, Ray may not have noticed yet.
    done = rf"{size.images} images and {2 * size.frames} frames \(\d+\.\d a second\), in \d+\.\d s on [12] machine"
    assert re.search(done, errors)
    assert len(told.splitlines()) == size.images + 2
    # What the lost machine had finished of its video was not done again.
    assert "frames were there from an earlier run" in told
    names = sorted(path.name for path in work.alone.iterdir())
    assert sorted(path.name for path in spread.iterdir()) == names
    assert len(names) == size.images + 2
    for name in names:
        assert content(spread / name) == content(work.alone / name), name
        assert check_file(spread / name).marked


def test_jobs_of_the_service_survive_the_loss_of_a_machine(
    nodes: RayNodes, mesh_bundle: Path, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def hand_in(client: Any, name: str) -> str:
        files = [
            ("source", ("x", work.source.read_bytes())),
            ("target", ("x", (work.targets / name).read_bytes())),
        ]
        asked = {"consent": "true", "preset": f'"{ENCODER}"'}
        answer = client.post("/v1/jobs", files=files, data=asked)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    other = nodes.join(1)
    for name, value in nodes.env.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "spread"
    words = ("--data", folder, "--bundles", mesh_bundle, "--model", "double", "--threads", "1", "--ray")
    with process(*words, home=tmp_path / "home") as (_, client):
        jobs = {name: hand_in(client, name) for name in VIDEOS}
        places = [folder / "files" / job for job in jobs.values()]
        wait_for(
            lambda: any(is_at_work(nodes, other, place, "result") for place in places),
            "no segment by the second node",
        )
        nodes.kill(other)  # at once: the rest of the video takes a second or two
        for name, job in jobs.items():
            told = finished(client, job)
            assert told["state"] == "done", told
            assert told["done"] == told["expected"] == work.size.frames
            file = tmp_path / name
            file.write_bytes(client.get(told["result"]).content)
            assert check_file(file).marked
            # The service over Ray makes what the command makes on one machine.
            assert content(file) == content(work.alone / name), name
        cancelled = hand_in(client, VIDEOS[0])
        wait_for(lambda: client.get(f"/v1/jobs/{cancelled}").json()["done"] > 0, "no progress")
        assert client.delete(f"/v1/jobs/{cancelled}").status_code == 204
        wait_for(lambda: not (folder / "files" / cancelled).exists(), "the task goes on")
