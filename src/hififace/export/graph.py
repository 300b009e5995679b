"""Networks as the graphs of a bundle, and a bundle out of them: written only after every graph was checked.

The same exporter serves the embedded model and the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hififace.export.onnx import export_graph
from hififace.export.parity import Difference, largest_differences, require_equal
from hififace.models.generator import Generator
from hififace.models.params import VectorPart
from hififace.models.pretrained.arcface import NUM_FEATURES, ArcFace
from hififace.models.pretrained.deep3d import NUM_COEFFICIENTS, Deep3D
from hififace.processes import scratch_folder
from hififace.weights.bundle import Bundle, check_writable, write_bundle

GENERATOR_OUTPUTS = ("image", "mask")
IDENTITY_OUTPUTS = ("identity",)
SHAPE_OUTPUTS = ("shape", "expression", "texture", "pose", "light", "translation")
"""One name for each field of `FaceCoefficients`: the parts of the identity vector without their owners."""

_TRACED_BATCH = 2
_CHECKED_BATCH = 1
"""Another batch than the traced one, so that a batch size baked into the graph is found."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was made, and how far each graph lies from PyTorch."""

    bundle: Bundle
    differences: dict[str, list[Difference]]
    """By graph: generator, identity, shape."""

    def lines(self) -> list[str]:
        """One sentence for each graph, with its largest difference."""
        return [
            f"{graph}: largest difference from PyTorch {max(d.largest for d in found):.2e} "
            f"({', '.join(f'{d.output} {d.largest:.2e}' for d in found)})"
            for graph, found in self.differences.items()
        ]


class GeneratorGraph(nn.Module):
    """What swapping needs of a generator: the result and its mask, without the low-resolution pair."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, target: Tensor, identity_vector: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, R, R) RGB 0..1 and (B, D) to image (B, 3, N, N), unclamped, and mask (B, 1, N, N)."""
        output = self.generator(target, identity_vector)
        return output.image, output.mask


class IdentityGraph(nn.Module):
    """The generator's crop in, a unit identity vector out: range, resize and network in one graph."""

    def __init__(self, arcface: ArcFace) -> None:
        super().__init__()
        self.arcface = arcface

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, R, R) RGB 0..1 to (B, 512), unit length."""
        return self.arcface.identity(image)


class ShapeGraph(nn.Module):
    """The generator's crop in, named coefficients out."""

    def __init__(self, deep3d: Deep3D) -> None:
        super().__init__()
        self.deep3d = deep3d

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, R, R) RGB 0..1 to the fields of `FaceCoefficients`, in order."""
        return tuple(self.deep3d(image))


def export_bundle(
    generator: Generator,
    description: Mapping[str, Any],
    folder: Path,
    *,
    identity: ArcFace | None = None,
    shape: Deep3D | None = None,
    half: bool = False,
    feedback: float = 0.0,
) -> ExportReport:
    """Export a generator, and the networks it needs beside it, into a bundle.

    Resolution, vector layout, graphs and hashes come from the networks themselves; the bundle appears only
    after each graph has been run in ONNX Runtime and found equal to PyTorch.

    Args:
        generator: of any preset, in float32 on the CPU.
        description: the other fields of `weights.bundle.Bundle`: name, version, family, template, detector,
            licence, training_data, metrics, made_by, and `identity` and `shape` where an embedded part does
            their work.
        folder: where the bundle shall be.
        identity: exported as the identity graph, for the family that embeds the crop itself.
        shape: exported as the shape graph, likewise.
        half: store weights as float16.
        feedback: of the source's identity (`weights.bundle.VectorEntry`).

    Raises:
        WeightsError: a graph cannot be written or does not agree with PyTorch.
        BundleError: the description is wrong, or the folder holds something else.
    """
    params = generator.params
    image = _example_images(params.resolution)
    vector = torch.randn(_TRACED_BATCH, params.vector_size, generator=torch.Generator().manual_seed(2))
    jobs: dict[str, tuple[nn.Module, dict[str, Tensor], Sequence[str]]] = {
        "generator": (
            GeneratorGraph(generator),
            {"target": image, "identity_vector": vector / params.vector_size**0.5},
            GENERATOR_OUTPUTS,
        )
    }
    parts: dict[str, Any] = {}
    if identity is not None:
        jobs["identity"] = (IdentityGraph(identity), {"image": image}, IDENTITY_OUTPUTS)
        parts["identity"] = {"part": "identity.onnx", "size": NUM_FEATURES}
    if shape is not None:
        jobs["shape"] = (ShapeGraph(shape), {"image": image}, SHAPE_OUTPUTS)
        parts["shape"] = {"part": "shape.onnx", "size": NUM_COEFFICIENTS}

    names = {graph: f"{graph}.onnx" for graph in jobs}
    whole = {**parts, **description, **_layout(generator, feedback), "graphs": names, "half_weights": half}
    check_writable(folder, whole, names.values())
    with scratch_folder() as scratch:
        files = {name: scratch / name for name in names.values()}
        differences = {
            graph: export_checked(*jobs[graph], files[name], half=half) for graph, name in names.items()
        }
        bundle = write_bundle(folder, whole, files)
    return ExportReport(bundle, differences)


def export_checked(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path, *, half: bool = False
) -> list[Difference]:
    """Export one graph, run it once in ONNX Runtime with another batch size, and refuse it unless it agrees.

    Raises:
        WeightsError: it cannot be written, or differs by more than `export.parity` allows.
    """
    export_graph(module, inputs, outputs, path, half=half)
    checked = {name: tensor[:_CHECKED_BATCH] for name, tensor in inputs.items()}
    differences = largest_differences(path, module, checked, outputs)
    require_equal(path, differences, half=half)
    return differences


def _layout(generator: Generator, feedback: float) -> dict[str, Any]:
    params = generator.params

    def entry(part: VectorPart) -> dict[str, Any]:
        plain = {"name": part.name, "size": part.size, "gain": part.gain, "owner": part.owner}
        return {**plain, "feedback": feedback} if feedback and part.name == "source_identity" else plain

    return {
        "resolution": params.resolution,
        "output_resolution": params.output_resolution,
        "vector": [entry(part) for part in params.vector],
    }


def _example_images(resolution: int) -> Tensor:
    """Smooth waves with a little noise, (2, 3, R, R) RGB 0..1: no flat areas, nothing that repeats."""
    source = torch.Generator().manual_seed(1)
    steps = torch.arange(resolution) / resolution
    wave = 0.5 + 0.4 * torch.sin(9.0 * steps[:, None] + 7.0 * steps[None, :])
    noise = torch.rand(_TRACED_BATCH, 3, resolution, resolution, generator=source)
    return (0.9 * wave + 0.1 * noise).clamp(0.0, 1.0)
