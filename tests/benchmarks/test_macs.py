from __future__ import annotations

import pytest
import torch
from benchmarks.macs import count_macs, describe, table

from hififace.models.params import (
    mini_128,
    paper_256,
    paper_512,
    patch_discriminator,
    reference_discriminator,
    tiny,
)


def test_paper_256_has_the_size_of_the_reference() -> None:
    whole, *modules = describe(paper_256())
    assert whole.num_parameters == 61_896_584
    assert 2 * whole.num_macs / 1e9 == pytest.approx(228.3, abs=0.05)
    by_name = {module.name: module for module in modules}
    assert by_name["encoder"].num_parameters == 24_750_464
    assert by_name["decoder"].num_parameters == 29_320_960
    fused = by_name["fusion"], by_name["upsampler"]
    assert sum(module.num_parameters for module in fused) == 7_825_160
    assert 2 * by_name["encoder"].num_macs / 1e9 == pytest.approx(56.4, abs=0.05)
    assert 2 * by_name["decoder"].num_macs / 1e9 == pytest.approx(16.5, abs=0.05)
    assert 2 * sum(module.num_macs for module in fused) / 1e9 == pytest.approx(155.4, abs=0.05)


def test_paper_512_adds_one_block_only() -> None:
    names = {module.name for module in describe(paper_512(), depth=3)}
    assert names - {module.name for module in describe(paper_256(), depth=3)} == {
        "paper_512",
        "upsampler.blocks.2",
    }


def test_reference_discriminator_has_the_size_of_the_reference() -> None:
    whole = describe(reference_discriminator())[0]
    assert whole.num_parameters == 23_964_034
    assert 2 * whole.num_macs / 1e9 == pytest.approx(55.6, abs=0.05)


@pytest.mark.parametrize(("identity_size", "expression_size"), [(40, 24), (80, 64)])
def test_mini_keeps_its_promise(identity_size: int, expression_size: int) -> None:
    params = mini_128(identity_size, expression_size)
    whole = describe(params)[0]
    assert whole.num_macs <= 1.2e9
    assert whole.num_parameters <= 6_000_000
    assert params.shuffle_channels <= 32  # nothing wider works at full resolution


def test_mini_critic_is_a_fraction_of_mini() -> None:
    assert describe(patch_discriminator())[0].num_macs < 0.25 * describe(mini_128())[0].num_macs


def test_count_by_hand() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert count_macs(layer, torch.zeros(1, 3, 10, 10))["Conv2d"] == 3 * 8 * 9 * 100


def test_modules_add_up_to_the_whole() -> None:
    whole, *modules = describe(tiny())
    assert sum(module.num_parameters for module in modules) == whole.num_parameters
    assert sum(module.num_macs for module in modules) == whole.num_macs
    blocks = [module for module in describe(tiny(), depth=3) if module.name.startswith("encoder.")]
    assert (
        sum(m.num_macs for m in blocks if m.name in ("encoder.stem", "encoder.blocks")) == modules[0].num_macs
    )


def test_table_has_a_line_per_module() -> None:
    costs = describe(tiny())
    lines = table(costs).splitlines()
    assert len(lines) == len(costs) + 2
    assert lines[2].startswith("| tiny | 27,")
