"""How much room visitors' files take."""

from __future__ import annotations

from pathlib import Path


def disk_use(folder: Path) -> int:
    """Bytes of all files below a folder; a file with two names counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except OSError:
            continue  # it went away meanwhile
        sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())
