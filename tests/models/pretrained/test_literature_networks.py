"""The networks of the literature's protocols: the published names and shapes, their preprocessing, strict loading.

Inception and 6DRepNet were compared with the published code under generated weights (pytorch-fid 0.3.0, sixdrepnet
0.1.6; 27 November 2026): largest difference 0.0 and 6e-8.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained import cosface, deca, hopenet, inception, ir_se50, sixdrepnet
from hififace.models.pretrained.strict_loading import require_named_hash
from hififace.weights.store import sha256_of
from tests.support.literature_doubles import SMALL, as_published, generated

LOADERS = {
    "cosface": cosface.load_cosface,
    "arcface_ir_se50": ir_se50.load_ir_se50,
    "hopenet": hopenet.load_hopenet,
    "sixdrepnet": sixdrepnet.load_sixdrepnet,
    "deca": deca.load_deca,
}

PUBLISHED = {
    # parameters of the published networks, and some of their keys with their shapes
    cosface.CosFace: (
        22_666_944,
        {
            "layer1.0.bias": (64,),
            "layer1.1.weight": (64,),
            "layer3.5.conv2.weight": (256, 256, 3, 3),
            "layer4.2.prelu2.weight": (512,),
            "fc.weight": (512, 512 * 7 * 6),
        },
    ),
    ir_se50.IrSe50: (
        43_797_696,
        {
            "input_layer.0.weight": (64, 3, 3, 3),
            "body.3.shortcut_layer.0.weight": (128, 64, 1, 1),
            "body.23.res_layer.5.fc2.weight": (512, 32, 1, 1),
            "output_layer.3.weight": (512, 512 * 49),
            "output_layer.4.running_mean": (512,),
        },
    ),
    hopenet.Hopenet: (
        23_913_734,
        {"backbone.layer4.2.conv3.weight": (2048, 512, 1, 1), "fc_yaw.weight": (66, 2048)},
    ),
    sixdrepnet.SixDRepNet: (
        39_323_398,
        {
            "layer0.rbr_reparam.weight": (64, 3, 3, 3),
            "layer1.0.rbr_reparam.weight": (128, 64, 3, 3),
            "layer1.1.rbr_reparam.weight": (128, 64, 3, 3),  # two groups
            "layer3.15.rbr_reparam.weight": (512, 256, 3, 3),  # place 26
            "layer4.0.rbr_reparam.weight": (2048, 512, 3, 3),
            "linear_reg.weight": (6, 2048),
        },
    ),
    deca.Deca: (
        25_848_108,
        {"encoder.layer1.0.downsample.0.weight": (256, 64, 1, 1), "layers.2.weight": (236, 1024)},
    ),
    inception.FidInception: (
        23_850_960,
        {
            "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
            "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
            "Mixed_7c.branch3x3dbl_3b.bn.running_var": (384,),
            "fc.weight": (1008, 2048),
        },
    ),
}


@pytest.mark.parametrize("network", PUBLISHED, ids=lambda one: one.__name__)
def test_names_and_shapes_are_the_published_ones(network):
    with torch.device("meta"):
        made = network()
    num_parameters, shapes = PUBLISHED[network]
    assert sum(p.numel() for p in made.parameters()) == num_parameters
    state = made.state_dict()
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize("card", LOADERS)
def test_published_files_are_loaded_whole_and_others_refused(card, tmp_path: Path, monkeypatch):
    place, make = SMALL[card]
    monkeypatch.setattr(f"hififace.models.pretrained.{place}", make)
    state = generated(make())
    torch.save(as_published(card, state), tmp_path / "file.pth")
    network = LOADERS[card](tmp_path / "file.pth")
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training
    name = next(key for key in state if key.endswith("weight"))
    del state[name]
    torch.save(as_published(card, state), tmp_path / "torn.pth")
    with pytest.raises(WeightsError, match=f"1 missing \\({name}\\)"):
        LOADERS[card](tmp_path / "torn.pth")


def test_cosface_joins_the_face_and_its_mirror_image():
    network = cosface.CosFace((2, 4, 4, 4)).eval()
    network.load_state_dict(generated(network))
    faces = torch.rand(2, 3, 112, 96)
    with torch.no_grad():
        vectors = network.identity(faces)
        expected = F.normalize(torch.cat([network(faces), network(faces.flip(3))], 1), dim=1)
        assert vectors.shape == (2, 1024)
        assert torch.allclose(vectors, expected)
        # Grey is zero to the network: only its biases speak, the same for every such face.
        assert torch.equal(
            network(torch.full((1, 3, 112, 96), 0.5)), network(torch.full((1, 3, 112, 96), 0.5))
        )


def test_hopenet_reads_an_angle_as_the_mean_of_its_bins():
    network = hopenet.Hopenet((1, 1, 1, 1), 2).eval()
    for head, bin_number in ((network.fc_yaw, 33), (network.fc_pitch, 0), (network.fc_roll, 65)):
        head.weight.data.zero_()
        head.bias.data.fill_(0.0)[bin_number] = 60.0
    with torch.no_grad():
        angles = network(torch.rand(1, 3, 224, 224))
    assert angles[0].tolist() == pytest.approx([0.0, -99.0, 96.0], abs=1e-3)


def test_six_numbers_become_a_rotation_and_its_angles():
    turn = torch.tensor([20.0, -35.0, 12.0]).deg2rad()  # about x, y, z: pitch, yaw, roll
    (cx, cy, cz), (sx, sy, sz) = turn.cos(), turn.sin()
    about_x = torch.tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = torch.tensor([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation = about_z @ about_y @ about_x
    # Its first two columns, the second pulled out of the right angle and both of another length.
    numbers = torch.cat([3.0 * rotation[:, 0], 0.5 * rotation[:, 1] + 2.0 * rotation[:, 0]])[None]
    found = sixdrepnet.rotation_from_6d(numbers)
    assert torch.allclose(found[0], rotation, atol=1e-6)
    assert sixdrepnet.euler_deg(found)[0].tolist() == pytest.approx([-35.0, 20.0, 12.0], abs=1e-3)


def test_decas_numbers_are_named_in_their_order():
    network = deca.Deca((1, 1, 1, 1), 2).eval()
    network.layers[2].weight.data.zero_()
    network.layers[2].bias.data.copy_(torch.arange(236.0))
    with torch.no_grad():
        found = network(torch.rand(1, 3, 224, 224))
    assert {name: int(values[0, 0]) for name, values in found._asdict().items()} == {
        "shape": 0,
        "texture": 100,
        "expression": 150,
        "pose": 200,
        "camera": 206,
        "light": 209,
    }


def test_a_name_that_promises_a_hash_is_held_to_it(tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"numbers")
    right = path.rename(tmp_path / f"weights-{sha256_of(path)[:8]}.pth")
    require_named_hash(right)
    require_named_hash(tmp_path / "epoch-20.pth")  # promises nothing
    wrong = right.rename(tmp_path / "weights-00000000.pth")
    with pytest.raises(WeightsError, match="its name says 00000000"):
        require_named_hash(wrong)
