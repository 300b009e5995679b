#!/usr/bin/env bash
# `mini` trained further from runs/mini-256-likeness.safetensors with projected discriminators, to win back the realism that
# likeness had cost: docs/lab-book.md (2026-11-28, "Discriminators that see from the first step") has its figures.
#
#   SET   the prepared set of runs/mini.sh, 256 px; the run of the lab book had the shards portraits-train-000,
#         identities-hd-000, identities-train-000 and photos-train-000 (14,447 photos)
#   FILES folder with mobilefacenet.onnx; the other networks come from `hififace weights fetch training`
#   RUN   folder of the run
#
# runs/mini-256-realism.safetensors is its average, runs/mini-256-realism-discriminators.safetensors what goes with it: a
# longer run starts from both (--init-from, --discriminators) and needs no warm-up.
set -euo pipefail
SET=${SET:?the prepared set} FILES=${FILES:?the folder of mobilefacenet.onnx} RUN=${RUN:?the folder of the run}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch training
train() {
    hififace train --data "$SET" --config runs/mini-256-realism.json --init-from runs/mini-256-likeness.safetensors \
        --loss-networks "$FILES" --run "$RUN" "$@"
}
# 5,536 pairs in an hour of one core that was lent to others for half of it: 2,496 pairs, then stronger discriminators.
train --stop-after 2496 --set step.average_half_life=250
train --stop-after-minutes 31 --set step.adversarial=2.5
