"""What would be gained and lost if one long video were swapped in parts on several machines.

    python benchmarks/segments.py -o benchmarks/results/segments.json

Clips of portraits are swapped whole, and their second halves alone. Told are the share of the work that needs the
frames before it (it bounds the gain of any number of machines), and how far the second half is from that of the whole:
in an ordinary shot, and behind a cut where one face is asked for by its number.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from clips import PORTRAITS, RATE, Clip, Person, make_clip, one
from contract import environment, write_result
from hififace import FaceSwapper
from hififace.media.video import VideoReader
from hififace.types import RGBImage

NEEDS_WHAT_WAS_BEFORE = ("decode", "follow")
"""Who is where, who is swapped, how steady: each frame's answer begins with that of the last."""

SEEN = 1.0
"""Levels of mean difference over the changed pixels, from which on two frames differ by more than encoders do."""

LEFT, RIGHT = ("001_neutral", 0.3), ("002_smiling", 0.7)
CLIPS = {
    "one person": (Clip(960, 540, "libx264", (one("024_smiling", 210),)), "all"),
    "two people, a cut at which they change places, face 0 asked for": (
        Clip(
            960,
            540,
            "libx264",
            (
                (Person(LEFT[0], LEFT[1], 0.5, 170), Person(RIGHT[0], RIGHT[1], 0.5, 170)),
                (Person(LEFT[0], RIGHT[1], 0.5, 170), Person(RIGHT[0], LEFT[1], 0.5, 170)),
            ),
        ),
        (0,),
    ),
}


def frames(path: Path) -> list[RGBImage]:
    """All of a video."""
    return [frame.rgb() for frame in VideoReader(path).frames()]


def compared(swapper: FaceSwapper, folder: Path, clip: Clip, select: Any, num_frames: int) -> dict[str, Any]:
    """A clip whole, and in halves."""
    target = make_clip(folder / "target.mp4", clip, num_frames)
    middle_s = num_frames // 2 / RATE
    options: dict[str, Any] = {"select": select, "crf": 6.0, "preset": "ultrafast"}
    whole = swapper.swap_video(target, folder / "whole.mp4", **options)
    swapper.swap_video(target, folder / "second.mp4", **options, start_s=middle_s)
    before, expected, got = (frames(folder / f"{name}.mp4") for name in ("target", "whole", "second"))
    before, expected = before[-len(got) :], expected[-len(got) :]
    differences, moved, elsewhere = [], [], []
    for shown, one_way, other_way in zip(before, expected, got, strict=True):
        changed = np.abs(shown.astype(int) - one_way).max(2) > 12
        changed |= np.abs(shown.astype(int) - other_way).max(2) > 12
        away = np.abs(one_way.astype(int) - other_way)
        elsewhere.append(float(away[~changed].mean()))
        away = away[changed]
        differences.append(float(away.mean()) if changed.any() else 0.0)
        moved.append(float(away.max()) if changed.any() else 0.0)
    busy = {name: spent for name, spent in whole.processor_s.items() if name != "encode"} | {
        "encode": whole.busy_s["encode"]
    }
    in_order = sum(spent for name, spent in busy.items() if name in NEEDS_WHAT_WAS_BEFORE) / sum(
        busy.values()
    )
    seen = [number for number, away in enumerate(differences) if away >= SEEN]
    return {
        "frames": whole.tally.num_frames,
        "share_that_needs_the_frames_before": round(in_order, 3),
        "times_faster_at_most": round(1 / in_order, 2),
        "second_half": {
            "frames": len(got),
            "that_differ": len(seen),
            "last_that_differs": seen[-1] if seen else None,
            "mean_difference_levels": [round(differences[place], 2) for place in (0, len(got) // 2, -1)],
            "mean_difference_elsewhere_levels": round(float(np.mean(elsewhere)), 2),
            "largest_difference_levels": round(max(moved), 1),
        },
    }


def main() -> None:
    """Every clip, both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    known = environment(2)
    swapper = FaceSwapper.load("mini")
    swapper.set_source((PORTRAITS / "038_neutral.jpg").read_bytes())
    found = {}
    for name, (clip, select) in CLIPS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = compared(swapper, Path(folder), clip, select, asked.frames)
    write_result(asked.output, {"environment": known, "model": "mini", "clips": found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
