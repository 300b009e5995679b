from __future__ import annotations

import base64
import io
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from hififace.errors import NoFaceFoundError
from hififace.hosting.consent import CONSENT
from hififace.media.image import read_image
from hififace.provenance.verify import check_file
from hififace.server import line
from hififace.server.metrics import Metrics
from hififace.server.settings import ServiceLimits
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.source_map import SourceMap
from hififace.swapper import FaceSwapper
from tests.support.services import running


def photos(album: Path, source: str = "me.png", target: str = "target.jpg") -> list[tuple[str, Any]]:
    return [
        ("source", ("x", (album / source).read_bytes())),
        ("target", ("x", (album / target).read_bytes())),
    ]


def test_a_form_gives_the_file_that_the_library_gives(
    client: httpx.Client, album: Path, mesh_bundle: Path, tmp_path: Path
):
    answer = client.post("/v1/swap", files=photos(album), data={"consent": "true", "detail": "0.5"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-faces-swapped"] == "1"
    assert answer.headers["cache-control"] == "no-store"
    file = tmp_path / "result.jpg"
    file.write_bytes(answer.content)
    swapper = FaceSwapper.load(mesh_bundle, threads=1)
    swapper.set_source(album / "me.png")
    expected = np.asarray(swapper.swap(album / "target.jpg", detail=0.5))
    # JPEG, at quality 95.
    assert np.abs(np.asarray(Image.open(file)).astype(int) - expected).mean() < 2.0
    claim = check_file(file).claim
    assert claim is not None
    assert claim.consent_confirmed is True
    assert claim.consent_statement == CONSENT


def test_json_gives_json(client: httpx.Client, album: Path):
    encoded = {
        name: base64.b64encode((album / file).read_bytes()).decode()
        for name, file in (("source", "me.png"), ("target", "two.png"))
    }
    asked = {**encoded, "consent": True, "consent_statement": "Both agreed.", "select": [1], "format": "PNG"}
    answer = client.post("/v1/swap", json=asked, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["media_type"] == "image/png"
    assert Image.open(io.BytesIO(base64.b64decode(told["image"]))).size == (460, 230)
    assert [face["swapped"] for face in told["report"]["faces"]] == [False, True]
    assert told["report"]["faces"][0]["reason"] == "it was not selected"


@pytest.mark.parametrize("consent", ["false", "1", '"true"', "yes", "null", "[true]", None])
def test_only_true_is_consent(client: httpx.Client, album: Path, consent: str | None):
    answer = client.post(
        "/v1/swap", files=photos(album), data={} if consent is None else {"consent": consent}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert [one["field"] for one in told["errors"]] == ["consent"]
    assert told["status"] == 422
    assert told["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shape_rate": "2"}, "shape_rate"),
        ({"shape_rate": "NaN"}, "shape_rate"),
        ({"passes": "1.5"}, "passes"),
        ({"select": "/etc/passwd"}, "select"),
        ({"select": "[-1]"}, "select"),
        ({"batch_size": "9"}, "batch_size"),
        ({"format": '"SVG"'}, "format"),
        ({"consent_statement": '""'}, "consent_statement"),
    ],
)
def test_a_wrong_value_is_a_sentence_with_its_field(
    client: httpx.Client, album: Path, changes: dict[str, str], field: str
):
    answer = client.post("/v1/swap", files=photos(album), data={"consent": "true", **changes})
    assert answer.status_code == 422
    assert {one["field"].split(".")[0] for one in answer.json()["errors"]} == {field}
    assert "/etc" not in answer.text


@pytest.mark.parametrize(
    ("source", "target", "field", "sentence"),
    [
        ("empty.png", "target.jpg", "source", "No face was found"),
        ("me.png", "empty.png", "target", "No face was found"),
        ("broken.jpg", "target.jpg", "source", "is not an image"),
        ("me.png", "broken.jpg", "target", "is not an image"),
        ("two.png", "target.jpg", "source", "none is clearly the largest"),
    ],
)
def test_a_photo_that_cannot_be_used_is_named(
    client: httpx.Client, album: Path, source: str, target: str, field: str, sentence: str
):
    answer = client.post("/v1/swap", files=photos(album, source, target), data={"consent": "true"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert sentence in error["message"]


def test_bodies_of_other_kinds_are_sentences(client: httpx.Client):
    for body, kind, status in (
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "application/json", 422),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data; boundary=b", 400),
        (b"", "multipart/form-data", 400),
    ):
        answer = client.post("/v1/swap", content=body, headers={"content-type": kind})
        assert answer.status_code == status, (body[:9], kind, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


def test_base64_that_is_none_is_a_sentence(client: httpx.Client):
    answer = client.post("/v1/swap", json={"source": "?", "target": "", "consent": True})
    assert answer.json()["errors"] == [{"field": "source", "message": "it is not base64"}]


def test_faces_are_found_in_both_ways(client: httpx.Client, album: Path):
    data = (album / "two.png").read_bytes()
    by_form = client.post("/v1/faces", files={"image": ("x", data)}).json()
    by_json = client.post("/v1/faces", json={"image": base64.b64encode(data).decode()}).json()
    assert by_form == by_json
    assert (by_form["width"], by_form["height"]) == (460, 230)
    assert [face["index"] for face in by_form["faces"]] == [0, 1]
    left, right = by_form["faces"]
    assert left["box"][2] < 230 < right["box"][0]
    assert len(left["points"]) == 5
    assert (
        client.post("/v1/faces", files={"image": ("x", (album / "empty.png").read_bytes())}).json()["faces"]
        == []
    )


def test_models_are_listed_with_their_licences(client: httpx.Client):
    models = {one["name"]: one for one in client.get("/v1/models").json()["models"]}
    assert models["double"]["default"] is True
    assert models["mini"]["usable"] is True
    assert models["mini"]["licence"]


def test_an_unknown_model_is_a_sentence(client: httpx.Client, album: Path):
    answer = client.post("/v1/swap", files=photos(album), data={"consent": "true", "model": "other"})
    assert answer.status_code == 422
    assert "There is no model 'other' here" in answer.json()["detail"]


def test_requests_share_runs_and_nobody_gets_anothers(
    mesh_bundle: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begun, go_on, work = threading.Event(), threading.Event(), line.ImageLine._work

    def held(*taken: Any) -> None:
        begun.set()
        assert go_on.wait(600)
        work(*taken)

    monkeypatch.setattr(line.ImageLine, "_work", held)
    with running(mesh_bundle, tmp_path, batch=4, workers=1) as client, ThreadPoolExecutor(9) as threads:

        def send(name: str) -> Future[httpx.Response]:
            files = photos(album, "me.png", name)
            return threads.submit(client.post, "/v1/swap", files=files, data={"consent": "true"})

        own_line = client.service.line  # type: ignore[attr-defined]
        names = ["me.png"]
        pending = [send("me.png")]
        assert begun.wait(600)
        for name in ["two.png", "me.png"] * 3 + ["empty.png", "two.png"]:
            names.append(name)
            pending.append(send(name))
        until = time.monotonic() + 600
        while len(own_line._waiting) < 8 and time.monotonic() < until:
            time.sleep(0.01)
        go_on.set()
        answers = [one.result() for one in pending]
        for name, answer in zip(names, answers, strict=True):
            if name == "empty.png":
                assert answer.status_code == 422
            else:
                assert Image.open(io.BytesIO(answer.content)).size == {"two.png": (460, 230)}.get(
                    name, (230, 230)
                )
        figures = client.get("/metrics").text
        assert "hififace_batches_total 3.0" in figures  # the first one, and twice four
        assert 'hififace_images_total{outcome="swapped"} 8.0' in figures
        assert 'hififace_images_total{outcome="failed"} 1.0' in figures


def test_a_full_line_is_an_answer(mesh_bundle: Path, album: Path, tmp_path: Path):
    with running(mesh_bundle, tmp_path, limits=ServiceLimits(queue=1)) as client:
        client.service.line._most = 0  # type: ignore[attr-defined]
        answer = client.post("/v1/swap", files=photos(album), data={"consent": "true"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "as many as this service takes" in answer.json()["detail"]


def test_idle_threads_share_what_waits(tmp_path: Path):
    """Four images and two threads: two each, not four for the one and none for the other."""
    own_line = line.ImageLine(Metrics(), [], workers=0, batch=8, waiting=9)
    options = SwapOptions()
    for model in ("a", "a", "a", "a", "b"):
        own_line._join(line.LoadedWork(model, None, options, OutputOptions(), SourceMap()))  # type: ignore[arg-type]
    own_line._num_idle = 2
    assert [place.work.model for place in own_line._taken()] == ["a", "a", "a"]
    own_line._num_idle = 1
    assert [place.work.model for place in own_line._taken()] == ["a"]  # another model is another run
    assert [place.work.model for place in own_line._taken()] == ["b"]
    assert own_line._taken() == []


def test_opencv_takes_no_more_threads_than_a_run_of_the_network(mesh_bundle: Path, tmp_path: Path):
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        with running(mesh_bundle, tmp_path, threads=1):
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_each_device_has_its_own_models_and_threads(mesh_bundle: Path, album: Path, tmp_path: Path):
    """Two devices, which are both the CPU here: both work at the same time, each with its own sessions."""
    with (
        running(mesh_bundle, tmp_path, devices=("cpu", "cpu"), workers=1, batch=1) as client,
        ThreadPoolExecutor(2) as threads,
        pytest.MonkeyPatch.context() as patch,
    ):
        both, engines, swap_images = threading.Barrier(2, timeout=600), [], line.swap_images

        def together(engine: Any, *more: Any) -> Any:
            engines.append(engine)
            both.wait()
            return swap_images(engine, *more)

        patch.setattr(line, "swap_images", together)
        send = [
            threads.submit(client.post, "/v1/swap", files=photos(album), data={"consent": "true"})
            for _ in range(2)
        ]
        answers = [one.result() for one in send]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert engines[0] is not engines[1]
    assert pixels_of(answers[0]) == pixels_of(answers[1])


def pixels_of(answer: httpx.Response) -> bytes:
    return Image.open(io.BytesIO(answer.content)).tobytes()


def test_the_line_serves_those_who_read_their_images_themselves(client: httpx.Client, album: Path):
    service = client.service  # type: ignore[attr-defined]
    swapper = service.bundles.swapper("double")
    source = SourceMap(swapper.read_source(album / "me.png"))
    options, output = SwapOptions(), OutputOptions(consent_confirmed=True)
    turns = service.turns()
    before = service.metrics.batches._value.get()
    result = turns.swap_image("double", read_image(album / "two.png"), options, output, source)
    assert service.metrics.batches._value.get() == before + 1
    assert np.array_equal(
        np.asarray(result), np.asarray(swapper.swap(album / "two.png", options, output, sources=source))
    )
    with pytest.raises(NoFaceFoundError):
        turns.swap_image("double", read_image(album / "empty.png"), options, output, source)
    assert turns.meter is service.meter
