"""Which photo is the source and which the target of pair number n: a pure function of (seed, n).

An epoch visits every photo once as target. Half of the pairs (`same_rate`) show one person twice, on
different photos where the person has several (paper, section 4.1); a photo that is alone pairs with itself
and leaves the difference to augmentation. The order of targets is a keyed permutation that is evaluated
point by point, so starting at pair ten million costs no more than starting at pair nought.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.errors import DataError, OptionError

_MASK64: Final = (1 << 64) - 1
_ROUNDS: Final = 6
_PURPOSE_ORDER: Final = 0x5EED_0001
_PURPOSE_SOURCE: Final = 0x5EED_0002


class Pair(NamedTuple):
    """Rows of the set for pair `number`."""

    number: int
    source: int
    target: int
    same: bool
    """Whether source and target show the same person (another photo, or the very same one)."""


def mix64(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits that scatters well."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return value ^ (value >> 31)


def keyed(*words: int) -> int:
    """64 bits that depend on every word and on their order."""
    state = 0
    for word in words:
        state = mix64(state ^ (word & _MASK64))
    return state


class KeyedRandom:
    """A small stream of random numbers that is a pure function of its key words.

    Counter-based, so that creating one costs a microsecond: one is made per pair and purpose. It does not
    change with numpy's version, which a resumed training relies on.
    """

    def __init__(self, *words: int) -> None:
        self._key = keyed(*words)
        self._counter = 0

    def bits(self) -> int:
        """The next 64 bits."""
        self._counter += 1
        return mix64(self._key ^ mix64(self._counter))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * ((self.bits() >> 11) * 2.0**-53)

    def below(self, count: int) -> int:
        """A whole number in [0, count); the bias of the multiplication is below count / 2^64."""
        return (self.bits() * count) >> 64


def permute(position: int, size: int, key: int) -> int:
    """Where `position` goes under the permutation of range(size) that `key` names.

    A balanced Feistel network over the smallest even number of bits that holds `size`, walked along its
    cycle until the value is in range (Black and Rogaway 2002): at most four steps on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    value = position
    while True:
        left, right = value >> half, value & mask
        for round_number in range(_ROUNDS):
            left, right = right, left ^ (mix64(key ^ mix64((round_number << 56) | right)) & mask)
        value = (left << half) | right
        if value < size:
            return value


class PairSampler:
    """Pairs of rows of a set.

    Args:
        identity_codes: (N,) number of each photo's person, -1 where it is not known.
        seed: any whole number.
        same_rate: probability that a pair shows one person, 0 to 1.
        targets: (T,) rows that may be targets, ascending; None allows all. Every row may be a source.

    Raises:
        OptionError: `same_rate` out of range.
        DataError: no photos, no targets, or only one person although different people are needed.
    """

    def __init__(
        self,
        identity_codes: NDArray[np.int32],
        seed: int,
        same_rate: float = 0.5,
        targets: NDArray[np.int64] | None = None,
    ) -> None:
        if not 0.0 <= same_rate <= 1.0:
            raise OptionError(f"same_rate is {same_rate}; it is a probability, from 0 to 1.")
        self.codes = np.asarray(identity_codes, dtype=np.int64)
        self.seed = seed
        self.same_rate = same_rate
        self.size = len(self.codes)
        self.targets = targets
        self.num_targets = self.size if targets is None else len(targets)
        # Rows sorted by person; photos without a person come first (code -1). Stable, hence deterministic.
        self._order = np.argsort(self.codes, kind="stable")
        num_people = int(self.codes.max(initial=-1)) + 1
        counts = np.bincount(self.codes[self.codes >= 0], minlength=num_people)
        num_unknown = int((self.codes < 0).sum())
        self._starts = num_unknown + np.concatenate([[0], np.cumsum(counts)])
        self._place = np.empty(self.size, dtype=np.int64)
        self._place[self._order] = np.arange(self.size)
        if self.size == 0:
            raise DataError("The set holds no photos, so there is nothing to pair.")
        if self.num_targets == 0:
            raise DataError(
                "No photo of the set has the real resolution that targets must have: lower data.min_native_px, or add "
                "larger photos."
            )
        if same_rate < 1.0 and num_unknown + int((counts > 0).sum()) < 2:
            raise DataError(
                "The set shows one person only, and pairs of different people were asked for. "
                "Prepare photos of at least two people, or set same_rate to 1."
            )

    def pair(self, number: int) -> Pair:
        """Pair `number`, counted from 0 over all epochs."""
        epoch, position = divmod(number, self.num_targets)
        target = permute(position, self.num_targets, keyed(self.seed, _PURPOSE_ORDER, epoch))
        if self.targets is not None:
            target = int(self.targets[target])
        random = KeyedRandom(self.seed, _PURPOSE_SOURCE, number)
        same = random.uniform() < self.same_rate
        source = self._same_person(target, random) if same else self._other_person(target, random)
        return Pair(number, source, target, same)

    def _group(self, row: int) -> tuple[int, int]:
        """First place and number of photos of a row's person; a photo without an identity is alone."""
        code = int(self.codes[row])
        if code < 0:
            return int(self._place[row]), 1
        start = int(self._starts[code])
        return start, int(self._starts[code + 1]) - start

    def _same_person(self, target: int, random: KeyedRandom) -> int:
        start, count = self._group(target)
        if count == 1:
            return target
        place = start + random.below(count - 1)
        # Skip the target itself, so that "same" means another photo.
        return int(self._order[place + 1 if place >= self._place[target] else place])

    def _other_person(self, target: int, random: KeyedRandom) -> int:
        start, count = self._group(target)
        place = random.below(self.size - count)
        return int(self._order[place + count if place >= start else place])
