import numpy as np
import pytest
import torch
from set_doubles import make_set

from hififace.data.augment import Change
from hififace.data.index import PreparedSet
from hififace.data.loader import CropReader, stack
from hififace.data.resident import ResidentSet

IDENTITIES = ["a", "a", "b", None, "c", "c", "c", None, "d"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return PreparedSet.open(make_set(tmp_path_factory.mktemp("sets") / "set", IDENTITIES))


@pytest.fixture(scope="module")
def resident(prepared):
    return ResidentSet.from_prepared(prepared, torch.device("cpu"))


@pytest.mark.parametrize("mirrored", [False, True])
def test_its_crops_are_the_readers(prepared, resident, mirrored):
    rows = torch.arange(len(IDENTITIES)).flip(0)
    found = resident.crops(rows, torch.full((len(rows),), mirrored))
    reader = CropReader(prepared)
    expected = stack([reader.read(int(row), Change(mirrored, None)) for row in rows])
    for name, ours, theirs in zip(found._fields, found, expected, strict=True):
        assert ours.shape == theirs.shape, name
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)


def test_each_photo_of_a_batch_is_mirrored_on_its_own(resident):
    rows = torch.tensor([4, 4])
    one, other = resident.crops(rows, torch.tensor([False, True])).image
    assert torch.equal(one, other.flip(2))
    assert not torch.equal(one, other)


def test_masks_of_half_the_side_are_enlarged(resident):
    half = ResidentSet(**{**vars(resident), "masks": resident.masks[:, ::2, ::2].contiguous()})
    crops = half.crops(torch.tensor([0]), torch.tensor([False]))
    assert crops.mask.shape == crops.image[:, :1].shape
    assert (
        float((crops.mask - resident.crops(torch.tensor([0]), torch.tensor([False])).mask).abs().mean())
        < 0.05
    )


def test_a_photo_that_ends_inside_the_crop_is_valid_up_to_there(resident):
    turned = torch.tensor([[[2.0, 0.0, -8.0], [0.0, 2.0, 0.0]]])  # crop x of 4 is the photo's column 0
    one = ResidentSet(**{**vars(resident), "inverse": turned, "photo_size": torch.tensor([[1000.0, 1000.0]])})
    valid = one.valid(torch.tensor([0]), torch.tensor([False]))[0, 0]
    assert np.unique(np.argmax(valid.numpy(), axis=1)).tolist() == [4]
    assert one.valid(torch.tensor([0]), torch.tensor([True]))[0, 0, 0, -5:].tolist() == [1, 0, 0, 0, 0]
