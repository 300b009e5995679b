"""Networks, frozen and trained, of a run on one device."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.data.index import SetCard
from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots
from hififace.faces.alignment import estimate_similarity
from hififace.faces.templates import TEMPLATES
from hififace.media.atomic import atomic_write
from hififace.models.create import create_discriminator, create_generator
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape
from hififace.models.pretrained.mobilefacenet import load_mobilefacenet
from hififace.models.pretrained.resampling import resample_affine
from hififace.models.pretrained.sface import load_sface
from hififace.training.allocator import keep_memory
from hififace.training.compact_checkpoint import newest_compact, restore_discriminators
from hififace.training.device_batch import Networks
from hififace.training.device_config import DeviceConfig
from hififace.training.device_photos import ResidentPhotos
from hififace.training.device_settings import EMBEDDER_SIZE_PX, REDUCED_PX
from hififace.training.device_step import DeviceStep
from hififace.training.half_precision import uses_bfloat16
from hififace.training.mesh_loss_networks import MeshLossNetworks, load_features
from hififace.training.run_options import RunOptions
from hififace.training.split_files import has_tensors
from hififace.training.starting_weights import start_generator
from hififace.weights.registry import find_card
from hififace.weights.store import locate_in


def make_step(
    config: DeviceConfig,
    photos: ResidentPhotos,
    device: torch.device,
    options: RunOptions,
    remember: Path | None = None,
) -> DeviceStep:
    """Loads the frozen networks, makes the trained ones, and starts them from `options.init_from`.

    Args:
        config: what to train and how.
        photos: the set on the device.
        device: where to train.
        options: where to start from, and where the user's files lie.
        remember: folder for what a recogniser says of the set: minutes of work on a CPU, done once for a run.

    Raises:
        TrainingError: the weights to start from do not fit.
        WeightsError: a frozen network is missing or altered.
    """
    if device.type == "cpu":
        keep_memory()
    if device.type == "cuda":
        # Landmarks want full float32 (the networks run in bfloat16 anyway); shapes never change.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    loss_networks = options.device_loss_networks or load_device_loss_networks(
        config, photos.card, device, options
    )
    to_arcface = arcface_map(photos.card, device)
    second, known = None, [photos.data.identity]
    if config.second_recogniser == "mobilefacenet":
        path = locate_in(options.loss_network_files, find_card("mobilefacenet"))
        second = load_mobilefacenet(path).to(device)
        second.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        known.append(_remembered(remember, path, second, photos.data, to_arcface))
    generator = create_generator(config.generator)
    if options.init_from is not None:
        start_generator(generator, options.init_from)
    networks = Networks(generator, create_discriminator(config.fine), create_discriminator(config.coarse))
    for network in networks:
        network.to(device).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = DeviceStep(
        photos.data,
        known,
        networks,
        loss_networks,
        second,
        to_arcface,
        Slots(config.batch_size),
        config.step,
        device,
        uses_bfloat16(config.precision, device),
    )
    start = discriminators_to_start_from(options)
    if start is not None:
        restore_discriminators(start, step)
    return step


def discriminators_to_start_from(options: RunOptions) -> Path | None:
    """Where the discriminators of a new run come from: a file that is named, or the checkpoint that it starts from.

    None where they are made anew, and need to be warmed up.
    """
    if options.discriminators is not None or options.init_from is None:
        return options.discriminators
    folders = [options.init_from, newest_compact(options.init_from)]
    return next((f for f in folders if f is not None and has_tensors(f, "discriminators")), None)


def load_device_loss_networks(
    config: DeviceConfig, card: SetCard, device: torch.device, options: RunOptions
) -> MeshLossNetworks:
    """The embedded networks and EfficientNet's first stages, frozen, on the device."""
    loss_networks = MeshLossNetworks(
        card,
        config.generator.vector,
        load_sface(),
        load_mesh_shape(),
        load_face_mesh(),
        load_iris(),
        load_features(options.loss_network_files) if config.step.perceptual > 0 else None,
    )
    for network in (
        loss_networks.sface,
        loss_networks.shape,
        loss_networks.face_mesh,
        loss_networks.iris,
        loss_networks.features,
    ):
        if network is not None:
            network.to(device).eval().requires_grad_(False)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_networks.region_weights = loss_networks.region_weights.to(device)
    loss_networks.crop_to_arcface = loss_networks.crop_to_arcface.to(device)
    return loss_networks


def arcface_map(card: SetCard, device: torch.device) -> Tensor:
    """(2, 3) from pixels of a crop reduced to 128 px by the mean of blocks to ArcFace's 112 px."""
    side = card.resolution
    points = (TEMPLATES[card.template].scaled(side).points + 0.5) * (REDUCED_PX / side) - 0.5
    matrix = estimate_similarity(points, TEMPLATES["arcface_112"].points)
    return torch.from_numpy(matrix.astype(np.float32)).to(device)


def reduced_faces(images: Tensor, to_arcface: Tensor) -> Tensor:
    """(n, 3, 112, 112) faces as recognisers know them, of (n, 3, S, S) crops reduced to 128 px first."""
    small = F.avg_pool2d(images, images.shape[-1] // REDUCED_PX)
    return resample_affine(small - 0.5, to_arcface, EMBEDDER_SIZE_PX) + 0.5


def _remembered(
    folder: Path | None, file: Path, network: nn.Module, data: ResidentSet, to_arcface: Tensor
) -> Tensor:
    """`embed_all`, read from the folder where the same network was asked about the same set before."""
    if folder is None:
        return embed_all(network, data, to_arcface)
    asked = hashlib.sha256(file.read_bytes())
    for part in (data.identity, data.landmarks, to_arcface):
        asked.update(part.cpu().numpy().tobytes())
    kept = folder / f"embeddings-{asked.hexdigest()[:16]}.npy"
    if kept.is_file():
        return torch.from_numpy(np.load(kept)).to(data.images.device)
    found = embed_all(network, data, to_arcface)
    buffer = io.BytesIO()
    np.save(buffer, found.cpu().numpy())
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(kept, buffer.getvalue())
    return found


@torch.no_grad()
def embed_all(network: nn.Module, data: ResidentSet, to_arcface: Tensor, batch: int = 256) -> Tensor:
    """(N, D) unit length: mean embedding of every crop and its mirror image."""
    found = []
    for start in range(0, len(data), batch):
        images = data.images[start : start + batch].permute(0, 3, 1, 2).float() / 255.0
        faces = reduced_faces(images, to_arcface)
        sides = [F.normalize(network(seen), dim=1) for seen in (faces, faces.flip(3))]
        found.append(F.normalize(sides[0] + sides[1], dim=1))
    return torch.cat(found)
