"""The Basel family without its files: small networks with generated weights, and whole files of the real sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.io import savemat

from hififace.models.params import BASEL_VECTOR
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.bfm import BaselFaceModel
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.hrnet import HRNet
from hififace.models.pretrained.vgg_lpips import VggFeatures
from hififace.preparation.basel import LAYOUT
from hififace.training.basel_loss_networks import BaselLossNetworks
from hififace.weights.registry import find_card

CARD = {"family": "basel", "coefficients": LAYOUT, "identity_size": 512, "identity_embedder": "arcface_r100"}
"""What the card of a set of this family says, as changes to `training_doubles.tiny_card`."""


def small_bfm() -> BaselFaceModel:
    """A cloud of 68 points about as large as a face, in the model's units."""
    generator = torch.Generator().manual_seed(4)
    return BaselFaceModel(
        torch.randn(68, 3, generator=generator) * 0.5,
        torch.randn(68, 3, 80, generator=generator) * 0.02,
        torch.randn(68, 3, 64, generator=generator) * 0.02,
    )


def small_loss_networks(
    *, like_reference: bool = False, shape_clamp: float | None = None
) -> BaselLossNetworks:
    """All five networks with next to no channels; every path of the real ones."""
    torch.manual_seed(3)
    networks = (
        ArcFace(18, widths=(2, 4, 4, 4)),
        Deep3D((1, 1, 1, 1), 2),
        small_bfm(),
        VggFeatures(like_reference=like_reference, width=2),
        HRNet(normalise=not like_reference, widths=(2, 3, 4, 5), num_modules=(1, 1, 1), num_blocks=1),
    )
    for head in networks[1].final_layers:  # coefficients of a size that real faces have
        head.weight.data.mul_(0.1)
    return BaselLossNetworks(*map(freeze, networks), BASEL_VECTOR, like_reference, shape_clamp)


def write_published_files(folder: Path) -> Path:
    """Every file that the Basel family asks for: real architectures, published names, generated weights."""
    torch.manual_seed(6)
    vgg = VggFeatures()
    hrnet = HRNet()
    rng = np.random.default_rng(7)
    num_vertices = 200
    contents = {
        "arcface_r100": ArcFace(100).state_dict(),
        "deep3d_recon": {"net_recon": Deep3D().state_dict()},
        "vgg16": {**vgg.state_dict(), "classifier.0.weight": torch.zeros(2, 2)},
        "lpips_vgg_heads": {
            f"lin{stage}.model.1.weight": torch.full((1, len(head), 1, 1), 0.2)
            for stage, head in enumerate(vgg.heads)
        },
        "hrnet_wflw": hrnet.state_dict(),
    }
    for name, content in contents.items():
        torch.save(content, folder / find_card(name).filename)
    front = folder / find_card("bfm").filename
    front.parent.mkdir(exist_ok=True)
    savemat(
        front,
        {
            "meanshape": rng.standard_normal((1, 3 * num_vertices)) * 0.5,
            "idBase": rng.standard_normal((3 * num_vertices, 80)) * 0.02,
            "exBase": rng.standard_normal((3 * num_vertices, 64)) * 0.02,
            "keypoints": 1 + rng.permutation(num_vertices)[None, :68],
        },
    )
    return folder
