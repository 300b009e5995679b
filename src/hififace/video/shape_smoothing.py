"""The shape of a face over time: it does not change, but what is read off its landmarks does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from hififace.faces.shape import MeshShapePrior
from hififace.types import FloatArray, ShapeCoefficients

FORGOTTEN_S: Final = 2.0
"""Time constant by which earlier frames are forgotten."""


class SteadyShape:
    """The mean shape of one face so far.

    Attributes:
        value: (K,) the mean, None before the first face.
        num_seen: faces that it was made of.
    """

    def __init__(self) -> None:
        self.value: FloatArray | None = None
        self.num_seen = 0

    def update(self, mesh: FloatArray, since_s: float) -> ShapeCoefficients:
        """The coefficients of the next landmarks, with the mean shape in place of their own.

        Args:
            mesh: (468, 3).
            since_s: seconds since the last ones.
        """
        found = _prior().coefficients(mesh)
        self.num_seen += 1
        share = max(1.0 / self.num_seen, 1.0 - float(np.exp(-since_s / FORGOTTEN_S)))
        before = found.identity if self.value is None else self.value
        self.value = (before + np.float32(share) * (found.identity - before)).astype(np.float32)
        return replace(found, identity=self.value)

    def at(self, mesh: FloatArray) -> ShapeCoefficients | None:
        """The same for landmarks that were not measured, of which nothing is learned; None before the first face."""
        return None if self.value is None else replace(_prior().coefficients(mesh), identity=self.value)


@cache
def _prior() -> MeshShapePrior:
    return MeshShapePrior.load()
