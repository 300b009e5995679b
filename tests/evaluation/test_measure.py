from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.measure import Measured, frechet, mean_of, retrieval, summarise
from hififace.faces.shape import load_shape_basis
from tests.support.evaluation_doubles import description


def row(vector, features=(0.0, 0.0), **values):
    vector = np.asarray(vector, np.float32)
    return Measured(values, vector, vector, np.asarray(features, np.float32))


def person(vector):
    vector = np.asarray(vector, np.float32)
    return description(load_shape_basis().mean)._replace(sface=vector, dlib=vector)


def test_means_and_their_errors():
    """1, 2, 3: mean 2, deviation 1, error 1 / √3; what cannot be told is left out."""
    summary = mean_of(np.array([1.0, 2.0, np.nan, 3.0]))
    assert summary.mean == 2
    assert summary.standard_error == pytest.approx(1 / np.sqrt(3))
    assert summary.num == 3
    assert mean_of(np.array([np.nan])).num == 0
    assert mean_of(np.array([4.0])).standard_error is None


def test_every_value_is_summarised_by_name():
    found = summarise([row([1, 0], a=1.0, b=5.0), row([1, 0], a=3.0, b=float("nan"))])
    assert (found["a"].mean, found["b"].mean, found["b"].num) == (2.0, 5.0, 1)
    assert summarise([]) == {}


def test_retrieval_in_percent_by_both_recognisers_and_galleries():
    people = [person([1, 0]), person([0, 1])]
    swapped = people[::-1]
    results = [row([0.9, 0.1]), row([0.8, 0.2])]
    found = retrieval(results, [0, 1], {"": people, "other": swapped})
    assert found["sface_top1"].mean == 50  # the second result is nearer to the first person
    assert found["dlib_top1"].mean == 50
    assert found["dlib_top1_other"].mean == 50
    assert found["sface_top5"].mean == 100
    assert retrieval(results, [0, 0], {"": people})["dlib_top1"].mean == 100


def test_the_frechet_distance_carries_its_networks_name():
    real = [person([1, 0])._replace(features=np.array(f, np.float32)) for f in ([0, 0], [2, 0])]
    found = frechet([row([1, 0], (0, 3)), row([1, 0], (2, 3))], real, "somenet")
    assert list(found) == ["frechet_somenet"]
    assert found["frechet_somenet"].mean == pytest.approx(9)
    assert frechet([], real, "somenet") == {}
