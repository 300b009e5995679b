"""A resident set, frozen networks and a step on one device, so small that a step takes some hundredths of a second."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots, SlotSampler
from hififace.models.create import create_discriminator, create_generator
from hififace.models.params import patch_discriminator, tiny
from hififace.training.device_batch import Networks
from hififace.training.device_config import DeviceConfig
from hififace.training.device_settings import StepSettings
from hififace.training.device_step import DeviceStep
from hififace.training.recognisers import Recogniser

SIDE = 128
POINTS = 468
LAYOUT = (("identity", 4), ("expression", 3), ("pose", 3), ("scale", 1), ("translation", 3))
EMBEDDING = 8
NUM_PHOTOS = 12
CODES = np.array([0, 0, 1, 1, 2, 2, -1, -1, -1, -1, -1, -1], np.int32)
NATIVE = np.array([60, 60, 60, 60, 60, 60, 100, 100, 100, 240, 240, 240], np.float32)


def made_up_set() -> ResidentSet:
    """Smooth random images; landmarks are a ring with the special points of a face where a face has them."""
    rng = np.random.default_rng(3)
    small = torch.from_numpy(rng.uniform(40, 215, (NUM_PHOTOS, 3, 8, 8)).astype(np.float32))
    images = F.interpolate(small, size=(SIDE, SIDE), mode="bicubic").clamp(0, 255).permute(0, 2, 3, 1)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    disc = ((x**2 + y**2 < 0.16) * 255).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    ring = np.stack([64 + 40 * np.cos(angle), 64 + 50 * np.sin(angle), 0 * angle], axis=1)
    for point, place in {33: (40, 50), 133: (56, 50), 362: (72, 50), 263: (88, 50), 152: (64, 114)}.items():
        ring[point, :2] = place
    for point, place in {172: (30, 95), 397: (98, 95), 78: (52, 90), 308: (76, 90)}.items():
        ring[point, :2] = place
    identity = rng.standard_normal((NUM_PHOTOS, EMBEDDING))
    size = sum(count for _, count in LAYOUT)
    matrix = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (NUM_PHOTOS, 1, 1))
    return ResidentSet.from_arrays(
        images=images.round().byte().numpy(),
        masks=np.tile(disc, (NUM_PHOTOS, 1, 1)),
        identity=identity / np.linalg.norm(identity, axis=1, keepdims=True),
        coefficients=rng.standard_normal((NUM_PHOTOS, size)),
        coefficients_mirrored=rng.standard_normal((NUM_PHOTOS, size)),
        landmarks=ring + rng.normal(0, 0.5, (NUM_PHOTOS, POINTS, 3)),
        matrix=matrix,
        photo_size=np.full((NUM_PHOTOS, 2), SIDE),
        mirror=np.arange(POINTS),
        device=torch.device("cpu"),
    )


class MadeUpShape(nn.Module):
    """Moves all points by the first two numbers of the shape."""

    def from_flat(self, vectors):
        return SimpleNamespace(identity=vectors[:, :4], rest=vectors[:, 4:])

    def fuse(self, source, target):
        return SimpleNamespace(identity=source.identity, rest=target.rest)

    def landmarks(self, coefficients):
        move = F.pad(coefficients.identity[:, :2], (0, 1))
        return move[:, None].expand(-1, POINTS, -1)


class MadeUpLossNetworks(nn.Module):
    """What a step asks of `MeshLossNetworks`, from fixed random convolutions; every term carries a gradient."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        slices, start = {}, 0
        for name, size in LAYOUT:
            slices[name] = slice(start, start + size)
            start += size
        self.card = SimpleNamespace(
            coefficient_slice=slices.__getitem__, template="mini_128", resolution=SIDE
        )
        self.sface = made_up_recogniser(11)
        self.shape = MadeUpShape()
        self.kernel = torch.randn(4, 3, 5, 5, generator=generator) * 0.1
        self.groups = {
            "face_oval": list(range(200, 236)),
            "image_left_eye": [33, 133, 159, 145],
            "image_right_eye": [263, 362, 386, 374],
            "lips_outer": [78, 308, 13, 14],
        }
        self.lips = self.groups["lips_outer"]

    def feature_maps(self, images):
        first = torch.tanh(F.conv2d(images.float(), self.kernel, stride=4))
        return [first, F.avg_pool2d(first, 2)]

    def mesh_points(self, crops, target_points, jitter=0.0):
        move = F.conv2d(crops.float(), self.kernel[:3], stride=4).mean(dim=(2, 3))
        return target_points + move[:, None]

    def gaze(self, target, result):
        return (result - target.image).square().mean()


def made_up_recogniser(seed: int) -> nn.Module:
    """(B, 3, n, n) to (B, 8)."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, EMBEDDING, 7, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return network.eval().requires_grad_(False)


def tiny_params() -> dict:
    return {
        "generator": tiny(SIDE, identity_size=4, expression_size=3, embedding_size=EMBEDDING),
        "fine": patch_discriminator(96, 4, (6, 8)),
        "coarse": patch_discriminator(SIDE, 4, (6, 8)),
    }


def tiny_device_config(**changes) -> DeviceConfig:
    values = {
        "preset": "tiny",
        **tiny_params(),
        "total_images": 24,
        "batch_size": 8,
        "step": StepSettings(window_px=96, r1_every=2),
        "recognisers": (),
        "warm_up_steps": 2,
        "log_every_s": 0.0,
        "preview_every_s": 1e9,
        "checkpoint_every_s": 1e9,
        "preview_pairs": 2,
        "precision": "float32",
        "photos": {"sharp_px": 200.0, "clear_px": 90.0},
        "band": {"identity": (-1.0, 1.0), "accuracy": (0.0, 1.0)},
    }
    return DeviceConfig(**{**values, **changes})


def made_up_step(*, seed: int = 0, device: str = "cpu", **settings) -> DeviceStep:
    """A step of eight pairs over the made-up set, with two recognisers."""
    torch.manual_seed(seed)
    made = {name: build(params) for (name, params), build in zip(
        tiny_params().items(), (create_generator, create_discriminator, create_discriminator), strict=True
    )}  # fmt: skip
    where = torch.device(device)
    data = made_up_set()
    data = ResidentSet(**{name: value.to(where) for name, value in vars(data).items()})
    loss_networks = MadeUpLossNetworks()
    loss_networks.kernel = loss_networks.kernel.to(where)
    view = torch.tensor([[0.9, 0.0, -1.0], [0.0, 0.9, -1.0]])
    return DeviceStep(
        data,
        [data.identity, data.identity.flip(1)],
        Networks(*(network.to(where).train() for network in made.values())),
        loss_networks.to(where),
        [
            Recogniser(name, network.to(where), view.to(where), 112, SIDE)
            for name, network in (("sface", loss_networks.sface), ("mobilefacenet", made_up_recogniser(12)))
        ],
        Slots(8),
        StepSettings(**{"window_px": 96, "r1_every": 2, "feedback": 0.0, **settings}),
        where,
        half_precision=False,
    )


def rows_of(step: DeviceStep, number: int = 0) -> torch.Tensor:
    """The photos of one batch."""
    sampler = SlotSampler(CODES, NATIVE, sharp_px=200, clear_px=90, seed=1)
    return torch.from_numpy(sampler.table(number, 1, step.slots).packed())[0].to(step.device)
