"""How many frames of a camera the page shows per second in a browser on the same machine.

    python benchmarks/live_browser.py [--seconds 20] [--threads N] [--model mini] [--result FILE]

Chromium's pretended camera shows the moving portrait that the page offers, at 640 x 480 and 30 frames per second.
Browser, server and generator share the machine's cores; of both the processor time of a shown frame is told.
Needs Chromium, and `pip install playwright`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from tests.support.browser import chromium_browser, give, opened, with_camera
from tests.support.pages import EXAMPLES

from hififace.app.launch import ServeOptions, serve

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def busy_s(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def browsers() -> list[int]:
    """Processes that this one started, and those that they started."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(place.parent.name))
    found, new = [], [os.getpid()]
    while new:
        new = [child for parent in new for child in parents.get(parent, [])]
        found += new
    return found


def main() -> None:
    """Measure, and say it."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--seconds", type=float, default=20.0)
    reader.add_argument("--threads", type=int, default=None)
    reader.add_argument("--model", default="mini")
    reader.add_argument("--result", type=Path, default=None)
    asked = reader.parse_args()
    with tempfile.TemporaryDirectory() as place:
        served = serve(ServeOptions(threads=asked.threads), folder=Path(place))
        with chromium_browser() as chromium:
            sees = with_camera(chromium, Path(place) / "live.mjpeg")
            with opened(sees, served, permissions=["camera"]) as page:
                page.get_by_role("tab", name="Live").click()
                give(page, "source-photo", EXAMPLES / "portrait-124.jpg")
                page.wait_for_selector("#live-button:not([disabled])")
                page.locator("#consent input").check()
                page.click("#live-button")
                page.wait_for_selector("#camera[data-swapped=true], #camera [data-swapped=true]")
                time.sleep(3)
                data = (
                    "() => ({ ...document.querySelector('#camera[data-rate], #camera [data-rate]').dataset })"
                )
                page.wait_for_selector("#camera[data-rate], #camera [data-rate]")
                own, others = busy_s(os.getpid()), {pid: busy_s(pid) for pid in browsers()}
                first, began, rates, delays = page.evaluate(data), time.perf_counter(), [], []
                while time.perf_counter() - began < asked.seconds:
                    time.sleep(0.5)
                    now = page.evaluate(data)
                    rates.append(float(now["rate"]))
                    delays.append(float(now["delay"]))
                seconds = time.perf_counter() - began
                own = busy_s(os.getpid()) - own
                browser = sum(
                    busy_s(pid) - before for pid, before in others.items() if Path(f"/proc/{pid}").exists()
                )
            sees.close()
        served.stop()
    rate = sum(rates) / len(rates)
    told = {
        "frames_per_s": round(rate, 1),
        "lowest": min(rates),
        "delay_ms": round(sum(delays) / len(delays)),
        "server_ms_of_a_frame": round(1e3 * own / seconds / rate, 1),
        "browser_ms_of_a_frame": round(1e3 * browser / seconds / rate, 1),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
    }
    if "spent" in now:
        before, after = (json.loads(one["spent"]) for one in (first, now))
        count = after.pop("count") - before.pop("count")
        told["frames_per_s"] = round(count / seconds, 1)
        told["ms"] = {name: round((after[name] - before[name]) / count, 1) for name in after}
    print(json.dumps(told))
    if asked.result:
        asked.result.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
