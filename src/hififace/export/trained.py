"""A checkpoint of this project's own training into a bundle: the averaged generator, ready for swapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from hififace import __version__
from hififace.errors import OptionError, TrainingError, WeightsError
from hififace.export.figures import read_figures
from hififace.export.graph import ExportReport, export_bundle
from hififace.models.create import create_generator
from hififace.models.earlier_names import current_weight_names
from hififace.models.generator import Generator
from hififace.models.params import BASEL_VECTOR, GENERATORS, generator_params
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill, read_state_dict
from hififace.training.checkpoint import read_state

TEMPLATES = {"mesh": "mini_128", "basel": "frontal_256"}
"""What each family's sets are aligned to unless somebody says otherwise."""

FEEDBACK = 0.4
"""What suits a network that was trained with up to 0.7 (docs/lab-book.md, 2026-11-28)."""

Weights = Literal["average", "generator"]


def find_checkpoint(run: Path) -> Path:
    """A checkpoint itself, or the newest one of a run's folder.

    Raises:
        TrainingError: neither.
    """
    if (run / "state.json").is_file():
        return run
    found = sorted(
        state.parent for state in run.glob("checkpoints/*/state.json") if state.parent.name.isdecimal()
    )
    if not found:
        raise TrainingError(
            f"{run} is neither a run with checkpoints nor a checkpoint. Give RUN or "
            f"RUN/checkpoints/000120000."
        )
    return found[-1]


def load_trained_generator(checkpoint: Path, weights: Weights = "average") -> Generator:
    """Build the generator that a checkpoint's configuration describes, and fill it, frozen.

    Args:
        checkpoint: a folder `RUN/checkpoints/000120000`.
        weights: `average`, the moving average that swaps best, or `generator`, the network as trained.

    Raises:
        TrainingError: the folder is no checkpoint, or its configuration describes no generator.
        WeightsError: the weights are missing, damaged, or of another architecture.
    """
    config = read_state(checkpoint).get("config", {})
    try:
        params = generator_params(config["generator"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{checkpoint}/state.json describes no generator ({error}). "
            "Use the version of hififace that wrote it."
        ) from error
    return _filled(create_generator(params), checkpoint / f"{weights}.safetensors")


def load_generator_file(path: Path) -> tuple[Generator, dict[str, Any]]:
    """A generator, frozen, from a lone safetensors file whose own note says which network it is.

    Returns:
        The generator, and what is known of its run, as a checkpoint's `state.json` says it.

    Raises:
        WeightsError: missing, damaged, without a note, or of a network that this version does not know.
    """
    try:
        with safe_open(path, "pt") as file:
            notes: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} cannot be read as a safetensors file: {error}. Check the path."
        ) from error
    name = notes.get("generator", "")
    if name not in GENERATORS:
        raise WeightsError(
            f"{path} does not say which generator it is (found '{name}', expected one of {', '.join(GENERATORS)}). "
            "Export the run or the checkpoint that it comes from."
        )
    network = create_generator(GENERATORS[name]())
    generator = _filled(network, path)
    images = {"images": int(notes["images"])} if notes.get("images", "").isdecimal() else {}
    template = {"template": notes["template"]} if "template" in notes else {}
    family = "basel" if network.params.vector == BASEL_VECTOR else "mesh"
    return generator, {"config": {"family": family}, "progress": images, **template}


def _filled(network: Generator, path: Path) -> Generator:
    """The network with the weights of a file of this version or an earlier one, frozen."""
    weights = current_weight_names(read_state_dict(path))
    return freeze(fill(network, weights, source=path.name, what=f"the generator '{network.params.name}'"))


def export_trained(
    run: Path,
    folder: Path,
    description: Mapping[str, Any],
    *,
    half: bool = False,
    weights: Weights = "average",
    arcface: Path | None = None,
    deep3d: Path | None = None,
    figures: Path | None = None,
    feedback: float | None = None,
) -> ExportReport:
    """Turn a trained network into a bundle, checked graph by graph.

    Args:
        run: a run's folder (its newest checkpoint), one checkpoint, or a lone `.safetensors` file of a generator.
        folder: where the bundle shall be.
        description: fields of `weights.bundle.Bundle` that the checkpoint cannot know: licence,
            training_data; name, version and template replace what is derived here.
        half: store weights as float16.
        weights: see `load_trained_generator`.
        arcface: the identity network's file, for the basel family only.
        deep3d: the shape network's file, likewise.
        figures: file of measured figures for the bundle (`export/figures.py`).
        feedback: of the source's identity (`weights.bundle.VectorEntry`); None takes `FEEDBACK` where the run trained
            with asking again, else 0.

    Raises:
        TrainingError: no checkpoint there.
        OptionError: the basel family without its two files, or figures of something else.
        WeightsError: weights that do not fit, or a graph that does not agree with PyTorch.
        BundleError: the description is wrong, or the folder holds something else.
    """
    from hififace.models.pretrained.arcface import load_arcface
    from hififace.models.pretrained.deep3d import load_deep3d

    if run.suffix == ".safetensors":
        generator, state = load_generator_file(run)
        checkpoint = run
    else:
        checkpoint = find_checkpoint(run)
        generator, state = load_trained_generator(checkpoint, weights), read_state(checkpoint)
    config = state.get("config", {})
    family = config.get("family", "mesh")
    if feedback is None:
        asked = config.get("step", config.get("loss", {})).get("feedback", 0.0)
        feedback = FEEDBACK if asked else 0.0
    derived: dict[str, Any] = {
        "name": folder.absolute().name,
        "version": str(state.get("progress", {}).get("images", checkpoint.stem)),
        "family": family,
        "template": state.get("template", TEMPLATES.get(family, TEMPLATES["mesh"])),
        "made_by": f"hififace export {__version__}, {weights} of checkpoint {checkpoint.name}",
    }
    description = {**derived, **description}
    if figures is not None:
        description["metrics"] = read_figures(figures, description["version"])
    if family == "mesh":
        size = next(part.size for part in generator.params.vector if part.name == "source_identity")
        parts = {"identity": {"part": "sface", "size": size}, "shape": {"part": "mesh"}}
        return export_bundle(generator, {**description, **parts}, folder, half=half, feedback=feedback)
    if arcface is None or deep3d is None:
        raise OptionError(
            "A model of the basel family carries its identity and shape networks: "
            "give --arcface and --deep3d, the files that it was trained with."
        )
    return export_bundle(
        generator,
        description,
        folder,
        identity=load_arcface(arcface),
        shape=load_deep3d(deep3d),
        half=half,
        feedback=feedback,
    )
