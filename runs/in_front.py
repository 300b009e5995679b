"""What the training of both networks shares that find things in front of a face (`models/small_unet.py`).

Real glasses, hands and microphones in photographs have no labels, so they are drawn: `runs/eyeglasses.py` and
`runs/occluders.py` say how. Both are programs; this is not.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hififace.data.index import PreparedSet
from hififace.export.onnx import export_graph
from hififace.models.small_unet import ShareGraph, SmallUNet
from hififace.weights.bundle import MANIFEST_NAME, load_bundle, write_bundle

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE_PX = 256
"""Of the crops of a set."""
CLEAR_PX, SHARP_PX = 45.0, 70.0
"""Photographs of fewer own pixels in a crop are not used; half of all samples have at least the second number."""
TURNED_PX, TURNED_DEG = 28.0, 17.0
"""Photographs of faces turned by so much may have fewer own pixels."""
HELD_OUT = 20
"""One photograph in so many is not trained on."""
BATCH = 16
LEARNING_RATE = 2e-3


class Sample(NamedTuple):
    """One photograph to learn from."""

    crop: Floats
    """(3, H, W) 0..1."""
    covered: Floats
    """(1, H, W) 0..1, the label."""
    counts: Floats
    """(1, H, W) 0..1, how much each pixel's error counts."""


class Photos:
    """Crops and landmarks of a prepared set of 256 px.

    Args:
        folder: of the set.
        seed: of everything that is drawn.
        left_out: rows that are not used.
    """

    def __init__(self, folder: Path, seed: int, left_out: set[int]) -> None:
        self.set = PreparedSet.open(folder)
        self.rng = np.random.default_rng(seed)
        clear = np.flatnonzero(self.set.native_px >= CLEAR_PX)
        self.rows = [int(row) for row in clear if row % HELD_OUT and int(row) not in left_out]
        self.sharp = [row for row in self.rows if self.set.native_px[row] >= SHARP_PX]

        turned = (self.set.native_px >= TURNED_PX) & (np.abs(self.set.pose_deg[:, 1]) >= TURNED_DEG)
        self.turned = [
            int(row) for row in np.flatnonzero(turned) if row % HELD_OUT and int(row) not in left_out
        ]

    def any_row(self, turned_share: float = 0.0) -> int:
        """Of a face that is turned, with this probability; else of a sharp photograph in half of all cases."""
        pool = self.sharp if self.rng.random() < 0.5 else self.rows
        if self.rng.random() < turned_share:
            pool = self.turned
        return pool[int(self.rng.integers(len(pool)))]

    def crop(self, row: int) -> Image:
        """(256, 256, 3)."""
        decoded = cv2.imdecode(np.frombuffer(self.set.member(row, "jpg"), np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)

    def mesh(self, row: int) -> Floats:
        """(468, 3) landmarks in the crop."""
        return np.array(np.load(io.BytesIO(self.set.member(row, "npz")))["landmarks"], np.float32)


Draw = Callable[[Photos], Sample]


def moved(
    rng: np.random.Generator, image: Image, mesh: Floats, middle: tuple[float, float]
) -> tuple[Image, Floats]:
    """A crop a little turned, scaled and shifted, as crops of real faces are, and its landmarks."""
    if rng.random() >= 0.8:
        return image, mesh
    move = cv2.getRotationMatrix2D(middle, rng.normal(0, 4.5), float(np.exp(rng.normal(0, 0.07))))
    move[:, 2] += rng.normal(0, 4.5, 2)
    there = cv2.warpAffine(image, move, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REFLECT_101)
    mesh = mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ move[:, :2].T + move[:, 2]
    return np.asarray(there, np.uint8), mesh


def degraded(
    rng: np.random.Generator, image: Image, covered: Floats, *, least: float = 0.35, any_light: bool = False
) -> tuple[Floats, Floats]:
    """A crop with fewer pixels, blurred, compressed, in other light, grey, noisy; levels 0 to 1.

    Args:
        rng: decides about everything.
        image: (H, W, 3).
        covered: (H, W), which loses its detail with the pixels.
        least: share of the side that is left.
        any_light: also dark, tinted, pale and hazy crops, as films have them.
    """
    height, width = image.shape[:2]
    if rng.random() < 0.45:
        share = rng.uniform(least, 1.0)
        small = (max(8, int(width * share)), max(8, int(height * share)))
        image, covered = (cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (image, covered))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        covered = cv2.resize(covered, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    seen = image.astype(np.float32) / 255
    if rng.random() < 0.7:
        gamma = np.exp(rng.normal(0.1, 0.35) if any_light else rng.normal(0, 0.25))
        seen = seen**gamma * rng.uniform(0.3 if any_light else 0.75, 1.2)
    if rng.random() < 0.5:
        seen = seen * np.exp(rng.normal(0, rng.choice([0.06, 0.2]) if any_light else 0.06, 3))
    if any_light and rng.random() < 0.3:
        grey = seen.mean(axis=2, keepdims=True)
        seen = grey + (seen - grey) * rng.uniform(0.2, 1.3)
    if any_light and rng.random() < 0.3:
        seen = seen * rng.uniform(0.5, 1) + rng.uniform(0, 0.15)
    if rng.random() < 0.1:
        seen = np.repeat(seen.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.3:
        seen = seen + rng.normal(0, rng.uniform(0.005, 0.04), seen.shape)
    return np.clip(seen, 0, 1).astype(np.float32), np.asarray(covered, np.float32)


def as_sample(rng: np.random.Generator, seen: Floats, covered: Floats, counts: Floats) -> Sample:
    """(H, W, 3), (H, W), (H, W) as the network takes them; half of them are mirrored."""
    step = -1 if rng.random() < 0.5 else 1
    planes = (seen.transpose(2, 0, 1), covered[None], counts[None])
    return Sample(*(np.ascontiguousarray(plane[..., ::step], np.float32) for plane in planes))


def train(
    network: SmallUNet, photos: Photos, draw: Draw, minutes: float, positive: float
) -> dict[str, torch.Tensor]:
    """Train on the CPU for so many minutes.

    Args:
        network: to begin with.
        photos: of the set.
        draw: makes a sample.
        minutes: in which the learning rate falls to nothing.
        positive: weight of covered pixels in the cross entropy.

    Returns:
        The moving average of its state.
    """
    print(f"{len(photos.rows)} photographs, {len(photos.sharp)} of them sharp", flush=True)
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    average: dict[str, torch.Tensor] = {}
    told: Counter[str] = Counter()
    began, images = time.time(), 0
    network.train()
    while (share := (time.time() - began) / 60 / minutes) < 1:
        falling = 0.5 * (1 + np.cos(np.pi * max(0.0, (share - 0.3) / 0.7)))
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, images / 1600) * falling + 1e-5
        samples = [draw(photos) for _ in range(BATCH)]
        crops, covered, counts = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(crops)
        terms = losses(logits.float(), covered, counts, positive)
        adam.zero_grad()
        (4 * terms["entropy"] + terms["dice"]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        images += BATCH
        keep_average(average, network.state_dict(), min(0.995, images / (images + 2000)))
        told.update({name: float(value.detach()) for name, value in terms.items()} | {"steps": 1})
        if told["steps"] == 50:
            means = ", ".join(f"{name} {told[name] / told['steps']:.4f}" for name in terms)
            print(f"{images} images, {images / (time.time() - began):.1f}/s, {means}", flush=True)
            told.clear()
    return average


def losses(
    logits: torch.Tensor, covered: torch.Tensor, counts: torch.Tensor, positive: float
) -> dict[str, torch.Tensor]:
    """Cross entropy of all, and 1 − Dice's coefficient of those that something covers; all (B, 1, H, W)."""
    entropy = functional.binary_cross_entropy_with_logits(
        logits, covered, counts, pos_weight=torch.tensor(positive)
    )
    shares, where = logits.sigmoid(), (1, 2, 3)
    some = ((covered * counts).sum(where) > 20).float()
    union = (counts * (shares.square() + covered.square())).sum(where)
    dice = 1 - (2 * (counts * shares * covered).sum(where) + 1) / (union + 1)
    return {"entropy": entropy, "dice": (dice * some).sum() / some.sum().clamp(min=1)}


def keep_average(average: dict[str, torch.Tensor], now: dict[str, torch.Tensor], kept: float) -> None:
    """Move an average toward what is now; whole numbers are copied."""
    for name, value in now.items():
        if name not in average or not value.is_floating_point():
            average[name] = value.clone()
        else:
            average[name].lerp_(value, 1 - kept)


def commands(description: str | None) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of a program with the commands `train` and `add`, and that of `train`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsers = parser.add_subparsers(dest="command", required=True)
    training = parsers.add_parser("train")
    training.add_argument("set", type=Path)
    training.add_argument("output", type=Path)
    training.add_argument("--minutes", type=float, required=True)
    training.add_argument("--start", type=Path, help="a network to go on from")
    training.add_argument("--seed", type=int, default=0)
    adding = parsers.add_parser("add")
    adding.add_argument("trained", type=Path)
    adding.add_argument("bundle", type=Path)
    return parser, training


def started(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of a program, which from now on draws on one thread and trains on all."""
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(os.cpu_count() or 1)
    return options


def load(channels: tuple[int, int, int, int], path: Path) -> SmallUNet:
    """A trained network."""
    network = SmallUNet(channels)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def add_to_bundle(network: SmallUNet, folder: Path, kind: str, size_hw: tuple[int, int], output: str) -> None:
    """Write a network into a bundle as a graph with float16 weights.

    Args:
        network: trained.
        folder: of the bundle.
        kind: name of the graph in `model.json`.
        size_hw: of its crops.
        output: name of its output.
    """
    file = f"{kind}.onnx"
    bundle = load_bundle(folder)
    described: dict[str, Any] = bundle.model_dump(mode="json", exclude_none=True, exclude={"files"})
    described["graphs"][kind] = file
    kept: dict[str, Any] = {
        name: bundle.folder / name for name in bundle.files if name not in (file, MANIFEST_NAME)
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / file
        crop = torch.rand(2, 3, *size_hw)
        export_graph(ShareGraph(network).eval(), {"crop": crop}, [output], path, half=True)
        write_bundle(folder, described, {**kept, file: path.read_bytes()})
    print(f"{folder / file}: {(folder / file).stat().st_size / 1e6:.2f} MB")
