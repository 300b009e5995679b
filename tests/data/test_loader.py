import threading
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from set_doubles import IDENTITY_SIZE, MIRROR, SIZE, make_set

from hififace.data.augment import NO_AUGMENTATION, Change, mirror_landmarks, valid_region
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader, CropReader
from hififace.data.shards import unpack_arrays
from hififace.errors import DataError, OptionError

IDENTITIES = ["a", "a", "b", None, "c", "c", "c", None, "d"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return PreparedSet.open(make_set(tmp_path_factory.mktemp("sets") / "set", IDENTITIES))


def numbers(batch):
    """Which photos a batch shows, by the number in their coefficients (negative for mirrored ones)."""
    return [
        (int(s), int(t))
        for s, t in zip(batch.source.coefficients[:, 0], batch.target.coefficients[:, 0], strict=False)
    ]


def assert_equal(one, two):
    for a, b in zip((*one.source, *one.target, one.same), (*two.source, *two.target, two.same), strict=True):
        assert torch.equal(a, b)


def test_shapes_ranges_and_contiguity(prepared):
    batch = next(iter(BatchLoader(prepared, seed=0, batch_size=3)))
    for crops in (batch.source, batch.target):
        assert crops.image.shape == (3, 3, SIZE, SIZE)
        assert crops.mask.shape == crops.valid.shape == (3, 1, SIZE, SIZE)
        assert crops.identity.shape == (3, IDENTITY_SIZE)
        assert crops.coefficients.shape == (3, 12)
        assert crops.landmarks.shape == (3, 6, 3)
        assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in crops)
        assert 0 <= crops.image.min() < crops.image.max() <= 1
        assert set(crops.mask.unique().tolist()) == {0.0, 1.0}
    assert batch.same.shape == (3,)


def test_a_mirrored_photo_is_mirrored_in_everything(prepared):
    reader = CropReader(prepared)
    plain, mirrored = reader.read(4), reader.read(4, Change(True, None))
    np.testing.assert_array_equal(mirrored.image, plain.image[:, ::-1])
    np.testing.assert_array_equal(mirrored.mask, plain.mask[:, ::-1])
    np.testing.assert_array_equal(mirrored.valid, plain.valid[:, ::-1])
    assert plain.valid[:, :4].max() == 0
    assert plain.valid[:, 4:].min() == 1
    np.testing.assert_array_equal(
        mirrored.landmarks, mirror_landmarks(plain.landmarks, np.array(MIRROR), SIZE)
    )
    assert (plain.coefficients[0], mirrored.coefficients[0]) == (4, -4)
    np.testing.assert_array_equal(mirrored.identity, plain.identity)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("cache", ["none", "compressed", "decoded"])
def test_threads_and_caches_change_nothing(prepared, workers, cache):
    plain = BatchLoader(prepared, seed=5, batch_size=4, workers=0, cache="none")
    other = BatchLoader(prepared, seed=5, batch_size=4, workers=workers, cache=cache)
    for one, two in zip(islice(plain, 6), islice(other, 6), strict=True):
        assert_equal(one, two)


def test_starting_in_the_middle_is_going_on(prepared):
    whole = list(islice(BatchLoader(prepared, seed=2, batch_size=3), 8))
    rest = list(islice(BatchLoader(prepared, seed=2, batch_size=3, start_image=12), 4))
    for one, two in zip(whole[4:], rest, strict=True):
        assert_equal(one, two)


def test_two_ranks_see_what_one_sees(prepared):
    one = list(islice(BatchLoader(prepared, seed=2, batch_size=4, start_image=8), 3))
    ranks = [
        list(islice(BatchLoader(prepared, seed=2, batch_size=2, start_image=8, rank=r, world_size=2), 3))
        for r in range(2)
    ]
    for whole, first, second in zip(one, *ranks, strict=True):
        assert numbers(whole) == numbers(first) + numbers(second)
        assert torch.equal(whole.source.image, torch.cat([first.source.image, second.source.image]))


def test_same_says_what_the_pictures_show(prepared):
    loader = BatchLoader(prepared, seed=0, batch_size=64, augment=NO_AUGMENTATION)
    batch = next(iter(loader))
    for (source, target), same in zip(numbers(batch), batch.same.tolist(), strict=True):
        people = IDENTITIES[source], IDENTITIES[target]
        assert same == float(source == target or (people[0] == people[1] and people[0] is not None))


def test_without_augmentation_the_pictures_are_the_files(prepared):
    batch = BatchLoader(prepared, seed=0, batch_size=2, augment=NO_AUGMENTATION).batch(0)
    row = numbers(batch)[0][1]
    expected = torch.from_numpy(CropReader(prepared).read(row).image.copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(batch.target.image[0], expected)


def test_leaving_the_loop_stops_the_threads(prepared):
    iterator = iter(BatchLoader(prepared, seed=0, batch_size=2, workers=2))
    next(iterator)
    iterator.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hififace-loader")]


def test_a_damaged_photo_is_a_sentence_even_from_a_thread(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    prepared = PreparedSet.open(folder)
    place = int(prepared.columns["jpg_offset"][0])
    data = bytearray((folder / "shard-00000.tar").read_bytes())
    data[place : place + 200] = b"\0" * 200
    (folder / "shard-00000.tar").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"00000000 of .* cannot be decoded"):
        list(islice(BatchLoader(prepared, seed=0, batch_size=4, workers=2), 2))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"rank": 2, "world_size": 2}, {"start_image": -1}])
def test_options_out_of_range_are_a_sentence(prepared, options):
    with pytest.raises(OptionError, match="A loader needs"):
        BatchLoader(prepared, seed=0, **({"batch_size": 2} | options))
    with pytest.raises(OptionError, match="cache is 'all'"):
        BatchLoader(prepared, seed=0, batch_size=2, cache="all")


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("cache", ["none", "compressed"])
def test_the_kept_valid_region_is_the_computed_one(prepared, cache, mirror):
    reader = CropReader(prepared, cache)
    for row in range(len(prepared)):
        arrays = unpack_arrays(prepared.member(row, "npz"))
        expected = valid_region(arrays["matrix"], arrays["photo_size"], SIZE, mirror)
        for _ in range(2):
            np.testing.assert_array_equal(reader.read(row, Change(mirror, None)).valid, expected)


def test_targets_have_the_pixels_that_were_asked_for(prepared):
    columns = {**prepared.columns, "native_px": np.arange(len(prepared), dtype=np.float32)}
    sized = replace(prepared, columns=columns)
    loader = BatchLoader(sized, seed=0, batch_size=60, min_native_px=6.0, augment=NO_AUGMENTATION, workers=0)
    shown = numbers(loader.batch(0))
    assert {target for _, target in shown} == {6, 7, 8}
    assert {source for source, _ in shown} == set(range(len(prepared)))
    old = replace(prepared, columns={**columns, "native_px": np.full(len(prepared), np.nan, np.float32)})
    with pytest.raises(DataError, match="an older version prepared it"):
        BatchLoader(old, seed=0, batch_size=3, min_native_px=6.0)
