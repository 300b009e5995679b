"""Named tensors in one safetensors file, or in several small ones that are joined when they are read.

`average.safetensors`, or with a limit `average-000.safetensors`, `average-001.safetensors` and so on: a checkpoint
that can be stored where the size of a file is limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from hififace.errors import OptionError, WeightsError
from hififace.models.pretrained.strict_loading import read_state_dict

_HEADER_BYTES = 1 << 16
"""Space reserved for the header of a safetensors file, which holds the names."""
_PART_OF = "part_of"


def write_tensors(
    folder: Path, name: str, tensors: Mapping[str, Tensor], notes: Mapping[str, str], part_mb: float | None
) -> list[Path]:
    """Writes `folder/name.safetensors`, or parts of it where it would be larger than `part_mb`.

    Args:
        folder: must exist.
        name: without a suffix.
        tensors: on the CPU.
        notes: metadata of every file.
        part_mb: maximum size of a file, in 10^6 bytes; None writes one file.

    Returns:
        The files written.

    Raises:
        OptionError: a single tensor is larger than `part_mb`.
    """
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    limit = float("inf") if part_mb is None else part_mb * 1e6 - _HEADER_BYTES
    parts: list[dict[str, Tensor]] = [{}]
    used = 0
    for key, value in tensors.items():
        if value.nbytes > limit:
            raise OptionError(
                f"'{key}' alone takes {value.nbytes / 1e6:.1f} MB, more than files of {part_mb:g} MB hold: raise "
                f"checkpoint_part_mb to {(value.nbytes + _HEADER_BYTES) / 1e6 + 0.1:.1f} at least."
            )
        if parts[-1] and used + value.nbytes > limit:
            parts.append({})
            used = 0
        parts[-1][key] = value
        used += value.nbytes
    if len(parts) == 1:
        paths = [folder / f"{name}.safetensors"]
        save_file(parts[0], paths[0], metadata=dict(notes))
        return paths
    paths = [folder / f"{name}-{number:03d}.safetensors" for number in range(len(parts))]
    for number, (path, part) in enumerate(zip(paths, parts, strict=True)):
        save_file(part, path, metadata={**notes, _PART_OF: f"{number + 1}/{len(parts)}"})
    return paths


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Reads the tensors that `write_tensors` wrote, from one file or all parts.

    Raises:
        WeightsError: no file has that name, a part is missing, or a file is damaged.
    """
    parts = _parts(folder, name)
    if not parts:
        return read_state_dict(folder / f"{name}.safetensors")
    count = _count(parts[0])
    expected = [folder / f"{name}-{number:03d}.safetensors" for number in range(count)]
    if missing := [path.name for path in expected if path not in parts]:
        raise WeightsError(
            f"{folder} lacks {', '.join(missing)}: '{name}' was written in {count} files. Copy all of them."
        )
    joined: dict[str, Tensor] = {}
    for path in expected:
        joined.update(read_state_dict(path))
    return joined


def has_tensors(folder: Path, name: str) -> bool:
    """Whether the folder holds tensors of that name, in one file or in parts."""
    return (folder / f"{name}.safetensors").is_file() or bool(_parts(folder, name))


def _parts(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-[0-9][0-9][0-9].safetensors"))


def _count(part: Path) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(part, "pt") as file:
            return int((file.metadata() or {})[_PART_OF].partition("/")[2])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{part} is damaged, or no part of a checkpoint ({error}). Copy it again."
        ) from error
