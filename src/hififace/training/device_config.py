"""The typed configuration of a run on one device whose whole set is resident (`training/device_loop.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import Field

from hififace.models import params
from hififace.models.params import DiscriminatorParams, GeneratorParams
from hififace.training.config import HeldOutConfig, Section
from hififace.training.device_settings import REDUCED_PX, RecogniserName, StepSettings


class PhotosConfig(Section):
    """The roles that photos may have, by their resolution and input."""

    sharp_px: float = Field(190.0, gt=0)
    """Minimum real resolution of a sharp photo: a real image of the fine discriminator and a target in every pair."""
    clear_px: float = Field(45.0, ge=0)
    """Minimum real resolution of a target in pairs of two people; photos below it are sources, and second photos of the
    same person."""
    sharp_inputs: tuple[str, ...] = ()
    """Name prefixes of inputs whose photos always count as sharp: `native_px` measures texture, of which a smooth face
    in a sharp photo has little."""
    blurred_inputs: tuple[str, ...] = ()
    """Name prefixes of inputs with enlarged photos, which are never targets in pairs of two people."""
    favoured_inputs: tuple[str, ...] = ()
    """Name prefixes of inputs whose photos are drawn as sources more often, for fine-tuning on one person."""
    favoured_share: float = Field(0.5, ge=0, le=1)
    """Share of the pairs of two people whose source is a favoured photo, where there are any."""


class BandConfig(Section):
    """Ranges of a healthy run; a run that leaves them is rolled back to its last good state, with lower rates."""

    identity: tuple[float, float] = (0.35, 0.85)
    """Mean cosine between sources and results."""
    accuracy: tuple[float, float] = (0.45, 0.97)
    """Accuracy of the whole-face discriminator on real photos and results."""
    patience: int = Field(3, ge=1)
    """Consecutive reports outside the band before a rollback."""
    slow_down: float = Field(0.5, gt=0, le=1)
    """Factor on both learning rates at every rollback."""
    times: int = Field(4, ge=0)
    """Maximum number of rollbacks before the run stops with an error."""


class DeviceConfig(Section):
    """The whole configuration of such a run. Image counts are pairs."""

    preset: str
    family: Literal["mesh"] = "mesh"
    generator: GeneratorParams
    fine: DiscriminatorParams
    """Discriminator of random windows of sharp targets and their results."""
    coarse: DiscriminatorParams
    """Discriminator of whole faces at 128 px."""
    seed: int = 0
    total_images: int = Field(gt=0)
    batch_size: int = Field(64, ge=8, multiple_of=8)
    step: StepSettings = StepSettings()
    recognisers: tuple[RecogniserName, ...] = ("mobilefacenet",)
    """Recognisers of the identity term beside SFace, each with errors of its own (`hififace weights list`)."""
    photos: PhotosConfig = PhotosConfig()
    held_out: HeldOutConfig = HeldOutConfig()
    band: BandConfig = BandConfig()
    warm_up_steps: int = Field(600, ge=0)
    """Steps in which new discriminators are trained alone, against a fixed generator."""
    rise: float = Field(0.02, ge=0, lt=1)
    """Share of the run in which the learning rate increases linearly."""
    flat_until: float = Field(0.6, ge=0, lt=1)
    """Share of the run up to which the learning rate is constant; then it decays along a cosine."""
    adversarial_full_at: float = Field(0.1, ge=0, lt=1)
    """Share of the run after which the adversarial terms have their full weight."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where it is faster on this machine."""
    graphs: bool = True
    """Use CUDA graphs on a GPU."""
    log_every_s: float = Field(10.0, ge=0)
    preview_every_s: float = Field(90.0, ge=0)
    checkpoint_every_s: float = Field(60.0, ge=0)
    preview_pairs: int = Field(10, ge=1, le=64)
    keep_last_checkpoints: int = Field(2, ge=1)
    checkpoint_part_mb: float | None = Field(None, gt=0)
    """Maximum size of a checkpoint's files, in 10^6 bytes; None writes one of each kind (mini_256: up to 14 MB)."""


def mini_256() -> DeviceConfig:
    """The embedded 256 px model; its numbers are those of the run on one H200 (docs/lab-book.md)."""
    return DeviceConfig(
        preset="mini_256",
        generator=params.mini_256(),
        fine=params.patch_discriminator(StepSettings().window_px, 48, (96, 192, 256)),
        coarse=params.patch_discriminator(REDUCED_PX),
        total_images=520_000,
    )


def mini_256_finetune() -> DeviceConfig:
    """A short fine-tuning run from a trained generator without its discriminators.

    Projected discriminators reach 77 % accuracy after 80 warm-up steps of 16 pairs; those of `mini_256` were at 50 %
    after 4,700 pairs (docs/lab-book.md).
    """
    long = mini_256()
    changes = {
        "preset": "mini_256_finetune",
        "fine": params.projected_discriminator(long.step.window_px),
        "coarse": params.projected_discriminator(REDUCED_PX),
        "total_images": 20_000,
        "batch_size": 16,
        "warm_up_steps": 80,
        "step": replace(long.step, r1_gamma=(0.0, 0.0), learning_rate=1.5e-4, average_half_life=100.0),
    }
    return long.model_copy(update=changes)


DEVICE_PRESETS: dict[str, Callable[[], DeviceConfig]] = {
    "mini_256": mini_256,
    "mini_256_finetune": mini_256_finetune,
}
