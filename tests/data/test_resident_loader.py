"""Batches from the device are the loader's: the same pairs, mirrored and recoloured alike."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.support.set_doubles import make_set

from hififace.data.augment import NO_AUGMENTATION, AugmentOptions, colour_matrix, recolour
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader
from hififace.data.resident import ResidentSet
from hififace.data.resident_loader import ResidentLoader, fits, recoloured

CPU = torch.device("cpu")


@pytest.fixture
def prepared(tmp_path):
    return PreparedSet.open(make_set(tmp_path / "set", ["a", "a", "b", "b", "c", None, None, "c", "c"]))


@pytest.mark.parametrize("augment", [AugmentOptions(), NO_AUGMENTATION])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_every_tensor_is_the_loaders(prepared, augment, rank, world_size):
    loader = BatchLoader(
        prepared,
        seed=3,
        batch_size=4,
        start_image=8,
        rank=rank,
        world_size=world_size,
        augment=augment,
        workers=0,
    )
    resident = ResidentLoader(ResidentSet.from_prepared(prepared, CPU), loader)
    batches = iter(resident)
    for number in range(5):
        ours, theirs = next(batches), loader.batch(number)
        torch.testing.assert_close(ours.same, theirs.same)
        for side in ("source", "target"):
            for name, value in getattr(theirs, side)._asdict().items():
                found = getattr(getattr(ours, side), name)
                tolerance = 1.001 / 255 if name == "image" else 1e-5
                assert found.shape == value.shape
                assert float((found - value).abs().max()) <= tolerance, (side, name)


def test_colours_change_as_those_of_8_bit_images():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (16, 16, 3), np.uint8)
    matrix = colour_matrix(0.06, 1.08, 0.9)
    expected = recolour(image, matrix).astype(np.float32)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    found = recoloured(planes, torch.from_numpy(matrix)[None])[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() <= 1.001
    assert (
        np.abs(found - expected) > 0.5
    ).mean() < 0.05  # OpenCV rounds the matrix too, so some halves fall otherwise
    assert np.abs(expected - image).max() > 5


def test_a_set_lies_on_a_gpu_that_has_room_and_on_no_cpu(prepared, monkeypatch):
    assert not fits(prepared, CPU)
    room = SimpleNamespace(bytes=0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (room.bytes, 10**12))
    need = len(prepared) * (4 * 32 * 32 + 12_000)
    for room.bytes, expected in ((2 * need + 1, True), (2 * need - 2, False)):
        assert fits(prepared, torch.device("cuda")) is expected
