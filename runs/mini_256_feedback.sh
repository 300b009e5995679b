#!/usr/bin/env bash
# `mini` 783104: trained further from version 769280, asked twice: docs/lab-book.md (2026-11-28, "Asked twice") has its figures.
#
#   START  the bundle of version 769280
#   SET    the prepared set of runs/mini.sh, 256 px; the run of the lab book had the shards portraits-train-000,
#          identities-hd-000, identities-train-000 and photos-train-000 (14,447 photos)
#   FILES  folder with mobilefacenet.onnx; the other networks come from `hififace weights fetch training`
#   RUN    folder of the run
set -euo pipefail
START=${START:?the bundle to start from} SET=${SET:?the prepared set} FILES=${FILES:?the folder of mobilefacenet.onnx}
RUN=${RUN:?the folder of the run}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

hififace weights fetch training
train() {
    hififace train --data "$SET" --config runs/mini-256-feedback.json --init-from "$START" \
        --discriminators runs/mini-256-balance-discriminators.safetensors --loss-networks "$FILES" --run "$RUN" "$@"
}
train --stop-after 5360
train --stop-after-minutes 44
