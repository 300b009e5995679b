from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hififace.models.params import (
    BASEL_VECTOR,
    GENERATORS,
    BlockParams,
    VectorPart,
    generator_params,
    mesh_vector,
    mini_128,
    paper_256,
    paper_512,
    patch_discriminator,
    reference_discriminator,
    tiny,
    to_json,
)


@pytest.mark.parametrize("preset", GENERATORS.values(), ids=GENERATORS)
def test_generator_params_survive_json(preset) -> None:
    params = preset()
    assert generator_params(json.loads(json.dumps(to_json(params)))) == params


def test_unknown_keys_are_named() -> None:
    with pytest.raises(ValueError, match="knows no attention, width"):
        generator_params({**to_json(tiny()), "width": 3, "attention": True})


@pytest.mark.parametrize(
    ("params", "low", "out", "fusion_index"),
    [(paper_256(), 64, 256, 1), (paper_512(), 64, 512, 1), (mini_128(), 32, 128, 0), (tiny(), 8, 32, 0)],
    ids=lambda value: getattr(value, "name", None),
)
def test_resolutions(params, low: int, out: int, fusion_index: int) -> None:
    assert (params.low_resolution, params.output_resolution, params.fusion_index) == (low, out, fusion_index)


def test_basel_vector_is_the_257_coefficients_and_the_512_of_the_embedding() -> None:
    assert sum(part.size for part in BASEL_VECTOR) == 769
    assert sum(part.size for part in BASEL_VECTOR if part.name != "source_identity") == 257
    assert {part.gain for part in BASEL_VECTOR} == {1.0}


def test_mesh_vector_has_the_agreed_order_and_gain() -> None:
    layout = mesh_vector(identity_size=40, expression_size=24)
    names = ["source_shape", "target_expression", "target_pose", "source_identity"]
    assert [part.name for part in layout] == names
    assert [part.size for part in layout] == [40, 24, 3, 128]
    assert layout[-1].gain == pytest.approx(128**0.5)
    told = mesh_vector(identity_size=40, expression_size=24, loudness=1.4, sees_target=True)
    assert [part.name for part in told] == [*names, "target_identity"]
    assert told[-1].owner == "target"
    assert [part.gain for part in told[-2:]] == pytest.approx([1.4 * 128**0.5, 128**0.5])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vector": ()}, "at least one part"),
        ({"vector": (VectorPart("a", 1, 1.0, "source"),) * 2}, "names a part twice"),
        ({"shuffle_channels": 0}, "give a width exactly where pixels are shuffled"),
        ({"resolution": 36}, "make it a multiple of 8"),
        ({"decoder": (BlockParams(16, "down"),)}, "the fusion needs both"),
    ],
)
def test_numbers_that_describe_no_network_are_refused(change, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(tiny(), **change)


def test_a_discriminator_that_halves_too_often_is_refused() -> None:
    with pytest.raises(ValueError, match="must end at 4 px"):
        replace(reference_discriminator(), resolution=128)
    with pytest.raises(ValueError, match="take channels away"):
        patch_discriminator(resolution=16, channels=(8, 8, 8))
