"""Loads and creates the frozen and the trained networks of a run on one device."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hififace.data.index import SetCard
from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots
from hififace.media.atomic import atomic_write
from hififace.models.create import create_discriminator, create_generator
from hififace.models.pretrained.efficientnet_lite import fold_normalisations, load_efficientnet_lite
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape
from hififace.models.pretrained.sface import load_sface
from hififace.models.projected import FeatureMaps
from hififace.training.allocator import keep_memory
from hififace.training.compact_checkpoint import newest_compact, restore_discriminators
from hififace.training.device_batch import Networks
from hififace.training.device_config import DeviceConfig
from hififace.training.device_photos import ResidentPhotos
from hififace.training.device_step import DeviceStep
from hififace.training.half_precision import uses_bfloat16
from hififace.training.mesh_loss_networks import MeshLossNetworks, load_features
from hififace.training.recognisers import Recogniser, make_recognisers
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
        options: starting weights, and the folder of user-supplied files.
        remember: folder that caches the embeddings of the set, which take minutes on a CPU.

    Raises:
        TrainingError: the weights to start from do not fit.
        WeightsError: a frozen network is missing or changed.
    """
    if device.type == "cpu":
        keep_memory()
    if device.type == "cuda":
        # Landmarks need full float32 products, not TF32; the other networks run in bfloat16. Shapes never change.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    loss_networks = options.device_loss_networks or load_device_loss_networks(
        config, photos.card, device, options
    )
    recognisers = make_recognisers(
        loss_networks.sface, config.recognisers, photos.card, device, options.loss_network_files
    )
    half_precision = uses_bfloat16(config.precision, device)
    known = [
        photos.data.identity,
        *(_remembered(remember, one, photos.data, half_precision=half_precision) for one in recognisers[1:]),
    ]
    generator = create_generator(config.generator)
    if options.init_from is not None:
        start_generator(generator, options.init_from)
    sees = _discriminator_features(config, device, options)
    networks = Networks(
        generator, create_discriminator(config.fine, sees), create_discriminator(config.coarse, sees)
    )
    for network in networks:
        network.to(device).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = DeviceStep(
        photos.data,
        known,
        networks,
        loss_networks,
        recognisers,
        Slots(config.batch_size),
        config.step,
        device,
        half_precision,
    )
    start = discriminators_to_start_from(options)
    if start is not None:
        restore_discriminators(start, step)
    return step


def _discriminator_features(
    config: DeviceConfig, device: torch.device, options: RunOptions
) -> FeatureMaps | None:
    """The feature network of projected discriminators; `evaluation` computes Frechet distances with another one."""
    if "projected" not in (config.fine.kind, config.coarse.kind):
        return None
    path = locate_in(options.loss_network_files, find_card("efficientnet_lite1"))
    network = fold_normalisations(load_efficientnet_lite(path, variant="lite1", stages=(2, 3, 4, 5)))
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def discriminators_to_start_from(options: RunOptions) -> Path | None:
    """The file of a new run's initial discriminators: the one named, or that of the checkpoint that the run starts
    from.

    None where they are initialised at random and need a warm-up.
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
    loss_networks.freeze_on(device, channels_last=True)
    return loss_networks


def _remembered(
    folder: Path | None, recogniser: Recogniser, data: ResidentSet, *, half_precision: bool
) -> Tensor:
    """`embed_all`, cached in the folder by network and set."""
    if folder is None:
        return recogniser.embed_all(data, half_precision=half_precision)
    asked = hashlib.sha256()
    for part in (*recogniser.network.parameters(), data.identity, data.landmarks, recogniser.to_arcface):
        asked.update(part.detach().cpu().numpy().tobytes())
    kept = folder / f"embeddings-{asked.hexdigest()[:16]}.npy"
    if kept.is_file():
        return torch.from_numpy(np.load(kept)).to(data.images.device)
    found = recogniser.embed_all(data, half_precision=half_precision)
    buffer = io.BytesIO()
    np.save(buffer, found.cpu().numpy())
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(kept, buffer.getvalue())
    return found
