"""Published checkpoints: the reference's names in, the reference's numbers out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hififace.errors import WeightsError
from hififace.models import published
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.published import IDENTITY_PREFIX, SHAPE_PREFIX, Published, load
from tests.support.published_doubles import SMALL, reload_small, small_published, small_state, to_state_dict
from tests.support.seeded_weights import GOLDEN, reference_shapes, seeded_image, seeded_state

TOLERANCE = 1e-4


def _pictures(side: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    source, target = (torch.from_numpy(seeded_image(phase, side)) for phase in (0.0, 1.0))
    return source, target


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "generator_1.npz") as arrays:
        return {name: arrays[name] for name in arrays}


def test_identity_vector_equals_the_reference_on_the_real_networks(golden: dict[str, np.ndarray]) -> None:
    with torch.device("meta"):
        networks = {IDENTITY_PREFIX: ArcFace(100), SHAPE_PREFIX: Deep3D()}
    for prefix, network in networks.items():
        state = seeded_state(reference_shapes("generator", prefix), prefix)
        assert list(state) == list(network.state_dict()), "names or their order differ"
        network.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in state.items()}, assign=True)
        network.eval()
    whole = Published(torch.nn.Identity(), networks[IDENTITY_PREFIX], networks[SHAPE_PREFIX])
    with torch.no_grad():
        vector = whole.identity_vector(*_pictures()).numpy()
    assert np.abs(vector - golden["v_sid"]).max() <= TOLERANCE


@pytest.mark.slow
def test_a_whole_checkpoint_equals_the_reference(tmp_path: Path, golden: dict[str, np.ndarray]) -> None:
    state = seeded_state(reference_shapes("generator"))
    path = tmp_path / "generator_320000.pth"
    torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, path)
    network = load(path)
    with torch.no_grad():
        plain = network(*_pictures())
        mixed = network(*_pictures(), shape_rate=0.5, id_rate=0.25)
    for name, ours, step in (
        ("i_r", plain.image, 4),
        ("m_r", plain.mask, 4),
        ("i_low", plain.image_low, 1),
        ("m_low", plain.mask_low, 1),
        ("interp_i_r", mixed.image, 4),
        ("interp_m_r", mixed.mask, 4),
    ):
        assert np.abs(ours.numpy()[:, :, ::step, ::step] - golden[name]).max() <= TOLERANCE, name


def test_loading_changes_names_and_no_number(tmp_path: Path) -> None:
    state = small_state()
    back = to_state_dict(reload_small(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_a_reloaded_network_computes_the_same_and_leaves_nothing_empty() -> None:
    original, again = small_published(), reload_small(small_state())
    pictures = _pictures(SMALL.resolution)
    with torch.no_grad():
        for ours, theirs in zip(again(*pictures), original(*pictures), strict=True):
            assert torch.equal(ours, theirs)
    assert not any(tensor.is_meta for tensor in (*again.parameters(), *again.buffers()))
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_rates_reach_from_the_target_to_the_source() -> None:
    network = reload_small(small_state())
    source, target = _pictures(SMALL.resolution)
    with torch.no_grad():
        full = network.identity_vector(source, target)
        none = network.identity_vector(source, target, 0.0, 0.0)
        half = network.identity_vector(source, target, 0.5, 0.5)
        of_target = network.identity_vector(target, target)
    assert torch.allclose(none, of_target, atol=1e-6)
    assert torch.equal(full[:, 80:257], of_target[:, 80:257]), "all but shape and identity is the target's"
    assert torch.allclose(half, (full + none) / 2, atol=1e-5)
    assert half[:, 257:].norm() < 1.0, "a mixture keeps its length, as in the reference"


def test_checkpoints_of_other_programs_are_refused_by_their_own_names() -> None:
    state = {f"generator.{key}": value for key, value in small_state().items()}
    with pytest.raises(WeightsError, match=r"other\.pth .* missing \(id_extractor\..* unknown \(generator\."):
        reload_small(state, "other.pth")


def test_a_renamed_and_a_reshaped_tensor_are_named() -> None:
    state = small_state()
    state["encoder.first.weight"] = state.pop("encoder.conv_first.weight")
    state["sff_module.low_mask_predict.0.bias"] = torch.zeros(2)
    with pytest.raises(WeightsError) as caught:
        reload_small(state)
    assert "1 missing (encoder.conv_first.weight)" in str(caught.value)
    assert "1 unknown (encoder.first.weight)" in str(caught.value)
    assert "sff_module.low_mask_predict.0.bias (2,) instead of (1,)" in str(caught.value)


def test_files_of_half_precision_are_computed_in_single() -> None:
    state = {k: v.half() if v.is_floating_point() else v for k, v in small_state().items()}
    network = reload_small(state)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_the_real_checkpoint_has_1425_names() -> None:
    with torch.device("meta"):
        whole = published.Published(published.Generator(published.paper_256()), ArcFace(100), Deep3D())
    names = {key: tuple(value.shape) for key, value in to_state_dict(whole).items()}
    assert names == reference_shapes("generator")
    assert len(names) == 1425
