"""Tar shards: the files of one photo lie side by side, and each can be read by its offset.

The layout is the one that `webdataset` streams (`KEY.jpg`, `KEY.mask.png`, `KEY.npz`, `KEY.json`), written
so that equal contents give equal bytes: fixed times, owners and modes, plain ustar headers, no compression
beyond the members' own. Random access needs no tar reader: the index keeps offset and size of each member.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.errors import DataError
from hififace.media.image import MAX_FILE_BYTES

BLOCK: Final = 512
"""Tar's unit: headers and contents are padded to it."""

_HAS_PREAD: Final = hasattr(os, "pread")

MEMBERS: Final = ("jpg", "mask.png", "npz", "json")
"""The endings of one photo's files, in the order in which they lie in the tar."""


class Place(NamedTuple):
    """Where the content of a member lies in its tar."""

    offset: int
    size: int


def shard_name(number: int) -> str:
    """`shard-00000.tar` and so on."""
    return f"shard-{number:05d}.tar"


def tar_member(name: str, data: bytes) -> tuple[bytes, bytes]:
    """Header and padding to put before and after `data`; the same for the same name and size, always.

    Raises:
        ValueError: a name longer than the 100 bytes of a plain header.
    """
    if len(name.encode()) > 100:
        raise ValueError(f"member name {name!r} is longer than 100 bytes")
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info.tobuf(tarfile.USTAR_FORMAT), b"\0" * (-len(data) % BLOCK)


class TarWriter:
    """One tar, written to a temporary name and renamed when closed without an error.

    Use as a context manager. `add` returns where the content lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = self._part.open("wb")
        self._position = 0

    def add(self, name: str, data: bytes) -> Place:
        """Append one member."""
        header, padding = tar_member(name, data)
        self._file.write(header)
        self._file.write(data)
        self._file.write(padding)
        place = Place(self._position + BLOCK, len(data))
        self._position += BLOCK + len(data) + len(padding)
        return place

    def add_photo(self, key: str, members: Mapping[str, bytes]) -> tuple[Place, ...]:
        """Append the files of one photo, in the order of `MEMBERS`.

        Raises:
            ValueError: members other than `MEMBERS`, or a key with a dot or slash (webdataset would cut it).
        """
        if set(members) != set(MEMBERS):
            raise ValueError(f"a photo has the members {MEMBERS}, not {tuple(members)}")
        if "." in key or "/" in key or not key:
            raise ValueError(f"key {key!r} is empty or holds a dot or a slash")
        return tuple(self.add(f"{key}.{ending}", members[ending]) for ending in MEMBERS)

    def close(self) -> None:
        """Write the end of the archive, flush to disk, and take the final name."""
        # Two zero blocks end a tar; no padding to 10,240 bytes, which would only be waste.
        self._file.write(b"\0" * (2 * BLOCK))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def iterate_members(path: Path) -> Iterator[tuple[str, Place]]:
    """Names and places of the plain files of a tar, in order, reading headers only.

    Raises:
        DataError: not a tar, cut short, or with a member that is larger than any photo.
    """
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                if info.isfile():
                    if info.offset_data + info.size > size:
                        raise DataError(
                            f"{path} is cut short in the middle of {info.name}. Copy or make it again."
                        )
                    if info.size > MAX_FILE_BYTES:
                        raise DataError(
                            f"{path}: {info.name} has {info.size / 1e9:.1f} GB; no photo is that large."
                        )
                    yield info.name, Place(info.offset_data, info.size)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is not a readable tar archive ({error}). Copy or make it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


class ShardReader:
    """Reads members of the shards of one folder by offset; safe to share between threads.

    Files are opened when first needed and kept open. It can be pickled: the copy opens its own files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handles: dict[int, int] = {}
        self._lock = threading.Lock()

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """The bytes of one member.

        Raises:
            DataError: the shard is missing or too short.
        """
        handle = self._handle(shard)
        if _HAS_PREAD:
            data = os.pread(handle, size, offset)
        else:  # Windows: one position per file, so seek and read belong together
            with self._lock:
                os.lseek(handle, offset, os.SEEK_SET)
                data = os.read(handle, size)
        if len(data) != size:
            raise DataError(
                f"{self.folder / shard_name(shard)} ends before byte {offset + size}, which the index names. "
                f"It is cut short or belongs to another index; run `hififace prepare` again."
            )
        return data

    def close(self) -> None:
        """Close the open files; the next read opens them again."""
        with self._lock:
            for handle in self._handles.values():
                os.close(handle)
            self._handles.clear()

    def _handle(self, shard: int) -> int:
        handle = self._handles.get(shard)
        if handle is not None:
            return handle
        with self._lock:
            if shard not in self._handles:
                path = self.folder / shard_name(shard)
                try:
                    self._handles[shard] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                except OSError as error:
                    raise DataError(
                        f"The shard {path} cannot be opened ({error.strerror}); the index names it. "
                        f"Copy the whole folder, or run `hififace prepare` again."
                    ) from error
            return self._handles[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]

    def __del__(self) -> None:
        self.close()


_LOCAL_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz of these arrays, stored without compression; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, content.getvalue())
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Read what `pack_arrays` wrote, as read-only views of `data`.

    Walks the local headers instead of going through `numpy.load`, which costs ten times as much per array
    and holds Python's lock all the while: this runs twice per training pair.

    Raises:
        DataError: not such a file.
    """
    arrays: dict[str, NDArray[Any]] = {}
    position = 0
    try:
        while data[position : position + 4] == b"PK\x03\x04":
            header = _LOCAL_HEADER.unpack_from(data, position)
            method, size, name_length, extra_length = header[4], header[8], header[9], header[10]
            if method != zipfile.ZIP_STORED:
                raise DataError("The arrays of a photo are compressed; `hififace prepare` stores them plain.")
            start = position + _LOCAL_HEADER.size
            name = data[start : start + name_length].decode()
            start += name_length + extra_length
            length = int.from_bytes(data[start + 8 : start + 10], "little")
            dtype, shape = _npy_header(data[start + 10 : start + 10 + length])
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name.removesuffix(".npy")] = np.frombuffer(
                data, dtype=dtype, count=count, offset=start + 10 + length
            ).reshape(shape)
            position = start + size
    except (
        struct.error, ValueError, LookupError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError
    ) as error:  # fmt: skip
        raise DataError(
            f"The arrays of a photo cannot be read ({error}); the shard is damaged. "
            f"Run `hififace prepare` again."
        ) from error
    return arrays


@lru_cache(maxsize=256)
def _npy_header(text: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    import ast

    fields = ast.literal_eval(text.decode("latin1").strip())
    dtype, shape = np.dtype(fields["descr"]), tuple(fields["shape"])
    if dtype.kind not in "biuf" or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"arrays of numbers were expected, not {dtype} {shape}")
    return dtype, shape
