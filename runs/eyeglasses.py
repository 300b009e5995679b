"""Trains the network that finds frames of eyeglasses, on glasses drawn onto photographs, and adds it to a bundle.

    python runs/eyeglasses.py train SET first.pt --minutes 7
    python runs/eyeglasses.py train SET second.pt --minutes 22 --start first.pt
    python runs/eyeglasses.py add second.pt BUNDLE

SET is a prepared set of 256 px (runs/prepare_mini_256.py). Real glasses in it have no labels: the first network finds
them, and the second is not trained on photographs where it did.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hififace.data.index import PreparedSet
from hififace.export.onnx import export_graph
from hififace.faces.eyeglasses import BAND_PX, SIDE_PX
from hififace.models.eyeglasses import EyeglassGraph, EyeglassNet
from hififace.weights.bundle import MANIFEST_NAME, load_bundle, write_bundle

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

CLEAR_PX, SHARP_PX = 45.0, 70.0
"""Photographs of fewer own pixels in a crop are not used; half of all samples have at least the second number."""
HELD_OUT = 20
"""One photograph in so many is not trained on."""
FOUND_PX = 100
"""Photographs of which the first network takes more pixels for frames are left out."""
DRAWN_SHARE = 0.55
BATCH = 16
LEARNING_RATE = 2e-3
GRAPH = "eyeglasses.onnx"

FINER = 4
"""Frames are drawn at so many times the crop's size."""
BITS = 4
"""Fractional bits of coordinates in OpenCV's drawing functions."""
KINDS, KIND_SHARES = ("round", "panto", "square", "cat", "aviator"), (0.2, 0.2, 0.35, 0.1, 0.15)
STYLES, STYLE_SHARES = ("full", "half", "rimless"), (0.76, 0.14, 0.10)
COLOURS = np.array(
    [
        (20, 18, 18), (35, 28, 24), (60, 40, 28), (92, 60, 38), (120, 84, 52), (150, 150, 155), (190, 188, 180),
        (188, 160, 96), (40, 46, 80), (90, 26, 30), (214, 204, 190), (70, 70, 74), (30, 52, 46),
    ],
    np.float32,
)  # fmt: skip
TINTS = np.array([(60, 60, 70), (90, 60, 40), (50, 70, 60), (200, 205, 215)], np.float32)


# -----------------------------------------------------------------------------------------------------------
# Drawing


class Canvas:
    """A mask at `FINER` times the size."""

    def __init__(self) -> None:
        self.pixels = np.zeros((SIDE_PX * FINER, SIDE_PX * FINER), np.uint8)

    def lines(self, points: NDArray[np.floating], width_px: float, *, closed: bool = False) -> None:
        thickness = max(1, round(width_px * FINER))
        cv2.polylines(self.pixels, [_fixed(points)], closed, 255, thickness, cv2.LINE_AA, BITS)

    def fill(self, points: NDArray[np.floating]) -> None:
        cv2.fillPoly(self.pixels, [_fixed(points)], 255, cv2.LINE_AA, BITS)

    def coverage(self) -> Points:
        """(256, 256) 0 to 1."""
        small = cv2.resize(self.pixels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32) / np.float32(255.0)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    places = (np.asarray(points) + 0.5) * FINER - 0.5
    return np.round(places * (1 << BITS)).astype(np.int32)


def lens_outline(rng: np.random.Generator, kind: str) -> NDArray[np.float64]:
    """(64, 2) around a lens in units of its half axes; x grows outwards, y downwards."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    exponents = {"round": 2.0, "panto": 2.3, "square": rng.uniform(3.0, 6.0), "cat": 2.8, "aviator": 2.4}
    power, c, s = exponents[kind], np.cos(angle), np.sin(angle)
    radius = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    x, y = radius * c, radius * s
    if kind == "panto":
        x *= 1 - 0.10 * (y > 0) * y
    elif kind == "cat":
        y -= 0.22 * np.clip(x, 0, None) ** 2 * (y < 0)
    elif kind == "aviator":
        x *= 1 - 0.12 * y * (y > 0)
        y *= 1 + 0.12 * (y > 0) * np.clip(x + 0.2, 0, 1)
    elif kind == "square":
        x *= 1 - 0.06 * y
    return np.stack([x, y], axis=1)


def draw_glasses(rng: np.random.Generator, image: Image, mesh: Points) -> tuple[Image, Points]:
    """Glasses of any shape, colour and thickness on a crop (256, 256, 3), and the coverage of their frame (256, 256).

    Args:
        rng: decides about everything.
        image: left as it is.
        mesh: (468, 3) landmarks in the crop.
    """
    points = np.asarray(mesh[:, :2], np.float64)
    corners = ((33, 133), (362, 263))
    eyes = [points[list(pair)].mean(axis=0) for pair in corners]
    widths = [float(np.linalg.norm(points[a] - points[b])) for a, b in corners]
    across = points[263] - points[33]
    unit = float(np.linalg.norm(across))
    across /= unit
    below = np.array([-across[1], across[0]])
    tilt = rng.normal(0, 0.03)
    across, below = (
        across * np.cos(tilt) + below * np.sin(tilt),
        -across * np.sin(tilt) + below * np.cos(tilt),
    )
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    outline = lens_outline(rng, kind)
    size = rng.uniform(1.1, 1.45) if kind == "aviator" else rng.uniform(0.85, 1.40)
    half_height = unit * rng.uniform(0.11, 0.24) * (1.25 if kind in ("aviator", "round") else 1.0)
    drop, outwards = unit * rng.uniform(-0.03, 0.12), unit * rng.uniform(-0.01, 0.04)
    mean_width = sum(widths) / 2
    thick = unit * float(np.exp(rng.uniform(np.log(0.007), np.log(0.06))))
    style = str(rng.choice(STYLES, p=STYLE_SHARES))
    frame, glass = Canvas(), Canvas()
    inner, outer = [], []
    height = rng.uniform(-0.45, 0.05)  # of the bridge and the temples, in half heights
    for number, side in enumerate((-1, 1)):
        # Narrower where the head's turn makes the eye narrower.
        half_width = 0.4 * size * (widths[number] + mean_width * widths[number] / mean_width)
        half_width *= rng.uniform(0.98, 1.02)
        middle = eyes[number] + side * outwards * across + drop * below
        rim = middle + outline[:, :1] * side * half_width * across + outline[:, 1:] * half_height * below
        glass.fill(rim)
        if style == "full":
            frame.lines(rim, thick, closed=True)
            if rng.random() < 0.35:  # heavier above
                frame.lines(_above(rim, outline, -0.2, across), thick * rng.uniform(1.3, 2.2))
        elif style == "half":
            frame.lines(_above(rim, outline, rng.uniform(-0.1, 0.25), across), thick * 1.2)
        else:
            frame.lines(rim, min(thick, 0.010 * unit), closed=True)
        inner.append(middle - side * half_width * 0.97 * across + height * half_height * below)
        outer.append(middle + side * half_width * 0.98 * across + (height - 0.15) * half_height * below)
    _draw_bridge(rng, frame, np.array(inner), below, unit, half_height, thick, two=kind == "aviator")
    for number, side in enumerate((-1, 1)):
        if rng.random() < 0.2:  # a pad beside the nose
            start = inner[number] + below * half_height * 0.25
            end = start - side * across * unit * 0.03 + below * half_height * 0.45
            frame.lines(np.array([start, end]), max(thick * 0.6, 0.008 * unit))
        ear = points[(127, 356)[number]] + side * across * unit * rng.uniform(0.02, 0.10)
        ear -= below * unit * rng.uniform(-0.05, 0.05)
        if (ear - outer[number]) @ across * side > 0.02 * unit:
            frame.lines(np.array([outer[number], ear]), thick * rng.uniform(0.8, 2.0))
    coverage = frame.coverage()
    lit = _seen_through(rng, image, coverage, glass.coverage(), eyes, across, below, unit)
    return _painted(rng, lit, coverage, thick, style), coverage


def _above(
    rim: NDArray[np.float64], outline: NDArray[np.float64], height: float, across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part of a rim above a height, from one side to the other."""
    upper = rim[outline[:, 1] < height]
    return np.asarray(upper[np.argsort(upper @ across)])


def _draw_bridge(
    rng: np.random.Generator,
    frame: Canvas,
    ends: NDArray[np.float64],
    below: NDArray[np.float64],
    unit: float,
    half_height: float,
    thick: float,
    *,
    two: bool,
) -> None:
    straight = ends.mean(axis=0)
    top = straight - below * unit * rng.uniform(0.0, 0.06)
    t = np.linspace(0, 1, 16)[:, None]
    arc = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * (2 * top - straight) + t**2 * ends[1]
    width = thick * rng.uniform(0.8, 1.5)
    frame.lines(arc, width)
    if two and rng.random() < 0.7:
        frame.lines(arc - below * half_height * 0.45, width * 0.8)


def _seen_through(
    rng: np.random.Generator,
    image: Image,
    frame: Points,
    glass: Points,
    eyes: list[NDArray[np.float64]],
    across: NDArray[np.float64],
    below: NDArray[np.float64],
    unit: float,
) -> Points:
    """The face with the frame's shadow, and what lenses do: tint, reflections."""
    lit = image.astype(np.float32)
    if rng.random() < 0.6:
        by = below * unit * rng.uniform(0.01, 0.06) + across * unit * rng.normal(0, 0.02)
        shadow = cv2.warpAffine(
            frame, np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32), frame.shape[::-1]
        )
        shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.5, unit * rng.uniform(0.008, 0.03)))
        lit *= (1 - rng.uniform(0.08, 0.4) * shadow)[..., None]
    if rng.random() < 0.25:
        tint, share = TINTS[rng.integers(len(TINTS))], rng.uniform(0.03, 0.35) * glass[..., None]
        lit = lit * (1 - share) + tint * share
    if rng.random() < 0.3:
        direction = rng.normal(size=2)
        direction /= np.linalg.norm(direction)
        places = np.stack(np.mgrid[:SIDE_PX, :SIDE_PX], axis=-1) - eyes[int(rng.integers(2))][::-1]
        band = np.exp(-((places @ direction / (unit * rng.uniform(0.03, 0.15))) ** 2))
        lit += (rng.uniform(20, 130) * band * glass)[..., None].astype(np.float32)
    return np.asarray(lit, np.float32)


def _painted(rng: np.random.Generator, lit: Points, frame: Points, thick: float, style: str) -> Image:
    light = float(np.clip(lit.mean() / 130.0, 0.3, 1.4))
    if style == "rimless":
        colour = (
            np.full(3, 255.0) * rng.uniform(0.6, 1.0) if rng.random() < 0.5 else np.array([40.0, 40.0, 44.0])
        )
        opacity = frame * rng.uniform(0.35, 0.8)
    else:
        colour = COLOURS[rng.integers(len(COLOURS))] + rng.normal(0, 10, 3)
        clear = rng.random() < 0.07
        opacity = frame * (rng.uniform(0.35, 0.7) if clear else rng.uniform(0.9, 1.0))
    colour = np.clip(colour * light * rng.uniform(0.8, 1.2), 0, 255).astype(np.float32)
    paint = np.broadcast_to(colour, lit.shape).copy()
    if rng.random() < 0.6:  # sheen along the upper edge
        down = np.array([[1, 0, 0], [0, 1, thick * 0.35]], np.float32)
        edge = np.clip(frame - cv2.warpAffine(frame, down, frame.shape[::-1]), 0, 1)
        paint += (rng.uniform(10, 120) * edge)[..., None]
    if rng.random() < 0.2:  # tortoiseshell
        noise = cv2.GaussianBlur(rng.normal(size=frame.shape).astype(np.float32), (0, 0), rng.uniform(1, 4))
        paint += (25 * noise / noise.std())[..., None] * np.array([1, 0.7, 0.4], np.float32)
    mixed = lit * (1 - opacity[..., None]) + paint * opacity[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


# -----------------------------------------------------------------------------------------------------------
# Samples


class Photos:
    """Crops and landmarks of a prepared set, in random order, with and without drawn glasses."""

    def __init__(self, folder: Path, seed: int, left_out: set[int]) -> None:
        self.set = PreparedSet.open(folder)
        self.rng = np.random.default_rng(seed)
        clear = np.flatnonzero(self.set.native_px >= CLEAR_PX)
        self.rows = [int(row) for row in clear if row % HELD_OUT and int(row) not in left_out]
        self.sharp = [row for row in self.rows if self.set.native_px[row] >= SHARP_PX]

    def crop(self, row: int) -> Image:
        """(256, 256, 3)."""
        decoded = cv2.imdecode(np.frombuffer(self.set.member(row, "jpg"), np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, np.uint8)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, 128, 256) and the coverage (B, 1, 128, 256)."""
        pools = (self.sharp if self.rng.random() < 0.5 else self.rows for _ in range(BATCH))
        samples = [self.sample(pool[int(self.rng.integers(len(pool)))]) for pool in pools]
        crops, covered = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        return crops, covered

    def sample(self, row: int) -> tuple[Points, Points]:
        """One photograph, moved, drawn upon, and as bad as photographs are."""
        rng, image = self.rng, self.crop(row)
        mesh = np.load(io.BytesIO(self.set.member(row, "npz")))["landmarks"].copy()
        covered = np.zeros((SIDE_PX, SIDE_PX), np.float32)
        if rng.random() < 0.8:
            move = cv2.getRotationMatrix2D((128, 75), rng.normal(0, 4), float(np.exp(rng.normal(0, 0.07))))
            move[:, 2] += rng.normal(0, 4, 2)
            image = np.asarray(
                cv2.warpAffine(image, move, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REFLECT_101), np.uint8
            )
            mesh[:, :2] = mesh[:, :2] @ move[:, :2].T + move[:, 2]
        if rng.random() < DRAWN_SHARE:
            image, covered = draw_glasses(rng, image, mesh)
        seen, covered = _degraded(rng, image[:BAND_PX], covered[:BAND_PX])
        if rng.random() < 0.5:
            seen, covered = seen[:, ::-1], covered[:, ::-1]
        return np.ascontiguousarray(seen.transpose(2, 0, 1), np.float32), covered[None].copy()


def _degraded(rng: np.random.Generator, image: Image, covered: Points) -> tuple[Points, Points]:
    """Smaller, blurred, compressed, in other light, grey, noisy; levels 0 to 1."""
    size = (SIDE_PX, BAND_PX)
    if rng.random() < 0.45:
        share = rng.uniform(0.35, 1.0)
        small = (max(8, int(SIDE_PX * share)), max(8, int(BAND_PX * share)))
        image, covered = (cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (image, covered))
        image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        covered = cv2.resize(covered, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    seen = image.astype(np.float32) / 255
    if rng.random() < 0.7:
        seen = seen ** np.exp(rng.normal(0, 0.25)) * rng.uniform(0.75, 1.2)
    if rng.random() < 0.5:
        seen = seen * np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.1:
        seen = np.repeat(seen.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.3:
        seen = seen + rng.normal(0, rng.uniform(0.005, 0.04), seen.shape)
    return np.clip(seen, 0, 1).astype(np.float32), np.asarray(covered, np.float32)


# -----------------------------------------------------------------------------------------------------------
# Training


def train(folder: Path, output: Path, minutes: float, start: Path | None, seed: int) -> None:
    network = EyeglassNet()
    left_out: set[int] = set()
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
        left_out = found_in(Photos(folder, seed, set()), network)
    photos = Photos(folder, seed, left_out)
    print(
        f"{len(photos.rows)} photographs, {len(photos.sharp)} of them sharp; {len(left_out)} left out",
        flush=True,
    )
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    average: dict[str, torch.Tensor] = {}
    told: Counter[str] = Counter()
    began, images = time.time(), 0
    network.train()
    while (share := (time.time() - began) / 60 / minutes) < 1:
        falling = 0.5 * (1 + np.cos(np.pi * max(0.0, (share - 0.3) / 0.7)))
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, images / 1600) * falling + 1e-5
        crops, covered = photos.batch()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(crops)
        terms = losses(logits.float(), covered)
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
    torch.save(average, output)


def losses(logits: torch.Tensor, covered: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cross entropy of all, and 1 − Dice's coefficient of those with a frame."""
    entropy = functional.binary_cross_entropy_with_logits(logits, covered, pos_weight=torch.tensor(2.0))
    shares, where = logits.sigmoid(), (1, 2, 3)
    framed = (covered.amax(where) > 0.3).float()
    union = shares.square().sum(where) + covered.square().sum(where)
    dice = 1 - (2 * (shares * covered).sum(where) + 1) / (union + 1)
    return {"entropy": entropy, "dice": (dice * framed).sum() / framed.sum().clamp(min=1)}


def keep_average(average: dict[str, torch.Tensor], now: dict[str, torch.Tensor], kept: float) -> None:
    for name, value in now.items():
        if name not in average or not value.is_floating_point():
            average[name] = value.clone()
        else:
            average[name].lerp_(value, 1 - kept)


@torch.inference_mode()
def found_in(photos: Photos, network: EyeglassNet) -> set[int]:
    """Rows of photographs on which a network finds frames that nobody drew."""
    network.eval()
    found: set[int] = set()
    for row in photos.rows:
        crop = torch.from_numpy(photos.crop(row)[:BAND_PX].transpose(2, 0, 1).astype(np.float32)[None] / 255)
        if int((network(crop) > 0).sum()) > FOUND_PX:
            found.add(row)
    return found


def add_to_bundle(trained: Path, folder: Path) -> None:
    """Write the network into a bundle as a graph with float16 weights."""
    network = EyeglassNet()
    network.load_state_dict(torch.load(trained, weights_only=True))
    bundle = load_bundle(folder)
    described: dict[str, Any] = bundle.model_dump(mode="json", exclude_none=True, exclude={"files"})
    described["graphs"]["eyeglasses"] = GRAPH
    kept: dict[str, Any] = {
        file: bundle.folder / file for file in bundle.files if file not in (GRAPH, MANIFEST_NAME)
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / GRAPH
        crop = torch.rand(2, 3, BAND_PX, SIDE_PX)
        export_graph(EyeglassGraph(network).eval(), {"crop": crop}, ["frames"], path, half=True)
        write_bundle(folder, described, {**kept, GRAPH: path.read_bytes()})
    print(f"{folder / GRAPH}: {(folder / GRAPH).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("set", type=Path)
    training.add_argument("output", type=Path)
    training.add_argument("--minutes", type=float, required=True)
    training.add_argument("--start", type=Path, help="a network to go on from")
    training.add_argument("--seed", type=int, default=0)
    adding = commands.add_parser("add")
    adding.add_argument("trained", type=Path)
    adding.add_argument("bundle", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(os.cpu_count() or 1)
    if options.command == "train":
        train(options.set, options.output, options.minutes, options.start, options.seed)
    else:
        add_to_bundle(options.trained, options.bundle)
