#!/usr/bin/env bash
# The 256 px model, from photographs to a bundle: the exact commands. Eleven minutes on one H200; docs/lab-book.md says
# what was measured.
#
#   PHOTOS    folder with the shards photos-*.tar, identities-*.tar and portraits-*.tar, see docs/model-card.md
#   WORK      where sets and the run are kept; the same command again goes on where it was
#   TEACHERS  folder with mobilefacenet.onnx (`hififace weights list` says where it is found); without it add
#             --set second_recogniser=none
set -euo pipefail
PHOTOS=${PHOTOS:?the folder of the photo shards}
WORK=${WORK:?a folder for prepared sets and the run}
TEACHERS=${TEACHERS:?the folder of the second recogniser}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch efficientnet_lite0            # features of the perceptual term; training only

hififace prepare "$PHOTOS"/*-train-*.tar "$PHOTOS"/identities-hd-*.tar --resolution 256 -o "$WORK/sets/train256"
hififace pack "$WORK/sets/train256" -o "$WORK/packs/train256.hfpack"

# `native_px` measures texture: the inputs named here are known to be sharp, or enlarged, whatever their texture.
hififace train "$WORK"/packs/train256.hfpack --preset mini_256 --init-from mini --teachers "$TEACHERS" \
    --run "$WORK/runs/mini_256" --stop-after-minutes 11 \
    --set photos.sharp_inputs='["portraits-train", "identities-hd"]' \
    --set photos.blurred_inputs='["identities-train"]' "$@"

hififace export "$WORK/runs/mini_256" -o "$WORK/bundles/mini_256" --half --licence "research use"
