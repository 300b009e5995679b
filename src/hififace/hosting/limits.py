"""What the limits of the page and of the service have in common."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from hififace.errors import OptionError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def require_positive(limits: DataclassInstance) -> None:
    """Checks that every field of a dataclass of limits is above 0.

    Raises:
        OptionError: names the first that is not.
    """
    for field in fields(limits):
        value = getattr(limits, field.name)
        if not value > 0:
            raise OptionError(f"The limit {field.name} is {value}; a number above 0 was expected.")
