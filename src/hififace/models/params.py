"""The networks' numbers: dataclasses from which they are built, and the presets that ship.

A network is a function of its params alone: nothing here or in the networks reads a file. Params travel
through JSON (`to_json`, `generator_params`), so a checkpoint or a run's
configuration holds all that is needed to build the same network again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from hififace.models.earlier_names import current_param_names

Resample = Literal["none", "down", "up"]
Owner = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class VectorPart:
    """One named stretch of the identity vector (`models/identity.py` puts them together)."""

    name: str  # what people call it, as in model.json
    size: int  # how many numbers
    gain: float  # the network multiplies them by this on entry, so that all parts arrive at a like scale
    owner: Owner  # whose photo it is measured on


@dataclass(frozen=True, slots=True)
class BlockParams:
    """One residual block of the encoder or the decoder."""

    channels: int  # width it leaves with
    resample: Resample = "none"  # halve, double or keep the resolution inside the block


@dataclass(frozen=True, slots=True)
class GeneratorParams:
    """Everything that `models.generator.Generator` is built from.

    Raises:
        ValueError: the numbers do not describe one network, e.g. the decoder ends at a resolution at
            which the encoder has nothing to fuse with.
    """

    name: str  # for people: logs, checkpoints
    resolution: int  # side of the target crop that comes in, px
    vector: tuple[VectorPart, ...]  # the parts of the identity vector, in order
    stem_channels: int  # width of the first convolution
    encoder: tuple[BlockParams, ...]  # target -> z_enc (on the way) -> latent
    decoder: tuple[BlockParams, ...]  # latent -> z_dec, under AdaIN
    upsampler: tuple[int, ...]  # widths of the blocks of F_up, each doubling the resolution
    num_fusion_blocks: int = 2  # AdaIN blocks on the fused features
    pixel_unshuffle: int = 1  # pixel-unshuffle on entry: the stem works at resolution / pixel_unshuffle
    pixel_shuffle: int = 1  # pixel-shuffle after F_up, by this factor
    shuffle_channels: int = 0  # width of the convolution after it; 0 where pixel_shuffle is 1
    detail_channels: int = (
        0  # width of one more pixel shuffle by 2, whose heads add to the enlarged ones; 0: none
    )
    skip_gates: bool = False  # gated skips of the target's features at every resolution from z_enc up
    scale_offset: float = 0.0  # AdaIN is (offset + scale) * IN(x) + shift; 0 as in the reference
    late_widening: bool = False  # down blocks widen after pooling (StarGAN v2), not before (the reference)
    plain_skip: bool = False  # side paths without a convolution where the width stays
    low_target: Literal["nearest", "bilinear"] = "nearest"  # how I_t is reduced to blend with I_low
    init: Literal["reference", "he"] = "reference"  # N(0, 0.02) everywhere, or He with small heads

    def __post_init__(self) -> None:
        if not self.vector or min(part.size for part in self.vector) < 1:
            raise ValueError(
                f"The identity vector of '{self.name}' needs at least one part of at least one number."
            )
        if len({part.name for part in self.vector}) != len(self.vector):
            raise ValueError(f"The identity vector of '{self.name}' names a part twice.")
        if (self.pixel_shuffle > 1) != (self.shuffle_channels > 0):
            raise ValueError(
                f"pixel_shuffle is {self.pixel_shuffle} and shuffle_channels {self.shuffle_channels} in '{self.name}': "
                "give a width exactly where pixels are shuffled."
            )
        if self.detail_channels and self.pixel_shuffle == 1:
            raise ValueError(
                f"'{self.name}' has detail_channels but pixel_shuffle is 1: the detail stage follows a pixel shuffle."
            )
        if self.resolution % (self.pixel_unshuffle * 2 ** _count(self.encoder, "down")):
            raise ValueError(
                f"A target of {self.resolution} px cannot be halved as often as the encoder of "
                f"'{self.name}' asks: make it a multiple of {self.pixel_unshuffle * 2 ** _count(self.encoder, 'down')}."
            )
        if self.low_resolution not in self.encoder_resolutions:
            raise ValueError(
                f"The decoder of '{self.name}' ends at {self.low_resolution} px but the encoder's blocks "
                f"end at {self.encoder_resolutions} px: let one of them meet it, the fusion needs both."
            )

    @property
    def vector_size(self) -> int:
        """Length D of the identity vector."""
        return sum(part.size for part in self.vector)

    @property
    def encoder_resolutions(self) -> tuple[int, ...]:
        """Side in px after each block of the encoder."""
        side, sides = self.resolution // self.pixel_unshuffle, []
        for block in self.encoder:
            side = _resampled(side, block.resample)
            sides.append(side)
        return tuple(sides)

    @property
    def low_resolution(self) -> int:
        """Side in px of z_dec, the low result and the low mask."""
        side = self.encoder_resolutions[-1]
        for block in self.decoder:
            side = _resampled(side, block.resample)
        return side

    @property
    def output_resolution(self) -> int:
        """Side in px of the result and the mask."""
        return (
            (self.low_resolution << len(self.upsampler))
            * self.pixel_shuffle
            * (2 if self.detail_channels else 1)
        )

    @property
    def fusion_index(self) -> int:
        """The encoder block whose output is z_enc: the last one at the decoder's final resolution."""
        sides = self.encoder_resolutions
        return len(sides) - 1 - sides[::-1].index(self.low_resolution)


@dataclass(frozen=True, slots=True)
class DiscriminatorParams:
    """Everything that a discriminator is built from (`models.create.create_discriminator`)."""

    name: str  # for people: logs, checkpoints
    # The reference's (StarGAN v2), a PatchGAN, or heads on a frozen network (models/projected.py).
    kind: Literal["residual", "patch", "projected"]
    resolution: int  # side of the images it sees, px
    stem_channels: int  # width of the first convolution
    channels: tuple[int, ...]  # width after each halving (projected: of each frozen map)
    num_logits: int = 1  # verdicts: in all (residual), or per patch (patch, projected)

    def __post_init__(self) -> None:
        if self.kind == "projected":
            return
        side = self.resolution >> (len(self.channels) + (self.kind == "patch"))
        if self.kind == "residual" and side != 4:
            raise ValueError(
                f"'{self.name}' halves {self.resolution} px {len(self.channels)} times to {side} px; it must "
                "end at 4 px: change the number of channels."
            )
        if side < 2:
            raise ValueError(f"'{self.name}' halves {self.resolution} px too often: take channels away.")


# ---------------------------------------------------------------------------------------------------------
# The identity vector's layouts


# Order and sizes of the 257 coefficients: Deep3DFaceRecon. Those of the source come first because the
# reference takes [0:80] from the source and [80:257] from the target.
BASEL_VECTOR: tuple[VectorPart, ...] = (
    VectorPart("source_shape", 80, 1.0, "source"),
    VectorPart("target_expression", 64, 1.0, "target"),
    VectorPart("target_texture", 80, 1.0, "target"),
    VectorPart("target_pose", 3, 1.0, "target"),
    VectorPart("target_light", 27, 1.0, "target"),
    VectorPart("target_translation", 3, 1.0, "target"),
    VectorPart("source_identity", 512, 1.0, "source"),
)


def mesh_vector(
    identity_size: int,
    expression_size: int,
    embedding_size: int = 128,
    *,
    loudness: float = 1.0,
    sees_target: bool = False,
) -> tuple[VectorPart, ...]:
    """Layout of the mesh family: D = identity_size + expression_size + 3 + embedding_size (twice with `sees_target`).

    Shape coefficients are in standard deviations already. A pose of 15 degrees (0.26 rad) times 4 and a unit
    vector times the root of its length have the same scale, so no part drowns another at the start.

    Args:
        identity_size: shape coefficients of a face.
        expression_size: expression coefficients.
        embedding_size: numbers of the recogniser.
        loudness: factor on the source's identity.
        sees_target: hand in the target's identity as well: whom to remove.
    """
    scale = float(embedding_size) ** 0.5
    layout = (
        VectorPart("source_shape", identity_size, 1.0, "source"),
        VectorPart("target_expression", expression_size, 1.0, "target"),
        VectorPart("target_pose", 3, 4.0, "target"),
        VectorPart("source_identity", embedding_size, loudness * scale, "source"),
    )
    return (
        (*layout, VectorPart("target_identity", embedding_size, scale, "target")) if sees_target else layout
    )


# ---------------------------------------------------------------------------------------------------------
# Generators


def paper_256() -> GeneratorParams:
    """The reference's network, bit for bit: 61,896,584 parameters, 114.2 GMAC."""
    return GeneratorParams(
        name="paper_256",
        resolution=256,
        vector=BASEL_VECTOR,
        stem_channels=64,
        encoder=(
            BlockParams(128, "down"),  # 128 px
            BlockParams(256, "down"),  # 64 px: z_enc
            BlockParams(512, "down"),
            BlockParams(512, "down"),
            BlockParams(512, "down"),  # 8 px
            BlockParams(512),
            BlockParams(512),
        ),
        decoder=(
            BlockParams(512),
            BlockParams(512),
            BlockParams(512, "up"),
            BlockParams(512, "up"),
            BlockParams(256, "up"),  # 64 px: z_dec
        ),
        upsampler=(256, 256),
    )


def paper_512() -> GeneratorParams:
    """The paper's 512 model: input stays 256, one more block in F_up.

    That block's width is ours (the paper's is only in a drawing): 64, because 256 at 512 px would cost as
    much as three of the whole 256 network. The first two blocks can start from a 256 checkpoint.
    """
    params = asdict_shallow(paper_256())
    return GeneratorParams(**{**params, "name": "paper_512", "upsampler": (256, 256, 64)})


def mini_128(identity_size: int = 24, expression_size: int = 24) -> GeneratorParams:
    """The embedded 128 px network: every idea of the paper under 1.2 GMAC and 6 M parameters."""
    return GeneratorParams(
        name="mini_128",
        resolution=128,
        vector=mesh_vector(identity_size, expression_size),
        stem_channels=40,  # 64 px, after the pixel unshuffle
        encoder=(
            BlockParams(72, "down"),  # 32 px: z_enc
            # 16 px, not the paper's 8: under a mask that is 1 on the whole face every detail passes the latent, and
            # 144 numbers for each 8 x 8 px keep what 224 for each 16 x 16 px blur (docs/lab-book.md).
            BlockParams(144, "down"),
            BlockParams(144),
        ),
        decoder=(
            BlockParams(144),
            BlockParams(144),
            BlockParams(144),
            BlockParams(144),
            BlockParams(72, "up"),  # 32 px: z_dec
        ),
        upsampler=(40,),  # 64 px
        pixel_unshuffle=2,
        pixel_shuffle=2,  # 128 px
        shuffle_channels=8,
        scale_offset=1.0,
        late_widening=True,
        plain_skip=True,
        low_target="bilinear",
        init="he",
    )


def mini_256(
    identity_size: int = 24, expression_size: int = 24, *, loudness: float = 1.4, sees_target: bool = True
) -> GeneratorParams:
    """The embedded 256 px network: `mini_128`, wider, with gated skips and one more pixel shuffle; 3.9 GMAC.

    Args:
        identity_size: shape coefficients of a face.
        expression_size: expression coefficients.
        loudness: as in `mesh_vector`; 1 up to version 769280.
        sees_target: as in `mesh_vector`; False up to version 769280.
    """
    return GeneratorParams(
        name="mini_256",
        resolution=256,
        vector=mesh_vector(identity_size, expression_size, loudness=loudness, sees_target=sees_target),
        stem_channels=64,  # 64 px, after the pixel unshuffle
        encoder=(
            BlockParams(112, "down"),  # 32 px: z_enc
            BlockParams(192, "down"),
            BlockParams(192),
        ),
        decoder=(
            BlockParams(192),
            BlockParams(192),
            BlockParams(192),
            BlockParams(192),
            BlockParams(112, "up"),  # 32 px: z_dec
        ),
        upsampler=(64,),  # 64 px
        pixel_unshuffle=4,
        pixel_shuffle=2,  # 128 px
        shuffle_channels=24,
        detail_channels=16,  # 256 px
        skip_gates=True,
        scale_offset=1.0,
        late_widening=True,
        plain_skip=True,
        low_target="bilinear",
        init="he",
    )


def mini_512(identity_size: int = 24, expression_size: int = 24) -> GeneratorParams:
    """The embedded family's 512 px network: `mini_256` on a crop of twice the side, its two shuffles by 4 and 2.

    Trunk and vector are `mini_256`'s, at the same 64 px; only the shuffles around it and the last stages are larger.
    """
    params = asdict_shallow(mini_256(identity_size, expression_size))
    changes = {
        "name": "mini_512",
        "resolution": 512,
        "pixel_unshuffle": 8,
        "pixel_shuffle": 4,
        "shuffle_channels": 16,
    }
    return GeneratorParams(**{**params, **changes})


def tiny(
    resolution: int = 32, identity_size: int = 4, expression_size: int = 3, embedding_size: int = 8
) -> GeneratorParams:
    """The shape of `mini_128` with next to no channels: trains a step in a test in a fraction of a second."""
    return GeneratorParams(
        name="tiny",
        resolution=resolution,
        vector=mesh_vector(identity_size, expression_size, embedding_size),
        stem_channels=8,
        encoder=(BlockParams(12, "down"), BlockParams(16, "down")),
        decoder=(BlockParams(16), BlockParams(12, "up")),
        upsampler=(8,),
        pixel_unshuffle=2,
        pixel_shuffle=2,
        shuffle_channels=8,
        num_fusion_blocks=1,
        scale_offset=1.0,
        late_widening=True,
        plain_skip=True,
        low_target="bilinear",
        init="he",
    )


GENERATORS = {
    "paper_256": paper_256,
    "paper_512": paper_512,
    "mini_128": mini_128,
    "mini_256": mini_256,
    "mini_512": mini_512,
    "tiny": tiny,
}


# ---------------------------------------------------------------------------------------------------------
# Discriminators


def reference_discriminator() -> DiscriminatorParams:
    """The reference's: 256 px, 23,964,034 parameters, two verdicts that answer the same question."""
    return DiscriminatorParams(
        name="reference_256",
        kind="residual",
        resolution=256,
        stem_channels=64,
        channels=(128, 256, 512, 512, 512, 512),
        num_logits=2,
    )


def patch_discriminator(
    resolution: int = 128, stem_channels: int = 40, channels: tuple[int, ...] = (80, 160, 256)
) -> DiscriminatorParams:
    """The PatchGAN that trains `mini_128`: each verdict sees 110 px of the 128, so the face as a whole."""
    return DiscriminatorParams(
        name=f"patch_{resolution}",
        kind="patch",
        resolution=resolution,
        stem_channels=stem_channels,
        channels=channels,
    )


def projected_discriminator(resolution: int, width: int = 64) -> DiscriminatorParams:
    """Heads on four maps of EfficientNet-lite1, at a 4th to a 32nd of the side."""
    return DiscriminatorParams(
        name=f"projected_{resolution}",
        kind="projected",
        resolution=resolution,
        stem_channels=width,
        channels=(24, 40, 112, 320),
    )


# ---------------------------------------------------------------------------------------------------------
# Through JSON and back

Params = TypeVar("Params", GeneratorParams, DiscriminatorParams)


def to_json(params: GeneratorParams | DiscriminatorParams) -> dict[str, Any]:
    """Params as plain dicts, lists, strings and numbers."""
    return asdict(params)


def generator_params(mapping: Mapping[str, Any]) -> GeneratorParams:
    """What `to_json` wrote. Raises ValueError naming the keys that are unknown."""
    mapping = current_param_names(mapping)
    for key, kind in (("vector", VectorPart), ("encoder", BlockParams), ("decoder", BlockParams)):
        if key in mapping:
            mapping[key] = tuple(kind(**entry) for entry in mapping[key])
    return _build(GeneratorParams, mapping, tuples=("upsampler",))


def asdict_shallow(params: GeneratorParams) -> dict[str, Any]:
    """The fields as they are, nested dataclasses kept: for presets that vary another one."""
    return {field.name: getattr(params, field.name) for field in fields(params)}


def _build(kind: type[Params], mapping: dict[str, Any], tuples: Sequence[str]) -> Params:
    unknown = sorted(set(mapping) - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(
            f"{kind.__name__} knows no {', '.join(unknown)}: this was written by another version; "
            f"known are {', '.join(field.name for field in fields(kind))}."
        )
    values: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in mapping.items()}
    return kind(**values)


def _count(blocks: Sequence[BlockParams], resample: Resample) -> int:
    return sum(block.resample == resample for block in blocks)


def _resampled(side: int, resample: Resample) -> int:
    return side // 2 if resample == "down" else side * 2 if resample == "up" else side
