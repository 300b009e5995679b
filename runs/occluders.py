"""Trains the network that finds what covers a face, on things drawn before photographs, and adds it to a bundle.

    python runs/occluders.py train SET first.pt --minutes 32
    python runs/occluders.py train SET occluders.pt --minutes 17 --start first.pt --harder
    python runs/occluders.py add occluders.pt BUNDLE

SET is a prepared set of 256 px (runs/prepare_mini_256.py). Drawn are hands of round segments with the skin of some
cheek, and other things of any shape with any texture, in the manner of RandOcc (Voo et al. 2022).
"""

from __future__ import annotations

from functools import partial

import cv2
import eyeglasses
import numpy as np
import torch
from in_front import (
    SIDE_PX,
    Floats,
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

from hififace.faces.landmarks import point_groups
from hififace.faces.occlusion import NETWORK_SIDE_PX
from hififace.models.small_unet import OCCLUDERS, SmallUNet

DRAWN_SHARE = 0.6
GLASSES_SHARE = 0.1
"""Of all crops have drawn glasses, which are not to be found."""
TURNED_SHARE = 0.4
"""Of the crops of harder samples show a turned face."""
HAND_SHARE = 0.6
"""Of all things are hands."""
OUTSIDE = 0.08
"""Weight of errors outside the face, where nothing is replaced."""
COVERED = 1.0
"""Weight of covered pixels."""
CHEEKS = (50, 280, 205, 425, 117, 346)
SKINS = np.array([(232, 190, 165), (205, 150, 120), (165, 115, 85), (110, 72, 52), (72, 48, 36)], np.float32)
SHAPES, SHAPE_SHARES = ("ellipse", "bar", "polygon", "ball", "band"), (0.2, 0.3, 0.2, 0.15, 0.15)
SIZE = (SIDE_PX, SIDE_PX)

Vector = NDArray[np.float64]


# -----------------------------------------------------------------------------------------------------------
# Shapes


def add_segment(height: Floats, ends: tuple[Vector, Vector], radii: tuple[float, float]) -> None:
    """Join a round segment with a field of heights: 0 at its edge, 1 in its middle, the larger of both counts."""
    (a, b), (first, second) = ends, radii
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    way = b - a
    along = np.clip(((x - a[0]) * way[0] + (y - a[1]) * way[1]) / max(float(way @ way), 1e-3), 0, 1)
    radius = np.maximum(first + (second - first) * along, 1e-3)
    distance = np.hypot(x - a[0] - along * way[0], y - a[1] - along * way[1])
    np.maximum(height, (1 - distance / radius).astype(np.float32), out=height)


def hand(rng: np.random.Generator, unit: float, middle: Vector) -> Floats:
    """(256, 256) heights of one to four fingers, perhaps with a palm, a wrist and a thumb; negative beside them.

    Args:
        rng: decides about everything.
        unit: distance of the outer corners of the eyes.
        middle: of the face.
    """
    height = np.full(SIZE, -1.0, np.float32)
    num, radius = int(rng.integers(1, 5)), unit * rng.uniform(0.085, 0.15)
    first_tip = middle + rng.normal(0, [unit * 0.45, unit * 0.5])
    angle = (
        rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else rng.normal(np.pi / 2, 0.7)
    )  # mostly from below
    away = np.array([np.cos(angle), np.sin(angle)])
    aside = np.array([-away[1], away[0]])
    spread, gap = rng.uniform(0.0, 0.18), 2 * radius * rng.uniform(0.9, 1.25)
    roots = []
    for number in range(num):
        place = number - (num - 1) / 2
        towards = away * np.cos(place * spread) + aside * np.sin(place * spread)
        length, bend, turned = unit * rng.uniform(0.6, 1.0), rng.normal(0, 0.25), 0.0
        points = [first_tip + aside * place * gap - away * unit * rng.normal(0.0, 0.08)]
        for part in (0.28, 0.34, 0.38):
            step = towards * np.cos(turned) + aside * np.sin(turned)
            points.append(points[-1] + step * length * part)
            turned += bend
        for joint, (thin, thick) in enumerate(((0.75, 0.9), (0.9, 1.0), (1.0, 1.08))):
            add_segment(height, (points[joint], points[joint + 1]), (radius * thin, radius * thick))
        roots.append(points[-1])
    palm_radius = radius * num * 0.9
    if rng.random() < 0.75:
        palm = np.mean(roots, axis=0) + away * unit * rng.uniform(0.1, 0.4)
        sides = palm - aside * gap * num * 0.2, palm + aside * gap * num * 0.2 + away * unit * 0.3
        add_segment(height, sides, (palm_radius + radius * 0.6, palm_radius + radius * 0.8))
        if rng.random() < 0.6:
            add_segment(height, (palm, palm + away * unit * 2.5), (palm_radius, palm_radius + radius * 0.5))
    if rng.random() < 0.3:
        side = rng.choice([-1, 1])
        root = roots[0 if side < 0 else -1] + away * unit * 0.3
        thumb = root, root + side * aside * unit * 0.35 - away * unit * 0.15
        add_segment(height, thumb, (radius * 1.2, radius * 0.95))
    return height


def thing(rng: np.random.Generator, unit: float, middle: Vector) -> Floats:
    """(256, 256) 0 to 1 where anything else is."""
    mask, u = np.zeros((2 * SIDE_PX, 2 * SIDE_PX), np.uint8), 2 * unit  # at twice the size
    centre = 2 * (middle + rng.normal(0, [unit * 0.5, unit * 0.55]))
    kind, angle = str(rng.choice(SHAPES, p=SHAPE_SHARES)), rng.uniform(0, np.pi)
    if kind == "ellipse":
        axes = np.maximum(u * rng.uniform(0.08, 0.45, 2), 3)
        cv2.ellipse(mask, _whole(centre), _whole(axes), np.degrees(angle), 0, 360, 255, -1, cv2.LINE_AA)
    elif kind == "bar":
        way = np.array([np.cos(angle), np.sin(angle)]) * u
        ends = _whole(centre - way * rng.uniform(0, 2)), _whole(centre + way * rng.uniform(0.3, 2))
        thick = max(3, int(u * np.exp(rng.uniform(np.log(0.03), np.log(0.35)))))
        cv2.line(mask, *ends, 255, thick, cv2.LINE_AA)
    elif kind == "polygon":
        num = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, num))
        radii = u * rng.uniform(0.15, 0.6) * rng.uniform(0.6, 1.2, num)
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == "ball":  # on a stick, as microphones
        radius, down = u * rng.uniform(0.12, 0.32), rng.normal(np.pi / 2, 0.6)
        cv2.circle(mask, _whole(centre), int(radius), 255, -1, cv2.LINE_AA)
        end = centre + np.array([np.cos(down), np.sin(down)]) * u * 2.5
        cv2.line(mask, _whole(centre), _whole(end), 255, int(radius * rng.uniform(0.3, 1.3)) + 1, cv2.LINE_AA)
    else:  # a scarf or a mask
        x = np.linspace(-20, 2 * SIDE_PX + 20, 12)
        y = middle[1] * 2 + u * rng.uniform(-0.05, 0.5) + rng.normal(0, u * 0.02, 12)
        y += u * 0.15 * np.sin((x - centre[0]) / u * rng.uniform(1, 3))
        low = 2 * SIDE_PX + 20
        edge = np.concatenate([np.stack([x, y], axis=1), [[low, low], [-20, low]]])
        cv2.fillPoly(mask, [np.rint(edge).astype(np.int32)], 255, cv2.LINE_AA)
    return np.asarray(cv2.resize(mask, SIZE, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _whole(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.rint(point).astype(int)
    return int(x), int(y)


# -----------------------------------------------------------------------------------------------------------
# Surfaces


def _fine_noise(rng: np.random.Generator, sigma: float) -> Floats:
    noise = cv2.GaussianBlur(rng.normal(size=SIZE).astype(np.float32), (0, 0), sigma)
    return np.asarray(noise / (noise.std() + 1e-6), np.float32)


def _coarse_noise(rng: np.random.Generator, cells: int) -> Floats:
    noise = rng.normal(size=(cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC), np.float32)


def skin(rng: np.random.Generator, height: Floats, crop: Image, mesh: Floats, other: Image) -> Floats:
    """(256, 256, 3) levels of a hand's skin: the face's own tone or any other, rounded by light."""
    places = np.clip(np.rint(mesh[list(CHEEKS), :2]), 3, SIDE_PX - 4).astype(int)
    cheeks = [np.median(crop[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3), axis=0) for x, y in places]
    own = np.median(cheeks, axis=0)
    any_tone = SKINS[rng.integers(len(SKINS))] * np.clip(own.mean() / 150, 0.4, 1.2)
    tone = own if rng.random() < 0.65 else any_tone
    tone = np.clip(tone * np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.035, 3)), 0, 255)
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(height, 0, 1)) ** 2, 0, 1)).astype(np.float32)
    from_where = rng.normal(size=2)
    from_where /= np.linalg.norm(from_where)
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(rounded, (0, 0), 1.0))
    light = 0.62 + 0.38 * rounded ** rng.uniform(0.4, 1.2)
    light += rng.uniform(0, 3) * (slope_x * from_where[0] + slope_y * from_where[1])
    light *= 1 + 0.06 * _coarse_noise(rng, int(rng.integers(3, 9)))
    paint = tone[None, None] * np.clip(light, 0.25, 1.35)[..., None]
    paint += (rng.uniform(0, 6) * _fine_noise(rng, rng.uniform(0.6, 1.5)))[..., None]
    paint += (rng.uniform(0, 10) * _coarse_noise(rng, 16))[..., None] * np.array([1, 0.3, 0.2])
    if rng.random() < 0.8:  # the pores of a cheek
        photo = crop if rng.random() < 0.5 else other
        x, y, reach = int(rng.integers(60, 200)), int(rng.integers(110, 190)), int(rng.integers(14, 40))
        patch = photo[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach].astype(np.float32)
        pores = cv2.resize(patch, SIZE, interpolation=cv2.INTER_CUBIC)
        paint += rng.uniform(0.3, 1.2) * (pores - cv2.GaussianBlur(pores, (0, 0), SIDE_PX / 4))
    if rng.random() < 0.15:  # creases
        lines = np.exp(-((_coarse_noise(rng, 10) / 0.06) ** 2))
        paint *= 1 - rng.uniform(0.03, 0.12) * lines[..., None]
    return np.asarray(paint, np.float32)


def surface(rng: np.random.Generator, cover: Floats, unit: float, other: Image) -> Floats:
    """(256, 256, 3) levels of any other thing: a piece of a photograph, one colour, a pattern."""
    choice = rng.random()
    if choice < 0.45:
        flipped = other[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        side = int(SIDE_PX / rng.uniform(1, 3))
        paint = cv2.resize(flipped[:side, :side], SIZE).astype(np.float32) * rng.uniform(0.5, 1.1)
    else:
        colour = rng.uniform(0, 255, 3) if choice < 0.8 else np.full(3, rng.uniform(10, 250))
        uneven = 1 + rng.uniform(0, 0.3) * _coarse_noise(rng, int(rng.integers(2, 12)))
        paint = (colour[None, None] * uneven[..., None]).astype(np.float32)
        if rng.random() < 0.3:  # stripes
            y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
            angle = rng.uniform(0, np.pi)
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.3, 2))
            paint *= (1 + 0.25 * np.sign(wave))[..., None].astype(np.float32)
        paint += (rng.uniform(0, 8) * _fine_noise(rng, 0.8))[..., None]
    if rng.random() < 0.5:  # darker toward its edge
        inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        paint *= (0.7 + 0.3 * np.clip(inside / (unit * rng.uniform(0.03, 0.15)), 0, 1))[..., None]
    return np.asarray(paint, np.float32)


def draw_occluder(rng: np.random.Generator, crop: Image, mesh: Floats, other: Image) -> tuple[Image, Floats]:
    """Something before the face in a crop (256, 256, 3), and its coverage (256, 256).

    Args:
        rng: decides about everything.
        crop: left as it is.
        mesh: (468, 3) landmarks in it.
        other: another crop, for its texture.
    """
    unit = float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
    middle = (mesh[1, :2] + 0.3 * mesh[[33, 263], :2].mean(axis=0) + 0.7 * mesh[152, :2]) / 2.0
    middle = np.asarray(middle, np.float64)
    if rng.random() < HAND_SHARE:
        height = hand(rng, unit, middle)
        cover = np.clip(height * unit * 0.12 * rng.uniform(0.8, 2.5), 0, 1).astype(np.float32)
        paint = skin(rng, height, crop, mesh, other)
    else:
        cover = thing(rng, unit, middle)
        paint = surface(rng, cover, unit, other)
    lit = crop.astype(np.float32)
    if rng.random() < 0.6:
        by = rng.normal(0, 0.05, 2) * unit
        shadow = cv2.warpAffine(cover, np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32), SIZE)
        shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.7, unit * rng.uniform(0.015, 0.08)))
        lit = lit * (1 - rng.uniform(0.1, 0.5) * shadow)[..., None]
    cover, paint = _out_of_focus_or_moved(rng, cover, paint)
    mixed = lit * (1 - cover[..., None]) + np.clip(paint, 0, 255) * cover[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), cover


def _out_of_focus_or_moved(rng: np.random.Generator, cover: Floats, paint: Floats) -> tuple[Floats, Floats]:
    choice = rng.random()
    if choice < 0.35:
        soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 3))
        return np.asarray(soft, np.float32), cv2.GaussianBlur(paint, (0, 0), rng.uniform(0.5, 2))
    if choice >= 0.5:
        return cover, paint
    length, angle = int(rng.integers(5, 25)), rng.uniform(0, np.pi)
    kernel, centre = np.zeros((length, length), np.float32), (length - 1) / 2
    half = np.array([np.cos(angle), np.sin(angle)]) * centre
    cv2.line(kernel, _whole(centre - half), _whole(centre + half), 1.0, 1)
    weighted = np.dstack([paint * cover[..., None], cover])
    both = cv2.filter2D(weighted, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    soft = np.asarray(both[..., 3], np.float32)
    return soft, np.asarray(both[..., :3] / np.maximum(soft, 1e-3)[..., None], np.float32)


# -----------------------------------------------------------------------------------------------------------
# Training


def sample(photos: Photos, *, harder: bool = False) -> Sample:
    """A crop of half the size, with something before it or without.

    Args:
        photos: of the set.
        harder: in two of five samples the face is turned, and the light may be any: the first network took dark cheeks
            of turned faces for covers.
    """
    turned_share = TURNED_SHARE if harder else 0.0
    rng, row = photos.rng, photos.any_row(turned_share)
    image, mesh = moved(rng, photos.crop(row), photos.mesh(row), (128.0, 110.0))
    covered = np.zeros(SIZE, np.float32)
    if rng.random() < GLASSES_SHARE:
        image, _ = eyeglasses.draw_glasses(rng, image, mesh)
    if rng.random() < DRAWN_SHARE:
        image, covered = draw_occluder(rng, image, mesh, photos.crop(photos.any_row(turned_share)))
    face = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(face, [np.rint(mesh[list(point_groups()["face_oval"]), :2]).astype(np.int32)], 255)
    face = cv2.dilate(face, np.ones((9, 9), np.uint8))
    small = (NETWORK_SIDE_PX, NETWORK_SIDE_PX)
    image, covered, face = (
        cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (image, covered, face)
    )
    seen, covered = degraded(rng, image, covered, least=0.4, any_light=harder)
    return as_sample(rng, seen, covered, OUTSIDE + (1 - OUTSIDE) * face.astype(np.float32) / 255)


def main() -> None:
    parser, training = commands(__doc__)
    training.add_argument("--harder", action="store_true", help="with turned faces, in any light")
    options = started(parser)
    if options.command == "add":
        size = (NETWORK_SIDE_PX, NETWORK_SIDE_PX)
        add_to_bundle(load(OCCLUDERS, options.trained), options.bundle, "occluders", size, "covered")
        return
    network = SmallUNet(OCCLUDERS) if options.start is None else load(OCCLUDERS, options.start)
    photos = Photos(options.set, options.seed, set())
    torch.save(
        train(network, photos, partial(sample, harder=options.harder), options.minutes, COVERED),
        options.output,
    )


if __name__ == "__main__":
    main()
