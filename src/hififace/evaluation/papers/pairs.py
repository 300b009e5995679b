"""Pairs of the literature's protocols, from folders in the layout of their publishers.

`ff++`: FaceForensics++ (Rössler et al. 2019): `original_sequences/youtube/COMPRESSION/{videos/NNN.mp4,images/NNN/}`;
results of methods are `manipulated_sequences/METHOD/COMPRESSION/videos/TARGET_SOURCE.mp4`. Pairs are the set's own.
`celeba-hq`, `ffhq`: a folder of photos of faces; 1,000 sources and 1,000 targets by the order of hashes of their names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hififace.errors import DataError, OptionError
from hififace.evaluation.pairs import SEED
from hififace.evaluation.papers.clips import IMAGE_ENDINGS, VIDEO_ENDINGS, Clip
from hififace.json_values import parse_json

PROTOCOLS: Final = ("ff++", "celeba-hq", "ffhq")
COMPRESSIONS: Final = ("c23", "raw", "c40")
"""In order of preference; the first one found is used."""
NUM_FRAMES: Final = 10
NUM_PHOTO_PAIRS: Final = 1000

_PAIR: Final = re.compile(r"(\d{3})_(\d{3})")


@dataclass(frozen=True, slots=True)
class PaperPair:
    """Source and target of one swap."""

    target: Clip
    source: Clip

    @property
    def name(self) -> str:
        """TARGET_SOURCE, the name of the result in FaceForensics++."""
        return f"{self.target.name}_{self.source.name}"


@dataclass(frozen=True, slots=True)
class PaperProtocol:
    """All pairs of a protocol, in order."""

    name: str
    pairs: tuple[PaperPair, ...]
    num_frames: int
    left_out: Mapping[str, str]
    """Pair or photo -> why it was left out."""
    where: str
    """The part of the folder that was read."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Every clip once, sources first."""
        both = [pair.source for pair in self.pairs] + [pair.target for pair in self.pairs]
        return tuple({clip.name: clip for clip in both}.values())

    @property
    def whole_images(self) -> bool:
        """Whether the Fréchet distance is computed on unchanged images."""
        return self.name != "ff++"

    @property
    def sha256(self) -> str:
        """Hash of the names of all pairs."""
        names = [self.name, self.num_frames, [pair.name for pair in self.pairs]]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

    def first(self, num_pairs: int | None) -> PaperProtocol:
        """The protocol reduced to its first pairs; unchanged for None."""
        return self if num_pairs is None else replace(self, pairs=self.pairs[:num_pairs])


def read_protocol(name: str, folder: Path, pair_list: Path | None = None) -> PaperProtocol:
    """The pairs of a protocol.

    Args:
        name: one of `PROTOCOLS`.
        folder: root of FaceForensics++, or of the photos.
        pair_list: for `ff++`: JSON like the dataset's `splits/*.json` ([["953", "974"], ...], used in both directions),
            or lines TARGET_SOURCE; None takes the splits if they exist, otherwise the names of results.

    Raises:
        DataError: a folder of another layout, or too few photos.
        OptionError: unknown protocol, or a list for photos.
    """
    if name == "ff++":
        return _faceforensics(folder, pair_list)
    if name not in PROTOCOLS:
        raise OptionError(f"There is no protocol {name!r} here. Expected one of {', '.join(PROTOCOLS)}.")
    if pair_list is not None:
        raise OptionError(
            f"--pair-list is for ff++; the pairs of {name} follow from the names of its photos."
        )
    return _photos(name, folder)


def method_clips(folder: Path, method: str, protocol: PaperProtocol, root: Path) -> dict[str, Clip]:
    """Results of another method: TARGET_SOURCE -> clip.

    Args:
        folder: of TARGET_SOURCE.mp4, or of folders TARGET_SOURCE/ of frames (photos: TARGET_SOURCE.png), or the name
            of a method below `manipulated_sequences`.
        method: its name in the report.
        protocol: the pairs to look for.
        root: of FaceForensics++.

    Raises:
        DataError: there is no result of any pair.
    """
    places = [folder, folder / "videos", folder / "images"]
    for compression in COMPRESSIONS:
        below = root / "manipulated_sequences" / folder.name / compression
        places += [
            folder / compression / "videos",
            folder / compression / "images",
            below / "videos",
            below / "images",
        ]
    for place in places:
        if not place.is_dir():
            continue
        by_name = {path.stem if path.is_file() else path.name: path for path in sorted(place.iterdir())}
        found = {
            pair.name: Clip(pair.name, by_name[pair.name]) for pair in protocol.pairs if pair.name in by_name
        }
        if found:
            return found
    raise DataError(
        f"No result of '{method}' was found in {folder}: files TARGET_SOURCE.mp4 (such as "
        f"{protocol.pairs[0].name}.mp4), or folders of that name with the frames, were expected."
    )


def _faceforensics(root: Path, pair_list: Path | None) -> PaperProtocol:
    where, clips = _originals(root)
    chosen = _listed(pair_list) if pair_list is not None else _own_pairs(root)
    left_out = {
        f"{target}_{source}": f"{' and '.join(lacking)} of the original videos is missing"
        for target, source in chosen
        if (lacking := [name for name in (target, source) if name not in clips])
    }
    pairs = [PaperPair(clips[t], clips[s]) for t, s in chosen if f"{t}_{s}" not in left_out]
    if not pairs:
        raise DataError(
            f"None of the {len(chosen)} pairs has both of its videos in {where}; {len(clips)} videos are there. "
            "Download the original sequences of FaceForensics++ whole."
        )
    return PaperProtocol("ff++", tuple(pairs), NUM_FRAMES, left_out, str(where.relative_to(root)))


def _originals(root: Path) -> tuple[Path, dict[str, Clip]]:
    base = root / "original_sequences" / "youtube"
    for compression in COMPRESSIONS:
        for kind in ("videos", "images"):
            place = base / compression / kind
            if not place.is_dir():
                continue
            found = {
                path.stem if kind == "videos" else path.name: path
                for path in sorted(place.iterdir())
                if (path.suffix.lower() in VIDEO_ENDINGS if kind == "videos" else path.is_dir())
            }
            if found:
                return place, {name: Clip(name, path) for name, path in found.items()}
    raise DataError(
        f"{root} is not FaceForensics++: videos original_sequences/youtube/c23/videos/000.mp4 ..., or their frames "
        "original_sequences/youtube/c23/images/000/, were expected. Give the folder that its download script filled."
    )


def _own_pairs(root: Path) -> list[tuple[str, str]]:
    """The dataset's pairs, from its splits or otherwise from the names of a method's results."""
    for folder in (root / "splits", root / "dataset" / "splits", root):
        lists = sorted(folder.glob("*.json"))
        pairs = (
            [pair for path in lists for pair in _listed(path)]
            if {"train", "val", "test"} & {path.stem for path in lists}
            else []
        )
        if pairs:
            return sorted(set(pairs))
    names = {
        match.groups()
        for path in (root / "manipulated_sequences").glob("*/*/*/*")
        if (match := _PAIR.fullmatch(path.stem))
    }
    if not names:
        raise DataError(
            f"The pairs of FaceForensics++ are not in {root}: its splits/train.json, val.json and test.json (from "
            "github.com/ondyari/FaceForensics, folder dataset/splits), results in manipulated_sequences, or a "
            "--pair-list were expected."
        )
    return sorted((target, source) for target, source in names)


def _listed(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list of pairs {path} cannot be read: {error}.") from error
    if path.suffix == ".json":
        try:
            content = parse_json(text.encode())
        except ValueError as error:
            raise DataError(f"{path} is not valid JSON ({error}).") from error
        rows = content if isinstance(content, list) else []
        pairs = [
            (str(a), str(b)) for row in rows if isinstance(row, list) and len(row) == 2 for a, b in [row]
        ]
        if not pairs or len(pairs) != len(rows):
            raise DataError(f'{path} is no list of pairs such as [["953", "974"], ...].')
        return pairs + [(b, a) for a, b in pairs]
    pairs = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        match = _PAIR.match(line)
        if match is None:
            raise DataError(
                f"Line {number} of {path} is {line!r}; TARGET_SOURCE, such as 000_003, was expected."
            )
        pairs.append((match[1], match[2]))
    if not pairs:
        raise DataError(f"The list of pairs {path} is empty; lines such as 000_003 were expected.")
    return list(dict.fromkeys(pairs))


def _photos(name: str, folder: Path) -> PaperProtocol:
    paths = [p for p in _walk(folder) if p.suffix.lower() in IMAGE_ENDINGS] if folder.is_dir() else []
    by_stem: dict[str, Path] = {}
    for path in paths:
        first = by_stem.setdefault(path.stem, path)
        if first != path:
            raise DataError(
                f"{first} and {path} have the same name: {folder} holds the photos twice. Give the folder of one size, "
                "such as images1024x1024 or CelebA-HQ-img."
            )
    num = min(NUM_PHOTO_PAIRS, len(by_stem) // 2)
    if num < 1:
        raise DataError(
            f"{folder} holds {len(by_stem)} photos; two at least, and 2,000 for {name}, were expected."
        )
    order = sorted(
        by_stem, key=lambda stem: hashlib.sha256(f"{SEED} {name} {_number(stem)}".encode()).digest()
    )
    pairs = [
        PaperPair(Clip(target, by_stem[target]), Clip(source, by_stem[source]))
        for source, target in zip(order[:num], order[num : 2 * num], strict=True)
    ]
    return PaperProtocol(name, tuple(pairs), 1, {}, f"{len(by_stem)} photos")


def _number(stem: str) -> str:
    """The photo's number, so that 0.jpg and 00000.png of CelebA-HQ, depending on the unpacking, give the same pairs."""
    return str(int(stem)) if stem.isdecimal() else stem


def _walk(folder: Path) -> Iterable[Path]:
    below = ((p, p.relative_to(folder)) for p in sorted(folder.rglob("*")))
    return (p for p, name in below if not any(part.startswith(".") for part in name.parts))
