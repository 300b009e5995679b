"""What a frame of video costs on footage like a camera's, by stage, beside decoding and encoding it alone.

    swap      `swap_video` as a user runs it, its generator in int8 where that was measured to be faster
    float32   the same with the generator in float32
    codec     the same video decoded and encoded with the same settings, through the same segments, and nothing else

All in one run, in turns. Milliseconds are of processor time (all threads of the process), per frame: frames a second
depend on what else the machine does, processor time much less. `by_stage` is the time of each stage's own thread;
`elsewhere` is what other threads used: those of the decoder, of the encoder, and of networks that run on several.

Clips are those of `clips.py`, or any video by its path.

    export OPENBLAS_NUM_THREADS=1    # as the command does
    python benchmarks/video_real.py
    python benchmarks/video_real.py --clips "720p one,1080p one of ten" --frames 100
    python benchmarks/video_real.py --video holiday.mp4 --select all
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clips import CLIPS, PORTRAITS, make_clip
from contract import environment, in_turns, write_result
from hififace import FaceSwapper
from hififace.media.encoding import choose_settings
from hififace.media.quality import fit_to_target
from hififace.media.video import VideoReader
from hififace.media.writing import VideoWriter
from hififace.video.report import VideoReport

RESULT = Path(__file__).parent / "results" / "video-real.json"
SOURCE = PORTRAITS / "128_neutral.jpg"


class Side:
    """One way of handling a video; remembers the processor time of each call."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.processor_s: list[float] = []
        self.told: list[object] = []

    def __call__(self) -> None:
        """Run once."""
        before = _processor_s()
        self.told.append(self._call())
        self.processor_s.append(_processor_s() - before)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def codec_alone(video: Path, output: Path) -> int:
    """Decode and encode with the settings that a swap would have; how many frames there were."""
    reader = VideoReader(video)
    settings = fit_to_target(choose_settings(reader, output), reader, keep_preset=False)
    with tempfile.TemporaryDirectory() as folder:
        writer = VideoWriter(folder, settings)
        writer.write(reader.frames())
        return sum(segment.num_frames for segment in writer.segments)


def measure(
    swapper: FaceSwapper, videos: dict[str, tuple[Path, str]], folder: Path, warm_up: int, rounds: int
) -> dict[str, Any]:
    """Both sides of each video in turns."""
    sides: dict[str, Side] = {}
    for name, (video, select) in videos.items():
        output = folder / "out.mp4"
        for side, precision in (("swap", "auto"), ("float32", "float32")):
            sides[f"{name}/{side}"] = Side(
                partial(swapper.swap_video, video, output, select=select, precision=precision)
            )
        sides[f"{name}/codec"] = Side(partial(codec_alone, video, output))
    timings = in_turns(sides, warm_up=warm_up, rounds=rounds)
    found: dict[str, Any] = {}
    for name in videos:
        swap, exact, codec = (sides[f"{name}/{side}"] for side in ("swap", "float32", "codec"))
        reports = [one for one in swap.told[-rounds:] if isinstance(one, VideoReport)]
        num = reports[0].tally.num_frames
        stages = {
            stage: round(float(np.median([one.processor_s[stage] for one in reports])) / num * 1e3, 2)
            for stage in reports[0].processor_s
        }
        swap_ms, float32_ms, codec_ms = (
            float(np.median(side.processor_s[-rounds:])) / num * 1e3 for side in (swap, exact, codec)
        )
        wall = [timings[f"{name}/{side}"].median_ms for side in ("swap", "codec", "float32")]
        found[name] = {
            "num_frames": num,
            "num_people": len(reports[0].tally.tracks),
            "num_frames_changed": reports[0].tally.num_changed,
            "precision": reports[0].precision,
            "swap_processor_ms": round(swap_ms, 1),
            "float32_processor_ms": round(float32_ms, 1),
            "codec_processor_ms": round(codec_ms, 1),
            "by_stage": stages,
            "elsewhere": round(swap_ms - sum(stages.values()), 1),
            "swap_fps": round(num / wall[0] * 1e3, 1),
            "float32_fps": round(num / wall[2] * 1e3, 1),
            "codec_fps": round(num / wall[1] * 1e3, 1),
            "times_codec": round(wall[0] / wall[1], 2),
        }
        print(f"{name}: {found[name]}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="name or folder of a bundle")
    parser.add_argument("--source", type=Path, default=SOURCE, help="photo of the source")
    parser.add_argument("--clips", default=",".join(CLIPS), help="names of clips, with commas (default all)")
    parser.add_argument("--video", type=Path, action="append", help="videos of your own instead")
    parser.add_argument("--select", default="all", help="who is swapped in them (default all)")
    parser.add_argument("--frames", type=int, default=100, help="of each clip (default 100)")
    parser.add_argument("--threads", type=int, help="of every network; the default is a user's")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before them (default 1)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    parser.add_argument("--add", action="store_true", help="keep the other clips of the result that is there")
    options = parser.parse_args()
    where = environment(options.threads or 0)
    swapper = FaceSwapper.load(options.model, providers=["cpu"], threads=options.threads)
    swapper.set_source(options.source)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.video:
            videos = {one.stem: (one, options.select) for one in options.video}
        else:
            chosen = [part.strip() for part in options.clips.split(",")]
            videos = {}
            for place, clip in enumerate(chosen):
                what = CLIPS[clip]
                videos[clip] = (make_clip(folder / f"{place}.mp4", what, options.frames), what.select)
        found = measure(swapper, videos, folder, options.warm_up, options.rounds)
    result = {"environment": where, "model": swapper.engine.bundle.version, "frames": options.frames}
    if options.add:
        found = clips_of(options.output, result) | found
    write_result(options.output, result | {"clips": found})


def clips_of(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """The clips of a result of the same state on the same machine: each part of a long run may be short.

    Raises:
        SystemExit: it is of another.
    """
    before = json.loads(path.read_text(encoding="utf-8"))
    for name in ("commit", "processor", "num_cores", "versions", "threads"):
        if before["environment"][name] != result["environment"][name]:
            raise SystemExit(f"{path} was measured with another {name}; leave out --add.")
    if (before["model"], before["frames"]) != (result["model"], result["frames"]):
        raise SystemExit(f"{path} was measured with another model or number of frames; leave out --add.")
    result["environment"]["quiet"] &= before["environment"]["quiet"]
    return dict(before["clips"])


if __name__ == "__main__":
    main()
