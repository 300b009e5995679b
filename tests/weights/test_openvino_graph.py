"""OpenVINO behind the interface of ONNX Runtime's sessions."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hififace.errors import RuntimeUnavailableError, WeightsError
from hififace.weights import openvino_graph
from hififace.weights.bundle import load_bundle
from hififace.weights.openvino_graph import OpenVinoGraph, why_not
from hififace.weights.sessions import open_bfloat16_session, open_session

needs_bfloat16 = pytest.mark.skipif(
    why_not() is not None, reason="needs OpenVINO and a processor with bfloat16"
)
GRAPH = load_bundle("mini").path("generator")
SIZE = load_bundle("mini").vector_size
BATCHES = [1, 2]


def feeds(batch: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.standard_normal((batch, 3, 256, 256)), axis=-1, dtype=np.float32)
    return {
        "target": 0.5 + 0.02 * smooth,
        "identity_vector": 0.1 * rng.standard_normal((batch, SIZE), dtype=np.float32),
    }


@needs_bfloat16
@pytest.mark.parametrize("batch", BATCHES)
def test_it_agrees_with_onnx_runtime(batch: int) -> None:
    exact = open_session(GRAPH, providers=["cpu"], threads=1)
    session = open_bfloat16_session(GRAPH, threads=1)
    assert (session.provider, session.on_cpu, session.threads) == ("OpenVINO", True, 1)
    assert [(one.name, one.shape[1:]) for one in session.inputs] == [
        (one.name, one.shape[1:]) for one in exact.inputs
    ]
    expected, found = exact.run(feeds(batch)), session.run(feeds(batch))
    assert {name: array.shape for name, array in found.items()} == {
        name: array.shape for name, array in expected.items()
    }
    for name, array in found.items():
        assert array.dtype == np.float32
        assert np.abs(array - expected[name]).mean() < 5e-3


@needs_bfloat16
def test_results_are_the_callers_and_the_same_every_time() -> None:
    session = open_bfloat16_session(GRAPH, threads=1)
    first = session.run(feeds())["image"]
    kept = first.copy()
    other = session.run(feeds(seed=1))["image"]
    assert (first == kept).all()  # not overwritten by the next run
    assert (other != kept).any()
    assert (session.run(feeds())["image"] == kept).all()


@needs_bfloat16
def test_threads_may_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_graph, "usable_cores", lambda: 2)
    session = open_bfloat16_session(GRAPH, threads=1)
    expected = [session.run(feeds(seed=seed))["image"] for seed in range(4)]
    found: dict[int, np.ndarray] = {}

    def work(seed: int) -> None:
        found[seed] = session.run(feeds(seed=seed))["image"]

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all((found[seed] == expected[seed]).all() for seed in range(4))


@needs_bfloat16
def test_few_shapes_are_kept() -> None:
    graph = OpenVinoGraph(GRAPH, 1)
    for batch in range(1, 7):
        graph.run(["image"], feeds(batch))
    assert len(graph._idle) == openvino_graph._KEPT_SHAPES


@needs_bfloat16
def test_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "generator.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"generator\.onnx cannot be opened by OpenVINO"):
        open_bfloat16_session(tmp_path / "generator.onnx")


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino_graph._core.cache_clear()
    monkeypatch.setattr(openvino_graph, "_lacks_instructions", lambda: False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    try:
        with pytest.raises(RuntimeUnavailableError, match="OpenVINO is not installed"):
            open_bfloat16_session(GRAPH)
    finally:
        openvino_graph._core.cache_clear()


@pytest.mark.parametrize(
    ("flags", "lacks"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile", False),
        ("flags\t\t: fpu avx2 avx512_bf16", False),
        ("flags\t\t: fpu avx2 avx512f", True),
        ("Features\t: fp asimd bf16", False),
    ],
)
def test_processors_without_instructions_are_known_without_importing_openvino(
    flags: str, lacks: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: X\n{flags}\n")
    assert openvino_graph._lacks_instructions(tmp_path / "cpuinfo") is lacks
    assert not openvino_graph._lacks_instructions(tmp_path / "nothing")
