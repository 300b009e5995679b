"""How often people of a video keep their numbers over cuts. Fixed seeds; no time is measured.

Each clip shows three people of the portraits in three shots of 0.64 s, of other sizes in each and partly with another
expression, in two places, so that somebody else often stands where somebody stood:

    shot 1    A and B
    shot 2    A and C, who is new
    shot 3    B and A

So each has three people who are to be known again after a cut, and one who is not to be taken for somebody known. A
number counts if most frames of the shot have it, as the swap decides it: with the frames that follow.

    python benchmarks/reidentification.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, deque
from pathlib import Path

import numpy as np

from clips import PORTRAITS, Clip, Person, centre_of, make_clip, shot_of
from contract import environment, write_result
from hififace import FaceSwapper
from hififace.media.video import VideoReader
from hififace.swap.options import SwapOptions
from hififace.video.options import FRAMES_PER_GROUP, VideoOptions
from hififace.video.selection import LOOKAHEAD_GROUPS
from hififace.video.tracker import FrameFaces, VideoFaces

RESULT = Path(__file__).parent / "results" / "reidentification.json"
SOURCE = PORTRAITS / "128_neutral.jpg"
FRAMES = 48
SIZES_PX = (110.0, 300.0)


def make_up(seed: int) -> Clip:
    """A clip of three people in three shots."""
    rng = np.random.default_rng(seed)
    people = sorted({path.name.split("_")[0] for path in PORTRAITS.glob("*_neutral.jpg")} - {"128"})
    a, b, c = (str(one) for one in rng.choice(people, 3, replace=False))

    def shot(left: str, right: str) -> tuple[Person, ...]:
        return tuple(
            Person(name, float(x + rng.uniform(-0.03, 0.03)), 0.5, float(rng.uniform(*SIZES_PX)))
            for name, x in ((left, 0.28), (right, 0.72))
        )

    return Clip(
        1280,
        720,
        "libx264",
        (
            shot(f"{a}_neutral", f"{b}_smiling"),
            shot(f"{c}_neutral", f"{a}_smiling"),
            shot(f"{b}_neutral", f"{a}_neutral"),
        ),
    )


def numbers_of(swapper: FaceSwapper, video: Path, clip: Clip) -> list[dict[str, Counter[int]]]:
    """For each shot: person -> how many frames have which number."""
    engine, options = swapper.engine, SwapOptions(select="all")
    faces = VideoFaces(
        lambda image: engine.find_faces(image, options),
        lambda image, face: engine.embedder.embed_with_length(image, face.detection.points),
        engine.landmarker,
        engine.template,
        options,
        VideoOptions(),
        swapper.source_map,
    )
    found: list[dict[str, Counter[int]]] = [{} for _ in clip.shots]

    def count(decided: FrameFaces) -> None:
        shot = shot_of(clip, decided.frame.index, FRAMES)
        for place, person in enumerate(clip.shots[shot]):
            centre = np.array(centre_of(clip, shot, place, decided.frame.index))
            for one in decided.faces:
                box = one.face.detection.box
                if np.linalg.norm((box[:2] + box[2:]) / 2 - centre) < person.size_px / 2:
                    who = person.name.split("_")[0]
                    found[shot].setdefault(who, Counter())[one.face.index] += 1

    waiting: deque[FrameFaces] = deque()
    for frame in VideoReader(video).frames():
        waiting.append(faces.take(frame))
        if len(waiting) > FRAMES_PER_GROUP * LOOKAHEAD_GROUPS:
            count(faces.decide(waiting.popleft()))
    while waiting:
        count(faces.decide(waiting.popleft()))
    return found


def judge(found: list[dict[str, Counter[int]]], clip: Clip) -> Counter[str]:
    """How many of those after a cut have the right number, and what the others have."""
    first: dict[str, int] = {}
    result: Counter[str] = Counter()
    for shot, people in zip(found, clip.shots, strict=True):
        known = dict(first)
        for person in people:
            who = person.name.split("_")[0]
            if who not in shot:
                result["not found"] += 1
                continue
            number = shot[who].most_common(1)[0][0]
            first.setdefault(who, number)
            if shot is found[0]:
                continue
            if who in known:
                right = number == known[who]
                wrong = "taken for another" if number in known.values() else "not known again"
                result["known again" if right else wrong] += 1
            else:
                result[
                    "new, taken for somebody known" if number in known.values() else "new, told apart"
                ] += 1
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=12, help="how many clips are made up (default 12)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()
    where = environment(1)
    swapper = FaceSwapper.load("mini", providers=["cpu"], threads=1)
    swapper.set_source(SOURCE)
    total: Counter[str] = Counter()
    failed: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.clips):
            clip = make_up(seed)
            video = make_clip(Path(folder) / "clip.mp4", clip, FRAMES)
            judged = judge(numbers_of(swapper, video, clip), clip)
            total += judged
            if set(judged) - {"known again", "new, told apart"}:
                failed.append(seed)
                print(f"clip {seed}: {dict(judged)}", flush=True)
    known = total["known again"] + total["taken for another"] + total["not known again"]
    new = total["new, told apart"] + total["new, taken for somebody known"]
    result = {
        "environment": where,
        "num_clips": options.clips,
        "counts": dict(sorted(total.items())),
        "error_rate_known": round(1.0 - total["known again"] / max(known, 1), 4),
        "error_rate_new": round(total["new, taken for somebody known"] / max(new, 1), 4),
        "failed_clips": failed,
    }
    print({name: value for name, value in result.items() if name != "environment"})
    write_result(options.output, result)


if __name__ == "__main__":
    main()
