"""Exports the embedded 256 px model.

python runs/export_mini_256.py AVERAGE.safetensors BUNDLE --version PAIRS --config RUN/config.json
python runs/export_mini_256.py AVERAGE.safetensors BUNDLE --version PAIRS           # up to version 769280
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file

from hififace.export.graph import export_bundle
from hififace.export.trained import FEEDBACK
from hififace.models import params
from hififace.models.generator import Generator

SHAPE_STRENGTH = 1.2
"""The network moves outlines less than the coefficients ask, so they ask for more."""
IDENTITY_STRENGTH = 1.1
"""A little beyond the source's identity, away from the target's; all these figures: docs/lab-book.md, 2026-11-28."""
GLASSES = Path(__file__).with_name("glasses.json")
"""Made by runs/glasses_direction.py."""
TRAINING_DATA = (
    "28,136 photographs: UTKFace and Labeled Faces in the Wild (adults), 75 of the Face Research Lab London Set "
    "(CC BY 4.0), 2,893 generated faces of adults; research use only"
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("average", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--config", type=Path, help="of the run; else the layout before version 783104")
    options = parser.parse_args()
    if options.config is None:
        # Trained with a loudness of 1, exported with 1.4.
        shape = params.mini_256(sees_target=False)
    else:
        shape = params.generator_params(json.loads(options.config.read_text(encoding="utf-8"))["generator"])
    generator = Generator(shape)
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
            "made_by": "runs/mini.sh on one NVIDIA H200; then runs/mini_256_likeness.sh, runs/mini_256_realism.sh, "
            "runs/mini_256_balance.sh and runs/mini_256_feedback.sh on a processor; runs/export_mini_256.py",
        },
        options.bundle,
        half=True,
        feedback=0.0 if options.config is None else FEEDBACK,
    )
    card = options.bundle / "model.json"
    description = json.loads(card.read_text(encoding="utf-8"))
    for part in description["vector"]:
        if part["name"] == "source_shape":
            part["strength"] = SHAPE_STRENGTH
        if part["name"] == "source_identity":
            part["strength"] = 1.0 if options.config is None else IDENTITY_STRENGTH
            part["without"] = [json.loads(GLASSES.read_text(encoding="utf-8"))]
    card.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    print("\n".join(report.lines()))
