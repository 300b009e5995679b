#!/usr/bin/env bash
# The embedded model `mini` (mini_256, version 783104), from photographs to the bundle that ships: the exact commands.
#
#   PHOTOS  folder with the shards portraits-*.tar, identities-*.tar and photos-*.tar (research use; adults),
#           see docs/model-card.md
#   SECOND  mobilefacenet.onnx of foamliu/MobileFaceNet: the second recogniser, a file that you supply
#   WORK    where sets, packed sets and checkpoints are kept
#
# On one NVIDIA H200 training took eleven minutes; this starts from runs/mini-256-start.safetensors, the best of five short
# comparisons that went on from the 128 px model (docs/lab-book.md, 2026-11-27). How that one was trained is in this file's
# history, up to version 220816.
set -euo pipefail
PHOTOS=${PHOTOS:?the folder of the photo shards}
SECOND=${SECOND:?mobilefacenet.onnx}
WORK=${WORK:?a folder for sets and checkpoints}
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

# Features of the perceptual term, training only.
hififace weights fetch efficientnet_lite0

# 256 px crops of everybody; photos that are enlarged up to five times serve as sources.
python runs/prepare_mini_256.py "$PHOTOS" "$WORK/sets/train256"
hififace pack "$WORK/sets/train256" -o "$WORK/packs/train256.hfpack" --part-mb 24

# Eleven minutes at batch 64. The bundle that ships is the average after 7,800 steps.
# `native_px` measures texture: the inputs named here are known to be sharp, or enlarged, whatever theirs.
# (Trained by a script of its own, whose steps this command takes; git history has it as runs/mini_256.py. Since then the
# preset hands in the target's identity as well, and the source's louder: the command is that of commit 2194fd6.)
hififace train "$WORK"/packs/train256*.hfpack --preset mini_256 --init-from runs/mini-256-start.safetensors \
    --loss-networks "$(dirname "$SECOND")" --run "$WORK/runs/mini" --stop-after-minutes 11.2 --set warm_up_steps=500 \
    --set photos.sharp_inputs='["portraits-train", "identities-hd"]' \
    --set photos.blurred_inputs='["identities-train"]'

# Which way glasses lie in the source's embedding: the bundle frees sources of them.
python runs/glasses_direction.py "$WORK"/packs/train256*.hfpack -o runs/glasses.json

# 742016, the bundle of that run, and three runs that went on from it on one to two cores, one from the other. They say how
# they begin; the set of the last two had the first shard of photos alone (14,447 photos).
AVERAGE="$(ls -d "$WORK"/runs/mini/checkpoints/* | tail -1)/average.safetensors"
python runs/export_mini_256.py "$AVERAGE" "$WORK/bundles/742016" --version 742016
for name in likeness realism balance; do
    START="$WORK/bundles/742016" SET="$WORK/sets/train256" FILES="$(dirname "$SECOND")" RUN="$WORK/runs/$name" bash "runs/mini_256_$name.sh"
done

# 769280: identity enters 1.4 times as loud as in training, shape 1.2 times (docs/lab-book.md).
AVERAGE="$(ls -d "$WORK"/runs/balance/checkpoints/* | tail -1)/average.safetensors"
python runs/export_mini_256.py "$AVERAGE" "$WORK/bundles/769280" --version 769280
# From there on as swapping asks: twice, and told of the target.
START="$WORK/bundles/769280" SET="$WORK/sets/train256" FILES="$(dirname "$SECOND")" RUN="$WORK/runs/feedback" bash runs/mini_256_feedback.sh
AVERAGE="$(ls -d "$WORK"/runs/feedback/checkpoints/* | tail -1)/average.safetensors"
python runs/export_mini_256.py "$AVERAGE" "$WORK/bundles/mini" --version 783104 --config "$WORK/runs/feedback/config.json"
# What finds frames of eyeglasses.
python runs/eyeglasses.py train "$WORK/sets/train256" "$WORK/eyeglasses-first.pt" --minutes 7
python runs/eyeglasses.py train "$WORK/sets/train256" "$WORK/eyeglasses.pt" --minutes 22 --start "$WORK/eyeglasses-first.pt"
python runs/eyeglasses.py add "$WORK/eyeglasses.pt" "$WORK/bundles/mini"
# What finds hands and other things before a face.
python runs/occluders.py train "$WORK/sets/train256" "$WORK/occluders-first.pt" --minutes 32
python runs/occluders.py train "$WORK/sets/train256" "$WORK/occluders.pt" --minutes 17 --start "$WORK/occluders-first.pt" --harder
python runs/occluders.py add "$WORK/occluders.pt" "$WORK/bundles/mini"
# Int8 for videos; its scales come from the examples, the benchmarks' portraits and a hundred validation photos.
mkdir -p "$WORK/scales"
tar xf "$PHOTOS/photos-val-000.tar" -C "$WORK/scales" --wildcards '0000*.jpg'
hififace quantise "$WORK/bundles/mini" examples benchmarks/portraits "$WORK/scales"
hififace evaluate "$WORK/bundles/mini" --protocol open --data "$PHOTOS" -o "$WORK/reports/mini"
