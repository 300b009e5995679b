"""Builds a prepared set: lists the photos, processes them in blocks, chooses, and writes the shards.

To resume an interrupted preparation, run the same command again. Finished blocks are kept in `.preparing` below the
output folder; the result is the same, byte for byte, for any number of interruptions and workers.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from annotated_types import Interval

from hififace import __version__
from hififace.data.index import CARD_NAME, SetCard, read_card
from hififace.errors import DataError, OptionError
from hififace.json_values import parse_json_object
from hififace.media.atomic import atomic_write, refuse_address
from hififace.media.lock import folder_lock
from hififace.option_fields import check
from hififace.preparation.assemble import Chosen, choose, write_set
from hififace.preparation.blocks import (
    DescriberFactory,
    Part,
    WorkSettings,
    describer_for,
    process_block,
    read_part,
)
from hififace.preparation.describe import Describer, DescriberSettings
from hififace.preparation.families import create_describer
from hififace.preparation.quality import QualityOptions
from hififace.preparation.report import summarise, write_reports
from hififace.preparation.sources import (
    BLOCK_SIZE,
    Block,
    Layout,
    Source,
    contents_of,
    iterate_blocks,
    open_inputs,
)
from hififace.spread import in_this_process, over_processes, over_ray
from hififace.weights.store import hashes_of

LOGGER = logging.getLogger(__name__)
WORK_FOLDER: Final = ".preparing"


@dataclass(frozen=True)
class PrepareOptions:
    """Options that decide the content of a prepared set."""

    family: str = "mesh"
    """Family of frozen networks: mesh (embedded) or basel (user-supplied files)."""
    template: str = "mini_128"
    """Alignment template of the crops."""
    resolution: int = 128
    """Side length of the crops, in pixels."""
    min_age: Annotated[int, Interval(ge=0)] = 18
    """Leave out photos whose stated age is below this; photos without a stated age are kept."""
    layout: Layout = "auto"
    """Layout of the folders: people (one folder per person), flat, or auto (detected)."""
    photos_per_shard: Annotated[int, Interval(ge=1)] = 4096
    """Number of photos per tar shard."""
    quality: QualityOptions = field(default_factory=QualityOptions)

    def __post_init__(self) -> None:
        check(self)


class Progress(NamedTuple):
    """Progress of the first pass."""

    done: int
    """Processed photos, including those of an earlier run."""
    total: int | None
    """Number of all photos; None if it is not known."""
    kept: int
    rejected: int
    resumed: int
    """Photos among `done` that an earlier run had processed, which do not count for the speed of this run."""


@dataclass(frozen=True)
class Workers:
    """Worker processes: how many, and whether Ray distributes them over machines."""

    number: int = 1
    ray: bool = False

    def __post_init__(self) -> None:
        if self.number < 1:
            raise OptionError(f"{self.number} workers were asked for; at least 1 is needed.")


def prepare_set(
    inputs: Sequence[Path | str],
    output: Path | str,
    options: PrepareOptions | None = None,
    *,
    landmarks: Path | None = None,
    workers: Workers | None = None,
    progress: Callable[[Progress], None] | None = None,
    factory: DescriberFactory = create_describer,
) -> SetCard:
    """Prepare photographs for training.

    Args:
        inputs: folders, tar shards, compressed archives, and at most one landmark list.
        output: folder of the set; created if missing.
        options: these determine the content.
        landmarks: landmark list of an archive.
        workers: worker processes; the content does not depend on them.
        progress: called after each block.
        factory: loads the frozen networks in each worker; replaced in tests.

    Returns:
        The card of the finished set; the report lies beside it.

    Raises:
        DataError: an input is missing or damaged, no photo can be used, the folder holds another set, or another
            process is preparing it.
        OptionError: an option out of range, or an input whose layout cannot be detected.
        WeightsError: a weights file is missing.
    """
    # Absolute, since a worker may have another working directory.
    options, workers, output = options or PrepareOptions(), workers or Workers(), Path(output).absolute()
    _refuse_inside(output, inputs)
    sources = open_inputs([Path(path).absolute() for path in inputs], options.layout, landmarks)
    settings: dict[str, Any] = {
        **asdict(options),
        "block": BLOCK_SIZE,
        "inputs": [[source.label, source.kind] for source in sources],
    }
    contents = [contents_of(source) for source in sources]
    finished = _finished(output, settings, sources, contents)
    if finished is not None:
        shutil.rmtree(output / WORK_FOLDER, ignore_errors=True)
        return finished
    busy = DataError(
        f"{output} is being prepared by another program. Wait for it, stop it, or choose another folder."
    )
    with folder_lock(output, busy):
        describer = DescriberSettings(options.family, options.template, options.resolution)
        work = WorkSettings(describer, options.quality, options.min_age, factory)
        parts_here = hashes_of(describer_for(work).parts)
        folder = _begin(output, settings)
        described_by = _note_parts(folder, parts_here)
        num_blocks = _run_blocks(sources, folder, work, workers, progress)
        parts = [_finished_part(folder, number) for number in range(num_blocks)]
        parts_describer = describer_for(work)
        chosen = choose(parts, options.quality, parts_describer.person_cosine)
        card = _write(
            output, options, settings, sources, contents, chosen, parts, parts_describer, described_by
        )
        shutil.rmtree(folder)
        return card


def _refuse_inside(output: Path, inputs: Sequence[Path | str]) -> None:
    """Refuses an output within an input folder, where the next preparation would take its files for photos.

    Raises:
        OptionError: the output lies within an input.
    """
    for path in inputs:
        refuse_address(path)
        if output.resolve().is_relative_to(Path(path).resolve()):
            raise OptionError(
                f"{output} lies in {path}, whose photos are prepared: the next run would read the set as photos. "
                "Choose a folder outside."
            )


def _run_blocks(
    sources: Sequence[Source],
    folder: Path,
    work: WorkSettings,
    workers: Workers,
    progress: Callable[[Progress], None] | None,
) -> int:
    """The first pass; returns the number of blocks."""
    counts = [source.count() for source in sources]
    total = None if None in counts else sum(count or 0 for count in counts)
    num_blocks = 0

    def counted() -> Iterator[Block]:
        nonlocal num_blocks
        for block in iterate_blocks(sources):
            num_blocks = block.number + 1
            yield block

    spread: Any = over_ray if workers.ray else over_processes if workers.number > 1 else in_this_process
    kept = rejected = resumed = 0
    for tally in spread(partial(process_block, folder=folder, settings=work), counted(), workers.number):
        kept, rejected, resumed = kept + tally.kept, rejected + tally.rejected, resumed + tally.resumed
        if progress is not None:
            progress(Progress(kept + rejected, total, kept, rejected, resumed))
    if num_blocks == 0:
        raise DataError("The inputs hold no images. Check that these are the folders you meant.")
    return num_blocks


def _write(
    output: Path,
    options: PrepareOptions,
    settings: dict[str, Any],
    sources: Sequence[Source],
    contents: Sequence[str],
    chosen: Chosen,
    parts: Sequence[Part],
    describer: Describer,
    described_by: dict[str, str],
) -> SetCard:
    seen: dict[str, int] = {}
    for part in parts:
        for row in [*part.rows, *part.rejected]:
            label = row["source"].split("/")[0]
            seen[label] = seen.get(label, 0) + 1
    inputs = [
        {"name": source.label, "kind": source.kind, "photos": seen.get(source.label, 0)} for source in sources
    ]
    described = [{**about, "contents": digest} for about, digest in zip(inputs, contents, strict=True)]
    summary = summarise(chosen, inputs, settings)

    def card(num_people: int, num_shards: int) -> SetCard:
        return SetCard(
            family=describer.family,
            template=options.template,
            resolution=options.resolution,
            coefficients=describer.layout,
            identity_embedder=describer.identity_name,
            identity_size=describer.identity_size,
            landmark_mirror=describer.landmark_mirror,
            num_photos=len(chosen.rows),
            num_identities=num_people,
            num_shards=num_shards,
            made_by=f"hififace {__version__}",
            parts=described_by,
            settings=settings,
            inputs=tuple(described),
        )

    return write_set(
        output, chosen, card, options.photos_per_shard, lambda: write_reports(output, chosen, summary)
    )


def _finished(
    output: Path, settings: dict[str, Any], sources: Sequence[Source], contents: Sequence[str]
) -> SetCard | None:
    """The card of a finished set of the same settings and photos; None if there is none."""
    if not (output / CARD_NAME).is_file():
        return None
    card = read_card(output)
    if _plain(card.settings) != _plain(settings):
        raise DataError(
            f"{output} already holds a finished set of other photos or other settings. "
            f"Choose another folder, or delete this one."
        )
    changed = [
        source.label
        for about, source, digest in zip(card.inputs, sources, contents, strict=False)
        if _has_changed(about, source, digest)
    ]
    if changed:
        raise DataError(
            f"{output} already holds a finished set, but {', '.join(changed)} has changed since: photos were added, "
            f"removed or replaced. Choose another folder, or delete {output} to prepare the photos as they are now."
        )
    return card


def _has_changed(about: dict[str, Any], source: Source, digest: str) -> bool:
    """Whether an input's photos differ from those recorded in the set; earlier versions recorded only their number."""
    if "contents" in about:
        return bool(about["contents"] != digest)
    count = source.count()
    return count is not None and count != about.get("photos", count)


def _begin(output: Path, settings: dict[str, Any]) -> Path:
    """The folder of unfinished work: new, or of an interrupted run with the same settings."""
    folder = output / WORK_FOLDER
    plan = folder / "plan.json"
    if plan.is_file():
        if _read(plan) != _plain(settings):
            raise DataError(
                f"{folder} holds a preparation that was interrupted and had other photos or settings. "
                f"Run the earlier command again to finish it, or delete {folder} to start again."
            )
        return folder
    atomic_write(plan, json.dumps(settings, indent=2).encode())
    return folder


def _note_parts(folder: Path, found: dict[str, str]) -> dict[str, str]:
    """The hashes of the weights files of this preparation; refuses to resume with other files.

    A preparation from before hashes were recorded is resumed without them, since the files behind its finished blocks
    are unknown.
    """
    noted = folder / "parts.json"
    if not noted.is_file():
        if any(folder.glob("block-*.json")):
            LOGGER.warning(
                "%s was begun by an earlier version: its set will not say which parts described it", folder
            )
            found = {}
        atomic_write(noted, json.dumps(found, indent=2).encode())
        return found
    begun: dict[str, str] = _read(noted)
    other = [name for name in sorted(begun) if begun[name] != found.get(name)]
    if other:
        raise DataError(
            f"The preparation in {folder} was begun with another {', '.join(other)} than this installation has: "
            "its photos would be described by two versions. Restore the earlier files, or delete "
            f"{folder} to start again."
        )
    return begun


def _finished_part(folder: Path, number: int) -> Part:
    part = read_part(folder, number)
    if part is None:
        raise DataError(f"Block {number} of {folder} disappeared while the set was being written. Run again.")
    return part


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_json_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}). Delete {path.parent} to start the preparation again."
        ) from error


def _plain(value: Any) -> Any:
    """The value after a round trip through JSON: tuples become lists."""
    return json.loads(json.dumps(value))
