from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.scenes import OCCLUDERS, PLAIN, Scene, render


def test_a_scene_has_a_name_and_the_plain_one_none():
    assert PLAIN.tag == ""
    assert Scene(200, 0.25, "bar").tag == "200px-gain0.25-bar"


def test_a_photo_is_reduced_to_the_size_of_its_face_and_never_enlarged(astronaut_mesh):
    image, mesh = astronaut_mesh
    half = render(Scene(face_px=50), image, 100.0, mesh)
    assert half.pixels.shape == (100, 100, 3)
    assert half.scale == 0.5
    assert render(Scene(face_px=150), image, 100.0, mesh).pixels is image


def test_light_is_a_factor_of_every_level(astronaut_mesh):
    image, mesh = astronaut_mesh
    dim = render(Scene(gain=0.25), image, 100.0, mesh).pixels
    np.testing.assert_array_equal(dim, np.rint(image * np.float32(0.25)))


@pytest.mark.parametrize("name", OCCLUDERS)
def test_what_is_drawn_is_where_it_is_said_to_be(astronaut_mesh, name):
    image, mesh = astronaut_mesh
    shown = render(Scene(occluder=name), image, 100.0, mesh)
    assert shown.drawn is not None
    changed = (shown.pixels != image).any(axis=2)
    assert 0.001 < shown.drawn.mean() < 0.25
    assert changed[shown.drawn].mean() > 0.95
    again = render(Scene(occluder=name), image, 100.0, mesh)
    np.testing.assert_array_equal(again.pixels, shown.pixels)


def test_an_occluder_moves_with_a_reduced_photo(astronaut_mesh):
    """The glasses lie around the eyes, whose middle moves by the same factor."""
    image, mesh = astronaut_mesh
    whole = render(Scene(occluder="glasses"), image, 100.0, mesh).drawn
    half = render(Scene(face_px=50, occluder="glasses"), image, 100.0, mesh).drawn
    middle = np.argwhere(whole).mean(axis=0)
    np.testing.assert_allclose((np.argwhere(half).mean(axis=0) + 0.5) * 2 - 0.5, middle, atol=2.0)
