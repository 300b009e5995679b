"""Averages two generators of one shape: python runs/average_weights.py FIRST SECOND SHARE -o FILE.safetensors.

FIRST and SECOND are anything that training starts from (`training/starting_weights.py`). SHARE, 0 to 1, is SECOND's.
What FIRST lacks (a bundle holds no low-resolution head) is SECOND's alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from hififace.models import params
from hififace.models.generator import Generator
from hififace.training.starting_weights import start_generator

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("share", type=float)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    generators = [Generator(params.mini_256(sees_target=False)) for _ in range(2)]
    made_anew, lacking = (
        start_generator(generator, where)
        for generator, where in zip(generators, (options.first, options.second), strict=True)
    )
    if lacking:
        parser.error(f"{options.second} lacks {', '.join(lacking)}")
    second = generators[1].state_dict()
    mixed = {
        name: second[name] if name in made_anew else torch.lerp(value, second[name], options.share)
        for name, value in generators[0].state_dict().items()
    }
    save_file({name: value.half().contiguous() for name, value in mixed.items()}, options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
