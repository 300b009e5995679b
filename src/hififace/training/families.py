"""Which frozen networks a configuration asks for: the one place that knows every family."""

from __future__ import annotations

from pathlib import Path

import torch

from hififace.data.index import SetCard
from hififace.training.basel_teachers import BaselTeachers
from hififace.training.config import TrainingConfig
from hififace.training.mesh_teachers import MeshTeachers
from hififace.training.teachers import Teachers, check_parts, check_set


def load_teachers(
    config: TrainingConfig, card: SetCard, device: torch.device, files: Path | None = None
) -> Teachers:
    """The frozen networks of the configuration's family, after checking that the set fits.

    Args:
        config: whose family and loss weights decide what is loaded: what no term needs is not.
        card: of the prepared set.
        device: where they will run.
        files: folder of the files that the user brings.

    Raises:
        DataError: if the set was prepared by another family, for another size, with other vectors, or described by
            other files than those that will teach.
        WeightsError: if a needed file is missing or altered.
    """
    check_set(config, card)
    check_parts(card, files)
    family: type[MeshTeachers] | type[BaselTeachers] = (
        MeshTeachers if config.family == "mesh" else BaselTeachers
    )
    return family.load(config, card, device, files)
