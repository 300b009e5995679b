from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.scenes import Scene, render
from hififace.evaluation.untouched import dim_error, frames_kept, frames_leak, occluder_change


@pytest.fixture
def framed(astronaut_mesh):
    image, mesh = astronaut_mesh
    return image, mesh, render(Scene(occluder="glasses"), image, 100.0, mesh)


def test_an_occluder_left_alone_has_not_changed(framed):
    _, _, shown = framed
    assert occluder_change(shown.pixels, shown.pixels, shown.drawn) == 0
    assert occluder_change(shown.pixels + np.uint8(9), shown.pixels, shown.drawn) == pytest.approx(9)
    assert np.isnan(occluder_change(shown.pixels, shown.pixels, np.zeros_like(shown.drawn)))


def test_frames_that_vanish_have_no_contrast_left(framed):
    image, _, shown = framed
    assert frames_kept(shown.pixels, shown.pixels, shown.drawn) == 100
    assert frames_kept(image, shown.pixels, shown.drawn) < 35
    half = ((image.astype(int) + shown.pixels) // 2).astype(np.uint8)
    assert 40 < frames_kept(half, shown.pixels, shown.drawn) < 70


def test_frames_that_appear_are_seen(framed):
    image, mesh, shown = framed
    assert frames_leak(image, image, mesh) == 0
    assert frames_leak(shown.pixels, image, mesh) > 80
    assert np.isnan(frames_leak(shown.pixels, np.full_like(image, 20), mesh))


def test_a_dim_target_should_give_the_dimmed_result(astronaut_mesh):
    image, mesh = astronaut_mesh
    dim = np.rint(image * 0.25).astype(np.uint8)
    # Rounding to a quarter: errors of 0, 1, 1 and 2 of four levels.
    assert dim_error(dim, image, 0.25, mesh) == pytest.approx(1.0, abs=0.1)
    assert dim_error(dim + np.uint8(1), image, 0.25, mesh) == pytest.approx(4.0, abs=0.2)
