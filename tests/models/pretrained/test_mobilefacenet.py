"""MobileFaceNet from generated weights: the order of the file's arrays is the network's."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from hififace.errors import WeightsError
from hififace.models.pretrained.mobilefacenet import NUM_FEATURES, SIZE_PX, MobileFaceNet, load_mobilefacenet


def write_graph(path, arrays):
    """A graph that holds these arrays in this order; what it computes is not asked."""
    tensors = [numpy_helper.from_array(array, f"w{number}") for number, array in enumerate(arrays)]
    node = helper.make_node("Identity", ["w0"], ["out"])
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    path.write_bytes(
        helper.make_model(helper.make_graph([node], "g", [], [out], tensors)).SerializeToString()
    )
    return path


@pytest.fixture(scope="module")
def seeded():
    torch.manual_seed(4)
    return MobileFaceNet().eval()


def test_arrays_fill_the_network_in_their_order(seeded, tmp_path):
    arrays = [value.numpy() for value in seeded.state_dict().values()]
    loaded = load_mobilefacenet(write_graph(tmp_path / "m.onnx", arrays))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, seeded.state_dict()[name]), name
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_faces_become_vectors_that_carry_a_gradient(seeded):
    faces = torch.rand(2, 3, SIZE_PX, SIZE_PX, requires_grad=True)
    vectors = seeded(faces)
    assert vectors.shape == (2, NUM_FEATURES)
    assert not torch.allclose(vectors[0], vectors[1])
    vectors.sum().backward()
    assert float(faces.grad.abs().max()) > 0


def test_each_face_is_judged_alone(seeded):
    faces = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    with torch.no_grad():
        torch.testing.assert_close(seeded(faces)[1:], seeded(faces[1:]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("change", ["swapped", "short"])
def test_arrays_of_another_network_are_refused(seeded, tmp_path, change):
    arrays = [value.numpy() for value in seeded.state_dict().values()]
    arrays = arrays[::-1] if change == "swapped" else arrays[:-1]
    with pytest.raises(WeightsError, match="not those of MobileFaceNet"):
        load_mobilefacenet(write_graph(tmp_path / "m.onnx", arrays))


def test_the_layers_are_those_of_the_paper(seeded):
    """0.99 million parameters (Chen et al. 2018), fewer here as normalisations are folded."""
    count = sum(p.numel() for p in seeded.parameters())
    assert 0.9e6 < count < 1.1e6
    assert len(seeded.blocks) == sum(count for _, _, count, _ in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)))  # fmt: skip  # noqa: E501
    assert np.isfinite(count)
