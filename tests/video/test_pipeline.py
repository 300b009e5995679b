from __future__ import annotations

import threading
import time

import pytest

from hififace.video.pipeline import Pipeline


def threads_of_stages() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name in ("decode", "double", "add", "wait", "fail")]


def iter_into(got, pipeline):
    """Append each item at once, so that those before an error are kept; yields nothing."""
    for item in pipeline:
        got.append(item)
    yield from ()


def test_items_pass_all_stages_in_order():
    with Pipeline(range(50), {"double": lambda n: 2 * n, "add": lambda n: n + 1}) as pipeline:
        assert list(pipeline) == [2 * n + 1 for n in range(50)]
    assert set(pipeline.busy_s) == set(pipeline.processor_s) == {"decode", "double", "add"}
    assert threads_of_stages() == []


def test_stages_overlap():
    # Two stages meet at a barrier: if they did not run at once, both would wait for ever.
    barrier = threading.Barrier(2, timeout=10)
    met = []

    def meet(n):
        if n < 2:
            met.append(barrier.wait())
        return n

    def first(n):
        return meet(n) if n == 1 else n

    def second(n):
        return meet(n) if n == 0 else n

    with Pipeline(range(4), {"double": first, "add": second}) as pipeline:
        assert list(pipeline) == [0, 1, 2, 3]
    assert len(met) == 2


def test_a_slow_consumer_holds_back_the_source():
    drawn = []

    def source():
        for n in range(1000):
            drawn.append(n)
            yield n

    with Pipeline(source(), {"wait": lambda n: n}, depth=2) as pipeline:
        items = iter(pipeline)
        for _ in range(3):
            next(items)
        time.sleep(0.3)
        # Three consumed, two queues of two, and one in each of the two threads' hands.
        assert len(drawn) <= 3 + 2 * 2 + 2 + 1
    assert threads_of_stages() == []


@pytest.mark.parametrize("where", ["source", "stage"])
def test_an_error_arrives_where_the_results_are_used_and_everything_stops(where):
    def source():
        for n in range(100):
            if where == "source" and n == 5:
                raise OSError("the disk is gone")
            yield n

    def fail(n):
        if where == "stage" and n == 5:
            raise OSError("the disk is gone")
        return n

    got = []
    with (
        Pipeline(source(), {"fail": fail, "add": lambda n: n}) as pipeline,
        pytest.raises(OSError, match="disk"),
    ):
        got.extend(iter_into(got, pipeline))
    assert got == [0, 1, 2, 3, 4]
    assert threads_of_stages() == []


def test_leaving_early_stops_all_threads_and_closes_the_source():
    closed = []

    def source():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    def consume():
        with Pipeline(source(), {"double": lambda n: n}) as pipeline:
            for item in pipeline:
                if item == 10:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert threads_of_stages() == []
    assert closed == [True]


def test_a_pipeline_runs_once():
    with Pipeline([1], {"add": lambda n: n}) as pipeline:
        assert list(pipeline) == [1]
        with pytest.raises(RuntimeError, match="once"):
            list(pipeline)
