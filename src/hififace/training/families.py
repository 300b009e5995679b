"""Loads the frozen networks of a configuration's family, and checks that a prepared set fits the configuration."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from hififace.data.index import SetCard
from hififace.errors import DataError, HififaceError
from hififace.training.basel_loss_networks import BaselLossNetworks
from hififace.training.config import TrainingConfig
from hififace.training.device_config import DeviceConfig
from hififace.training.loss_networks import LossNetworks
from hififace.training.mesh_loss_networks import MeshLossNetworks
from hififace.weights.registry import find_card
from hififace.weights.store import locate_in, sha256_of

LOGGER = logging.getLogger(__name__)


def load_loss_networks(
    config: TrainingConfig, card: SetCard, device: torch.device, files: Path | None = None
) -> LossNetworks:
    """The frozen networks of the configuration's family, after checking that the set fits.

    Args:
        config: its family and loss weights decide which networks are loaded.
        card: of the prepared set.
        device: where to put them.
        files: folder of the user-supplied files.

    Raises:
        DataError: the set was prepared for another family or size, with other vectors, or with other network files than
            those that the losses use.
        WeightsError: a required file is missing or changed.
    """
    check_set(config, card)
    check_parts(card, files)
    family: type[MeshLossNetworks] | type[BaselLossNetworks] = (
        MeshLossNetworks if config.family == "mesh" else BaselLossNetworks
    )
    return family.load(config, card, device, files)


def check_set(config: TrainingConfig | DeviceConfig, card: SetCard) -> None:
    """Checks that a prepared set fits a configuration.

    Raises:
        DataError: it does not; the message says what was found and what was expected.
    """
    if card.family != config.family:
        raise DataError(
            f"The set was described by the '{card.family}' family of frozen networks, this run needs "
            f"'{config.family}': prepare the photos again with --family {config.family}."
        )
    side = config.generator.output_resolution
    if card.resolution != side:
        raise DataError(
            f"The crops of the set are {card.resolution} px, the results of the generator "
            f"'{config.generator.name}' {side} px: prepare the photos again with --resolution {side}."
        )
    sizes = dict(card.coefficients)
    for part in config.generator.vector:
        feature = part.name.removeprefix(f"{part.owner}_")
        if feature == "identity":
            found = card.identity_size
        else:
            found = sizes.get("identity" if feature == "shape" else feature, 0)
        if found != part.size:
            raise DataError(
                f"The generator '{config.generator.name}' expects {part.size} numbers for '{part.name}', the set holds "
                f"{found}: use the preset that belongs to this version of the frozen networks, or prepare again."
            )


def check_parts(card: SetCard, files: Path | None = None) -> None:
    """Checks that a set was prepared with the same network files that the losses use, by their SHA-256.

    A set from before hashes were recorded passes with a warning, and so does a file that is not on this machine (if
    training needs it, loading it fails later).

    Args:
        card: of the prepared set.
        files: folder of the user-supplied files.

    Raises:
        DataError: a file differs from the one that the set was prepared with.
    """
    if not card.parts:
        LOGGER.warning(
            "the set does not say which files described it (%s): make sure that they are this installation's",
            card.made_by,
        )
        return
    for name, described_by in sorted(card.parts.items()):
        try:
            path = locate_in(files, find_card(name))
        except HififaceError as error:
            LOGGER.warning("the set's part '%s' cannot be compared: %s", name, error)
            continue
        found = sha256_of(path)
        if described_by not in (found, *find_card(name).same_function):
            raise DataError(
                f"The set was described by another '{name}' (SHA-256 {described_by[:12]}...) than {path} "
                f"({found[:12]}...): what it stores of its photos does not compare with what is seen in results. "
                "Prepare the photos again, or put that file back."
            )
