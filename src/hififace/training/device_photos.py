"""A whole set on the training device, from packed parts or a prepared folder, and the roles of its photos."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hififace.data.index import CARD_NAME, PreparedSet, SetCard
from hififace.data.packed import PackedSet
from hififace.data.resident import ResidentSet
from hififace.data.slots import SlotSampler
from hififace.data.unpacking import unpack_images
from hififace.errors import DataError
from hififace.faces.masks import region_mask
from hififace.processes import usable_cores
from hififace.training.device_config import DeviceConfig, PhotosConfig
from hififace.training.device_settings import REDUCED_PX
from hififace.types import FloatArray

SHARPEST = np.inf


@dataclass(frozen=True)
class ResidentPhotos:
    """The photos on the device, and the slots that batches draw them from."""

    data: ResidentSet
    card: SetCard
    sampler: SlotSampler


@dataclass(frozen=True)
class ReadPhotos:
    """A set on a device, with metadata of its photos."""

    data: ResidentSet
    card: SetCard
    codes: NDArray[np.int32]
    """(N,) number of each photo's person, -1 where it is not known."""
    native_px: FloatArray
    """(N,) real resolution; NaN in sets of older versions."""
    inputs: NDArray[Any]
    """(N,) name of the input that each photo came from."""


def read_photos(paths: Sequence[Path], device: torch.device) -> ReadPhotos:
    """Reads parts of a packed set, folders of parts, or one folder of a prepared set.

    Raises:
        DataError: nothing there, damaged, or parts that do not belong together.
    """
    if len(paths) == 1 and (paths[0] / CARD_NAME).is_file():
        prepared = PreparedSet.open(paths[0])
        data = ResidentSet.from_prepared(prepared, device)
        return ReadPhotos(
            data, prepared.card, prepared.identity_codes, prepared.native_px, prepared.columns["source"]
        )
    packed = PackedSet.open(list(paths) if len(paths) > 1 else paths[0])
    data = _resident(paths, packed, device)
    return ReadPhotos(data, packed.card, packed.identity_codes, packed.native_px, packed.labels["source"])


def load_photos(paths: Sequence[Path], config: DeviceConfig, device: torch.device) -> ResidentPhotos:
    """Reads a set and puts it on the device.

    Args:
        paths: parts of a packed set (`hififace pack`), folders of parts, or one folder of a prepared set.
        config: which photos are sharp and clear, and the seed of the draws.
        device: where to put the photos.

    Raises:
        DataError: nothing there, damaged, parts that do not belong together, or no photos for a role that a batch
            needs.
    """
    photos = read_photos(paths, device)
    data, card, native, inputs = photos.data, photos.card, photos.native_px, photos.inputs
    if not np.isfinite(native).all():
        raise DataError(
            "The set does not say how many pixels its photos really have (native_px): it was prepared by an older "
            "version. Prepare it again."
        )
    sampler = SlotSampler(
        photos.codes,
        real_resolution(native, inputs, config.photos),
        sharp_px=config.photos.sharp_px,
        clear_px=config.photos.clear_px,
        seed=config.seed,
        favoured=_favoured(inputs, config.photos),
        favoured_share=config.photos.favoured_share,
    )
    return ResidentPhotos(data, card, sampler)


def _favoured(inputs: NDArray[Any], photos: PhotosConfig) -> NDArray[np.int64]:
    """Rows of the favoured inputs.

    Raises:
        DataError: an input that is named is not in the set.
    """
    names = np.array([str(name) for name in inputs])
    chosen = np.zeros(len(names), np.bool_)
    for beginning in photos.favoured_inputs:
        found = np.char.startswith(names, beginning)
        if not found.any():
            known = sorted({name.split("/")[0] for name in names})[:8]
            raise DataError(
                f"No photo of the set comes from an input whose name begins with '{beginning}' "
                f"(photos.favoured_inputs). The inputs begin with: {', '.join(known)}."
            )
        chosen |= found
    return np.flatnonzero(chosen)


def real_resolution(native_px: FloatArray, inputs: NDArray[Any], photos: PhotosConfig) -> FloatArray:
    """(N,) real resolution of each photo, corrected for the inputs that the configuration declares sharp or blurred."""
    found = np.asarray(native_px, np.float32).copy()
    names = np.array([str(name) for name in inputs])
    for beginnings, value in ((photos.sharp_inputs, SHARPEST), (photos.blurred_inputs, 0.0)):
        for beginning in beginnings:
            found[np.char.startswith(names, beginning)] = value
    return found


def _resident(paths: Sequence[Path], packed: PackedSet, device: torch.device) -> ResidentSet:
    workers = usable_cores()
    landmarks, side = packed.landmarks(), packed.card.resolution
    small = (landmarks[..., :2] + 0.5) * (REDUCED_PX / side) - 0.5

    def mask_of(points: FloatArray) -> NDArray[np.uint8]:
        mask = region_mask(points, (REDUCED_PX, REDUCED_PX), dilate_px=0, feather_px=0)
        return (mask * 255).astype(np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        masks = np.stack(list(pool.map(mask_of, small, chunksize=64)))
    return ResidentSet.from_arrays(
        images=unpack_images(paths, packed, workers),
        masks=masks,
        identity=packed.identity,
        coefficients=packed.coefficients,
        coefficients_mirrored=packed.coefficients_mirrored,
        landmarks=landmarks,
        matrix=packed.matrix,
        photo_size=packed.photo_size,
        mirror=np.asarray(packed.card.landmark_mirror),
        device=device,
    )
