"""Weight files: right ones are loaded whole, wrong ones are refused by name, and none is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hififace.errors import WeightsError
from hififace.models.pretrained.strict_loading import fill, load_strictly, read_state_dict


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {key: torch.rand(value.shape).to(value.dtype) for key, value in _network().state_dict().items()}


def _save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


class _Program:
    """A pickle that leaves a file behind when it is opened by somebody trusting."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_arrive_unchanged_and_frozen(tmp_path: Path, state: dict[str, Tensor], suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = load_strictly(_network(), path, what="a test network")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_weights_inside_a_larger_file_are_found(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = _save(tmp_path / "epoch.pth", {"net": state, "epoch": 20})
    assert read_state_dict(path, within="net").keys() == state.keys()
    with pytest.raises(WeightsError, match=r"holds no 'other' but the keys net, epoch"):
        read_state_dict(path, within="other")


def test_parts_that_the_network_does_not_use_are_left_out(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = _save(tmp_path / "weights.pth", {**state, "fc.weight": torch.zeros(3)})
    load_strictly(_network(), path, what="a test network", ignore=("fc.",))
    with pytest.raises(WeightsError, match=r"1 unknown \(fc\.weight\)"):
        load_strictly(_network(), path, what="a test network")


def test_older_files_without_step_counters_are_taken(state: dict[str, Tensor]) -> None:
    del state["1.num_batches_tracked"]
    fill(_network(), state, source="old.pth", what="a test network")


@pytest.mark.parametrize("protocol", ["torch", "plain"])
def test_a_malicious_pickle_is_refused_and_not_run(
    tmp_path: Path, state: dict[str, Tensor], protocol: str
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pth"
    content = {**state, "0.weight": _Program(trace)}
    if protocol == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"evil\.pth was refused"):
        read_state_dict(path)
    assert not trace.exists(), "the file was run"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_a_file_cut_short_is_a_sentence(
    tmp_path: Path, state: dict[str, Tensor], suffix: str, keep: float
) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightsError, match=f"weights{suffix}"):
        read_state_dict(path)


def test_a_file_of_the_older_layout_cut_anywhere_is_a_sentence(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for keep in range(0, len(whole), 5):
        path.write_bytes(whole[:keep])
        with pytest.raises(WeightsError, match=r"old\.pth"):
            read_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"<html>404</html>", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(60)]
)
def test_other_files_under_the_name_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        read_state_dict(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        read_state_dict(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(2)], {1: torch.zeros(2)}, torch.zeros(3)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match="not weights by name"):
        read_state_dict(_save(tmp_path / "weights.pth", content))


def test_differing_keys_are_named_and_counted_and_the_network_is_untouched(state: dict[str, Tensor]) -> None:
    state["0.kernel"] = state.pop("0.weight")
    state["2.bias"] = torch.zeros(7)
    network = _network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        fill(network, state, source="renamed.pth", what="a test network")
    sentence = str(caught.value)
    assert "1 missing (0.weight)" in sentence
    assert "1 unknown (0.kernel)" in sentence
    assert "1 of another shape (2.bias (7,) instead of (2,))" in sentence
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_many_differing_keys_are_cut_to_a_few(state: dict[str, Tensor]) -> None:
    prefixed = {f"module.{key}": value for key, value in state.items()}
    with pytest.raises(WeightsError, match=r"9 unknown \(module\.0\.weight, module\.0\.bias, \S+, …\)"):
        fill(_network(), prefixed, source="prefixed.pth", what="a test network")


def test_numbers_that_are_not_finite_are_refused(state: dict[str, Tensor]) -> None:
    state["2.weight"][0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"not finite in 1 weights of a test network \(2\.weight\)"):
        fill(_network(), state, source="broken.pth", what="a test network")
