"""Prepares the photographs of the embedded 256 px model: python runs/prepare_mini_256.py PHOTOS SET."""

from __future__ import annotations

import sys
from pathlib import Path

from hififace.preparation.build import PrepareOptions, Workers, prepare_set
from hififace.preparation.quality import QualityOptions

SHARDS = (
    "portraits-train-000.tar",
    "identities-hd-000.tar",
    "identities-train-000.tar",
    *(f"photos-train-00{number}.tar" for number in range(4)),
)

if __name__ == "__main__":
    photos, output = Path(sys.argv[1]), Path(sys.argv[2])
    # Enlarged photos stay: they serve as sources, and every photo's real resolution is known (`native_px`).
    quality = QualityOptions(max_magnification=5.0, min_relative_sharpness=0.03)
    card = prepare_set(
        [photos / name for name in SHARDS],
        output,
        PrepareOptions(resolution=256, quality=quality),
        workers=Workers(2),
        progress=lambda progress: print(progress, flush=True),
    )
    print(f"{card.num_photos} photos, {card.num_identities} people with a name")
