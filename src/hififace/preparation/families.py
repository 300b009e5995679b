"""The families of frozen networks, by name."""

from __future__ import annotations

from hififace.errors import OptionError
from hififace.preparation.describe import Describer, DescriberSettings, MeshDescriber


def create_describer(settings: DescriberSettings) -> Describer:
    """Build the frozen networks of a family, with one thread each: work is spread over processes.

    Raises:
        OptionError: an unknown family, template or resolution.
        WeightsError: a file of weights is missing.
    """
    if settings.family == "mesh":
        return MeshDescriber(settings)
    if settings.family == "basel":
        from hififace.preparation.basel import BaselDescriber  # needs PyTorch, unlike the other family

        return BaselDescriber(settings)
    raise OptionError(f"There is no family {settings.family!r} of frozen networks; choose mesh or basel.")
