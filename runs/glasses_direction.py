"""Which way glasses lie in SFace's embedding: python runs/glasses_direction.py PACK... -o runs/glasses.json

A network that is asked for an embedding paints what the embedding says, and SFace's says whether glasses are worn: the
results of sources with glasses had their rims in part. Nobody labelled the photos; but a bridge of glasses is a dark or
bright line across the bridge of the nose, where a face has none. So the photos of named people are sorted by how much
the lightness there differs from its surroundings; the first 4.5 % are faces with glasses (23 of the first 24, by eye),
the last 60 % faces without, and the direction is the difference of their means.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.data.packed import PackedSet

INNER_EYE_CORNERS = (133, 362)
WEARING, BARE = 0.955, 0.6
"""Quantiles of the score from which on, and up to which, a photo counts."""


def bridge_score(image: NDArray[np.uint8], mesh: NDArray[np.floating]) -> float:
    """How much a line stands out on the bridge of the nose.

    Args:
        image: (S, S, 3) a crop.
        mesh: (468, 2 or more) crop pixels.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    left, right = (mesh[point, :2] for point in INNER_EYE_CORNERS)
    across = right - left
    down = np.array([-across[1], across[0]])
    columns, rows = np.linspace(-0.18, 0.18, 9), np.linspace(-0.55, 0.45, 60)
    places = (left + right) / 2 + columns[None, :, None] * across + rows[:, None, None] * down
    strip = cv2.remap(
        grey, places[..., 0].astype(np.float32), places[..., 1].astype(np.float32), cv2.INTER_LINEAR
    )
    profile = strip.mean(axis=1)
    differs = np.abs(profile - np.convolve(profile, np.ones(21) / 21, "same"))[10:-10].max()
    return float(differs / (profile.std() + 8.0) + differs / 20.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    packed = PackedSet.open(options.packs)
    named = np.flatnonzero(packed.identity_codes >= 0)
    points = packed.landmarks()
    scores = np.concatenate(
        [
            [
                bridge_score(image, points[row])
                for row, image in zip(part, packed.images(part, 2), strict=True)
            ]
            for part in np.array_split(named, max(len(named) // 256, 1))
        ]
    )
    embeddings = packed.identity.astype(np.float64)
    high, low = np.quantile(scores, (WEARING, BARE))
    wearing, bare = embeddings[named[scores > high]], embeddings[named[scores < low]]
    direction = wearing.mean(axis=0) - bare.mean(axis=0)
    direction /= np.linalg.norm(direction)
    level = float(bare.mean(axis=0) @ direction)
    order = np.argsort(np.concatenate([wearing @ direction, bare @ direction]))
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    count = len(wearing)
    told_apart = float((ranks[:count].mean() - (count - 1) / 2) / len(bare))
    found = {
        "name": "glasses",
        "direction": [round(float(value), 5) for value in direction],
        "level": round(level, 5),
    }
    options.output.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(
        f"{count} photos with glasses, {len(bare)} without; told apart by the direction: AUC {told_apart:.3f}"
    )
