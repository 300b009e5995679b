"""How much a swapped video flickers, with and without what steadies it: `hififace flicker` on made-up videos.

    not steadied    every frame as it was measured
    places          landmarks and alignment steadied
    everything      masks too: what `hififace swap` does

Two videos of a public-domain portrait with the grain of a dark room (12 levels, standard deviation): a face that keeps
still, and one that moves. Fixed seeds; no time is measured. Below, how much the network's own mask changes at its rim
from frame to frame, before and after (mean absolute difference, 0 to 1).

    python benchmarks/flicker.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from contract import environment, write_result
from hififace import FaceSwapper
from hififace.evaluation.video import measure_flicker
from hififace.video.mask_smoothing import MaskSmoothingOptions, TrackMasks
from hififace.video.options import VideoOptions
from video import draw, portrait

RESULT = Path(__file__).parent / "results" / "flicker.json"
SIZE, FACE_PX, RATE, GRAIN = (640, 480), 160.0, 25, 12.0
FREE = MaskSmoothingOptions(min_cutoff_hz=1e9)
"""Lets every mask through as it is."""
WAYS = {
    "not steadied": VideoOptions(smooth=False, crf=10),
    "places": VideoOptions(mask_smoothing=FREE, crf=10),
    "everything": VideoOptions(crf=10),
}


def make_video(path: Path, num_frames: int, moving: bool) -> Path:
    """Lossless in brightness, so that the grain stays."""
    with av.open(str(path), "w") as video:
        picture_stream = video.add_stream(
            "libx264", rate=Fraction(RATE), options={"crf": "0", "preset": "ultrafast"}
        )
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(num_frames):
            grain = np.random.default_rng(number).normal(0, GRAIN, (SIZE[1], SIZE[0], 3))
            image = np.clip(draw(number if moving else 0, *SIZE, FACE_PX) + grain, 0, 255).astype(np.uint8)
            video.mux(picture_stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        video.mux(picture_stream.encode(None))
    return path


class WatchedMasks:
    """Notes every mask that is steadied, before and after."""

    def __init__(self) -> None:
        self.before: list[NDArray[Any]] = []
        self.after: list[NDArray[Any]] = []
        self._update: Callable[..., NDArray[Any]] = TrackMasks.update

    def __enter__(self) -> WatchedMasks:
        def update(masks: TrackMasks, track: int, mask: NDArray[Any], time_s: float) -> NDArray[Any]:
            steady = self._update(masks, track, mask, time_s)
            self.before.append(mask.copy())
            self.after.append(steady)
            return steady

        TrackMasks.update = update  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        TrackMasks.update = self._update  # type: ignore[method-assign]

    def steps(self) -> dict[str, float]:
        """Mean change from frame to frame where the mask is sometimes between 0 and 1; the run-in left out."""
        before, after = np.array(self.before[5:]), np.array(self.after[5:])
        rim = (before.mean(axis=0) > 0.02) & (before.mean(axis=0) < 0.98)
        return {
            "before": round(float(np.abs(np.diff(before, axis=0))[:, rim].mean()), 4),
            "after": round(float(np.abs(np.diff(after, axis=0))[:, rim].mean()), 4),
        }


def measure(swapper: FaceSwapper, video: Path) -> dict[str, Any]:
    """One video, every way."""
    outputs = {way: video.with_name(f"{video.stem}-{number}.mp4") for number, way in enumerate(WAYS)}
    masks: dict[str, float] = {}
    for way, options in WAYS.items():
        with WatchedMasks() as watched:
            swapper.swap_video(video, outputs[way], video_options=options)
        if way == "everything":
            masks = watched.steps()
    source = swapper.source_map.default
    rows = measure_flicker(video, list(outputs.values()), source=None if source is None else source.identity)
    found: dict[str, Any] = {
        name: {
            "similarity": row.similarity,
            "similarity_variance": row.similarity_variance,
            "similarity_flicker": row.similarity_flicker,
            "warping_error": row.warping_error,
        }
        for name, row in zip(("the video itself", *outputs), rows, strict=True)
    }
    for name, row in found.items():
        print(f"{video.stem:<7} {name:<16} " + "  ".join(f"{key} {value:.3g}" for key, value in row.items()))
    print(f"{video.stem:<7} mask steps at the rim: {masks}", flush=True)
    return found | {"mask_steps": masks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="name or folder of a bundle")
    parser.add_argument("--frames", type=int, default=75, help="of each video")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()
    where = environment(1)
    swapper = FaceSwapper.load(options.model, providers=["cpu"], threads=1)
    swapper.set_source(portrait())
    with tempfile.TemporaryDirectory() as name:
        found = {
            stem: measure(swapper, make_video(Path(name) / f"{stem}.mp4", options.frames, stem == "moving"))
            for stem in ("still", "moving")
        }
    model = {"name": swapper.bundle.name, "version": swapper.bundle.version}
    write_result(options.output, {"environment": where, "model": model, "videos": found})


if __name__ == "__main__":
    main()
