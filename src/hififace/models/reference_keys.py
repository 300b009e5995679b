"""Names: how the weights of the reference implementation are called here.

A published checkpoint (xuehy/HiFiFace-pytorch) holds the 168 trainable tensors of the generator under the
reference's module names; the maps say which of ours each one is. Only names change, never numbers or shapes.
The indices on the reference's side count layers without weights too, which is why they jump.
"""

from __future__ import annotations

from collections.abc import Iterator

from hififace.models.params import DiscriminatorParams, GeneratorParams, paper_256, reference_discriminator


def generator_key_map(params: GeneratorParams | None = None) -> dict[str, str]:
    """Reference name -> our name, for every tensor of `Generator(paper_256())`.

    Args:
        params: another generator of the same make, e.g. `paper_512()`, whose further blocks have names in
            the same pattern; None means `paper_256()`.
    """
    params = params or paper_256()
    modules = {"encoder.conv_first": "encoder.stem"}
    for index, block in enumerate(params.encoder):
        resampled = block.resample != "none"
        modules |= _res_block(f"encoder.block_list.{index}", f"encoder.blocks.{index}", resampled)
    for index in range(len(params.decoder)):
        modules |= _adain_block(f"decoder.block_list.{index}", f"decoder.blocks.{index}")

    modules |= _res_block("sff_module.sigma", "fusion.sigma", resampled=False)
    modules |= {
        "sff_module.low_mask_predict.0": "fusion.mask_head",
        "sff_module.i_low_block.1": "fusion.image_head",
    }
    for index in range(params.num_fusion_blocks):
        modules |= _adain_block(f"sff_module.z_fuse_block_{index + 1}", f"fusion.blocks.{index}")

    for index in range(len(params.upsampler)):
        modules |= _res_block(f"sff_module.f_up.net.{index}", f"upsampler.blocks.{index}", resampled=True)
    modules |= {
        "sff_module.f_up.i_r_net.1": "upsampler.image_head",
        "sff_module.f_up.m_r_net.0": "upsampler.mask_head",
    }
    return dict(_tensors(modules))


def discriminator_key_map(params: DiscriminatorParams | None = None) -> dict[str, str]:
    """Reference name -> our name, for every tensor of the reference's discriminator (42 of them)."""
    params = params or reference_discriminator()
    last = len(params.channels) + 1
    modules = {"sequence.0": "stem", f"sequence.{last}": "reduce", f"sequence.{last + 2}": "head"}
    for index in range(len(params.channels)):
        theirs = f"sequence.{index + 1}"
        modules |= {
            f"{theirs}.main_path.1": f"blocks.{index}.conv1",
            f"{theirs}.main_path.4": f"blocks.{index}.conv2",
            f"{theirs}.side_path.0": f"blocks.{index}.side",
        }
    return dict(_tensors(modules))


def _res_block(theirs: str, ours: str, resampled: bool) -> dict[str, str]:
    second = 6 if resampled else 5
    return {
        f"{theirs}.main_path.2": f"{ours}.conv1",
        f"{theirs}.main_path.{second}": f"{ours}.conv2",
        f"{theirs}.side_path.0": f"{ours}.side",
    }


def _adain_block(theirs: str, ours: str) -> dict[str, str]:
    return {
        f"{theirs}.adain1.std_style_fc": f"{ours}.norm1.scale",
        f"{theirs}.adain1.mean_style_fc": f"{ours}.norm1.shift",
        f"{theirs}.adain2.std_style_fc": f"{ours}.norm2.scale",
        f"{theirs}.adain2.mean_style_fc": f"{ours}.norm2.shift",
        f"{theirs}.main_path1.1": f"{ours}.conv1",
        f"{theirs}.main_path2.1": f"{ours}.conv2",
        f"{theirs}.side_path.0": f"{ours}.side",
    }


def _tensors(modules: dict[str, str]) -> Iterator[tuple[str, str]]:
    for theirs, ours in modules.items():
        for kind in ("weight", "bias"):
            yield f"{theirs}.{kind}", f"{ours}.{kind}"
