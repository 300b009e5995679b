"""From what people name (files, folders, patterns) to jobs: which target goes where, decided before anything runs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hififace.errors import ImageError, OptionError
from hififace.media.atomic import refuse_address, refuse_no_file, refuse_overwriting
from hififace.media.image import SUFFIX_FORMATS, format_for

VIDEO_SUFFIXES: Final = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".wmv",
        ".flv",
        ".3gp",
    }
    | {".ogv", ".mxf"}
)

_OTHER_SUFFIX: Final = {
    # BMP has no room for the mark that every result carries.
    ".bmp": ".png",
    # Videos that are read but not written: Matroska takes nearly every kind of sound.
    ".3gp": ".mp4",
    **dict.fromkeys((".mpg", ".mpeg", ".m2ts", ".mts", ".wmv", ".flv", ".ogv", ".mxf"), ".mkv"),
}
"""Endings of targets in a folder whose results get another one."""


@dataclass(frozen=True, slots=True)
class Job:
    """One target and the file that its result becomes."""

    target: Path
    output: Path

    @property
    def kind(self) -> Literal["image", "video"]:
        """By the target's ending; what is no video is tried as an image."""
        return "video" if self.target.suffix.lower() in VIDEO_SUFFIXES else "image"


def plan_jobs(
    targets: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    reads: Sequence[str | os.PathLike[str]] = (),
) -> list[Job]:
    """Decide every file that will be written.

    One file as the only target becomes the file `output` (or a file in it, where that is a folder). Several
    targets, a folder (its own images and videos, not those of its sub-folders) and a pattern (`photos/**/*.jpg`)
    become files of the same names in the folder `output`, which is made; of a pattern, sub-folders are kept.

    Args:
        targets: files, folders and patterns.
        output: a file or a folder.
        reads: what else the command reads: no result may replace it.

    Raises:
        ImageError: a folder or pattern without images or videos, or an ending that no image can be written under.
        OptionError: a result would overwrite a file that the command reads, or another result; `output` is a file where
            a folder is needed; or a target is a web address.
        HififaceError: a result's place is taken by a folder, a device or a pipe.
    """
    for target in targets:
        refuse_address(target)
    place = Path(output)
    single = _single_file(targets)
    if single is not None:
        inside = place.is_dir() or str(output).endswith(("/", os.sep))
        jobs = [Job(single, place / _result_name(Path(single.name)) if inside else place)]
    else:
        if place.is_file():
            raise OptionError(f"{place} is a file; for several targets a folder was expected.")
        jobs = [
            Job(path, place / _result_name(name))
            for target in targets
            for path, name in _expand(os.fspath(target), place)
        ]
    _refuse_collisions(jobs, reads)
    if single is not None and jobs[0].kind == "image" and jobs[0].output.suffix:
        format_for(jobs[0].output)  # a wrong ending is said before any work
    return jobs


def _single_file(targets: Sequence[str | os.PathLike[str]]) -> Path | None:
    """The only target, where it names one file; also one that does not exist, whose reading will say so."""
    if len(targets) != 1 or Path(targets[0]).is_dir():
        return None
    path = Path(targets[0])
    return None if not path.exists() and glob.has_magic(os.fspath(path)) else path


def _expand(target: str, output: Path) -> Iterator[tuple[Path, Path]]:
    """Files that a target stands for, and each one's name below the output folder."""
    path = Path(target)
    if path.is_dir():
        root, found = path, sorted(path.iterdir())
    elif path.exists() or not glob.has_magic(target):
        yield path, Path(path.name)  # one that does not exist too: reading it says so, and the others go on
        return
    else:
        root = _fixed_root(target)
        found = sorted(root.glob(os.fspath(path.relative_to(root))))
    media = [file for file in found if _is_medium(file) and not _is_result(file, output, root)]
    for file in media:
        yield file, file.relative_to(root)
    if not media:
        raise ImageError(f"{target} stands for no image or video; check the folder or the pattern.")


def _fixed_root(pattern: str) -> Path:
    """The folder part of a pattern before its first wildcard."""
    parts = []
    for part in Path(pattern).parent.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _is_result(file: Path, output: Path, root: Path) -> bool:
    """Whether a file is of an earlier run, whose output folder lies below the folder of targets."""
    inside, around = output.resolve(), root.resolve()
    return inside != around and inside.is_relative_to(around) and file.resolve().is_relative_to(inside)


def _is_medium(path: Path) -> bool:
    suffix = path.suffix.lower()
    return (
        path.is_file()
        and not path.name.startswith(".")
        and (suffix in SUFFIX_FORMATS or suffix in VIDEO_SUFFIXES)
    )


def _result_name(name: Path) -> Path:
    return name.with_suffix(_OTHER_SUFFIX.get(name.suffix.lower(), name.suffix))


def _refuse_collisions(jobs: Sequence[Job], reads: Sequence[str | os.PathLike[str]]) -> None:
    taken: dict[Path, Path] = {}
    refuse_overwriting([job.output for job in jobs], [*(job.target for job in jobs), *reads])
    for job in jobs:
        refuse_no_file(job.output)
        final = job.output.resolve()
        if final in taken:
            raise OptionError(
                f"{taken[final]} and {job.target} would both become {job.output}; swap them one folder at a time."
            )
        taken[final] = job.target
