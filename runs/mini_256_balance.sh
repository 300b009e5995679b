#!/usr/bin/env bash
# `mini` 769280: trained further from runs/mini-256-realism.safetensors with more weight on expression, gaze and lids:
# docs/lab-book.md (2026-11-28, "An outline that is the source's") has its figures.
#
#   SET   the prepared set of runs/mini.sh, 256 px; the run of the lab book had the shards portraits-train-000,
#         identities-hd-000, identities-train-000 and photos-train-000 (14,447 photos)
#   FILES folder with mobilefacenet.onnx; the other networks come from `hififace weights fetch training`
#   RUN   folder of the run
#
# 12,496 pairs in 80 minutes of one core with bfloat16. runs/mini-256-balance-discriminators.safetensors is what goes with
# the average: a longer run starts from the bundle that ships and from them (--init-from mini, --discriminators).
set -euo pipefail
SET=${SET:?the prepared set} FILES=${FILES:?the folder of mobilefacenet.onnx} RUN=${RUN:?the folder of the run}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch training
train() {
    hififace train --data "$SET" --config runs/mini-256-realism.json --init-from runs/mini-256-realism.safetensors \
        --discriminators runs/mini-256-realism-discriminators.safetensors --loss-networks "$FILES" --run "$RUN" \
        --set warm_up_steps=0 --set step.adversarial=2.5 --set step.inside=14 --set step.eyelids=16 --set step.lips=16 \
        --set step.gaze=18 "$@"
}
# Likeness fell in the first 3,904 pairs (SFace 0.66 to 0.62), so identity weighs more from there on.
train --stop-after 3904
train --stop-after-minutes 53 --set step.identity=24 --set step.leak=18
