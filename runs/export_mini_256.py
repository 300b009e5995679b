"""Exports the embedded 256 px model: python runs/export_mini_256.py AVERAGE.safetensors BUNDLE --version PAIRS."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from hififace.export.graph import export_bundle
from hififace.models import params
from hififace.models.generator import Generator

IDENTITY_GAIN = 1.4
"""Louder than in training: more likeness at the same leak, by every recogniser (docs/lab-book.md)."""
SHAPE_STRENGTH = 1.2
"""The network moves outlines less than the coefficients ask, so they ask for more."""
GLASSES = Path(__file__).with_name("glasses.json")
"""Made by runs/glasses_direction.py."""
TRAINING_DATA = (
    "28,136 photographs: UTKFace and Labeled Faces in the Wild (adults), 75 of the Face Research Lab London Set "
    "(CC BY 4.0), 2,893 generated faces of adults; research use only"
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("average", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    trained = params.mini_256()
    louder = tuple(
        replace(part, gain=part.gain * IDENTITY_GAIN) if part.name == "source_identity" else part
        for part in trained.vector
    )
    generator = Generator(replace(trained, vector=louder))
    generator.load_state_dict({name: value.float() for name, value in load_file(options.average).items()})
    generator.eval().requires_grad_(False)
    report = export_bundle(
        generator,
        {
            "name": options.bundle.name,
            "version": options.version,
            "family": "mesh",
            "template": "mini_128",
            "identity": {"part": "sface", "size": 128},
            "shape": {"part": "mesh"},
            "licence": "Research use: trained on photographs released for research",
            "training_data": TRAINING_DATA,
            "made_by": "runs/mini.sh on one NVIDIA H200; then runs/mini_256_likeness.sh, runs/mini_256_realism.sh and "
            "runs/mini_256_balance.sh on a processor, average after 781 steps; runs/export_mini_256.py",
        },
        options.bundle,
        half=True,
    )
    card = options.bundle / "model.json"
    description = json.loads(card.read_text(encoding="utf-8"))
    for part in description["vector"]:
        if part["name"] == "source_shape":
            part["strength"] = SHAPE_STRENGTH
        if part["name"] == "source_identity":
            part["without"] = [json.loads(GLASSES.read_text(encoding="utf-8"))]
    card.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    print("\n".join(report.lines()))
