"""Tensors in several small files are the same tensors, and a file that is missing is named."""

import pytest
import torch

from hififace.errors import OptionError, WeightsError
from hififace.training.split_files import has_tensors, read_tensors, write_tensors


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(1)
    return {
        f"layer{n}.weight": torch.randn(64, 1000, generator=generator).half() for n in range(5)
    }  # 0.128 MB each


@pytest.mark.parametrize(("part_mb", "count"), [(None, 1), (10.0, 1), (0.34, 3), (0.2, 5)])
def test_parts_are_as_small_as_asked_and_join_to_the_whole(tmp_path, tensors, part_mb, count):
    paths = write_tensors(tmp_path, "average", tensors, {"generator": "tiny"}, part_mb)
    assert len(paths) == count == len(list(tmp_path.iterdir()))
    if part_mb is not None:
        assert all(path.stat().st_size <= part_mb * 1e6 for path in paths)
    joined = read_tensors(tmp_path, "average")
    assert joined.keys() == tensors.keys()
    assert all(torch.equal(joined[name], tensors[name]) for name in tensors)
    assert has_tensors(tmp_path, "average")
    assert not has_tensors(tmp_path, "moments")


def test_a_part_that_is_missing_is_named(tmp_path, tensors):
    for lost in (write_tensors(tmp_path, "average", tensors, {}, 0.34)[place] for place in (1, -1)):
        kept = lost.read_bytes()
        lost.unlink()
        with pytest.raises(WeightsError, match=f"lacks {lost.name}: 'average' was written in 3 files"):
            read_tensors(tmp_path, "average")
        lost.write_bytes(kept)


def test_a_damaged_part_is_a_sentence(tmp_path, tensors):
    write_tensors(tmp_path, "average", tensors, {}, 0.34)[0].write_bytes(b"gone")
    with pytest.raises(WeightsError, match=r"average-000\.safetensors is damaged"):
        read_tensors(tmp_path, "average")


def test_a_tensor_that_no_part_holds_is_refused_with_the_size_it_needs(tmp_path, tensors):
    with pytest.raises(
        OptionError, match=r"takes 0\.1 MB, more than files of 0\.1 MB hold: raise .* to 0\.3 at least"
    ):
        write_tensors(tmp_path, "average", tensors, {}, 0.1)
