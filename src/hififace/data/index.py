"""The index of a prepared set: one row per photo, and the card `set.json` that says how it was made.

Opening a set validates it: every complaint is a sentence that names the file and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from hififace.data.shards import MEMBERS, Place, ShardReader, shard_name
from hififace.errors import DataError, RuntimeUnavailableError
from hififace.json_values import parse_json_object
from hififace.types import FloatArray

SCHEMA_VERSION: Final = 1
MAX_MEMBER_BYTES: Final = 1 << 28
"""Most that one file of a photo has: a crop of 4,096 pixels, stored plain, has a fifth of it."""
INDEX_NAME: Final = "index.parquet"
CARD_NAME: Final = "set.json"


class SetCard(BaseModel):
    """`set.json`: what a prepared set is and how it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    family: str
    """Which frozen networks described it: "mesh" or "basel"."""
    template: str
    """The name of the alignment template (`faces/templates.py`)."""
    resolution: int
    """Side of the square crops, in pixels."""
    coefficients: tuple[tuple[str, int], ...]
    """Names and sizes of the parts of the coefficient vector, in order."""
    identity_embedder: str
    identity_size: int
    landmark_mirror: tuple[int, ...]
    """The index that each landmark becomes under a horizontal flip: a set explains itself."""
    num_photos: int
    num_identities: int
    """People with at least one photo; photos without an identity are not counted."""
    num_shards: int
    made_by: str
    parts: dict[str, str] = {}
    """SHA-256 of each file that described the photos, by the name of its card (`weights/registry.py`); empty for
    sets made before they were noted."""
    settings: dict[str, Any]
    """The options of the preparation, as they were given."""
    inputs: tuple[dict[str, Any], ...] = ()
    """Name, kind and number of photos of each input."""

    @property
    def coefficient_size(self) -> int:
        """Length of the coefficient vector."""
        return sum(size for _, size in self.coefficients)

    def coefficient_slice(self, name: str) -> slice:
        """Where a named part lies in the coefficient vector.

        Raises:
            KeyError: no such part.
        """
        start = 0
        for part, size in self.coefficients:
            if part == name:
                return slice(start, start + size)
            start += size
        raise KeyError(f"{name!r} is no part of the coefficients; they are {self.coefficients}")


def index_schema() -> Any:
    """The columns of `index.parquet`, in order (a pyarrow schema).

    Raises:
        RuntimeUnavailableError: pyarrow is not installed.
    """
    pa = _pyarrow()
    places = [
        field
        for ending in MEMBERS
        for field in (
            (f"{_column(ending)}_offset", pa.int64()),
            (f"{_column(ending)}_size", pa.int32()),
        )
    ]
    return pa.schema(
        [
            ("key", pa.string()),
            ("shard", pa.int32()),
            *places,
            ("identity", pa.string()),
            ("source", pa.string()),
            ("age", pa.int16()),
            ("face_px", pa.float32()),
            ("magnification", pa.float32()),
            ("sharpness", pa.float32()),
            ("detection_score", pa.float32()),
            ("mesh_score", pa.float32()),
            ("valid_share", pa.float32()),
            ("pitch_deg", pa.float32()),
            ("yaw_deg", pa.float32()),
            ("roll_deg", pa.float32()),
            ("perceptual_hash", pa.string()),
            ("sha256", pa.string()),
            ("native_px", pa.float32()),
            ("gender", pa.string()),
            ("group", pa.string()),
        ]
    )


_LATER_COLUMNS: Final = {"native_px": np.float32, "gender": object, "group": object}
"""Columns that sets of the same layout may lack, since they were prepared before these were known: not a number, or
None, is read for them."""


def write_index(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the columns of `index_schema` (absent values become null), atomically.

    A row's places are given under "places": one `Place` per entry of `MEMBERS`.
    """
    pa = _pyarrow()
    import pyarrow.parquet as parquet

    flat = []
    for row in rows:
        out = {name: value for name, value in row.items() if name != "places"}
        for ending, place in zip(MEMBERS, row["places"], strict=True):
            out[f"{_column(ending)}_offset"], out[f"{_column(ending)}_size"] = place
        flat.append(out)
    table = pa.Table.from_pylist(flat, schema=index_schema())
    part = path.with_name(f".{path.name}.part")
    parquet.write_table(table, part, compression="zstd", row_group_size=65536)
    part.replace(path)


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set, opened: the card, the columns of the index, and its shards.

    Use `PreparedSet.open(folder)`.
    """

    folder: Path
    card: SetCard
    columns: dict[str, NDArray[Any]]
    reader: ShardReader

    @classmethod
    def open(cls, folder: Path | str) -> PreparedSet:
        """Read the card and the index and check that the shards are all there.

        Raises:
            DataError: something is missing, damaged, of another version, or does not fit together.
        """
        folder = Path(folder)
        card = read_card(folder)
        columns = _read_columns(folder)
        _check(folder, card, columns)
        return cls(folder, card, columns, ShardReader(folder))

    def __len__(self) -> int:
        return len(self.columns["key"])

    @cached_property
    def identity_codes(self) -> NDArray[np.int32]:
        """(N,) number of each photo's person, -1 for photos without an identity."""
        identities = self.columns["identity"]
        known = np.array([name is not None for name in identities], dtype=bool)
        codes = np.full(len(identities), -1, dtype=np.int32)
        if known.any():
            codes[known] = np.unique(identities[known].astype(str), return_inverse=True)[1]
        return codes

    @cached_property
    def pose_deg(self) -> FloatArray:
        """(N, 3) pitch, yaw and roll of each photo."""
        return np.stack([self.columns[f"{name}_deg"] for name in ("pitch", "yaw", "roll")], axis=1)

    @property
    def native_px(self) -> FloatArray:
        """(N,) real resolution of each crop (`preparation.detail.native_px`); NaN where the set is older."""
        return np.asarray(self.columns["native_px"], dtype=np.float32)

    def member(self, row: int, ending: str) -> bytes:
        """The bytes of one file of a photo: `ending` is one of `MEMBERS`.

        Raises:
            DataError: the shard is missing or cut short.
        """
        column = _column(ending)
        return self.reader.read(
            int(self.columns["shard"][row]),
            int(self.columns[f"{column}_offset"][row]),
            int(self.columns[f"{column}_size"][row]),
        )

    def span(self, row: int) -> tuple[int, Place, tuple[Place, ...]]:
        """Shard, one stretch that holds all files of a photo, and each file's place within the stretch."""
        places = [
            Place(
                int(self.columns[f"{_column(ending)}_offset"][row]),
                int(self.columns[f"{_column(ending)}_size"][row]),
            )
            for ending in MEMBERS
        ]
        start = places[0].offset
        stretch = Place(start, places[-1].offset + places[-1].size - start)
        return (
            int(self.columns["shard"][row]),
            stretch,
            tuple(Place(place.offset - start, place.size) for place in places),
        )


def read_card(folder: Path) -> SetCard:
    """Read and validate `set.json`.

    Raises:
        DataError: missing, damaged, or of another version.
    """
    path = folder / CARD_NAME
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; a prepared set was expected. Make one with `hififace prepare`."
        )
    if not path.is_file():
        raise DataError(
            f"{folder} holds no {CARD_NAME}, so it is no finished set. "
            f"If a preparation was interrupted, run the same command again to resume it."
        )
    try:
        fields = parse_json_object(path.read_text(encoding="utf-8"))
        version = fields.get("schema_version")
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{path} is of layout {version}; this version of hififace reads layout {SCHEMA_VERSION}. "
                f"Prepare the set again."
            )
        return SetCard.model_validate(fields)
    except (ValueError, AttributeError, ValidationError) as error:
        raise DataError(
            f"{path} is damaged ({str(error).splitlines()[0]}). Prepare the set again."
        ) from error


def _read_columns(folder: Path) -> dict[str, NDArray[Any]]:
    pa = _pyarrow()
    import pyarrow.parquet as parquet

    path = folder / INDEX_NAME
    if not path.is_file():
        raise DataError(f"{folder} holds no {INDEX_NAME}. Copy the whole folder, or prepare the set again.")
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}). Copy it again, or prepare the set again."
        ) from error
    names = index_schema().names
    missing = [name for name in names if name not in table.column_names and name not in _LATER_COLUMNS]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}. Prepare the set again.")
    columns = {name: table.column(name).to_numpy() for name in names if name in table.column_names}
    for name, kind in _LATER_COLUMNS.items():
        if name not in columns:
            columns[name] = np.full(table.num_rows, np.nan if kind is np.float32 else None, kind)
    return columns


def _check(folder: Path, card: SetCard, columns: dict[str, NDArray[Any]]) -> None:
    num_rows = len(columns["key"])
    if num_rows != card.num_photos:
        raise DataError(
            f"{folder}: {CARD_NAME} counts {card.num_photos} photos, {INDEX_NAME} lists {num_rows}. "
            f"They belong to different preparations; copy the whole folder, or prepare the set again."
        )
    if num_rows == 0:
        raise DataError(f"{folder} holds no photos. Its report.md says why each one was rejected.")
    _check_places(folder, card, columns)
    last = MEMBERS[-1].replace(".png", "")
    for number in range(card.num_shards):
        path = folder / shard_name(number)
        if not path.is_file():
            raise DataError(
                f"{path} is missing; the set has {card.num_shards} shards. Copy the whole folder."
            )
        rows = columns["shard"] == number
        if rows.any():
            end = int((columns[f"{last}_offset"][rows] + columns[f"{last}_size"][rows]).max())
            if path.stat().st_size < end:
                raise DataError(
                    f"{path} is cut short: {path.stat().st_size} bytes, at least {end} were expected."
                )


def _check_places(folder: Path, card: SetCard, columns: dict[str, NDArray[Any]]) -> None:
    """Refuse an index whose numbers point outside the set: it may come from anybody."""
    most = np.iinfo(np.int64).max // 2
    bounds = {"shard": (0, card.num_shards - 1)}
    for ending in MEMBERS:
        bounds |= {f"{_column(ending)}_offset": (0, most), f"{_column(ending)}_size": (1, MAX_MEMBER_BYTES)}
    for name, (least, greatest) in bounds.items():
        values = columns[name]
        if values.dtype.kind not in "iu" or int(values.min()) < least or int(values.max()) > greatest:
            raise DataError(
                f"{folder / INDEX_NAME}: the column {name} holds values that are no whole numbers from {least} to "
                f"{greatest}. Copy it again, or prepare the set again."
            )
    starts = np.stack([columns[f"{_column(ending)}_offset"] for ending in MEMBERS])
    if (np.diff(starts, axis=0) <= 0).any() or int((starts[-1] - starts[0]).max()) > MAX_MEMBER_BYTES:
        raise DataError(
            f"{folder / INDEX_NAME}: the files of a photo do not lie side by side. Prepare the set again."
        )


def _column(ending: str) -> str:
    return ending.replace(".png", "")


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise RuntimeUnavailableError(
            "Training sets are indexed with pyarrow, which is not installed. Run `pip install '.[train]'`."
        ) from error
    return pa
