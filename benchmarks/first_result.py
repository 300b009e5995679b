"""How long a visitor of the page waits for the page, and for a result; against another commit.

    python benchmarks/first_result.py --against CHECKOUT [--rounds 3] [--output FILE]

CHECKOUT is a worktree of the other commit. Each round starts both pages anew, one after the other, and gives both the
same photos: a source, and a target of 640 px, then one of 12 megapixels. Needs Chromium, and `pip install playwright`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

WAIT_MS = int(os.environ.get("BROWSER_WAIT_MS", "60000"))
ROOT = Path(__file__).resolve().parents[1]
SHOWN = """() => [...document.querySelectorAll("#result img")].filter((one) => one.complete && one.naturalWidth).length
  >= 2 && !document.querySelector("#result [data-kind=preview], #result [data-kind=target]")"""
"""The result, and the target beneath it, are decoded: of pages before and after 0.2."""


def one_visit(place: Path) -> dict[str, float]:
    """Seconds of each wait, in the page of the `hififace` that is on the path."""
    from playwright.sync_api import sync_playwright

    from hififace.app.launch import ServeOptions, serve

    chromium = os.environ.get("CHROMIUM", "chromium")
    began = time.perf_counter()
    served = serve(ServeOptions(), folder=place)
    waits = {"server starts": time.perf_counter() - began}

    def timed(name: str, wait: Any) -> None:
        started = time.perf_counter()
        wait()
        waits[name] = time.perf_counter() - started

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(chromium), args=["--no-sandbox", "--disable-gpu"]
        )
        for photo, size in (("small.jpg", "640 px"), ("large.jpg", "12 megapixels")):
            page = browser.new_page(viewport={"width": 1320, "height": 900})
            page.set_default_timeout(WAIT_MS)

            def opens(page: Any = page) -> None:
                page.goto(served.url)
                page.wait_for_selector("body[data-ready] #swap-button")

            def give(box: str, name: str, seen: str, page: Any = page) -> None:
                page.set_input_files(f"#{box} input[type=file]", str(place / name))
                page.wait_for_selector(seen)

            def swap(page: Any = page) -> None:
                page.click("#swap-button:not([disabled])")
                page.wait_for_function(SHOWN)

            timed(f"{size}: page opens", opens)
            timed(
                f"{size}: source is read",
                lambda give=give: give("source-photo", "source.jpg", "#source-faces .hf-face"),
            )
            timed(
                f"{size}: target is read",
                lambda give=give, photo=photo: give("target-photo", photo, "#who:has-text('source.jpg')"),
            )
            page.locator("#consent input").check()
            page.wait_for_timeout(1500)  # the visitor looks
            timed(f"{size}: result", swap)
            waits[f"{size}: all of it"] = sum(
                spent for name, spent in waits.items() if name.startswith(f"{size}: ") and "all" not in name
            )
            page.close()
        browser.close()
    served.stop()
    return waits


def main() -> None:
    """Measure both sides in turns, and say it."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--against", type=Path)
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--output", type=Path, default=None)
    reader.add_argument("--visit", type=Path, help=argparse.SUPPRESS)
    asked = reader.parse_args()
    if asked.visit:
        print(json.dumps(one_visit(asked.visit)))
        return
    examples = ROOT / "src" / "hififace" / "app" / "examples"
    sides: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    for _ in range(asked.rounds):
        for side, checkout in (("before", asked.against), ("now", ROOT)):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                Image.open(examples / "portrait-124.jpg").save(place / "source.jpg", quality=95)
                Image.open(examples / "portrait-001.jpg").save(place / "small.jpg", quality=95)
                with Image.open(examples / "portrait-128.jpg") as photo:
                    photo.resize((3464, 3464)).save(place / "large.jpg", quality=92)
                done = subprocess.run(
                    [sys.executable, __file__, "--visit", folder],
                    env={**os.environ, "PYTHONPATH": str(Path(checkout).resolve() / "src")},
                    capture_output=True,
                    text=True,
                    check=False,
                )
            if done.returncode:
                sys.exit(done.stderr)
            sides[side].append(json.loads(done.stdout.splitlines()[-1]))
    told = {
        "question": (__doc__ or "").splitlines()[0],
        "cores": os.cpu_count(),
        "load_after": round(os.getloadavg()[0], 1),
        "rounds": asked.rounds,
        "median_s": {
            side: {name: round(statistics.median(one[name] for one in visits), 2) for name in visits[0]}
            for side, visits in sides.items()
        },
    }
    print(json.dumps(told, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
