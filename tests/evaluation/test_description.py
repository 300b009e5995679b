from __future__ import annotations

from pathlib import Path

import numpy as np

from hififace.evaluation.description import DescriptionCache, cache_version
from hififace.evaluation.photos import Photo
from hififace.faces.shape import load_shape_basis
from tests.support.evaluation_doubles import description

PHOTO = Photo("k", None, Path("s.tar"), 0, 1, "ab" * 32)


def test_what_is_kept_comes_back_the_same(tmp_path):
    cache = DescriptionCache(tmp_path, "sface")
    found = description(load_shape_basis().mean)
    assert cache.load(PHOTO) == (False, None)
    cache.save(PHOTO, found)
    kept, again = cache.load(PHOTO)
    assert kept
    for name, value in found._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert isinstance(again.place, int)
    assert again.size_px == 100


def test_a_photo_without_a_face_is_kept_as_such(tmp_path):
    cache = DescriptionCache(tmp_path, "sface")
    cache.save(PHOTO, None)
    assert cache.load(PHOTO) == (True, None)


def test_a_damaged_file_is_made_again(tmp_path):
    cache = DescriptionCache(tmp_path, "sface")
    cache.save(PHOTO, description(load_shape_basis().mean))
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:1000])
    assert cache.load(PHOTO) == (False, None)


def test_other_networks_describe_otherwise():
    assert cache_version("sface") != cache_version("efficientnet_lite0")
