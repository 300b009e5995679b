"""Make the low mask of a run's newest checkpoint undecided again, so that training can choose it anew.

    python tools/loosen_low_mask.py RUN [--factor 0.2]

A mask that was taught to be 1 on the face stands at the flat end of its sigmoid: taken out of the loss
(`loss.segmentation_on_low=false`) it would stay there for ever. This multiplies its head's weights and bias, and
those of the moving average, by the factor. Run it while training is stopped; `runs/mini.sh` says where it was used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file

HEAD = "fusion.mask_head."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--factor", type=float, default=0.2)
    options = parser.parse_args()
    checkpoints = [path for path in (options.run / "checkpoints").glob("*") if path.name.isdigit()]
    if not checkpoints:
        raise SystemExit(f"{options.run} has no checkpoint: give the folder of a run that was stopped.")
    newest = max(checkpoints, key=lambda path: int(path.name))
    for name in ("generator", "average"):
        path = newest / f"{name}.safetensors"
        weights = load_file(path)
        for key in (f"{HEAD}weight", f"{HEAD}bias"):
            weights[key] = weights[key] * options.factor
        part = path.with_suffix(".part")
        save_file(weights, part)
        part.replace(path)
    print(f"{newest}: the low mask's logits were multiplied by {options.factor:g}")


if __name__ == "__main__":
    main()
