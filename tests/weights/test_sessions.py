"""Sessions: the provider in use is known, a missing one is said aloud, and broken files give sentences."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hififace.errors import OptionError, WeightsError
from hififace.weights import sessions
from hififace.weights.sessions import (
    CPU,
    choose_providers,
    full_provider_name,
    open_session,
    runs_at_once,
)

CUDA = "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """A graph: y = x + x."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_run_answers_by_name(doubling):
    session = open_session(doubling, threads=1)
    answer = session.run({"x": np.array([[1.0, 2.0]], np.float32)})
    assert set(answer) == {"y"}
    np.testing.assert_array_equal(answer["y"], [[2.0, 4.0]])
    assert session.inputs[0].name == "x"
    assert session.inputs[0].shape == ("n", 2)
    assert session.provider in {CPU, CUDA}
    assert session.provider in session.reason


def test_a_strided_view_is_run_as_it_looks(doubling):
    values = np.arange(8, dtype=np.float32).reshape(4, 2)[::2]
    np.testing.assert_array_equal(open_session(doubling, threads=1).run({"x": values})["y"], values * 2)


def test_a_wrong_name_is_refused(doubling):
    with pytest.raises(ValueError, match=r"takes \['x'\], but was given \['image'\]"):
        open_session(doubling).run({"image": np.zeros((1, 2), np.float32)})


@pytest.fixture
def nothing_told(monkeypatch):
    monkeypatch.setattr(sessions, "_told", set())


@pytest.mark.usefixtures("nothing_told")
def test_a_provider_asked_for_and_not_there_is_said_aloud_once(doubling, caplog):
    with caplog.at_level(logging.WARNING, logger="hififace"):
        session, _ = (open_session(doubling, providers=["rocm"]) for _ in range(2))
    assert len(caplog.records) == 1
    assert session.provider == CPU
    assert "ROCMExecutionProvider was asked for" in session.reason
    assert "ROCMExecutionProvider was asked for" in caplog.text


def test_nothing_is_said_when_nobody_asked(doubling, caplog):
    with caplog.at_level(logging.WARNING, logger="hififace"):
        open_session(doubling)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["cuda", "CUDA", CUDA, CUDA.lower()])
def test_a_provider_has_many_spellings(name):
    assert full_provider_name(name) == CUDA


@pytest.mark.usefixtures("nothing_told")
def test_a_device_may_have_a_number(doubling, monkeypatch):
    assert full_provider_name("cuda:1") == CUDA
    assert open_session(doubling, providers=["cpu:0"]).provider == CPU
    with pytest.raises(OptionError, match="a number was expected behind the colon"):
        open_session(doubling, providers=["cuda:one"])


def test_no_more_threads_run_a_session_than_there_are_cores_for(doubling, monkeypatch):
    monkeypatch.setattr(sessions.os, "cpu_count", lambda: 8)
    assert [runs_at_once(CPU, threads) for threads in (0, 1, 3, 16)] == [8, 8, 2, 1]
    assert runs_at_once(CUDA, 1) == 1
    session = open_session(doubling, providers=["cpu"], threads=8)
    running, most, inner = [0], [0], session._inner

    class Slow:
        def run(self, *arguments):
            running[0] += 1
            most[0] = max(most[0], running[0])
            time.sleep(0.01)
            running[0] -= 1
            return inner.run(*arguments)

    session._inner = Slow()
    ones = np.ones((1, 2), np.float32)
    workers = [threading.Thread(target=session.run, args=({"x": ones},)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == [1]


def test_an_unknown_provider_names_the_known_ones():
    with pytest.raises(OptionError, match=r"no provider 'gpu9'; choose among cpu, cuda"):
        full_provider_name("gpu9")


def test_the_first_offered_of_those_asked_for_is_taken():
    chosen, reason = choose_providers([CUDA, "OpenVINOExecutionProvider"], ["OpenVINOExecutionProvider", CPU])
    assert chosen == ["OpenVINOExecutionProvider", CPU]
    assert CUDA in reason


def test_an_accelerator_is_taken_unasked_where_it_is_offered():
    chosen, _ = choose_providers(None, ["TensorrtExecutionProvider", CUDA, CPU])
    assert chosen == [CUDA, CPU]  # TensorRT compiles for minutes: only when asked for


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(WeightsError, match=r"No network file at .*gone\.onnx"):
        open_session(tmp_path / "gone.onnx")


def test_a_damaged_file_is_a_sentence(tmp_path, doubling):
    path = tmp_path / "cut.onnx"
    path.write_bytes(doubling[: len(doubling) // 2])
    with pytest.raises(WeightsError, match=r"cut\.onnx cannot be opened as an ONNX graph"):
        open_session(path)


def test_no_threads_is_refused(doubling):
    with pytest.raises(OptionError, match="0 threads"):
        open_session(doubling, threads=0)
