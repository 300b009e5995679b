"""The literature's networks without their files: small ones with generated weights under the published names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.cosface import CosFace
from hififace.models.pretrained.deca import Deca
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.pretrained.hopenet import Hopenet
from hififace.models.pretrained.inception import FidInception
from hififace.models.pretrained.ir_se50 import IrSe50
from hififace.models.pretrained.sixdrepnet import SixDRepNet
from hififace.weights.registry import find_card

SMALL: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "cosface": ("cosface.CosFace", lambda: CosFace((2, 4, 4, 4))),
    "arcface_ir_se50": ("ir_se50.IrSe50", lambda: IrSe50((2, 4, 4, 4))),
    "arcface_r100": ("arcface.ArcFace", lambda *_: ArcFace(18, widths=(2, 4, 4, 4))),
    "hopenet": ("hopenet.Hopenet", lambda: Hopenet((1, 1, 1, 1), 2)),
    "sixdrepnet": ("sixdrepnet.SixDRepNet", lambda: SixDRepNet((1, 1, 2, 1), (2, 4, 4, 8))),
    "deca": ("deca.Deca", lambda: Deca((1, 1, 1, 1), 2)),
    "deep3d_recon": ("deep3d.Deep3D", lambda: Deep3D((1, 1, 1, 1), 2)),
}
"""Card -> where its class is looked up when its file is loaded, and a small one of the same make."""


def generated(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights under which a network's answer depends on its input: variance kept, statistics that matter."""
    source = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = value.clone()
        elif key.endswith("running_var"):
            state[key] = 0.5 + torch.rand(value.shape, generator=source)
        elif value.ndim > 1:
            state[key] = torch.randn(value.shape, generator=source) * (2.0 / value[0].numel()) ** 0.5
        elif key.endswith("weight"):
            state[key] = 0.8 + 0.4 * torch.rand(value.shape, generator=source)
        else:
            state[key] = 0.1 * torch.randn(value.shape, generator=source)
    return state


def as_published(card: str, state: dict[str, Tensor]) -> Any:
    """What the file of a card holds, around its weights."""
    if card == "deca":
        return {"E_flame": state, "E_detail": {"encoder.conv1.weight": torch.zeros(1)}}
    if card == "deep3d_recon":
        return {"net_recon": state}
    if card == "hopenet":
        plain = {key.removeprefix("backbone."): value for key, value in state.items()}
        return plain | {"fc_finetune.weight": torch.zeros(3, 11), "fc_finetune.bias": torch.zeros(3)}
    return state


def write_small_networks(home: Path, patch: pytest.MonkeyPatch, *, leave_out: tuple[str, ...] = ()) -> None:
    """Files of all networks but Inception where `hififace weights` wants them; their classes are made small."""
    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (card, (place, make)) in enumerate(SMALL.items()):
        patch.setattr(f"hififace.models.pretrained.{place}", make)
        if card not in leave_out:
            torch.save(as_published(card, generated(make(), number)), folder / find_card(card).filename)


def write_inception(home: Path) -> Path:
    """Inception at its true size, its file named by its hash as the published one is."""
    from hififace.weights.store import sha256_of

    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "inception.pth"
    torch.save(generated(FidInception(), 9), path)
    return path.rename(folder / f"pt_inception-2015-12-05-{sha256_of(path)[:8]}.pth")
