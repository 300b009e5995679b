"""Photos per second of ``hififace prepare``, its scaling over processes, and the cost of a training pair.

``python benchmarks/preparation.py`` writes ``benchmarks/results/preparation.json``. The photos are one portrait in the
public domain, turned, scaled and relit: every one is found, aligned and described by the embedded parts, as any other
photo is. One worker and two prepare the same photos in turns, and the two sets must be equal byte for byte. Rates leave
out the start of the processes (imports, sessions), which does not grow with the set. The processor's time per photo
does not depend on how busy the machine is; the rates do.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from contract import ROOT, environment, in_turns, write_result
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader
from hififace.data.pairs import PairSampler
from hififace.preparation.blocks import WorkSettings, describer_for, prepare_photo
from hififace.preparation.build import PrepareOptions, Progress, Workers, prepare_set
from hififace.preparation.crop import cut, find_face
from hififace.preparation.sources import BLOCK_SIZE, open_inputs

PHOTO_PX = 250


def write_photos(folder: Path, count: int) -> None:
    """Portraits of PHOTO_PX, turned by up to 15 degrees, scaled by up to a fifth, under changing light."""
    portrait = np.ascontiguousarray(skimage.data.astronaut()[0:250, 100:350])
    random = np.random.default_rng(1)
    for number in range(count):
        turn = cv2.getRotationMatrix2D(
            (125, 110), float(random.uniform(-15, 15)), float(random.uniform(0.8, 1.2))
        )
        image = cv2.warpAffine(portrait, turn, (PHOTO_PX, PHOTO_PX), borderMode=cv2.BORDER_REFLECT_101)
        light = random.uniform(0.7, 1.2, 3) * np.linspace(*random.uniform(0.7, 1.2, 2), PHOTO_PX)[:, None]
        image = np.clip(image * light[None], 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def time_run(photos: Path, output: Path, workers: int) -> dict[str, float]:
    """One whole preparation."""
    marks: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        marks.append((time.perf_counter(), progress.done))

    who = resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN
    before, begin = resource.getrusage(who), time.perf_counter()
    prepare_set([photos], output, PrepareOptions(), workers=Workers(workers), progress=note)
    after, end = resource.getrusage(who), time.perf_counter()
    num_photos = marks[-1][1]
    # The first block of each worker pays for the start; the steady state is what follows.
    first = marks[workers - 1]
    rate = (num_photos - first[1]) / (marks[-1][0] - first[0])
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "photos": num_photos,
        "photos_per_s": round(rate, 2),
        "wall_s": round(end - begin, 2),
        "processor_ms_per_photo_with_start": round(1000 * processor_s / num_photos, 2),
        "second_pass_s": round(end - marks[-1][0], 2),
    }


def run_in_turns(photos: Path, folder: Path, turns: int) -> dict[str, Any]:
    """Each number of workers in each turn; medians of the rates, and the sets compared."""
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(turns):
        for workers, found in runs.items():
            output = folder / f"set{workers}"
            shutil.rmtree(output, ignore_errors=True)
            found.append(time_run(photos, output, workers))
        require_equal(folder / "set1", folder / "set2")
    rates = {workers: statistics.median(r["photos_per_s"] for r in found) for workers, found in runs.items()}
    return {
        "photos_per_s": {f"workers_{workers}": round(rate, 2) for workers, rate in rates.items()},
        "photos_per_s_per_core": {f"workers_{w}": round(rate / w, 2) for w, rate in rates.items()},
        "scaling_1_to_2": round(rates[2] / rates[1], 3),
        "equal_sets": True,
        "runs": {f"workers_{workers}": found for workers, found in runs.items()},
    }


def require_equal(first: Path, second: Path) -> None:
    """Two sets are the same files, byte for byte; ends the run if not."""
    names = [sorted(str(p.relative_to(s)) for p in s.rglob("*") if p.is_file()) for s in (first, second)]
    differing = set(names[0]) ^ set(names[1]) or {
        name for name in names[0] if (first / name).read_bytes() != (second / name).read_bytes()
    }
    if differing:
        raise SystemExit(
            f"One worker and two differ in {', '.join(sorted(differing))}: nothing was measured."
        )


def time_stages(photos: Path, rounds: int) -> dict[str, Any]:
    """Processor milliseconds of one photo, whole and by stage."""
    settings = WorkSettings()
    describer = describer_for(settings)
    reference = next(open_inputs([photos])[0].photos())
    image = cv2.imread(reference.path)[..., ::-1].copy()
    face = find_face(describer, image, None, settings.quality.max_rival)
    crop = cut(image, face.points, describer.template)
    stages = {
        "whole": lambda: prepare_photo(describer, reference, "0", settings),
        "detect": lambda: describer.detect(image),
        "cut": lambda: cut(image, face.points, describer.template),
        "describe": lambda: describer.describe(image, face, crop),
    }
    result: dict[str, Any] = {}
    for name, call in stages.items():
        call()
        begin = time.process_time()
        for _ in range(rounds):
            call()
        result[name] = round(1000 * (time.process_time() - begin) / rounds, 2)
    return result


def time_loader(folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds per pair, in the calling thread, by cache; and of drawing a pair alone."""
    prepared = PreparedSet.open(folder)
    batch = 32
    loaders = {
        cache: BatchLoader(prepared, seed=0, batch_size=batch, workers=0, same_rate=1.0, cache=cache)
        for cache in ("none", "compressed", "decoded")
    }
    for loader in loaders.values():
        list(islice(loader, -(-2 * len(prepared) // batch)))  # fills the cache
    timings = in_turns({name: (lambda one=one: one.batch(0)) for name, one in loaders.items()}, rounds=rounds)
    processor = {}
    for name, loader in loaders.items():
        begin = time.process_time()
        for number in range(rounds):
            loader.batch(number)
        processor[name] = round(1000 * (time.process_time() - begin) / rounds / batch, 3)
    sampler = PairSampler(np.arange(1_000_000, dtype=np.int32), 0)
    begin = time.process_time()
    for number in range(2000):
        sampler.pair(number)
    return {
        "batch_size": batch,
        "wall_ms_per_pair": {name: round(t.median_ms / batch, 3) for name, t in timings.items()},
        "processor_ms_per_pair": processor,
        "processor_us_to_draw_one_of_a_million": round(1e6 * (time.process_time() - begin) / 2000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=6, help=f"blocks of {BLOCK_SIZE} photos")
    parser.add_argument("--rounds", type=int, default=9, help="of the loader and, tenfold, of the stages")
    parser.add_argument("--turns", type=int, default=2, help="preparations by one worker and by two, each")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "preparation.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    result: dict[str, Any] = {"environment": environment(threads=1), "photo_px": PHOTO_PX}
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        photos.mkdir()
        write_photos(photos, options.blocks * BLOCK_SIZE)
        result["processor_ms_of_a_photo"] = time_stages(photos, 10 * options.rounds)
        result |= run_in_turns(photos, Path(name), options.turns)
        result["loader"] = time_loader(Path(name) / "set1", options.rounds)
    write_result(options.output, result)
    print(options.output.read_text())


if __name__ == "__main__":
    main()
