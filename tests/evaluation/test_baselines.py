from __future__ import annotations

import numpy as np

from hififace.evaluation.baselines import copy_target, paste_source, warp_by_triangles


def test_copy_is_the_target_itself(astronaut_mesh):
    image, _ = astronaut_mesh
    picture, mask = copy_target(image)
    assert picture is image
    assert mask.shape == image.shape[:2]
    assert not mask.any()


def test_a_face_warped_onto_its_own_mesh_stays_as_it_is(astronaut_mesh):
    image, mesh = astronaut_mesh
    warped, drawn = warp_by_triangles(image, mesh, mesh, image.shape[:2])
    assert 0.15 < drawn.mean() < 0.8
    assert np.abs(warped[drawn].astype(int) - image[drawn]).max() <= 1
    assert not warped[~drawn].any()


def test_a_face_warped_elsewhere_is_found_there(astronaut_mesh):
    """Twice as large and shifted: every mesh point's colour goes with it."""
    image, mesh = astronaut_mesh
    onto = mesh * 2.0 + np.array([20.0, 10.0, 0.0], np.float32)
    warped, _ = warp_by_triangles(image, mesh, onto, (500, 500))
    inner = [1, 4, 5, 50, 280, 151, 9, 199]  # nose, cheeks, forehead, chin
    here = image[tuple(np.rint(mesh[inner, 1::-1]).astype(int).T)].astype(int)
    there = warped[tuple(np.rint(onto[inner, 1::-1]).astype(int).T)].astype(int)
    assert np.abs(here - there).max() < 25


def test_the_eyes_and_the_mouth_are_no_holes(astronaut_mesh):
    image, mesh = astronaut_mesh
    _, drawn = warp_by_triangles(image, mesh, mesh, image.shape[:2])
    for group in ([33, 133], [362, 263], [13, 14]):
        x, y = np.rint(mesh[group, :2].mean(axis=0)).astype(int)
        assert drawn[y, x]


def test_paste_changes_the_face_and_nothing_else(astronaut_mesh):
    image, mesh = astronaut_mesh
    source = np.clip(image.astype(int)[:, :, ::-1] // 2 + 40, 0, 255).astype(np.uint8)
    picture, mask = paste_source(source, mesh, image, mesh)
    np.testing.assert_array_equal(picture[mask == 0], image[mask == 0])
    changed = np.abs(picture.astype(int) - image).max(axis=2)
    assert changed[mask > 0.9].mean() > 3
    # Its colours were brought to the target's.
    face = mask > 0.9
    assert np.abs(picture[face].mean(axis=0) - image[face].mean(axis=0)).max() < 12


def test_paste_of_oneself_is_oneself(astronaut_mesh):
    image, mesh = astronaut_mesh
    picture, _ = paste_source(image, mesh, image, mesh)
    assert np.abs(picture.astype(int) - image).max() <= 3
