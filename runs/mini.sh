#!/usr/bin/env bash
# The embedded model `mini`, from photographs to the bundle that ships: the exact commands.
#
#   PHOTOS  folder with the shards photos-*.tar and identities-*.tar (research use; adults), see docs/model-card.md
#   WORK    where sets and the run are kept; the same command again goes on where it was
#
# Two CPU cores with bfloat16 products make about 20 images a second: 150,000 images take two hours. `docs/lab-book.md`
# says what was tried on the way, and why each number of the preset is what it is; the weights that ship came by the same
# way with more stops, which its entries name.
set -euo pipefail
PHOTOS=${PHOTOS:?the folder of the photo shards}
WORK=${WORK:?a folder for prepared sets and the run}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch efficientnet_lite0            # features of the perceptual term; training only

hififace prepare "$PHOTOS"/identities-train-*.tar "$PHOTOS"/photos-train-*.tar -o "$WORK/sets/train"
hififace prepare "$PHOTOS"/identities-val-*.tar "$PHOTOS"/photos-val-*.tar -o "$WORK/sets/val"

# Two processes of one thread each are faster than one of two: nothing waits inside an operator.
train() {
    OMP_NUM_THREADS=1 nice -n 10 torchrun --standalone --nproc-per-node 2 -m -- hififace \
        train --preset mini_128 --data "$WORK/sets/train" --run "$WORK/runs/mini" "$@"
}

# Learn where the face is first, with the paper's supervision of both masks; then let the low one choose for itself.
if [ ! -e "$WORK/runs/mini/loosened" ]; then
    train --set loss.segmentation_on_low=true --stop-after 50000
    python tools/loosen_low_mask.py "$WORK/runs/mini" --factor 0.05
    touch "$WORK/runs/mini/loosened"
fi
train "$@"

# The bundle, its figures, and the bundle that carries them.
hififace export "$WORK/runs/mini" -o "$WORK/bundles/mini" --half --licence "research use"
hififace evaluate "$WORK/bundles/mini" --protocol open --data "$PHOTOS" -o "$WORK/reports/mini"
hififace export "$WORK/runs/mini" -o src/hififace/weights/embedded/mini --half --name mini \
    --licence "Research use: trained on photographs released for research" \
    --training-data "25,120 photographs of adults (UTKFace, Labeled Faces in the Wild), research use only" \
    --metrics "$WORK/reports/mini/report.json"
