"""Learn the mesh shape prior from photos of many people with several photos each.

    python tools/learn_shape_basis.py --data FOLDER             # learn, write mesh_shape.npz, report
    python tools/learn_shape_basis.py --data FOLDER --report    # measure the file that ships

FOLDER holds `identities-train-*.tar` and `identities-val-*.tar` (KEY.jpg and KEY.json with `identity`);
nothing of a single photo ends up in the file. How the basis is made, in the order of `learn`:

1. Mesh points of all photos by the pipeline that ships, aligned by similarity to their symmetric mean.
2. The first 100 principal components, of photos and their mirror images, so that all that follows is
symmetric. 3. Covariance between people B and within people W by expectation maximisation. 4. Identity
directions: the generalised eigenvectors of (B, W) with the largest ratios. In them the posterior mean of the
   identity given one photo is ratio / (ratio + 1) of what is seen.
5. Expression directions: principal components of what is left once the directions that tell people apart are
taken out.
   An identity direction in which people also move much stays in.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collect_landmarks import PhotoPoints, collect
from hififace.faces.shape import MeshShapePrior, ShapeBasis
from packages import EMBEDDED, sha256, write_pinned
from shape_statistics import (
    align_all,
    estimate_covariances,
    mean_shape,
    mirror_shapes,
    verification_auc,
)

NUM_IDENTITY = 24
NUM_EXPRESSION = 24
NUM_COMPONENTS = 100
KEPT_OUT = 6
"""So many of the best identity directions never enter the expression."""
MOVES_MUCH = 0.0092
"""An identity direction further down does, if it moves the mesh within a person by this RMS distance per
point."""


def learn(photos: PhotoPoints, mirror: NDArray[np.int64]) -> ShapeBasis:
    """The basis from points of photos, each with its person."""
    points = photos.points.astype(np.float64)
    mean = mean_shape(points, mirror)
    aligned, _ = align_all(points, mean)
    offsets = aligned - mean
    remainder = np.sqrt((offsets.mean(axis=0) ** 2).sum(axis=1).mean())
    print(f"mean shape of {len(points)} photos; its asymmetry is {remainder:.5f} of its radius")
    mirrored = mirror_shapes(offsets, mirror)
    values = np.concatenate([offsets, mirrored]).reshape(2 * len(points), -1)
    people = np.concatenate([photos.identities, np.char.add(photos.identities, " mirrored")])

    variances, axes = np.linalg.eigh(values.T @ values / len(values))
    axes = axes[:, ::-1][:, :NUM_COMPONENTS]  # (1404, D)
    print(f"{NUM_COMPONENTS} components hold {variances[::-1][:NUM_COMPONENTS].sum() / variances.sum():.4%}")
    ratios, directions = estimate_covariances(values @ axes, people).diagonalise()
    shapes = np.linalg.inv(directions).T  # y = shapes @ z with z = directions.T @ y
    print("largest ratios of variance between to within people:", np.round(ratios[:12], 2))

    # Identity: z = sqrt(ratio) α + noise of variance 1, so E[α | z] = sqrt(ratio) / (ratio + 1) z.
    chosen = slice(0, NUM_IDENTITY)
    deviation = np.sqrt(ratios[chosen])
    identity_basis = (axes @ (shapes[:, chosen] * deviation)).T
    identity_gain = (axes @ (directions[:, chosen] * deviation / (ratios[chosen] + 1))).T

    # Expression: posterior mean of what varies within a person, without the directions that say who it is.
    movement = np.sqrt((shapes**2).sum(axis=0) / len(mean))
    taken_out = (np.arange(NUM_COMPONENTS) < KEPT_OUT) | (movement < MOVES_MUCH)
    taken_out[NUM_IDENTITY:] = False
    rest, weights = shapes[:, ~taken_out], 1 / (ratios[~taken_out] + 1)
    spread, principal = np.linalg.eigh((rest * weights) @ rest.T)
    spread, principal = spread[::-1][:NUM_EXPRESSION], principal[:, ::-1][:, :NUM_EXPRESSION]
    deviation = np.sqrt(spread)
    expression_basis = (axes @ (principal * deviation)).T
    expression_gain = ((principal / deviation).T @ (rest * weights) @ directions[:, ~taken_out].T) @ axes.T
    print(f"{taken_out.sum()} identity directions are kept out of the expression")

    def signs(basis: NDArray[np.float64]) -> NDArray[np.float32]:
        cube = basis.reshape(len(basis), len(mean), 3)
        agreement = (cube * mirror_shapes(cube, mirror)).sum(axis=(1, 2)) / (cube**2).sum(axis=(1, 2))
        if np.abs(agreement).min() < 0.99:
            raise SystemExit("a direction is neither symmetric nor antisymmetric: two ratios coincide")
        return np.sign(agreement).astype(np.float32)

    def stored(basis: NDArray[np.float64]) -> NDArray[np.float32]:
        return basis.reshape(len(basis), len(mean), 3).astype(np.float32)

    return ShapeBasis(
        mean=mean.astype(np.float32),
        identity_basis=stored(identity_basis),
        expression_basis=stored(expression_basis),
        identity_gain=identity_gain.astype(np.float32),
        expression_gain=expression_gain.astype(np.float32),
        identity_mirror=signs(identity_basis),
        expression_mirror=signs(expression_basis),
        mirror=mirror,
    )


def report(prior: MeshShapePrior, photos: PhotoPoints) -> None:
    """Print what the prior is worth on people it has not seen."""
    found = [prior.coefficients(points) for points in photos.points]
    identity = np.stack([c.identity for c in found]).astype(np.float64)
    expression = np.stack([c.expression for c in found]).astype(np.float64)
    print(f"{len(found)} photos of {len(np.unique(photos.identities))} people not used for learning")
    print(
        f"identity coefficients:   {prior.identity_size}, AUC {verification_auc(identity, photos.identities):.4f}"
    )
    print(
        f"expression coefficients: {prior.expression_size}, AUC {verification_auc(expression, photos.identities):.4f}"
    )
    eyes = np.linalg.norm(photos.points[:, 33, :2] - photos.points[:, 263, :2], axis=1)
    for name, keep in (
        ("identity and expression", (1, 1)),
        ("identity only", (1, 0)),
        ("mean shape only", (0, 0)),
    ):
        errors = []
        for coefficients, points in zip(found, photos.points, strict=True):
            vector = prior.to_vector(coefficients)
            vector[: prior.identity_size] *= keep[0]
            vector[prior.identity_size : prior.identity_size + prior.expression_size] *= keep[1]
            again = prior.landmarks(prior.from_vector(vector))
            errors.append(np.linalg.norm(again[:, :2] - points[:, :2], axis=1).mean())
        relative = np.asarray(errors) / eyes
        print(
            f"reconstruction by {name}: {np.mean(errors):.2f} px in the photo, {relative.mean():.2%} of the distance "
            f"of the outer eye corners"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of identity shards")
    parser.add_argument("--points", type=Path, help="folder that keeps the mesh points between runs")
    parser.add_argument("--report", action="store_true", help="measure the file that ships, learn nothing")
    parser.add_argument("-o", "--output", type=Path, default=EMBEDDED / "mesh_shape.npz")
    options = parser.parse_args()

    def read(part: str) -> PhotoPoints:
        cache = options.points / f"{part}.npz" if options.points else None
        return collect(sorted(options.data.glob(f"{part}-*.tar")), cache)

    if not options.report:
        topology = json.loads((EMBEDDED / "face_mesh.json").read_text())
        basis = learn(read("identities-train"), np.asarray(topology["mirror"], dtype=np.int64))
        content = io.BytesIO()
        np.savez_compressed(content, **vars(basis))
        write_pinned(options.output, content.getvalue(), "")
    print(f"{options.output.name}: sha256 {sha256(options.output.read_bytes())}")
    with np.load(options.output, allow_pickle=False) as arrays:
        prior = MeshShapePrior(ShapeBasis(**{name: arrays[name] for name in arrays.files}))
    report(prior, read("identities-val"))


if __name__ == "__main__":
    main()
