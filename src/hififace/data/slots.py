"""Which photos stand where in a batch of fixed shape: every slot has one purpose, so that no step must ask.

A batch of B pairs is two halves of n = B / 2:

    [0, n)           two people; the first half of it with targets that have the pixels ("sharp")
    [n, n + n/2)     one person, sharp targets, source = the photo itself: triplets and outlines
    [n + n/2, n + 3n/4)   the same with any clear target
    [n + 3n/4, 2n)   one person on two photos, whatever their resolution

Pairs of a step are a pure function of (seed, step).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.errors import DataError

_PURPOSE: Final = 0x5EED_0004
_TRIES: Final = 8


class Slots(NamedTuple):
    """The stretches of a batch."""

    batch: int

    @property
    def half(self) -> int:
        """n: pairs of two people, and as many of one person."""
        return self.batch // 2

    @property
    def sharp(self) -> int:
        """Sharp targets at the beginning of each half."""
        return self.half // 2

    @property
    def self_pairs(self) -> slice:
        """Pairs of one person whose source is the photo itself."""
        return slice(self.half, self.half + 3 * self.half // 4)

    @property
    def strangers(self) -> tuple[int, ...]:
        """Slots whose target is first given a stranger's face: two of three self pairs."""
        own = self.self_pairs
        return tuple(slot for slot in range(own.start, own.stop) if slot % 3)


class SlotTable(NamedTuple):
    """The rows of `steps` batches."""

    source: NDArray[np.int64]
    """(steps, B)"""
    target: NDArray[np.int64]
    """(steps, B)"""
    stranger: NDArray[np.int64]
    """(steps, T)"""
    mirrored: NDArray[np.bool_]
    """(steps, 2B + T): sources, targets, strangers."""

    def packed(self) -> NDArray[np.int32]:
        """(steps, 4B + 2T) all of it as one table."""
        parts = (self.source, self.target, self.stranger, self.mirrored)
        return np.concatenate([part.astype(np.int32) for part in parts], axis=1)


class SlotSampler:
    """Draws tables of slots.

    Args:
        identity_codes: (N,) number of each photo's person, -1 where it is not known.
        native_px: (N,) real resolution of each photo's crop.
        sharp_px: from here on a photo is sharp.
        clear_px: from here on a photo may be a target of two people.
        seed: any whole number.
        favoured: rows that are drawn as sources of two people's pairs more often than their number says: a run that
            fine-tunes for one person asks for that person.
        favoured_share: 0 to 1, of the pairs of two people whose source is one of these.

    Raises:
        DataError: the set lacks photos of a kind.
    """

    def __init__(
        self,
        identity_codes: NDArray[np.int32],
        native_px: NDArray[np.floating],
        *,
        sharp_px: float,
        clear_px: float,
        seed: int,
        favoured: NDArray[np.integer] | None = None,
        favoured_share: float = 0.0,
    ) -> None:
        self.codes = np.asarray(identity_codes, np.int64)
        self.favoured = np.zeros(0, np.int64) if favoured is None else np.asarray(favoured, np.int64)
        self.favoured_share = favoured_share
        self.size, self.seed = len(self.codes), seed
        self.sharp = np.flatnonzero(native_px >= sharp_px)
        self.clear = np.flatnonzero((native_px >= clear_px) & (native_px < sharp_px))
        counts = np.bincount(self.codes[self.codes >= 0], minlength=1)
        several = (self.codes >= 0) & (counts[np.maximum(self.codes, 0)] > 1)
        self.several = np.flatnonzero(several)
        for name, rows, what in (
            ("sharp", self.sharp, f"of {sharp_px:g} px and more"),
            ("clear", self.clear, f"of {clear_px:g} to {sharp_px:g} px"),
            ("several", self.several, "of people with two photos"),
        ):
            if not len(rows):
                raise DataError(f"The set holds no photos {what} ({name}): add some, or lower the limit.")
        order = np.argsort(self.codes, kind="stable")
        self._order = order
        self._start = np.searchsorted(self.codes[order], self.codes)
        self._count = np.where(self.codes >= 0, counts[np.maximum(self.codes, 0)], 1)
        self._place = np.empty(self.size, np.int64)
        self._place[order] = np.arange(self.size)

    def table(self, first_step: int, steps: int, slots: Slots) -> SlotTable:
        """Batches `first_step` to `first_step + steps` - 1."""
        drawn = [self._step(step, slots) for step in range(first_step, first_step + steps)]
        return SlotTable(*(np.stack(parts) for parts in zip(*drawn, strict=True)))

    def _step(self, step: int, slots: Slots) -> SlotTable:
        random = np.random.Generator(np.random.Philox(key=(self.seed << 32) ^ _PURPOSE, counter=step))
        n, sharp = slots.half, slots.sharp
        own = slots.self_pairs
        target = np.empty(slots.batch, np.int64)
        target[:sharp] = self.sharp[random.integers(0, len(self.sharp), sharp)]
        target[sharp:n] = self.clear[random.integers(0, len(self.clear), n - sharp)]
        target[n : n + sharp] = self.sharp[random.integers(0, len(self.sharp), sharp)]
        target[n + sharp : own.stop] = self.clear[random.integers(0, len(self.clear), own.stop - n - sharp)]
        target[own.stop :] = self.several[random.integers(0, len(self.several), slots.batch - own.stop)]
        source = target.copy()
        source[:n] = self._others(target[:n], random)
        source[own.stop :] = self._same_person(target[own.stop :], random)
        stranger = self._others(target[list(slots.strangers)], random)
        mirrored = random.random(2 * slots.batch + len(stranger)) < 0.5
        if len(self.favoured):
            source[:n] = self._favoured(source[:n], target[:n], random)
        return SlotTable(source, target, stranger, mirrored)

    def _favoured(
        self, source: NDArray[np.int64], target: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Sources of which a share is favoured; a target that shows the same person keeps the source it had."""
        found = self.favoured[random.integers(0, len(self.favoured), len(source))]
        same = (found == target) | ((self.codes[found] == self.codes[target]) & (self.codes[target] >= 0))
        return np.where((random.random(len(source)) < self.favoured_share) & ~same, found, source)

    def _others(self, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Anybody else."""
        found = random.integers(0, self.size, len(rows))
        for _ in range(_TRIES):
            same = (found == rows) | ((self.codes[found] == self.codes[rows]) & (self.codes[rows] >= 0))
            if not same.any():
                break
            found[same] = random.integers(0, self.size, int(same.sum()))
        return found

    def _same_person(self, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Another photo of the same person."""
        count, start = self._count[rows], self._start[rows]
        place = start + (self._place[rows] - start + 1 + random.integers(0, count - 1)) % count
        return self._order[place]
