"""Which frozen networks a configuration asks for: the one place that knows every family."""

from __future__ import annotations

from pathlib import Path

import torch

from hififace.data.index import SetCard
from hififace.training.basel_loss_networks import BaselLossNetworks
from hififace.training.config import TrainingConfig
from hififace.training.loss_networks import LossNetworks, check_parts, check_set
from hififace.training.mesh_loss_networks import MeshLossNetworks


def load_loss_networks(
    config: TrainingConfig, card: SetCard, device: torch.device, files: Path | None = None
) -> LossNetworks:
    """The frozen networks of the configuration's family, after checking that the set fits.

    Args:
        config: whose family and loss weights decide what is loaded: what no term needs is not.
        card: of the prepared set.
        device: where they will run.
        files: folder of the user-supplied files.

    Raises:
        DataError: if the set was prepared by another family, for another size, with other vectors, or described by
            other files than those that the losses use.
        WeightsError: if a needed file is missing or altered.
    """
    check_set(config, card)
    check_parts(card, files)
    family: type[MeshLossNetworks] | type[BaselLossNetworks] = (
        MeshLossNetworks if config.family == "mesh" else BaselLossNetworks
    )
    return family.load(config, card, device, files)
