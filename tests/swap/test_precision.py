"""The generator's arithmetic: measured once, kept, and only what is faster and right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hififace.errors import OptionError
from hififace.swap import precision
from hififace.swap.engine import Engine
from hififace.swap.precision import Measured, Precision, choose, compare
from hififace.swapper import FaceSwapper
from hififace.weights import openvino_graph
from hififace.weights.bundle import load_bundle
from hififace.weights.sessions import Session

FASTER = Measured({"float32": 100.0, "int8": 50.0}, {"int8": 46.0})
HAS_BFLOAT16 = openvino_graph.why_not() is None
needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="needs OpenVINO and a processor with bfloat16")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_bundle("mini"), providers=["cpu"], threads=1)


@pytest.fixture
def opened(engine: Engine) -> Callable[[Precision], Session]:
    return lambda name: engine._generator.session


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """What `compare` finds, one after the other."""
    waiting: list[Measured] = []
    monkeypatch.setattr(precision, "compare", lambda *_: waiting.pop(0))
    return waiting


def of_int8(milliseconds: float, agreement: float, float32: float = 100.0) -> Measured:
    return Measured({"float32": float32, "int8": milliseconds}, {"int8": agreement})


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        (FASTER, "int8"),
        (of_int8(90.0, 46.0), "float32"),  # hardly faster
        (of_int8(100.0, 46.0, float32=50.0), "float32"),
        (of_int8(50.0, 15.0), "float32"),  # a processor that loses bits
        (Measured({"float32": 80.0, "int8": 44.0, "bfloat16": 20.0}, {"int8": 46.0, "bfloat16": 57.0}), "bfloat16"),
        (Measured({"float32": 80.0, "int8": 44.0, "bfloat16": 60.0}, {"int8": 46.0, "bfloat16": 57.0}), "int8"),
        (Measured({"float32": 80.0, "int8": 44.0, "bfloat16": 20.0}, {"int8": 46.0, "bfloat16": 20.0}), "int8"),
    ],
)  # fmt: skip
def test_only_what_is_fastest_and_right(measured: Measured, best: str) -> None:
    assert measured.best == best
    assert measured.sentence.startswith(f"{best}: a face takes ")


def test_it_is_measured_once(
    engine: Engine, opened: Callable[[Precision], Session], home: Path, measured: list[Measured]
) -> None:
    measured.append(FASTER)
    first = choose(engine.bundle, opened, ["int8"])
    assert choose(engine.bundle, opened, ["int8"]) == first == FASTER
    (kept,) = json.loads((home / "precision.json").read_text()).values()
    assert kept["milliseconds"]["int8"] == 50.0


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}'])
def test_a_damaged_record_is_made_anew(
    engine: Engine,
    opened: Callable[[Precision], Session],
    home: Path,
    measured: list[Measured],
    text: str,
) -> None:
    (home / "precision.json").write_text(text)
    measured.append(FASTER)
    assert choose(engine.bundle, opened, ["int8"]) == FASTER
    assert len(json.loads((home / "precision.json").read_text())) == (2 if "x" in text else 1)


def test_a_record_of_an_earlier_version_is_made_anew(
    engine: Engine, opened: Callable[[Precision], Session], home: Path, measured: list[Measured]
) -> None:
    measured += [FASTER, FASTER]
    choose(engine.bundle, opened, ["int8"])
    (key,) = json.loads((home / "precision.json").read_text())
    (home / "precision.json").write_text(
        json.dumps({key: {"float32_ms": 1.0, "int8_ms": 2.0, "decibels": 46.0}})
    )
    assert choose(engine.bundle, opened, ["int8"]) == FASTER
    assert measured == []


@pytest.mark.parametrize("runtime", ["runtime_version", "openvino_version"])
def test_another_version_of_a_runtime_is_another_measurement(
    engine: Engine,
    opened: Callable[[Precision], Session],
    home: Path,
    measured: list[Measured],
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
) -> None:
    slower = of_int8(100.0, 46.0, float32=50.0)
    measured += [FASTER, slower]
    choose(engine.bundle, opened, ["int8"])
    monkeypatch.setattr(precision, runtime, lambda: "0.0")
    assert choose(engine.bundle, opened, ["int8"]) == slower


def test_other_choices_are_another_measurement(
    engine: Engine, opened: Callable[[Precision], Session], home: Path, measured: list[Measured]
) -> None:
    both = Measured({"float32": 80.0, "int8": 44.0, "bfloat16": 20.0}, {"int8": 46.0, "bfloat16": 57.0})
    measured += [FASTER, both]
    choose(engine.bundle, opened, ["int8"])
    assert choose(engine.bundle, opened, ["int8", "bfloat16"]) == both
    assert choose(engine.bundle, opened, ["int8"]) == FASTER


def test_the_graphs_are_really_compared(engine: Engine) -> None:
    int8 = engine.for_videos("int8")
    found = compare(engine.bundle, {"float32": engine._generator.session, "int8": int8._generator.session})
    assert found.decibels["int8"] > 30
    assert min(found.milliseconds.values()) > 0


def test_videos_take_what_was_measured_and_share_the_rest(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hififace.swap.engine.choose", lambda *_: FASTER)
    fresh = Engine(engine.bundle, providers=["cpu"], threads=1)
    other = fresh.for_videos()
    assert (fresh.precision, other.precision) == ("float32", "int8")
    assert other._generator is not fresh._generator
    assert other.landmarker is fresh.landmarker
    assert fresh.for_videos() is other
    assert fresh.for_videos("float32")._generator is fresh._generator


def test_only_what_is_possible_is_measured(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[Precision]] = []

    def chosen(bundle: object, open_session: object, others: Sequence[Precision]) -> Measured:
        asked.append(others)
        return FASTER

    monkeypatch.setattr("hififace.swap.engine.choose", chosen)
    monkeypatch.setattr(openvino_graph, "why_not", lambda: "this processor has no instructions for it")
    Engine(engine.bundle, providers=["cpu"], threads=1).for_videos()
    monkeypatch.setattr(openvino_graph, "why_not", lambda: None)
    Engine(engine.bundle, providers=["cpu"], threads=1).for_videos()
    assert asked == [["int8"], ["int8", "bfloat16"]]


def test_nothing_is_measured_where_nothing_else_is_possible(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_graph, "why_not", lambda: "OpenVINO is not installed")
    fresh = Engine(without_int8(engine), providers=["cpu"], threads=1)
    video = fresh.for_videos()
    assert video.precision == "float32"
    assert "has no int8 graph" in video.precision_reason
    assert "OpenVINO is not installed" in video.precision_reason
    with pytest.raises(OptionError, match="hififace quantise"):
        fresh.for_videos("int8")
    with pytest.raises(OptionError, match="precision is bfloat16, but OpenVINO is not installed"):
        fresh.for_videos("bfloat16")


def without_int8(engine: Engine):
    graphs = engine.bundle.graphs.model_copy(update={"generator_int8": None})
    lacking = engine.bundle.model_copy(update={"graphs": graphs})
    lacking._folder = engine.bundle.folder
    return lacking


@needs_bfloat16
def test_images_and_videos_in_bfloat16(engine: Engine) -> None:
    swapper = FaceSwapper.load("mini", providers=["cpu"], threads=1, precision="bfloat16")
    assert (swapper.engine.precision, engine.precision) == ("bfloat16", "float32")
    assert swapper.engine.for_videos("float32").precision == "float32"
    found = compare(
        engine.bundle,
        {"float32": engine._generator.session, "bfloat16": swapper.engine._generator.session},
    )
    assert found.decibels["bfloat16"] > 45


@pytest.mark.skipif(HAS_BFLOAT16, reason="this processor has it")
def test_images_in_bfloat16_where_there_is_none() -> None:
    with pytest.raises(OptionError, match="precision is bfloat16, but"):
        FaceSwapper.load("mini", providers=["cpu"], precision="bfloat16")


def test_swapped_images_agree(engine: Engine) -> None:
    """Of a real face, at the precision that images of 8 bits have."""
    examples = Path(__file__).parents[2] / "examples"
    exact = FaceSwapper(engine)
    results = []
    for one in ("float32", "bfloat16" if HAS_BFLOAT16 else "int8"):
        swapper = exact if one == "float32" else FaceSwapper.load("mini", threads=1, precision=one)
        source = swapper.read_source(examples / "officer.jpg")
        results.append(swapper.swap(examples / "astronaut.jpg", sources=source))
    error = np.abs(np.subtract(*(np.asarray(result.image, np.float32) for result in results)))
    assert error.mean() < 0.5  # levels
    assert error.max() > 0  # another arithmetic really ran
