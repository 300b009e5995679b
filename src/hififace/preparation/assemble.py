"""The second pass: choose among the photos of all blocks, and copy their files into the final shards.

It only copies bytes, so an interrupted second pass starts again from its beginning. `set.json` is
written last: a folder that holds it is a finished set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from hififace.data.index import CARD_NAME, INDEX_NAME, SetCard, write_index
from hififace.data.shards import MEMBERS, TarWriter, shard_name
from hififace.errors import DataError
from hififace.media.atomic import atomic_write
from hififace.preparation.blocks import Part, rejection_row
from hififace.preparation.quality import Measured, QualityOptions, check_set


class Chosen(NamedTuple):
    """The photos of the set, and the rejected ones."""

    rows: list[dict[str, Any]]
    """Index rows; "tar" is the part with the files, "places" their positions in it."""
    rejected: list[dict[str, Any]]
    """Rows of `rejected.csv`, in the order of the photos."""
    num_photos: int


def choose(parts: Sequence[Part], options: QualityOptions, person_cosine: float) -> Chosen:
    """Apply the checks that need the whole set.

    Args:
        parts: all blocks, in order.
        options: thresholds.
        person_cosine: see `Describer.person_cosine`.
    """
    rows = [{**row, "tar": part.tar} for part in parts for row in part.rows]
    rejected = [row for part in parts for row in part.rejected]
    if rows:
        found = check_set(_measured(parts, rows), options, person_cosine)
        rejected += [
            rejection_row(rows[number]["key"], rows[number]["source"], rows[number]["identity"], rejection)
            for number, rejection in found.items()
        ]
        rows = [row for number, row in enumerate(rows) if number not in found]
    rejected.sort(key=lambda row: str(row["key"]))
    return Chosen(rows, rejected, sum(part.num_photos for part in parts))


def _measured(parts: Sequence[Part], rows: Sequence[dict[str, Any]]) -> Measured:
    return Measured(
        sharpness=np.array([row["sharpness"] for row in rows], dtype=np.float32),
        magnification=np.array([row["magnification"] for row in rows], dtype=np.float32),
        identities=[row["identity"] for row in rows],
        vectors=np.concatenate([part.vectors() for part in parts]),
        hashes=np.array([int(row["perceptual_hash"], 16) for row in rows], dtype=np.uint64),
        sources=[row["source"] for row in rows],
    )


def write_set(
    output: Path,
    chosen: Chosen,
    card: Callable[[int, int], SetCard],
    photos_per_shard: int,
    write_reports: Callable[[], None],
) -> SetCard:
    """Write shards, index, reports and card.

    Args:
        output: folder of the set.
        chosen: the photos of the set.
        card: makes the card from the numbers of people and of shards.
        photos_per_shard: number of photos per shard.
        write_reports: called after the shards and before the card, which marks the set as finished.

    Raises:
        DataError: no photo was chosen.
    """
    if not chosen.rows:
        write_reports()
        raise DataError(
            f"None of the {chosen.num_photos} photos can be used; "
            f"{output / 'rejected.csv'} says why for each."
        )
    final: list[dict[str, Any]] = []
    num_shards = 0
    with _OpenTars() as tars:
        for start in range(0, len(chosen.rows), photos_per_shard):
            with TarWriter(output / shard_name(num_shards)) as writer:
                for row in chosen.rows[start : start + photos_per_shard]:
                    members = tars.members(row)
                    places = writer.add_photo(row["key"], members)
                    kept = {name: value for name, value in row.items() if name != "tar"}
                    final.append({**kept, "places": places, "shard": num_shards})
            num_shards += 1
    write_index(output / INDEX_NAME, final)
    write_reports()
    num_people = len({row["identity"] for row in final if row["identity"] is not None})
    made = card(num_people, num_shards)
    atomic_write(output / CARD_NAME, (made.model_dump_json(indent=2) + "\n").encode())
    return made


class _OpenTars:
    """Keeps the current part open; rows come in the order of the parts."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def members(self, row: dict[str, Any]) -> dict[str, bytes]:
        if row["tar"] != self._path or self._file is None:
            self.__exit__()
            self._path, self._file = row["tar"], row["tar"].open("rb")
        out = {}
        for ending, place in zip(MEMBERS, row["places"], strict=True):
            self._file.seek(place.offset)
            out[ending] = self._file.read(place.size)
        return out

    def __enter__(self) -> _OpenTars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
