"""How many frames a second a video takes, where the time goes, and how much memory a long one needs.

    video    `swap_video`: stages that overlap, faces followed, sound and time stamps kept, H.264 at visually lossless
            quality, segments on disk, signed
    video, one thread    the same with every network on one thread: the stages alone keep the cores busy
    loop    OpenCV reads, finds, swaps, pastes and writes (MPEG-4 Part 2), one frame after the other: the same
            detector, mesh, generator and pasting, no sound, nothing steadied, nothing that could be gone on with

Both in one run, in turns, over the same video: a public-domain portrait that moves over a textured wall that moves too
(nothing in the image stands still, so no look of the detector can be saved). A face of 200 px in 1280 x 720, one of
300 px in 1920 x 1080; and the wall alone in 720p, to see what frames without faces cost. The two results are compared
first. Seconds of stages overlap; shares are of their sum.

Memory: peak resident memory of a process that swaps a video, for a short video and one many times as long.

    python benchmarks/video.py --threads 2
    python benchmarks/video.py --memory --frames 250,3000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

from contract import environment, in_turns, write_result
from hififace import FaceSwapper
from hififace.media.video import VideoReader
from hififace.swap.engine import swap_faces
from hififace.types import RGBImage
from hififace.video.report import VideoReport

RESULT = Path(__file__).parent / "results" / "video.json"
MEMORY_RESULT = RESULT.with_name("video-memory.json")
SCENES = {"720p": (1280, 720, 200), "1080p": (1920, 1080, 300)}
"""Width, height and size of the face, px."""
NOBODY = "720p, nobody"
NOBODY_SCENE = (1280, 720, 0)
LONG_SCENE = (640, 360, 100)
RATE = 25
PORTRAIT_FACE_PX = 101.0
MOST_LEVELS = 12.0
"""Mean difference of the two results where they were changed, from which on they are not the same work. They are not
equal: one is steadied, and each is encoded in its own way."""


def portrait() -> RGBImage:
    """(230, 230, 3) the astronaut of scikit-image, in the public domain."""
    return np.ascontiguousarray(data.astronaut()[20:250, 110:340])


def draw(number: int, width: int, height: int, face_px: float) -> RGBImage:
    """Frame `number`: wall and face move on smooth paths; a face of 0 px is none."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(70, 180, (height // 20, width // 20, 3)).astype(np.uint8)
    wall = np.asarray(cv2.resize(blocks, (width + 256, height + 64), interpolation=cv2.INTER_CUBIC), np.uint8)
    across, down = int(128 + 120 * np.sin(number / 40)), int(32 + 30 * np.sin(number / 23))
    image = wall[down : down + height, across : across + width]
    if not face_px:
        return image.copy()
    side = portrait().shape[0]
    matrix = cv2.getRotationMatrix2D(
        (side / 2, side / 2), 6 * np.sin(number / 20), face_px / PORTRAIT_FACE_PX
    )
    matrix[0, 2] += width / 2 - side / 2 + 0.15 * width * np.sin(number / 25)
    matrix[1, 2] += height / 2 - side / 2 + 0.05 * height * np.sin(number / 17)
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(mask, (side // 2, side // 2 + 5), (85, 105), 0, 0, 360, 1.0, -1)
    share = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), 4), matrix, (width, height))[..., None]
    head = cv2.warpAffine(portrait(), matrix, (width, height), flags=cv2.INTER_CUBIC)
    return np.clip(image * (1 - share) + head * share, 0, 255).astype(np.uint8)


def make_video(path: Path, scene: tuple[int, int, int], num_frames: int) -> Path:
    """H.264; after 200 frames the images come back in reverse, so that drawing them costs no memory of note."""
    width, height, face_px = scene
    with av.open(str(path), "w") as video:
        picture_stream = video.add_stream(
            "libx264", rate=Fraction(RATE), options={"crf": "18", "preset": "veryfast"}
        )
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = width, height, "yuv420p"
        for number in range(num_frames):
            turn = number % 400
            image = draw(min(turn, 400 - turn), width, height, face_px)
            video.mux(picture_stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        video.mux(picture_stream.encode(None))
    return path


def loop(swapper: FaceSwapper, video: Path, output: Path) -> int:
    """One frame after the other; how many there were."""
    source = swapper.source_map.default
    reader = cv2.VideoCapture(str(video))
    size = int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)), int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT))
    writer = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), reader.get(cv2.CAP_PROP_FPS), size)
    if not reader.isOpened() or not writer.isOpened():
        raise SystemExit("This OpenCV cannot read or write videos: nothing was measured.")
    num_frames = 0
    while True:
        there, bgr = reader.read()
        if not there:
            break
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        faces = swapper.find_faces(image)
        result = swap_faces(swapper.engine, image, faces, [source] * len(faces)).pixels
        writer.write(cv2.cvtColor(result, cv2.COLOR_RGB2BGR))
        num_frames += 1
    writer.release()
    reader.release()
    return num_frames


def compare(video: Path, ours: Path, theirs: Path) -> float:
    """Mean difference of the two results, levels, over the pixels that the first one changed; of all frames."""
    sums, counts = 0.0, 0
    for target, one, other in zip(*map(VideoReader, (video, ours, theirs)), strict=True):
        there = cv2.absdiff(target.rgb(), one.rgb()).max(axis=2) > 24
        sums += float(cv2.absdiff(one.rgb(), other.rgb()).mean(axis=2)[there].sum())
        counts += int(there.sum())
    if not counts:
        raise SystemExit("Nothing was swapped: nothing was measured.")
    return sums / counts


def sides_of(
    swappers: tuple[FaceSwapper, FaceSwapper], video: Path, num_frames: int, reports: list[VideoReport]
) -> dict[str, Callable[[], object]]:
    """The ways over one video; the reports of the first are kept. Swappers: all threads, and one."""
    swapper, single = swappers
    ours, theirs = video.with_name(f"{video.stem}-video.mp4"), video.with_name(f"{video.stem}-loop.mp4")

    def pipeline() -> None:
        reports.append(swapper.swap_video(video, ours))

    def plain() -> None:
        if loop(swapper, video, theirs) != num_frames:
            raise SystemExit("The loop lost frames: nothing was measured.")

    def one_thread() -> None:
        single.swap_video(video, ours)

    pipeline()
    plain()
    difference = compare(video, ours, theirs)
    print(
        f"{video.stem}: the two results differ by {difference:.1f} levels where they were changed", flush=True
    )
    if difference > MOST_LEVELS:
        raise SystemExit(f"That is more than {MOST_LEVELS:g}: they do not do the same work.")
    reports.clear()
    ways = {"video": pipeline, "video, one thread": one_thread, "loop": plain}
    return {f"{video.stem}/{way}": call for way, call in ways.items()}


def speed(
    options: argparse.Namespace, swappers: tuple[FaceSwapper, FaceSwapper], folder: Path
) -> dict[str, Any]:
    """Every side of every size, and the stages of ours."""
    num_frames = options.frames[0]
    sides: dict[str, Callable[[], object]] = {}
    kept: dict[str, list[VideoReport]] = {}
    for size, scene in SCENES.items():
        kept[size] = []
        video = make_video(folder / f"{size}.mp4", scene, num_frames)
        sides |= sides_of(swappers, video, num_frames, kept[size])
    empty, told = make_video(folder / "nobody.mp4", NOBODY_SCENE, num_frames), list[VideoReport]()
    sides[NOBODY] = lambda: told.append(swappers[0].swap_video(empty, folder / "nobody-video.mp4"))
    timings = in_turns(sides, warm_up=options.warm_up, rounds=options.rounds)
    fps = round(num_frames / timings[NOBODY].median_ms * 1e3, 2)
    found: dict[str, Any] = {
        NOBODY: timings[NOBODY].as_json() | {"fps": fps, "share_of_stages": shares(told[-options.rounds :])}
    }
    print(f"{NOBODY}: {fps} frames per second; stages {found[NOBODY]['share_of_stages']}")
    for size, reports in kept.items():
        rows = {way: timings[f"{size}/{way}"] for way in ("video", "video, one thread", "loop")}
        theirs = rows["loop"].median_ms
        stages = shares(reports[-options.rounds :])
        found[size] = {
            **{
                way: row.as_json()
                | {
                    "fps": round(num_frames / row.median_ms * 1e3, 2),
                    "times_the_loop": round(theirs / row.median_ms, 2),
                }
                for way, row in rows.items()
            },
            "share_of_stages": stages,
            "slowest_stage": max(stages, key=stages.__getitem__),
        }
        for way in rows:
            row = found[size][way]
            print(
                f"{size:<6} {way:<17} {row['fps']:>7} frames per second, {row['times_the_loop']} times the loop"
            )
        print(f"{size:<6} stages {stages}; slowest: {found[size]['slowest_stage']}")
    return found


def shares(reports: list[VideoReport]) -> dict[str, float]:
    """Each stage's share of the work, the median over runs."""
    rows = [{name: spent / sum(one.busy_s.values()) for name, spent in one.busy_s.items()} for one in reports]
    return {name: round(float(np.median([row[name] for row in rows])), 3) for name in rows[0]}


def memory(options: argparse.Namespace, folder: Path, bundle: str) -> dict[str, Any]:
    """Peak memory of a process for each length."""
    found = {}
    for num_frames in options.frames:
        video = make_video(folder / f"{num_frames}.mp4", LONG_SCENE, num_frames)
        words = ["--swap-one", str(video), "--model", bundle, "--threads", str(options.threads)]
        done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
        found[str(num_frames)] = json.loads(done.stdout.splitlines()[-1])
        print(f"{num_frames} frames: {found[str(num_frames)]}", flush=True)
        video.unlink()
    return found


def swap_one(video: Path, bundle: str, threads: int) -> dict[str, Any]:
    """What one process needed for one video."""
    swapper = FaceSwapper.load(bundle, providers=["cpu"], threads=threads)
    swapper.set_source(portrait())
    began = time.perf_counter()
    report = swapper.swap_video(video, video.with_name("out.mp4"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "peak_mib": round(peak, 1),
        "num_changed": report.tally.num_changed,
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="name or folder of a bundle")
    parser.add_argument("--threads", type=int, default=2, help="of every network and of OpenCV (default 2)")
    parser.add_argument("--frames", type=lambda text: [int(n) for n in text.split(",")], help="of the videos")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before them (default 1)")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--swap-one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="where the result goes")
    options = parser.parse_args()
    if options.swap_one is not None:
        print(json.dumps(swap_one(options.swap_one, options.model, options.threads)))
        return
    options.frames = options.frames or ([250, 3_000] if options.memory else [150])
    cv2.setNumThreads(options.threads)
    where = environment(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            found = memory(options, folder, options.model)
        else:
            swappers = [
                FaceSwapper.load(options.model, providers=["cpu"], threads=n) for n in (options.threads, 1)
            ]
            for swapper in swappers:
                swapper.set_source(portrait())
            found = speed(options, (swappers[0], swappers[1]), folder)
    path = options.output or (MEMORY_RESULT if options.memory else RESULT)
    write_result(
        path, {"environment": where, "model": options.model, "frames": options.frames, "sides": found}
    )


if __name__ == "__main__":
    main()
