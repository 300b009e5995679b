"""Presets of training runs: each function returns a complete configuration and names the source of its numbers."""

from __future__ import annotations

from collections.abc import Callable

from hififace.errors import OptionError
from hififace.losses.total import LossWeights, paper_weights, reference_weights
from hififace.models import params
from hififace.training.config import (
    AdversarialConfig,
    DataConfig,
    LossConfig,
    OptimiserConfig,
    TrainingConfig,
    unknown_name,
)
from hififace.training.schedule import Schedule


def paper_256() -> TrainingConfig:
    """The paper: Adam 1e-4 (0, 0.99), batch 32, 200,000 steps, half of the pairs of one person, R1.

    Sources: the paper's method, sections 1.2 and 1.3. The strength of R1 and the moving average are not in the paper:
    gamma 1 is StarGAN-v2's, whose discriminator this is; the moving average is our addition.
    """
    adam = OptimiserConfig(kind="adam", learning_rate=1e-4, beta1=0.0, beta2=0.99)
    return TrainingConfig(
        preset="paper_256",
        family="basel",
        generator=params.paper_256(),
        discriminator=params.reference_discriminator(),
        total_images=200_000 * 32,
        batch_size=32,
        generator_optimiser=adam,
        discriminator_optimiser=adam,
        data=DataConfig(same_rate=0.5, workers=4),
        adversarial=AdversarialConfig(form="logistic", r1_gamma=1.0, r1_every=1),
        loss=LossConfig(weights=_schedules(paper_weights()), mask_dilation=5),
        precision="bfloat16",
        checkpoint_every_images=100_000,
        preview_every_images=20_000,
        keep_every_images=1_000_000,
    )


def paper_512() -> TrainingConfig:
    """The paper's 512 px model: 256 px input, one more up-sampling block, a 512 px discriminator."""
    base = paper_256()
    return base.model_copy(
        update={
            "preset": "paper_512",
            "generator": params.paper_512(),
            "discriminator": params.DiscriminatorParams(
                name="residual_512",
                kind="residual",
                resolution=512,
                stem_channels=32,
                channels=(64, 128, 256, 512, 512, 512, 512),
                num_logits=2,
            ),
            "batch_size": 16,
            "accumulation": 2,
        }
    )


def reference_256() -> TrainingConfig:
    """Settings of the reference implementation: AdamW 5e-5 (0, 0.999), decay 0.01, norm 1000, no R1, no mixed
    precision.

    The eye and mouth heat-map terms are on, as in its published `with_gaze_and_mouth`; for its `standard_model` disable
    them with
    `--set loss.weights.eye_heatmap=0 --set loss.weights.mouth_heatmap=0` for `standard_model`.
    """
    adamw = OptimiserConfig(
        kind="adamw", learning_rate=5e-5, beta1=0.0, beta2=0.999, weight_decay=0.01, gradient_clip=1000.0
    )
    return TrainingConfig(
        preset="reference_256",
        family="basel",
        generator=params.paper_256(),
        discriminator=params.reference_discriminator(),
        total_images=320_000 * 16,
        batch_size=16,
        generator_optimiser=adamw,
        discriminator_optimiser=adamw,
        data=DataConfig(same_rate=0.5, mirror=False, workers=4),
        adversarial=AdversarialConfig(form="reference", r1_gamma=0.0),
        loss=LossConfig(
            weights=_schedules(reference_weights()), mask_dilation=5, like_reference=True, shape_clamp=10.0
        ),
        checkpoint_every_images=40_000 * 16,
        preview_every_images=20_000,
    )


def mini_128() -> TrainingConfig:
    """The 128 px model with the open networks, for two CPU cores; the lab book explains departures from the paper.

    Approximates the schedules of the run that made version 220816 with at most four knots each. That run was adjusted
    by hand; its actual history is runs/mini-128-history.json. This preset itself has not been run to its end.
    """
    return TrainingConfig(
        preset="mini_128",
        family="mesh",
        generator=params.mini_128(),
        discriminator=params.patch_discriminator(),
        total_images=220_000,
        batch_size=8,
        generator_optimiser=OptimiserConfig(
            learning_rate=((33_000, 8e-4), (92_000, 1.6e-4), (180_000, 1.6e-4), (220_000, 1e-5)),
            beta1=0.5,
            beta2=0.99,
            gradient_clip=100.0,
        ),
        discriminator_optimiser=OptimiserConfig(
            learning_rate=((58_000, 5e-4), (92_000, 2.5e-4), (220_000, 1.8e-4)),
            beta1=0.0,
            beta2=0.99,
        ),
        data=DataConfig(same_rate=0.5, source_jitter=1.0, workers=1),
        adversarial=AdversarialConfig(
            form="logistic", r1_gamma=0.02, r1_every=16, discriminator_from_images=2_000
        ),
        loss=LossConfig(
            weights={
                "segmentation": 20.0,
                "reconstruction": ((29_000, 15.0), (34_000, 25.0), (80_000, 35.0), (110_000, 60.0)),
                "perceptual": ((29_000, 2.0), (34_000, 4.0)),
                "identity": ((0, 4.0), (16_000, 25.0), (34_000, 15.0), (131_000, 12.0)),
                "identity_leak": ((16_000, 0.0), (40_000, 4.0), (110_000, 4.0), (131_000, 12.0)),
                "shape": 2.0,
                "eyelids": 2.0,
                "lips": 2.0,
                "gaze": 1.0,
                "colour": ((60_000, 4.0), (117_000, 20.0)),
                "adversarial": ((4_000, 0.0), (8_000, 1.0), (38_000, 2.0)),
                "feature_matching": ((4_000, 0.0), (8_000, 4.0)),
            },
            mask_dilation=5,
            segmentation_on_low=False,
            identity_on="different",
            identity_on_low=False,
            identity_jitter=1.0,
            identity_enough=0.7,
            landmark_share=0.25,
            perceptual_share=0.5,
        ),
        ema_half_life_images=5_000,
        precision="auto",
        channels_last=True,
        log_every_images=800,
        preview_every_images=3_000,
        checkpoint_every_images=3_000,
        keep_every_images=50_000,
    )


def smoke() -> TrainingConfig:
    """A small network at 128 px that over-fits two pairs within two minutes on two cores, to prove that training works.

    It needs no downloads, and uses only pairs of the same person, so it exercises reconstruction, masks and the GAN
    loss.
    """
    mini = mini_128()
    falling = ((0, 4e-3), (1_500, 4e-3), (3_000, 4e-4))
    adam = OptimiserConfig(learning_rate=falling, beta1=0.0, beta2=0.99, gradient_clip=100.0)
    return mini.model_copy(
        update={
            "preset": "smoke",
            "generator": params.tiny(
                resolution=128, identity_size=24, expression_size=24, embedding_size=128
            ),
            "discriminator": params.patch_discriminator(stem_channels=8, channels=(16, 24, 32)),
            "total_images": 3_000,
            "batch_size": 4,
            "generator_optimiser": adam,
            "discriminator_optimiser": adam,
            "data": DataConfig(same_rate=1.0, mirror=False, workers=1),
            "loss": LossConfig(
                weights={
                    "segmentation": 10.0,
                    "reconstruction": 20.0,
                    "adversarial": ((1_000, 0.0), (2_000, 0.05)),
                },
                identity_on_low=False,
            ),
            "adversarial": mini.adversarial.model_copy(update={"discriminator_from_images": 400}),
            "ema_half_life_images": 40.0,
            "precision": "float32",
            "channels_last": False,
            "log_every_images": 200,
            "preview_every_images": 1_500,
            "preview_pairs": 4,
            "checkpoint_every_images": 1_500,
            "keep_every_images": None,
        }
    )


PRESETS: dict[str, Callable[[], TrainingConfig]] = {
    "paper_256": paper_256,
    "paper_512": paper_512,
    "reference_256": reference_256,
    "mini_128": mini_128,
    "smoke": smoke,
}


def make_preset(name: str) -> TrainingConfig:
    """The configuration of a preset.

    Raises:
        OptionError: if there is none of that name.
    """
    if name not in PRESETS:
        raise OptionError(unknown_name(f"--preset {name}", name, PRESETS))
    return PRESETS[name]()


def _schedules(weights: LossWeights) -> dict[str, Schedule]:
    return {name: weight for name, weight in weights.as_dict().items() if weight > 0}
