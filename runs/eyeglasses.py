"""Trains the network that finds frames of eyeglasses, on glasses drawn onto photographs, and adds it to a bundle.

    python runs/eyeglasses.py train SET first.pt --minutes 7
    python runs/eyeglasses.py train SET second.pt --minutes 22 --start first.pt
    python runs/eyeglasses.py add second.pt BUNDLE

SET is a prepared set of 256 px (runs/prepare_mini_256.py). Real glasses in it have no labels: the first network finds
them, and the second is not trained on photographs where it did.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from in_front import (
    Image,
    Photos,
    Sample,
    add_to_bundle,
    as_sample,
    commands,
    degraded,
    load,
    moved,
    started,
    train,
)
from numpy.typing import NDArray

from hififace.faces.eyeglasses import BAND_PX, SIDE_PX
from hififace.models.small_unet import EYEGLASSES, SmallUNet

Points = NDArray[np.float32]

FOUND_PX = 100
"""Photographs of which the first network takes more pixels for frames are left out."""
DRAWN_SHARE = 0.55
FRAMED = 2.0
"""Weight of pixels of frames."""

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
# Training


def sample(photos: Photos) -> Sample:
    """The upper half of a crop, with drawn glasses or without."""
    rng, row = photos.rng, photos.any_row()
    image, mesh = moved(rng, photos.crop(row), photos.mesh(row), (128.0, 75.0))
    covered = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    if rng.random() < DRAWN_SHARE:
        image, covered = draw_glasses(rng, image, mesh)
    seen, covered = degraded(rng, image[:BAND_PX], covered[:BAND_PX])
    return as_sample(rng, seen, covered, np.ones_like(covered))


@torch.inference_mode()
def found_in(photos: Photos, network: SmallUNet) -> set[int]:
    """Rows of photographs on which a network finds frames that nobody drew."""
    found: set[int] = set()
    for row in photos.rows:
        crop = torch.from_numpy(photos.crop(row)[:BAND_PX].transpose(2, 0, 1).astype(np.float32)[None] / 255)
        if int((network(crop) > 0).sum()) > FOUND_PX:
            found.add(row)
    return found


def main() -> None:
    parser, _ = commands(__doc__)
    options = started(parser)
    if options.command == "add":
        add_to_bundle(
            load(EYEGLASSES, options.trained), options.bundle, "eyeglasses", (BAND_PX, SIDE_PX), "frames"
        )
        return
    network, left_out = SmallUNet(EYEGLASSES), set[int]()
    if options.start is not None:
        network = load(EYEGLASSES, options.start)
        left_out = found_in(Photos(options.set, options.seed, set()), network)
    photos = Photos(options.set, options.seed, left_out)
    torch.save(train(network, photos, sample, options.minutes, FRAMED), options.output)


if __name__ == "__main__":
    main()
