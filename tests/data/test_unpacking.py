import numpy as np
import pytest
from set_doubles import make_set

from hififace.data import unpacking
from hififace.data.packed import PackedSet
from hififace.data.unpacking import unpack_images
from hififace.preparation.pack import PackOptions, pack_set


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_set(folder / "set", ["a", "a", "b", None, "c", "c"])
    return pack_set(folder / "set", folder / "some.hfpack", PackOptions(part_mb=0.0056)).paths


def test_a_small_set_is_decoded_here(parts):
    packed = PackedSet.open(parts)
    np.testing.assert_array_equal(unpack_images(parts, packed, 4), packed.images())


@pytest.mark.slow
def test_processes_decode_what_this_process_decodes(monkeypatch, parts):
    packed = PackedSet.open(parts)
    monkeypatch.setattr(unpacking, "WORTH_IT", 1)
    np.testing.assert_array_equal(unpack_images(parts, packed, 2), packed.images())
