"""A tiny prepared set with random images, written with the real writers."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hififace.data.index import SetCard, write_index
from hififace.data.shards import TarWriter, pack_arrays, shard_name

SIZE = 32
IDENTITY_SIZE = 8
LAYOUT = (("identity", 3), ("expression", 2), ("pose", 3), ("scale", 1), ("translation", 3))
NUM_LANDMARKS = 6
MIRROR = (1, 0, 2, 3, 5, 4)


def make_set(
    folder: Path, identities: Sequence[str | None], photos_per_shard: int = 4, size: int = SIZE
) -> Path:
    """Photo i belongs to identities[i]. Coefficient 0 of its crop is i, of the mirrored one -i."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    num_shards = 0
    for start in range(0, len(identities), photos_per_shard):
        with TarWriter(folder / shard_name(num_shards)) as writer:
            for number in range(start, min(start + photos_per_shard, len(identities))):
                members = photo_members(number, identities[number], size)
                places = writer.add_photo(f"{number:08d}", members)
                rows.append(index_row(number, identities[number]) | {"places": places, "shard": num_shards})
        num_shards += 1
    write_index(folder / "index.parquet", rows)
    card = make_card(identities, num_shards, size)
    (folder / "set.json").write_text(card.model_dump_json())
    return folder


def make_card(identities: Sequence[str | None], num_shards: int, size: int = SIZE) -> SetCard:
    return SetCard(
        family="mesh",
        template="mini_128",
        resolution=size,
        coefficients=LAYOUT,
        identity_embedder="double",
        identity_size=IDENTITY_SIZE,
        landmark_mirror=MIRROR,
        num_photos=len(identities),
        num_identities=len({name for name in identities if name is not None}),
        num_shards=num_shards,
        made_by="a test",
        settings={},
    )


def index_row(number: int, identity: str | None) -> dict[str, object]:
    return {
        "key": f"{number:08d}",
        "identity": identity,
        "source": f"photos/{number}.jpg",
        "age": None,
        "sharpness": 0.5,
        "yaw_deg": float(number),
        "pitch_deg": 0.0,
        "roll_deg": 0.0,
        "perceptual_hash": "0" * 16,
        "sha256": "0" * 64,
    }


def photo_members(number: int, identity: str | None, size: int = SIZE) -> dict[str, bytes]:
    random = np.random.default_rng(number)
    # A smooth image, bright on its image-left half: JPEG keeps it, and a mirrored one can be told.
    image = np.full((size, size, 3), 40 + number % 100, np.uint8)
    image[:, : size // 2] += 100
    mask = np.zeros((size, size), np.uint8)
    mask[4:20, 2:12] = 255
    vector = random.normal(size=IDENTITY_SIZE)
    coefficients = np.arange(sum(n for _, n in LAYOUT), dtype=np.float32)
    coefficients[0] = number
    mirrored = coefficients.copy()
    mirrored[0] = -number
    arrays = {
        "identity": vector / np.linalg.norm(vector),
        "coefficients": coefficients,
        "coefficients_mirrored": mirrored,
        "landmarks": random.uniform(0, size, (NUM_LANDMARKS, 3)),
        "points": random.uniform(0, size, (5, 2)),
        # The crop's first four columns lie to the left of the photo.
        "matrix": np.array([[1, 0, 4], [0, 1, 0]]),
        "photo_size": np.array([size, size]),
    }
    jpg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(image).save(jpg, "JPEG", quality=95, subsampling=0)
    Image.fromarray(mask).save(png, "PNG")
    return {
        "jpg": jpg.getvalue(),
        "mask.png": png.getvalue(),
        "npz": pack_arrays({name: np.asarray(value, np.float32) for name, value in arrays.items()}),
        "json": json.dumps({"key": f"{number:08d}", "identity": identity}).encode(),
    }
