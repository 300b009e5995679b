"""How well networks with their own templates see the aligned 128 px crop that `mini` is trained on.

    python tools/measure_crops.py --data FOLDER

FOLDER holds `identities-val-*.tar`. Prints, over 300 photos: the one affine map from crop to FaceMesh input
that comes nearest to the regions the pipeline chooses, how far mesh points found through it and through the
pipeline's own region lie from those found in the whole photo, and how well SFace vectors taken through the
crop agree with direct ones.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from collect_landmarks import central_face, read_photos
from hififace.faces.alignment import align, estimate_similarity, transform_points
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.mesh_roi import roi_from_landmarks
from hififace.faces.templates import TEMPLATES
from hififace.models.pretrained.face_mesh import FaceMesh, load_face_mesh
from hififace.models.pretrained.resampling import apply_affine, invert_affine, resample_affine
from hififace.models.pretrained.sface import load_sface
from hififace.training.mesh_loss_networks import mesh_region

TEMPLATE = TEMPLATES["mini_128"]
NUM_PHOTOS = 300


def mesh_error(network: FaceMesh, crops: torch.Tensor, regions: torch.Tensor, direct: torch.Tensor) -> str:
    """Mean distance in crop pixels of points found through `regions` from those found in the photo."""
    with torch.no_grad():
        seen = network(resample_affine(crops, regions, 192, padding="border")).points
    half = seen.new_tensor((0.5, 0.5, 0.0))
    back = apply_affine(invert_affine(regions), seen - half)
    errors = (back[..., :2] - direct[..., :2]).norm(dim=2)
    return f"{errors.mean():.2f} px (95 % of photos below {errors.mean(dim=1).quantile(0.95):.2f} px)"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of identity shards")
    shards = sorted(parser.parse_args().data.glob("identities-val-*.tar"))
    detector, landmarker = YuNetDetector(smallest_face_px=48.0), FaceMeshLandmarker()
    embedder = SFaceEmbedder(flip=False)
    crops, meshes, regions, vectors = [], [], [], []
    for _, _, picture in islice(read_photos(shards[0]), NUM_PHOTOS):
        detections = detector.detect(picture)
        if not detections:
            continue
        face = central_face(detections, picture)
        points = landmarker.locate(picture, face).points
        crop, matrix = align(picture, face.points, TEMPLATE)
        crops.append(crop)
        flat = transform_points(matrix, points[:, :2])
        meshes.append(flat)
        regions.append(roi_from_landmarks(flat))
        vectors.append(embedder.embed(picture, face.points))
    batch = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255.0)
    direct = torch.from_numpy(np.stack(meshes).astype(np.float32))
    fixed = torch.from_numpy(np.median(np.stack(regions), axis=0).astype(np.float32))
    fixed[0, 1] = fixed[1, 0] = 0.0
    fixed[0, 0] = fixed[1, 1] = (fixed[0, 0] + fixed[1, 1]) / 2
    network = load_face_mesh()
    scale, (x, y) = float(fixed[0, 0]), fixed[:, 2].tolist()
    print(f"fixed map, crop to input: scale {scale:.4f}, shift ({x:.2f}, {y:.2f})")
    print("mesh through the fixed map:", mesh_error(network, batch, fixed.expand(len(batch), 2, 3), direct))
    print("mesh through each face's own region:", mesh_error(network, batch, mesh_region(direct), direct))
    similarity = estimate_similarity(TEMPLATE.points, TEMPLATES["arcface_112"].points)
    to_arcface = torch.from_numpy(similarity.astype(np.float32))
    sface = load_sface()
    for name, level in (("black", 0.0), ("grey, SFace's zero,", 0.5)):
        with torch.no_grad():
            through = sface(resample_affine(batch - level, to_arcface, 112) + level).numpy()
        through /= np.linalg.norm(through, axis=1, keepdims=True)
        cosines = (through * np.stack(vectors)).sum(axis=1)
        print(f"SFace through the crop, {name} around it, against direct: mean cosine {cosines.mean():.4f}")


if __name__ == "__main__":
    main()
