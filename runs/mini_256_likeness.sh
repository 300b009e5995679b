#!/usr/bin/env bash
# runs/mini-256-likeness.safetensors: `mini` 742016 trained further for likeness, and averaged with itself. It is a start
# for the next run, not what ships: docs/lab-book.md (2026-11-28) has its figures.
#
#   SET   the prepared set of runs/mini.sh, 256 px
#   FILES folder with mobilefacenet.onnx; the other networks come from `hififace weights fetch training`
#   RUN   folder of the run
#   START the bundle of version 742016, which was `mini` then (runs/mini.sh)
#
# 9,232 pairs in 65 minutes on one to two cores with bfloat16. Discriminators made anew had learned nothing after 4,700
# pairs and were left out from there on. The embeddings of FaceRes were of the crops alone, without their mirror images.
set -euo pipefail
SET=${SET:?the prepared set} FILES=${FILES:?the folder of mobilefacenet.onnx} RUN=${RUN:?the folder of the run}
START=${START:?the bundle of version 742016}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch training
train() {
    hififace train --data "$SET" --config runs/mini-256-likeness.json --init-from "$START" --loss-networks "$FILES" --run "$RUN" "$@"
}
train --stop-after 4700 --set step.learning_rate=1.2e-4 --set step.perceptual=4 --set step.adversarial=1.5 \
    --set step.feature_matching=4
train --stop-after 9232
python runs/average_weights.py "$START" "$RUN" 0.45 -o runs/mini-256-likeness.safetensors
