#!/usr/bin/env bash
# The embedded model `mini`, from photographs to the bundle that ships: the exact commands.
#
#   PHOTOS  folder with the shards photos-*.tar and identities-*.tar (research use; adults), see docs/model-card.md
#   WORK    where sets and the run are kept; the same command again goes on where it was
#
# Two CPU cores, about 0.1 to 0.2 s an image: 150,000 images take some eight hours. `docs/lab-book.md` says what was
# tried on the way and why each number is what it is.
set -euo pipefail
PHOTOS=${PHOTOS:?the folder of the photo shards}
WORK=${WORK:?a folder for prepared sets and the run}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch efficientnet_lite0            # features of the perceptual term; training only

hififace prepare "$PHOTOS"/identities-train-*.tar "$PHOTOS"/photos-train-*.tar -o "$WORK/sets/train"
hififace prepare "$PHOTOS"/identities-val-*.tar "$PHOTOS"/photos-val-*.tar -o "$WORK/sets/val"

# Two processes of one thread each are faster than one of two: nothing waits inside an operator.
OMP_NUM_THREADS=1 nice -n 10 torchrun --standalone --nproc-per-node 2 -m -- hififace \
    train --preset mini_128 --data "$WORK/sets/train" --run "$WORK/runs/mini" "$@"
