"""The re-expressed recogniser: its arithmetic, and the file format its weights come in."""

from __future__ import annotations

import json

import pytest
import torch

from hififace.errors import WeightsError
from hififace.models.pretrained.dlib import DlibRecogniser, Residual, load_dlib_recogniser
from hififace.models.pretrained.tfjs_graph import read_tfjs_weights
from tests.support.evaluation_doubles import tfjs_weights


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dlib")
    blob, manifest = tfjs_weights(DlibRecogniser(), seed=1)
    weights, layout = folder / "w.bin", folder / "m.json"
    weights.write_bytes(blob)
    layout.write_text(json.dumps(manifest))
    return weights, layout


def test_kernels_are_turned_into_torch_order(stored):
    weights, layout = stored
    manifest = json.loads(layout.read_text())
    tensors = read_tfjs_weights(weights.read_bytes(), manifest)
    network = load_dlib_recogniser(weights, layout)
    theirs = tensors["conv64_down/conv1/conv/filters"]  # (H, W, inputs, outputs)
    ours = network.get_submodule("conv64_down").conv1.conv.weight
    assert ours.shape == (64, 32, 3, 3)
    assert float(ours[5, 7, 1, 2]) == theirs[1, 2, 7, 5]
    assert float(network.fc.weight[3, 200]) == tensors["fc"][200, 3]
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_block_that_halves_fills_up_with_zeros():
    """With the convolutions silenced, what is left is the 2x2 average, and zeros in new channels and at the end."""
    block = Residual(2, 3, 2)
    with torch.no_grad():
        block.conv2.factor.zero_()
    x = torch.rand(1, 2, 9, 8)  # the average is 4x4, the convolution's output 4x3
    y = block(x)
    assert y.shape == (1, 3, 4, 4)
    torch.testing.assert_close(y[:, :2], torch.nn.functional.avg_pool2d(x, 2))
    assert not y[:, 2].any()


def test_a_face_becomes_128_numbers_whatever_the_batch(stored):
    network = load_dlib_recogniser(*stored)
    images = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    both = network(images)
    assert both.shape == (2, 128)
    torch.testing.assert_close(both[1:], network(images[1:]), rtol=1e-4, atol=1e-6)
    assert float((both[0] - both[1]).norm()) > 1e-4


def test_another_size_is_refused(stored):
    with pytest.raises(ValueError, match=r"expected \(B, 3, 150, 150\)"):
        DlibRecogniser()(torch.zeros(1, 3, 112, 112))


def test_a_file_cut_short_is_refused(stored, tmp_path):
    weights, layout = stored
    short = tmp_path / "short.bin"
    short.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="do not fit together"):
        load_dlib_recogniser(short, layout)


def test_a_missing_file_says_how_to_fetch_it(stored, tmp_path):
    with pytest.raises(WeightsError, match="hififace weights fetch evaluation"):
        load_dlib_recogniser(tmp_path / "none.bin", stored[1])
