"""The open loss networks: SFace, FaceMesh, the mesh shape prior, the iris, EfficientNet-lite features.

Letters: B pairs, S side of the crop, P = 468 mesh points, D length of the identity vector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hififace.data.index import SetCard
from hififace.data.loader import CropBatch, PairBatch
from hififace.faces.alignment import estimate_similarity
from hififace.faces.landmarks import EYE_CORNERS, EYE_ENLARGEMENT
from hififace.faces.mesh_roi import ENLARGEMENT as MESH_ENLARGEMENT
from hififace.faces.mesh_roi import EYE_CORNERS as OUTER_EYE_CORNERS
from hififace.faces.templates import TEMPLATES
from hififace.losses.attributes import (
    Opening,
    gaze_loss,
    group_shape_loss,
    iris_direction,
    opening,
    opening_loss,
)
from hififace.losses.perceptual import feature_l1_distance
from hififace.losses.resampling import fill_invalid
from hififace.losses.shape import mesh_shape_loss, region_weights
from hififace.models.generator import GeneratorOutput
from hififace.models.identity import identity_vector
from hififace.models.params import VectorPart
from hififace.models.pretrained.arcface import ArcFace, load_arcface
from hififace.models.pretrained.efficientnet_lite import (
    EfficientNetLite,
    fold_normalisations,
    load_efficientnet_lite,
)
from hififace.models.pretrained.face_mesh import NUM_POINTS, FaceMesh, load_face_mesh
from hififace.models.pretrained.face_mesh import SIZE_PX as MESH_SIZE_PX
from hififace.models.pretrained.frozen import freeze_parts, full_precision
from hififace.models.pretrained.iris import SIZE_PX as EYE_SIZE_PX
from hififace.models.pretrained.iris import Iris, load_iris
from hififace.models.pretrained.mesh_shape import MeshShape, load_mesh_shape
from hififace.models.pretrained.resampling import apply_affine, invert_affine, resample_affine
from hififace.models.pretrained.sface import SIZE_PX as SFACE_SIZE_PX
from hififace.models.pretrained.sface import SFace, load_sface
from hififace.training.config import TrainingConfig
from hififace.training.loss_networks import Embedder
from hififace.weights.registry import find_card
from hififace.weights.store import embedded_path, locate_in

OPENINGS = {
    "eyelids": (
        Opening(upper=(160, 159, 158), lower=(144, 145, 153), corners=(33, 133)),
        Opening(upper=(385, 386, 387), lower=(380, 374, 373), corners=(362, 263)),
    ),
    "lips": (Opening(upper=(82, 13, 312), lower=(87, 14, 317), corners=(78, 308)),),
}
"""Pairs of opposite points on eyelids and inner lips (mesh topology, checked against `face_mesh.json` in tests)."""

OPEN_EYE = 0.12
"""Eyelid opening, in eye widths, above which an eye's iris counts fully."""

FEATURE_STAGES = (0, 1, 2)
"""EfficientNet-lite stages of the perceptual term: strides 2, 2 and 4, fine enough for eyes and skin at 128 px."""


@dataclass
class MeshLossNetworks:
    """LossNetworks of the family "mesh"; see `training.loss_networks.LossNetworks`."""

    card: SetCard
    layout: tuple[VectorPart, ...]
    sface: SFace
    shape: MeshShape
    face_mesh: FaceMesh | None = None
    iris: Iris | None = None
    features: EfficientNetLite | None = None
    identity_jitter: float = 0.0
    arcface: ArcFace | None = None
    """The second embedder."""

    def __post_init__(self) -> None:
        groups: dict[str, list[int]] = json.loads(
            embedded_path("face_mesh.json").read_text(encoding="utf-8")
        )["groups"]
        self.groups = groups
        self.lips = sorted({*groups["lips_outer"], *groups["lips_inner"]})
        # The jaw depends on the source's shape; the points inside the face depend on the target's expression, which has
        # terms of its own.
        self.region_weights = region_weights(NUM_POINTS, groups, {"face_oval": 3.0})
        template = TEMPLATES[self.card.template].scaled(self.card.resolution)
        to_arcface = estimate_similarity(template.points, TEMPLATES["arcface_112"].points)
        self.crop_to_arcface = torch.from_numpy(to_arcface.astype(np.float32))

    @classmethod
    def load(
        cls, config: TrainingConfig, card: SetCard, device: torch.device, files: Path | None = None
    ) -> MeshLossNetworks:
        """The networks that the configuration's terms need, frozen, on the device."""
        needs, second = config.loss.needs, config.loss.second_embedder
        loss_networks = cls(
            card,
            config.generator.vector,
            load_sface(),
            load_mesh_shape(),
            load_face_mesh() if needs("shape", "eyelids", "lips", "gaze") else None,
            load_iris() if needs("gaze") else None,
            load_features(files) if needs("perceptual") else None,
            config.loss.identity_jitter,
            None if second == "none" else load_arcface(locate_in(files, find_card(second))),
        )
        loss_networks.freeze_on(device, channels_last=config.channels_last)
        return loss_networks

    def freeze_on(self, device: torch.device, *, channels_last: bool) -> None:
        """Moves the networks to the device, and disables gradients of their weights."""
        freeze_parts(self, device, channels_last=channels_last)
        self.region_weights = self.region_weights.to(device)
        self.crop_to_arcface = self.crop_to_arcface.to(device)

    # ---- Identity.

    @property
    def embedders(self) -> Sequence[Embedder]:
        """SFace, and the second embedder if there is one."""
        return (self._embed,) if self.arcface is None else (self._embed, self._embed_second)

    def _embed(self, crops: Tensor) -> Tensor:
        """(B, 128) SFace embeddings of crops."""
        vectors: Tensor = self.sface(self._aligned(crops))
        return vectors

    def _embed_second(self, crops: Tensor) -> Tensor:
        """(B, 512) embeddings of crops by the second embedder."""
        if self.arcface is None:
            raise ValueError("no second embedder was configured when the frozen networks were loaded")
        vectors: Tensor = self.arcface(self._aligned(crops))
        return vectors

    def _aligned(self, crops: Tensor) -> Tensor:
        """Resamples crops from their alignment template to ArcFace's, with one transform for all crops.

        A low-resolution result is enlarged to the crop's size first. Results, which need a gradient, are mirrored and
        transformed at random (`random_views`), so that no adversarial pattern for one fixed alignment can be learned.
        """
        if crops.shape[-1] != self.card.resolution:
            size = (self.card.resolution, self.card.resolution)
            crops = F.interpolate(crops, size=size, mode="bilinear", align_corners=False)
        # ArcFace's template extends beyond the crop: mid-grey there is closer to a photo than black.
        grey = 0.5
        view = self.crop_to_arcface
        if self.identity_jitter > 0 and crops.requires_grad:
            view = random_views(view, len(crops), self.identity_jitter)
        return resample_affine(crops - grey, view, SFACE_SIZE_PX) + grey

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """SFace's come with the batch, computed on whole photos in preparation; the second embedder is run here."""
        if self.arcface is None:
            return [crops.identity]
        with torch.no_grad():
            return [crops.identity, self._embed_second(crops.image)]

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """[source shape | target expression, pose | source identity], (B, D)."""
        giver = {"shape": self._part(batch.source, "identity"), "identity": batch.source.identity}
        taker = {name: self._part(batch.target, name) for name in ("expression", "pose")}
        taker["identity"] = batch.target.identity
        return identity_vector(self.layout, giver, taker)

    def _part(self, crops: CropBatch, name: str) -> Tensor:
        return crops.coefficients[:, self.card.coefficient_slice(name)]

    def cycle_vector(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """The target's own vector: the result should have its expression and pose already."""
        return self.identity_vector(batch._replace(source=batch.target))

    # ---- Features.

    def perceptual(self, result: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """(B,) L1 distance of features, each layer divided by its magnitude; the target is copied into the padding."""
        if self.features is None:
            raise ValueError("the perceptual term was not configured when the frozen networks were loaded")
        ours = self.features(fill_invalid(result, target, valid))
        with torch.no_grad():
            theirs = self.features(target)
        return feature_l1_distance(ours, theirs)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of (B, 3, S, S) RGB 0..1 that the perceptual term compares.

        Raises:
            ValueError: the term was not configured when the networks were loaded.
        """
        if self.features is None:
            raise ValueError("the perceptual term was not configured when the frozen networks were loaded")
        maps: list[Tensor] = self.features(images)
        return maps

    # ---- Landmarks.

    def attribute_terms(
        self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]
    ) -> dict[str, Tensor]:
        """shape, eyelids, lips and gaze, from one pass of the mesh network and one of the iris network."""
        terms: dict[str, Tensor] = {}
        if wanted & {"shape", "eyelids", "lips"}:
            target = batch.target.landmarks
            points = self.mesh_points(output.image, target)
            if "shape" in wanted:
                fused = self.fused_points(batch)
                terms["shape"] = mesh_shape_loss(
                    fused[..., :2], points[..., :2], region_weights=self.region_weights
                )
            if "eyelids" in wanted:
                terms["eyelids"] = opening_loss(points, target, OPENINGS["eyelids"])
            if "lips" in wanted:
                terms["lips"] = opening_loss(points, target, OPENINGS["lips"]) + group_shape_loss(
                    points, target, self.lips
                )
        if "gaze" in wanted:
            terms["gaze"] = self.gaze(batch.target, output.image)
        return terms

    def mesh_points(self, crops: Tensor, target_points: Tensor, jitter: float = 0.0) -> Tensor:
        """(B, P, 3) mesh points of the results, in crop pixels, detected in the region of the target's face.

        Args:
            crops: (B, 3, S, S) RGB 0..1.
            target_points: (B, P, 2 or more) crop pixels.
            jitter: strength of random transforms of the region (`moved_views`); 0 for none.
        """
        if self.face_mesh is None:
            raise ValueError("no term of landmarks was configured when the frozen networks were loaded")
        region = mesh_region(target_points[..., :2])
        if jitter:
            region = moved_views(region, jitter)
        found = self.face_mesh.points_of(resample_affine(crops, region, MESH_SIZE_PX, padding="border"))
        # The network's coordinates start at the outer edge of the first pixel (faces/mesh_roi.py).
        across, down, depth = found.unbind(-1)
        return apply_affine(invert_affine(region), torch.stack((across - 0.5, down - 0.5, depth), dim=-1))

    def fused_points(self, batch: PairBatch) -> Tensor:
        """q_fuse: the source's shape with the target's expression and pose, (B, P, 3) crop pixels."""
        fused = self.shape.fuse(
            self.shape.from_flat(batch.source.coefficients), self.shape.from_flat(batch.target.coefficients)
        )
        return self.shape.landmarks(fused)

    def gaze(self, target: CropBatch, result: Tensor) -> Tensor:
        """Distance of the iris positions of result and target, in eye crops placed by the target's landmarks."""
        points = target.landmarks[..., :2]
        openness = torch.stack([opening(points, where) for where in OPENINGS["eyelids"]], dim=1)
        directions = [self.iris_directions(result, points)]
        with torch.no_grad():
            directions.append(self.iris_directions(target.image, points))
        return gaze_loss(*directions, openness=(openness / OPEN_EYE).clamp(0.0, 1.0))

    def iris_directions(self, images: Tensor, points: Tensor) -> Tensor:
        """(B, 2, 2) position of each iris within its eye, in eye widths; both eyes in one pass.

        Args:
            images: (B, 3, S, S) RGB 0..1.
            points: (B, P, 2 or more) mesh of the same faces, crop pixels.

        Raises:
            ValueError: the gaze term was not configured when the networks were loaded.
        """
        if self.iris is None:
            raise ValueError("the gaze term was not configured when the frozen networks were loaded")
        corners = [(points[:, first], points[:, second]) for first, second in EYE_CORNERS]
        matrices = [eye_crop(a, b) for a, b in corners]  # (B, 2, 3) each, crop pixels -> 64 px eye crop
        left, right = (resample_affine(images, matrix, EYE_SIZE_PX) for matrix in matrices)
        # The network was trained on image-left eyes; the other eye is mirrored, and its output mirrored back.
        seen = self.iris.iris(torch.cat((left, right.flip(3))))[:, :1, :2] - 0.5  # (2B, 1, 2), the centres
        seen_left, seen_right = seen.chunk(2)
        seen_right = torch.stack((EYE_SIZE_PX - 1 - seen_right[..., 0], seen_right[..., 1]), dim=-1)
        directions = []
        for centre, matrix, (a, b) in zip((seen_left, seen_right), matrices, corners, strict=True):
            in_crop = apply_affine(invert_affine(matrix), centre)[:, 0]  # (B, 2) crop pixels
            directions.append(iris_direction(in_crop, a, b))
        return torch.stack(directions, dim=1)


def random_views(matrix: Tensor, count: int, strength: float) -> Tensor:
    """Transforms into SFace's input, each with a small random rotation, scale and shift; half of them mirrored.

    Args:
        matrix: (2, 3) from crop pixels to the 112 px input.
        count: number of transforms.
        strength: factor on the standard deviations: 3 degrees, 3 % and 1.5 px.

    Returns:
        (count, 2, 3).
    """
    noise = torch.randn(4, count, device=matrix.device) * strength
    angle, scale = noise[0] * math.radians(3.0), torch.exp(noise[1] * 0.03)
    side = torch.where(torch.rand(count, device=matrix.device) < 0.5, -1.0, 1.0)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    turn = torch.stack(
        (torch.stack((side * cosine, -side * sine), dim=1), torch.stack((sine, cosine), dim=1)), dim=1
    )  # (count, 2, 2), about the centre
    middle = (SFACE_SIZE_PX - 1) / 2
    with full_precision(matrix):
        shift = turn @ (matrix[:, 2:] - middle) + middle + 1.5 * noise[2:].T[:, :, None]
        return torch.cat((turn @ matrix[:, :2], shift), dim=2)


def moved_views(regions: Tensor, strength: float) -> Tensor:
    """Transforms into the mesh network's input, each with a small random rotation, scale and shift.

    Args:
        regions: (B, 2, 3) from crop pixels to the 192 px input.
        strength: factor on the standard deviations: 3 degrees, 4 % and 4 px.

    Returns:
        (B, 2, 3).
    """
    noise = torch.randn(4, len(regions), device=regions.device) * strength
    angle, scale = noise[0] * math.radians(3.0), torch.exp(noise[1] * 0.04)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    turn = torch.stack((torch.stack((cosine, -sine), dim=1), torch.stack((sine, cosine), dim=1)), dim=1)
    middle = (MESH_SIZE_PX - 1) / 2
    with full_precision(regions):
        shift = turn @ (regions[..., 2:] - middle) + middle + 4.0 * noise[2:].T[:, :, None]
        return torch.cat((turn @ regions[..., :2], shift), dim=2)


def mesh_region(points: Tensor) -> Tensor:
    """Input region of the mesh network from mesh points: `faces.mesh_roi.roi_from_landmarks` in torch.

    Args:
        points: (B, P, 2) in crop pixels.

    Returns:
        (B, 2, 3) from crop pixels to the 192 px input: the face's bounding box along the eye line, 1.5 times as wide.
    """
    across = points[:, OUTER_EYE_CORNERS[1]] - points[:, OUTER_EYE_CORNERS[0]]
    cosine, sine = F.normalize(across, dim=1).unbind(dim=1)
    turn = torch.stack((torch.stack((cosine, sine), 1), torch.stack((-sine, cosine), 1)), dim=1)  # (B, 2, 2)
    with full_precision(points):
        upright = points @ turn.transpose(1, 2)
    low, high = upright.amin(dim=1), upright.amax(dim=1)
    scale = MESH_SIZE_PX / (MESH_ENLARGEMENT * (high - low).amax(dim=1).clamp_min(1e-3))
    linear = scale[:, None, None] * turn
    centre = 0.5 * (low + high) * scale[:, None]  # of the face, turned and scaled
    shift = (MESH_SIZE_PX - 1) / 2 - centre
    return torch.cat((linear, shift[:, :, None]), dim=2)


def eye_crop(first_corner: Tensor, second_corner: Tensor) -> Tensor:
    """Transforms (B, 2, 3) from crop pixels to the iris network's input: squares of 2.3 eye widths, not rotated."""
    centre = 0.5 * (first_corner + second_corner)
    width = torch.linalg.vector_norm(second_corner - first_corner, dim=1).clamp_min(1e-3)
    scale = EYE_SIZE_PX / (EYE_ENLARGEMENT * width)
    shift = (EYE_SIZE_PX - 1) / 2 - scale[:, None] * centre
    zero = torch.zeros_like(scale)
    return torch.stack(
        (torch.stack((scale, zero, shift[:, 0]), dim=1), torch.stack((zero, scale, shift[:, 1]), dim=1)),
        dim=1,
    )


def load_features(files: Path | None = None) -> EfficientNetLite:
    """Loads the stages of EfficientNet-lite0 that the perceptual term uses, from the user's folder or the download
    folder of `hififace weights fetch`.

    Raises:
        WeightsError: it is in neither place.
    """
    path = locate_in(files, find_card("efficientnet_lite0"))
    return fold_normalisations(load_efficientnet_lite(path, stages=FEATURE_STAGES))
