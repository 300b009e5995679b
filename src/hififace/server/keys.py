"""API keys: known by their hashes alone, so that whoever reads the file cannot ask in anybody's name.

A key is 256 random bits, so one SHA-256 is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hififace.errors import OptionError
from hififace.server.logs import LOGGER

_LOOK_EVERY_S: Final = 1.0
_LINE: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")
ANYBODY: Final = "anybody"
"""Whom requests belong to where no keys are asked for."""


class Keys:
    """Names of the keys by their hashes; false where there are none, and everybody is served. Threads may share one.

    Those of a file are read again when it changes: a line that goes closes the door within a second.
    """

    def __init__(self, by_hash: Mapping[str, str] | None = None) -> None:
        self._by_hash = MappingProxyType(dict(by_hash or {}))
        self._file: Path | None = None
        self._seen: tuple[int, ...] = ()
        self._next_look_s = 0.0

    @classmethod
    def parse(cls, text: str, place: str) -> Keys:
        """Read `NAME:SHA256` lines; empty ones and those that begin with # are passed over.

        Raises:
            OptionError: another kind of line, or the same name or hash twice; `place` says where.
        """
        by_hash: dict[str, str] = {}
        for number, line in enumerate(re.split(r"[\n,]", text), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None or found[1] == ANYBODY:
                raise OptionError(
                    f"{place}: entry {number} is no API key; NAME:SHA256 was expected, as --new-key NAME prints it."
                )
            if found[2] in by_hash or found[1] in by_hash.values():
                raise OptionError(f"{place}: entry {number} repeats a key or a name; each was expected once.")
            by_hash[found[2]] = found[1]
        if not by_hash:
            raise OptionError(f"{place}: there is no API key; at least one NAME:SHA256 was expected.")
        return cls(by_hash)

    @classmethod
    def read(cls, file: Path) -> Keys:
        """The same from a file.

        Raises:
            OptionError: it cannot be read, or as `parse`.
        """
        try:
            seen = _look(file)
            keys = cls.parse(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"{file}: the API keys cannot be read: {error}.") from error
        keys._file, keys._seen = file, seen
        return keys

    def __bool__(self) -> bool:
        return bool(self._by_hash)

    def owner(self, key: str) -> str | None:
        """The name of a key; None where it is not known."""
        self._take_up_changes()
        # Looked up by hash: how long it takes says nothing about any key.
        return self._by_hash.get(hash_of(key))

    def _take_up_changes(self) -> None:
        """Read the file again where it is another than before; one that cannot be read leaves the keys as they are."""
        if self._file is None or time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + _LOOK_EVERY_S
        try:
            seen = _look(self._file)
            if seen == self._seen:
                return
            self._seen = seen
            self._by_hash = Keys.read(self._file)._by_hash
        except (OSError, OptionError) as error:
            LOGGER.error("the API keys stay as they were: %s", error)
            return
        LOGGER.info("the API keys were read again", extra={"fields": {"keys": len(self._by_hash)}})


def _look(file: Path) -> tuple[int, ...]:
    """What tells two states of a file apart."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def hash_of(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(name: str) -> tuple[str, str]:
    """A fresh key for whoever asks, and its line for the file.

    Raises:
        OptionError: a name with other characters than letters, digits, dot, dash and underscore.
    """
    key = f"hf_{secrets.token_urlsafe(32)}"
    line = f"{name}:{hash_of(key)}"
    if _LINE.fullmatch(line) is None or name == ANYBODY:
        raise OptionError(f"The name of a key is {name!r}; 1 to 64 of A-Z a-z 0-9 . _ - were expected.")
    return key, line


def bearer_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key of a request, from `Authorization: Bearer KEY` or `X-API-Key: KEY`."""
    found = {name.lower(): value.decode("latin-1") for name, value in headers}
    scheme, _, key = found.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return found.get(b"x-api-key")
