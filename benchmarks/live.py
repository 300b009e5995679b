"""How many frames of a camera the live swap shows per second, and how many faces it generates meanwhile.

    python benchmarks/live.py [--seconds 8] [--threads N]

The camera is the moving portrait that the page offers, at 640 x 480, decoded from JPEG and encoded with its label as in
the page; browser and network are left out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

import hififace.app
from hififace import FaceSwapper, OutputOptions
from hififace.media.video import VideoReader
from hififace.swap.image import claim_of
from hififace.swap.output import live_jpeg
from hififace.video.live import LiveSwap

EXAMPLES = Path(hififace.app.__file__).parent / "examples"


def camera() -> list[np.ndarray]:
    """JPEGs of 640 x 480, there and back."""
    clip = [
        cv2.copyMakeBorder(frame.rgb(), 0, 0, 80, 80, cv2.BORDER_REPLICATE)
        for frame in VideoReader(EXAMPLES / "moving-portrait.mp4")
    ]
    return [
        cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        for image in clip + clip[::-1]
    ]


def main() -> None:
    """Measure, and say it."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--seconds", type=float, default=8.0)
    reader.add_argument("--threads", type=int, default=None)
    asked = reader.parse_args()
    swapper = FaceSwapper.load("mini", threads=asked.threads)
    source = swapper.read_source(EXAMPLES / "portrait-124.jpg")
    claim = claim_of(swapper.engine, OutputOptions(consent_confirmed=True, consent_statement="Measured."))
    frames, number, shown = camera(), 0, 0
    with LiveSwap(swapper.engine, source) as live:
        while not live.tally.num_generated:  # the first face is on its way
            live.frame(np.ascontiguousarray(cv2.imdecode(frames[0], cv2.IMREAD_COLOR)[..., ::-1]))
        live.tally.num_generated, live.tally.num_swapped = 0, 0
        live.tally.busy_s.clear()
        began = time.perf_counter()
        while time.perf_counter() - began < asked.seconds:
            image = cv2.imdecode(frames[number % len(frames)], cv2.IMREAD_COLOR)[..., ::-1]
            live_jpeg(live.frame(np.ascontiguousarray(image)), claim)
            number += 1
        spent, shown = time.perf_counter() - began, live.tally.num_swapped
        generated = live.tally.num_generated
        stages = {name: f"{1e3 * busy / number:.1f} ms" for name, busy in live.tally.busy_s.items()}
    print(
        f"{number / spent:.1f} frames per second, {shown} of {number} swapped, {generated / spent:.1f} faces generated"
    )
    print(stages)


if __name__ == "__main__":
    main()
