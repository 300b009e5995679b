"""The landmark list of Asia-Celeb: "path label x y x y ..." per line, five points.

The ten numbers are read as x, y pairs; lists with all x before all y are detected. The publisher's file is
`celebrity_lmk`, without a suffix, packed as `celebrity_lmk.tar.gz`; both can be read.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

import numpy as np

from hififace.errors import DataError
from hififace.types import FloatArray

PACKED: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True)
class LandmarkList:
    """Person and points by path, ignoring leading folders that only the archive or only the list has."""

    rows: dict[str, int] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    points: FloatArray = field(repr=False)
    """(N, 5, 2) in pixels of the photo."""

    @classmethod
    def read(cls, path: Path) -> LandmarkList:
        """Read a list.

        Raises:
            DataError: the file is missing or empty, or a line cannot be parsed; the message names the line.
        """
        rows: dict[str, int] = {}
        labels: list[str] = []
        values: list[list[float]] = []
        try:
            with _opened(path) as file:
                for number, line in enumerate(file, 1):
                    fields = line.split()
                    if not fields:
                        continue
                    name, label, points = _parse(path, number, fields)
                    rows[PurePosixPath(name).as_posix()] = len(labels)
                    labels.append(label)
                    values.append(points)
        except (OSError, EOFError, UnicodeDecodeError, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"The landmark list {path} cannot be read: {reason}.") from error
        if not labels:
            raise DataError(
                f'The landmark list {path} is empty; lines of "path label x y ..." were expected.'
            )
        numbers = np.asarray(values, dtype=np.float32)
        return cls(_without_common_folders(rows), tuple(labels), arrange(numbers))

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, name: str) -> bool:
        return self._row(name) is not None

    def find(self, name: str) -> tuple[str, tuple[float, ...]]:
        """Label and the ten numbers x, y, ... of an image.

        Raises:
            KeyError: it is not in the list.
        """
        row = self._row(name)
        if row is None:
            raise KeyError(name)
        return self.labels[row], tuple(float(value) for value in self.points[row].reshape(10))

    def _row(self, name: str) -> int | None:
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            row = self.rows.get("/".join(parts[start:]))
            if row is not None:
                return row
        return None


def _without_common_folders(rows: dict[str, int]) -> dict[str, int]:
    """Names without their common leading folders, which an unpacked archive may lack."""
    while rows:
        first = {name.partition("/")[0] if "/" in name else None for name in rows}
        if len(first) > 1 or None in first:
            break
        rows = {name.partition("/")[2]: row for name, row in rows.items()}
    return rows


def is_landmark_list(path: Path) -> bool:
    """Whether an input is a landmark list, by its name: `*.txt`, `celebrity_lmk`, `msra_lmk.tar.gz`."""
    stem = path.name.split(".")[0].lower()
    return path.suffix == ".txt" or stem.endswith(("_lmk", "_landmarks"))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Opens the list as text: the file itself, or the first file of its archive."""
    if not path.name.endswith(PACKED):
        with path.open(encoding="utf-8") as file:
            yield file
        return
    with tarfile.open(path, "r:*") as archive:
        for info in archive:
            member = archive.extractfile(info) if info.isfile() else None
            if member is not None:
                with io.TextIOWrapper(member, encoding="utf-8") as file:
                    yield file
                return
        raise tarfile.ReadError("it holds no file")


def arrange(numbers: FloatArray) -> FloatArray:
    """(N, 10) to (N, 5, 2), for either of the two usual orders of the numbers.

    The order is the one for which more faces of the list have their eyes above the mouth and the image-left eye to the
    left of the other.
    """
    pairs = numbers.reshape(-1, 5, 2)
    planes = numbers.reshape(-1, 2, 5).transpose(0, 2, 1)

    def plausible(points: FloatArray) -> int:
        eyes_above_mouth = points[:, :2, 1].max(axis=1) < points[:, 3:, 1].min(axis=1)
        left_to_right = (points[:, 0, 0] < points[:, 1, 0]) & (points[:, 3, 0] < points[:, 4, 0])
        return int((eyes_above_mouth & left_to_right).sum())

    return np.ascontiguousarray(planes if plausible(planes) > plausible(pairs) else pairs)


def _parse(path: Path, number: int, fields: list[str]) -> tuple[str, str, list[float]]:
    try:
        if len(fields) != 12:
            raise ValueError(f"{len(fields)} fields")
        return fields[0], fields[1], [float(value) for value in fields[2:]]
    except ValueError as error:
        raise DataError(
            f'Line {number} of {path} is not "path label" and ten numbers ({error}). '
            f"Is it the landmark list of this archive?"
        ) from error
