"""Float32 or int8: measured once, kept, and only what is faster and right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hififace.errors import OptionError
from hififace.swap import precision
from hififace.swap.engine import Engine
from hififace.swap.precision import Measured, choose
from hififace.weights.bundle import load_bundle

FASTER = Measured(float32_ms=100.0, int8_ms=50.0, decibels=46.0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_bundle("mini"), providers=["cpu"], threads=1)


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        (FASTER, "int8"),
        (Measured(100.0, 90.0, 46.0), "float32"),  # hardly faster
        (Measured(50.0, 100.0, 46.0), "float32"),
        (Measured(100.0, 50.0, 15.0), "float32"),  # a processor that loses bits
    ],
)
def test_only_what_is_faster_and_right(measured: Measured, best: str) -> None:
    assert measured.best == best
    assert measured.sentence.startswith(f"{best}: ")


def test_it_is_measured_once(engine: Engine, home: Path) -> None:
    session = engine._generator.session
    calls: list[int] = []

    def measure(*_: object) -> Measured:
        calls.append(1)
        return FASTER

    first = choose(engine.bundle, session, session, measure=measure)
    assert choose(engine.bundle, session, session, measure=measure) == first == FASTER
    assert len(calls) == 1
    (kept,) = json.loads((home / "precision.json").read_text()).values()
    assert kept["int8_ms"] == 50.0


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}'])
def test_a_damaged_record_is_made_anew(engine: Engine, home: Path, text: str) -> None:
    (home / "precision.json").write_text(text)
    session = engine._generator.session
    assert choose(engine.bundle, session, session, measure=lambda *_: FASTER) == FASTER
    assert len(json.loads((home / "precision.json").read_text())) == (2 if "x" in text else 1)


def test_another_version_of_the_runtime_is_another_measurement(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine._generator.session
    choose(engine.bundle, session, session, measure=lambda *_: FASTER)
    monkeypatch.setattr(precision, "runtime_version", lambda: "0.0")
    slower = Measured(50.0, 100.0, 46.0)
    assert choose(engine.bundle, session, session, measure=lambda *_: slower) == slower


def test_the_graphs_are_really_compared(engine: Engine) -> None:
    int8 = engine.for_videos("int8")
    found = precision.compare(engine.bundle, engine._generator.session, int8._generator.session)
    assert found.decibels > 30
    assert found.float32_ms > 0
    assert found.int8_ms > 0


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


def test_a_bundle_without_the_graph(engine: Engine) -> None:
    graphs = engine.bundle.graphs.model_copy(update={"generator_int8": None})
    lacking = engine.bundle.model_copy(update={"graphs": graphs})
    lacking._folder = engine.bundle.folder
    fresh = Engine(lacking, providers=["cpu"], threads=1)
    assert fresh.for_videos().precision == "float32"
    with pytest.raises(OptionError, match="hififace quantise"):
        fresh.for_videos("int8")
