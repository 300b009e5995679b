"""A made-up prepared set and made-up frozen networks, so small that training is tested in seconds.

Images are smooth coloured patterns with a bright disc for a face; identities are random unit vectors. Nothing here
looks like anybody; the point is that shapes, weights and gradients are those of the real thing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hififace.data.index import CARD_NAME, INDEX_NAME, SetCard, write_index
from hififace.data.shards import TarWriter, pack_arrays, shard_name
from hififace.losses.shape import mesh_shape_loss
from hififace.models.params import patch_discriminator, tiny
from hififace.training.config import (
    AdversarialConfig,
    DataConfig,
    LossConfig,
    OptimiserConfig,
    TrainingConfig,
)

SIZE = 32
COEFFICIENTS = (("identity", 4), ("expression", 3), ("pose", 3), ("scale", 1), ("translation", 3))
EMBEDDING = 8
POINTS = 12


def write_tiny_set(
    folder: Path, num_people: int = 4, photos_each: int = 2, size: int = SIZE, **changes
) -> Path:
    """A prepared set with `num_people · photos_each` photos; its card is `tiny_card` with these changes."""
    card = tiny_card(
        resolution=size, num_photos=num_people * photos_each, num_identities=num_people, **changes
    )
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.12).astype(np.uint8) * 255
    with TarWriter(folder / shard_name(0)) as writer:
        for number in range(num_people * photos_each):
            person = number // photos_each
            phase = rng.uniform(0, 6, 3)
            waves = np.stack([0.5 + 0.4 * np.sin((3 + person) * x + 4 * y + p) for p in phase], axis=2)
            image = np.rint(waves * 255).astype(np.uint8)
            identity = np.random.default_rng(person).standard_normal(card.identity_size)
            arrays = {
                "identity": (identity / np.linalg.norm(identity)).astype(np.float32),
                "coefficients": rng.standard_normal(card.coefficient_size).astype(np.float32),
                "coefficients_mirrored": rng.standard_normal(card.coefficient_size).astype(np.float32),
                "landmarks": rng.uniform(0, size, (POINTS, 3)).astype(np.float32),
                "points": rng.uniform(0, size, (5, 2)).astype(np.float32),
                "matrix": np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32),
                "photo_size": np.array([size, size], dtype=np.float32),
            }
            key = f"photo{number:03d}"
            members = {
                "jpg": cv2.imencode(".png", image[..., ::-1])[1].tobytes(),  # lossless; readers go by content
                "mask.png": cv2.imencode(".png", disc)[1].tobytes(),
                "npz": pack_arrays(arrays),
                "json": json.dumps({"key": key}).encode(),
            }
            places = writer.add_photo(key, members)
            rows.append(
                {
                    "key": key,
                    "shard": 0,
                    "places": places,
                    "identity": f"person{person}",
                    "source": key,
                    "sha256": hashlib.sha256(members["jpg"]).hexdigest(),
                    "perceptual_hash": f"{number:016x}",
                    **dict.fromkeys(("pitch_deg", "yaw_deg", "roll_deg"), 0.0),
                }
            )
    write_index(folder / INDEX_NAME, rows)
    (folder / CARD_NAME).write_text(card.model_dump_json())
    return folder


def tiny_card(**changes) -> SetCard:
    """The card of such a set."""
    values = {
        "family": "mesh",
        "template": "mini_128",
        "resolution": SIZE,
        "coefficients": COEFFICIENTS,
        "identity_embedder": "made-up",
        "identity_size": EMBEDDING,
        "landmark_mirror": tuple(range(POINTS)),
        "num_photos": 8,
        "num_identities": 4,
        "num_shards": 1,
        "made_by": "tests",
        "settings": {},
    }
    return SetCard(**{**values, **changes})


class FakeLossNetworks(nn.Module):
    """Fixed random convolutions in the place of frozen networks; every term they give carries a gradient."""

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        self.register_buffer("kernel", torch.randn(EMBEDDING, 3, 5, 5, generator=generator) * 0.2)
        self.register_buffer("pointer", torch.randn(POINTS * 3, EMBEDDING, generator=generator))
        self.size = size
        self.calls: dict[str, int] = {}

    def _features(self, images):
        return F.conv2d(images, self.kernel, stride=3).tanh().flatten(2).mean(2)

    @property
    def embedders(self):
        return [self.embed]

    def embed(self, images):
        self.calls["embed"] = self.calls.get("embed", 0) + len(images)
        return self._features(images)

    def known_embeddings(self, crops):
        return [crops.identity]

    def identity_vector(self, batch):
        shape = batch.source.coefficients[:, :4]
        expression, pose = batch.target.coefficients[:, 4:7], batch.target.coefficients[:, 7:10]
        return torch.cat([shape, expression, pose, batch.source.identity], dim=1)

    def cycle_vector(self, batch, output):
        own = batch._replace(source=batch.target)
        return self.identity_vector(own) + 0.0 * output.image.mean()

    def perceptual(self, result, target, valid):
        return (self._features(result) - self._features(target)).abs().mean(dim=1)

    def attribute_terms(self, batch, output, wanted):
        if "shape" not in wanted:
            return {}
        points = (self._features(output.image) @ self.pointer.T).view(-1, POINTS, 3)
        return {"shape": mesh_shape_loss(batch.target.landmarks, points)}


def tiny_config(**changes) -> TrainingConfig:
    """A run of a few channels at 32 px with every kind of term."""
    adam = OptimiserConfig(learning_rate=1e-3)
    values = {
        "preset": "test",
        "family": "mesh",
        "generator": tiny(SIZE),
        "discriminator": patch_discriminator(SIZE, stem_channels=4, channels=(6,)),
        "total_images": 24,
        "batch_size": 4,
        "generator_optimiser": adam,
        "discriminator_optimiser": adam,
        "data": DataConfig(workers=0, source_jitter=1.0),
        "adversarial": AdversarialConfig(r1_gamma=0.1, r1_every=2),
        "loss": LossConfig(
            weights={
                "segmentation": 5.0,
                "reconstruction": 5.0,
                "identity": ((0, 1.0), (24, 3.0)),
                "identity_leak": 0.5,
                "shape": 1.0,
                "perceptual": 1.0,
                "cycle": 0.5,
                "colour": 1.0,
                "adversarial": 1.0,
                "feature_matching": 1.0,
            }
        ),
        "log_every_images": 8,
        "preview_every_images": 16,
        "checkpoint_every_images": 8,
        "preview_pairs": 2,
    }
    return TrainingConfig(**{**values, **changes})
