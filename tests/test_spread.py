import builtins
import operator
import os
import sys
from functools import partial

import pytest

from hififace.errors import DataError, RuntimeUnavailableError
from hififace.spread import in_this_process, over_processes, over_ray


def endless():
    number = 0
    while True:
        yield number
        number += 1


def die(number):
    os._exit(9)


def test_both_ways_do_the_same_work():
    double = partial(operator.mul, 2)
    assert list(in_this_process(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(over_processes(double, range(7), 2)) == [0, 2, 4, 6, 8, 10, 12]


def test_work_is_fetched_only_as_it_is_needed():
    taken = []

    def counted():
        for number in endless():
            taken.append(number)
            yield number

    results = over_processes(abs, counted(), 2)
    next(results)
    results.close()
    assert len(taken) < 12


def test_a_worker_that_dies_is_a_sentence():
    with pytest.raises(DataError, match="fewer --workers"):
        list(over_processes(die, range(3), 1))


def test_ray_missing_is_a_sentence(monkeypatch):
    real = builtins.__import__

    def without_ray(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install '\.\[scale\]'"):
        list(over_ray(abs, [1], 1))


def test_ray_that_does_not_start_is_a_sentence(monkeypatch):
    stopped = []

    class Broken:
        @staticmethod
        def is_initialized():
            return False

        @staticmethod
        def shutdown():
            stopped.append(True)

        @staticmethod
        def init(**settings):
            raise Exception("The current node timed out during startup.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", Broken)
    with pytest.raises(RuntimeUnavailableError, match=r"did not start on this machine.*timed out"):
        list(over_ray(abs, [1], 1))
    assert stopped, "what did start must not stay behind"


@pytest.mark.slow
def test_ray_does_the_same_work():
    pytest.importorskip("ray")
    assert sorted(over_ray(partial(operator.mul, 2), range(5), 1)) == [0, 2, 4, 6, 8]
