"""Reads a generator's weights from a safetensors file, a run, a checkpoint, a bundle's graph, or a published checkpoint
of the reference implementation.

A bundle holds all weights except the low-resolution head, which swapping does not use; a network that starts from one
gets a newly initialised head.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hififace.errors import BundleError, TrainingError, WeightsError
from hififace.models.earlier_names import current_weight_names
from hififace.models.generator import Generator
from hififace.models.pretrained.strict_loading import read_state_dict
from hififace.models.reference_keys import generator_key_map
from hififace.training.split_files import has_tensors, read_tensors
from hififace.training.warm_start import start_from
from hififace.weights.bundle import EMBEDDED_BUNDLES, MANIFEST_NAME, available_models, load_bundle
from hififace.weights.graphs import read_initializers

LOGGER = logging.getLogger(__name__)

_GRAPH_PREFIX = "generator."
_MERGED = re.compile(r"onnx::Conv_\d+")
_HEADS = (
    ("upsampler.image_head", "upsampler.mask_head"),
    ("upsampler.detail.image_head", "upsampler.detail.mask_head"),
)
_IMAGE_CHANNELS = 3
_MAY_LACK = (
    "fusion.image_head.",
    "fusion.gate.",
    "upsampler.gate.",
    "upsampler.subpixel_gate.",
    "upsampler.detail.",
)
_OUTER_HEADS = ("upsampler.image_head.", "upsampler.mask_head.")


def start_generator(network: Generator, where: Path) -> list[str]:
    """Loads the weights at `where`, of the same or a smaller architecture, into a newly made generator.

    Returns:
        Names of the weights that keep their initialisation: those that a bundle or the smaller network lacks.

    Raises:
        TrainingError: nothing is there, or the weights are of another network.
    """
    weights = read_generator_weights(where)
    further = _further_blocks(network, weights)
    if further:  # the heads' inputs are another block's features, so the smaller network's heads do not apply
        weights = {name: value for name, value in weights.items() if not name.startswith(_OUTER_HEADS)}
    new = start_from(network, weights)
    lacking = [name for name in new if not name.startswith((*_MAY_LACK, *further))]
    if lacking:
        raise TrainingError(
            f"The weights at {where} lack {len(lacking)} of those of '{network.params.name}', {lacking[0]} among them: "
            "they belong to a network of another shape, or the file is not whole."
        )
    LOGGER.info("started from %s; newly initialised: %d weights", where, len(new))
    return new


def _further_blocks(network: Generator, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the F_up blocks that a network of higher resolution has in addition, and of the heads after them."""
    blocks = [f"upsampler.blocks.{number}." for number in range(len(network.params.upsampler))]
    known = [block for block in blocks if any(name.startswith(block) for name in weights)]
    return (*blocks[len(known) :], *_OUTER_HEADS) if len(known) < len(blocks) else ()


def read_generator_weights(where: Path) -> dict[str, Tensor]:
    """The state dict of a generator, float32; complete except for weights that the file format does not hold.

    Args:
        where: a `.safetensors` file of this project's training, a run's folder or one of its checkpoints (the moving
            average is taken), a bundle's folder, the name of a bundle that ships ("mini"), a bundle's
            `generator.onnx`, or the reference's `generator_320000.pth`, whose recogniser and face model are left out:
            training takes them from their own files.

    Raises:
        TrainingError: none of these is there, or the weights cannot be read.
    """
    try:
        if where.is_file():
            found = _from_graph(where) if where.suffix == ".onnx" else read_state_dict(where)
        else:
            found = _from_folder(where)
    except (BundleError, WeightsError) as error:
        raise TrainingError(f"Training cannot start from {where}: {error}") from error
    return {name: value.float() for name, value in current_weight_names(_without_extractors(found)).items()}


def _without_extractors(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The generator's tensors of a published checkpoint, renamed to this project's names; other files unchanged."""
    names = generator_key_map()
    if not names.keys() <= found.keys():
        return found
    LOGGER.info("a published checkpoint: %d of its %d tensors are the generator's", len(names), len(found))
    return {ours: found[theirs] for theirs, ours in names.items()}


def _from_folder(where: Path) -> dict[str, Tensor]:
    for folder in (where, EMBEDDED_BUNDLES / where):
        if (folder / MANIFEST_NAME).is_file():
            return _from_graph(folder / load_bundle(folder).graphs.generator)
    checkpoints = sorted(
        p.parent for p in where.glob("checkpoints/*/state.json") if p.parent.name.isdecimal()
    )
    for folder in (where, *reversed(checkpoints)):
        if has_tensors(folder, "average"):
            return read_tensors(folder, "average")
    raise TrainingError(
        f"There are no weights to start from at {where}. Give a .safetensors file, a run, a checkpoint, a bundle's "
        f"folder, or the name of a bundle that ships ({', '.join(available_models())})."
    )


def _from_graph(path: Path) -> dict[str, Tensor]:
    """Weights of an ONNX graph. They keep their names, except the heads, which are exported as one convolution."""
    arrays = {name: torch.from_numpy(array.copy()) for name, array in read_initializers(path).items()}
    weights = {
        name.removeprefix(_GRAPH_PREFIX): value
        for name, value in arrays.items()
        if name.startswith(_GRAPH_PREFIX)
    }
    merged = [value for name, value in arrays.items() if _MERGED.fullmatch(name)]
    pairs = list(zip(merged[::2], merged[1::2], strict=False))
    if not weights or not pairs or len(merged) % 2 or len(pairs) > len(_HEADS):
        raise TrainingError(
            f"The graph {path} is not a generator that `hififace export` wrote: {len(weights)} named weights and "
            f"{len(merged)} merged ones were found. Start from a checkpoint or a .safetensors file instead."
        )
    # Two biases of one sum are initialised equal and get equal gradients, and a graph stores equal weights once.
    for name in [name for name in weights if name.endswith(".side.weight")]:
        block = name.removesuffix(".side.weight")
        weights.setdefault(f"{block}.side.bias", weights[f"{block}.conv2.bias"])
    for (image_head, mask_head), (weight, bias) in zip(_HEADS, pairs, strict=False):
        for kind, value in (("weight", weight), ("bias", bias)):
            weights[f"{image_head}.{kind}"] = value[:_IMAGE_CHANNELS]
            weights[f"{mask_head}.{kind}"] = value[_IMAGE_CHANNELS:]
    return weights
