"""A whole set on the training device: gathering a batch is a few indexed reads, and nothing waits for the host.

What `data/loader.py` computes for each photo in Python (mirror image, valid region, landmarks) is computed here for a
batch on the device, from the same rows and the same draws. On "cpu" both give the same tensors (tests/data).

Letters: N photos, B of a batch, S side of the crop, D identity vector, C coefficients, P landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hififace.data.index import PreparedSet
from hififace.data.loader import CropBatch, CropReader
from hififace.data.shards import unpack_arrays

STORED: Final = ("identity", "coefficients", "coefficients_mirrored", "landmarks", "matrix", "photo_size")
"""What preparation stores of each photo beside its images."""

_SLACK: Final = 1e-3  # photo pixels: a chip that fills its crop must not lose its border to rounding


@dataclass
class ResidentSet:
    """The photos of a set and what frozen networks said of them, as tensors of one device."""

    images: Tensor
    """(N, S, S, 3) uint8 RGB."""
    masks: Tensor
    """(N, s, s) uint8, 0 or 255: the face region, at S or half of it."""
    identity: Tensor
    """(N, D) float32, unit length."""
    coefficients: Tensor
    """(N, C) float32."""
    coefficients_mirrored: Tensor
    """(N, C) float32, of the mirror image."""
    landmarks: Tensor
    """(N, P, 3) float32, crop pixels."""
    inverse: Tensor
    """(N, 2, 3) float32: crop pixels to photo pixels."""
    photo_size: Tensor
    """(N, 2) float32: width, height."""
    mirror: Tensor
    """(P,) int64: the landmark that each becomes in the mirror image."""

    @classmethod
    def from_arrays(
        cls,
        *,
        images: NDArray[np.uint8],
        masks: NDArray[np.uint8],
        identity: NDArray[np.floating],
        coefficients: NDArray[np.floating],
        coefficients_mirrored: NDArray[np.floating],
        landmarks: NDArray[np.floating],
        matrix: NDArray[np.floating],
        photo_size: NDArray[np.floating],
        mirror: NDArray[np.integer],
        device: torch.device,
    ) -> ResidentSet:
        """Puts a set's arrays on a device.

        Args:
            images: (N, S, S, 3) RGB.
            masks: (N, s, s), 0 or 255.
            identity: (N, D).
            coefficients: (N, C).
            coefficients_mirrored: (N, C).
            landmarks: (N, P, 3).
            matrix: (N, 2, 3) photo pixels to crop pixels.
            photo_size: (N, 2) width, height.
            mirror: (P,).
            device: where to.
        """
        m = np.asarray(matrix, np.float64)
        linear = np.linalg.inv(m[:, :, :2])
        inverse = np.concatenate([linear, -linear @ m[:, :, 2:]], axis=2)

        def put(array: NDArray[np.generic], kind: torch.dtype) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device=device, dtype=kind)

        return cls(
            images=put(images, torch.uint8),
            masks=put(masks, torch.uint8),
            identity=put(identity, torch.float32),
            coefficients=put(coefficients, torch.float32),
            coefficients_mirrored=put(coefficients_mirrored, torch.float32),
            landmarks=put(landmarks, torch.float32),
            inverse=put(inverse, torch.float32),
            photo_size=put(photo_size, torch.float32),
            mirror=put(mirror, torch.int64),
        )

    @classmethod
    def from_prepared(cls, prepared: PreparedSet, device: torch.device) -> ResidentSet:
        """Reads a whole prepared set.

        Raises:
            DataError: a photo is missing or damaged.
        """
        reader, count, side = CropReader(prepared, cache="none"), len(prepared), prepared.card.resolution
        # Filled row by row: a list of crops beside its stack would need the set's memory twice.
        images = np.empty((count, side, side, 3), np.uint8)
        masks = np.empty((count, side, side), np.uint8)
        facts = []
        for row in range(count):
            crop = reader.read(row)
            images[row], masks[row] = crop.image, crop.mask
            facts.append(unpack_arrays(prepared.member(row, "npz")))
        return cls.from_arrays(
            images=images,
            masks=masks,
            mirror=np.asarray(prepared.card.landmark_mirror),
            device=device,
            **{name: np.stack([fact[name] for fact in facts]) for name in STORED},
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """S, pixels."""
        return int(self.images.shape[1])

    def crops(self, rows: Tensor, mirrored: Tensor) -> CropBatch:
        """The crops of `rows` and what is known of them.

        Args:
            rows: (B,) int64 on the device.
            mirrored: (B,) bool on the device: which are shown mirrored.
        """
        flip = mirrored[:, None, None, None]
        image = self.images_of(rows, mirrored)
        mask = self.masks[rows][:, None]
        mask = torch.where(flip, mask.flip(3), mask).float().mul_(1.0 / 255.0)
        if mask.shape[-1] != self.side:
            mask = F.interpolate(mask, size=(self.side, self.side), mode="bilinear", align_corners=False)
        points = self.landmarks[rows]
        turned = points[:, self.mirror]  # the mirror map is its own inverse
        turned = torch.cat((self.side - 1.0 - turned[..., :1], turned[..., 1:]), dim=2)
        return CropBatch(
            image=image,
            mask=mask,
            valid=self.valid(rows, mirrored),
            identity=self.identity[rows],
            coefficients=self.known_coefficients(rows, mirrored),
            landmarks=torch.where(mirrored[:, None, None], turned, points),
        )

    def images_of(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """(B, 3, S, S) RGB 0..1 of `rows`, channels last in memory; for the arguments see `crops`."""
        image = self.images[rows].permute(0, 3, 1, 2)
        return torch.where(mirrored[:, None, None, None], image.flip(3), image).float().mul_(1.0 / 255.0)

    def known_coefficients(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """(B, C) shape coefficients of the crops or of their mirror images."""
        return torch.where(mirrored[:, None], self.coefficients_mirrored[rows], self.coefficients[rows])

    def valid(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """(B, 1, S, S) float32: 1 where the crop shows the photo, as `data.augment.valid_region`."""
        inverse, size = self.inverse[rows], self.photo_size[rows]
        steps = torch.arange(self.side, device=rows.device, dtype=torch.float32)
        columns = torch.where(mirrored[:, None], self.side - 1.0 - steps, steps)  # (B, S)
        inside = torch.ones((), device=rows.device, dtype=torch.bool)
        for axis in range(2):
            along_rows = inverse[:, axis, 1:2] * steps + inverse[:, axis, 2:3]  # (B, S)
            place = along_rows[:, :, None] + (inverse[:, axis, :1] * columns)[:, None, :]  # (B, S, S)
            inside = inside & (place >= -_SLACK) & (place <= size[:, axis, None, None] - 1.0 + _SLACK)
        return inside[:, None].float()
