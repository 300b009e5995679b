from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import WeightsError
from hififace.evaluation.landmarks68 import (
    ANCHORS,
    STRETCH_BYTES,
    load_shape_predictor,
    parse_shape_predictor,
    unpack_numbers,
)
from tests.support.evaluation_doubles import face_of_68, packed, packed_real, predictor_file

FACE = face_of_68()
RANDOM = np.random.default_rng(3)
LEAVES = [RANDOM.normal(0, 0.01, 136).astype(np.float32) for _ in range(16)]
SPLITS = [(0, 1, float(n)) for n in range(15)]
DATA = predictor_file(FACE, [[(SPLITS, LEAVES)]], anchors=[[30, 8]], deltas=[[(0.0, 0.0), (0.25, -0.5)]])


def test_integers_of_every_length_and_sign_come_back():
    """A control byte says how many follow; a stretch ends wherever it ends, inside a number too."""
    numbers = [0, 1, -1, 255, 256, -65536, 2**24 - 1, -(2**40), 7] * 9000
    data = b"".join(map(packed, numbers))
    assert len(data) > 3 * STRETCH_BYTES
    np.testing.assert_array_equal(unpack_numbers(data), numbers)
    assert unpack_numbers(b"").tolist() == []


def test_a_real_number_is_two_integers():
    """1.5 = 3 · 2^-1: 24 bits of mantissa, its two low bytes dropped since they are nought."""
    assert unpack_numbers(packed_real(1.5)).tolist() == [0xC0, -7]
    assert unpack_numbers(packed_real(-0.1)).tolist() == [-13421773, -27]


def test_a_file_of_dlib_becomes_arrays():
    found = parse_shape_predictor(DATA)
    np.testing.assert_array_equal(found.initial, FACE)
    assert found.anchors.tolist() == [[30, 8]]
    assert found.deltas.tolist() == [[[0.0, 0.0], [0.25, -0.5]]]
    assert found.first.shape == (1, 1, 15)
    assert found.thresholds[0, 0].tolist() == [float(n) for n in range(15)]
    np.testing.assert_array_equal(found.leaves[0, 0], np.stack(LEAVES))


@pytest.mark.parametrize(("levels", "leaf"), [((200, 100), 0), ((100, 200), 15)])
def test_a_tree_goes_left_where_the_difference_is_larger(levels, leaf):
    """All differences above all thresholds: left, left, left, left, which is the first leaf; else the last."""
    predictor = parse_shape_predictor(DATA)
    image = np.full((100, 100), levels[1], np.uint8)
    box = (10.0, 20.0, 90.0, 100.0)
    x, y = np.rint(FACE[30] * 80 + (10, 20)).astype(int)
    image[y, x] = levels[0]
    expected = (FACE + LEAVES[leaf].reshape(-1, 2)) * 80 + (10, 20)
    np.testing.assert_allclose(predictor.predict(image, box), expected, atol=1e-3)


def test_pixels_beyond_the_image_are_black():
    predictor = parse_shape_predictor(DATA)
    image = np.full((40, 40), 200, np.uint8)  # the nose is inside, the chin's pixel below
    box = (-20.0, -10.0, 60.0, 70.0)
    expected = (FACE + LEAVES[0].reshape(-1, 2)) * 80 + (-20, -10)
    np.testing.assert_allclose(predictor.predict(image, box), expected, atol=1e-3)


def test_the_face_is_found_by_the_mesh_whatever_its_size_and_roll():
    """Leaves of nought: the answer is the mean shape, laid upon the mesh's corners of eyes and mouth."""
    data = predictor_file(FACE, [[(SPLITS, [np.zeros(136)] * 16)]], [[30, 8]], [[(0.0, 0.0), (0.1, 0.0)]])
    predictor = parse_shape_predictor(data)
    angle = np.radians(25)
    turn = 300 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = FACE @ turn.T + (200, 50)
    mesh = np.zeros((468, 3))
    for ours, theirs in ANCHORS:
        mesh[theirs, :2] = placed[ours]
    found = predictor.locate(np.full((500, 500, 3), 90, np.uint8), mesh)
    np.testing.assert_allclose(found, placed, atol=0.01)


def test_what_is_kept_is_read_again_and_made_again_when_damaged(tmp_path):
    path, kept = tmp_path / "file.dat", tmp_path / "kept" / "file.npz"
    path.write_bytes(DATA)
    first = load_shape_predictor(path, kept)
    path.write_bytes(b"")
    np.testing.assert_array_equal(load_shape_predictor(path, kept).leaves, first.leaves)
    path.write_bytes(DATA)
    kept.write_bytes(kept.read_bytes()[:500])
    np.testing.assert_array_equal(load_shape_predictor(path, kept).leaves, first.leaves)
    assert len(kept.read_bytes()) > 500


@pytest.mark.parametrize(
    "data", [b"", DATA[:200], DATA + packed(1), b"not a predictor", packed(2) + DATA[2:]], ids=len
)
def test_another_file_is_refused(tmp_path, data):
    path = tmp_path / "file.dat"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"not dlib's shape predictor .* hififace weights fetch"):
        load_shape_predictor(path)
