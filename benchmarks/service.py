"""Images a second of the service with many clients at once, against the library called for one image after another.

    python benchmarks/service.py --clients 50 --images 100 -o benchmarks/results/service.json
    python benchmarks/service.py --soak 10000 -o benchmarks/results/service-soak.json

One process is a loop over the library with its default threads: source, swap and marked file of each pair of photos.
The other is `hififace serve` as people start it, with the numbers that it chooses itself; so many clients send it the
same pairs, each waiting for its own answer. They are measured in turns, and both results say how many cores other
processes of the machine took meanwhile. With --soak N instead, N requests of all kinds are sent, and memory is read
along the way.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from contract import environment, write_result

PORTRAITS = Path(__file__).parent / "portraits"
BOUNDARY = "a-boundary-that-no-photo-holds"
SOAK_READINGS = 40
EQUAL_LEVELS = 0.1
"""Mean difference up to which results count as the same."""
SMALL_SIDE_PX = 160


def pairs() -> Iterator[tuple[bytes, bytes]]:
    """Source and target, people changing with every pair, for ever."""
    people: dict[str, list[bytes]] = {}
    for path in sorted(PORTRAITS.glob("*.jpg")):
        people.setdefault(path.name.partition("_")[0], []).append(path.read_bytes())
    photos = list(people.values())
    for turn in itertools.count():
        for number, person in enumerate(photos):
            other = photos[(number + 1 + turn % (len(photos) - 1)) % len(photos)]
            yield person[turn % len(person)], other[(turn // 2) % len(other)]


def small(photo: bytes) -> bytes:
    """The same as a small JPEG."""
    with Image.open(io.BytesIO(photo)) as opened:
        shown = opened.convert("RGB").resize((SMALL_SIDE_PX, SMALL_SIDE_PX))
    packed = io.BytesIO()
    shown.save(packed, "JPEG", quality=90)
    return packed.getvalue()


class Request(NamedTuple):
    """One request, ready to be sent, and the status that is its right answer."""

    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    status: int


def form(kind: str, path: str, status: int, *parts: tuple[str, bytes]) -> Request:
    """A multipart form; values other than photos are short."""
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        + (b'; filename="x"' if len(value) > 99 else b"")
        + b"\r\n\r\n" + value + b"\r\n"
        for name, value in parts
    )  # fmt: skip
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return Request(kind, "POST", path, headers, body + f"--{BOUNDARY}--\r\n".encode(), status)


def swap_of(source: bytes, target: bytes) -> Request:
    """A swap, as `curl --form` sends it."""
    return form("swap", "/v1/swap", 200, ("source", source), ("target", target), ("consent", b"true"))


@dataclass
class Clients:
    """So many connections that are kept, each in a thread that waits for one answer at a time."""

    place: str
    number: int
    seconds: list[float] = field(default_factory=list)
    others: list[tuple[str, int]] = field(default_factory=list)
    """Answers that were not the right ones: kind, status."""

    def send(self, requests: Iterator[Request]) -> None:
        """Send all of them."""
        lock = threading.Lock()

        def work() -> None:
            address = urlsplit(self.place)
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=3600)
            while True:
                with lock:
                    one = next(requests, None)
                if one is None:
                    connection.close()
                    return
                began = time.perf_counter()
                connection.request(one.method, one.path, one.body, one.headers)
                answer = connection.getresponse()
                answer.read()
                self.seconds.append(time.perf_counter() - began)
                if answer.status != one.status:
                    self.others.append((one.kind, answer.status))

        threads = [threading.Thread(target=work) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def answer_to(place: str, request: Request) -> bytes:
    """The body of one answer."""
    address = urlsplit(place)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=600)
    connection.request(request.method, request.path, request.body, request.headers)
    body = connection.getresponse().read()
    connection.close()
    return body


def mean_difference(one: bytes, other: bytes) -> float:
    """Of two images, in levels; threads round differently."""
    first, second = (
        np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), np.int16) for image in (one, other)
    )
    return float(np.abs(first - second).mean())


def at_once(place: str, clients: int, images: list[tuple[bytes, bytes]]) -> list[float]:
    """Seconds of each request.

    Raises:
        RuntimeError: one was not answered with an image.
    """
    side = Clients(place, clients)
    side.send(swap_of(*pair) for pair in images)
    if side.others:
        raise RuntimeError(f"{len(side.others)} requests failed: {Counter(side.others)}")
    return side.seconds


def loop_of_the_library() -> None:
    """What the other process runs: for every number that it is told, so many pairs; tells the seconds of each.

    First of all it tells its result of the first pair.
    """
    from hififace import FaceSwapper

    swapper, stream = FaceSwapper.load("mini"), pairs()
    source, target = next(pairs())
    swapper.set_source(source)
    first = swapper.swap(target, consent_confirmed=True).to_bytes("JPEG")
    sys.stdout.write(base64.b64encode(first).decode() + "\n")
    for line in sys.stdin:
        seconds = []
        for source, target in itertools.islice(stream, int(line)):
            began = time.perf_counter()
            swapper.set_source(source)
            swapper.swap(target, consent_confirmed=True).to_bytes("JPEG")
            seconds.append(time.perf_counter() - began)
        sys.stdout.write(json.dumps(seconds) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def library() -> Iterator[tuple[Callable[[int], list[float]], int, bytes]]:
    """Swaps so many pairs one after the other, and tells the seconds of each; its process; its first result."""
    command = [sys.executable, __file__, "--alone", "-o", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        talk, answers = running.stdin, running.stdout
        assert talk is not None
        assert answers is not None

        def one_after_another(number: int) -> list[float]:
            talk.write(f"{number}\n")
            talk.flush()
            return list(json.loads(answers.readline()))

        first = base64.b64decode(answers.readline())
        one_after_another(4)  # warm-up
        yield one_after_another, running.pid, first
        talk.close()


@contextlib.contextmanager
def service(folder: Path, *words: object) -> Iterator[tuple[str, int]]:
    """A running service: its address, and its process."""
    folder.mkdir()
    limits = ["--port", 0, "--data", folder, "--requests-per-minute", 1_000_000]
    command = [sys.executable, "-m", "hififace", "serve", *map(str, [*limits, *words])]
    with (
        (folder / "log").open("w") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True) as running,
    ):
        assert running.stdout is not None
        place = running.stdout.readline().split(" at ")[1].split()[0]
        try:
            at_once(place, 2, list(itertools.islice(pairs(), 4)))  # warm-up: the model is opened
            yield place, running.pid
        finally:
            running.terminate()
            running.wait(60)


def busy_s() -> float:
    """Processor time of the whole machine."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def processor_s(process: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(process: int, work: Callable[[], list[float]]) -> dict[str, float]:
    """Images a second of one turn, how long they took, and who had the processor."""
    began, own, all_of_it, clients = time.perf_counter(), processor_s(process), busy_s(), time.process_time()
    seconds = sorted(work())
    spent, own, clients = (
        time.perf_counter() - began,
        processor_s(process) - own,
        time.process_time() - clients,
    )
    return {
        "images_per_s": len(seconds) / spent,
        "p50_s": statistics.median(seconds),
        "p95_s": seconds[min(round(0.95 * len(seconds)), len(seconds) - 1)],
        "processor_s_per_image": own / len(seconds),
        "own_cores": own / spent,
        "client_cores": clients / spent,
        "cores_of_others": max(busy_s() - all_of_it - own - clients, 0.0) / spent,
    }


def load(clients: int, images: int, rounds: int, words: list[object]) -> dict[str, Any]:
    """Both sides in turns."""
    sides: dict[str, list[dict[str, float]]] = {"one after another": [], "at once": [], "one client": []}
    stream = pairs()
    with (
        tempfile.TemporaryDirectory() as data,
        library() as (one_after_another, alone, expected),
        service(Path(data, "all"), *words) as (place, process),
    ):
        difference = mean_difference(expected, answer_to(place, swap_of(*next(pairs()))))
        if difference > EQUAL_LEVELS:
            raise RuntimeError(
                f"The two sides differ by {difference:.2f} levels: they do not do the same work."
            )
        for _ in range(rounds):
            few = max(images // 3, 4)
            sides["one after another"].append(measured(alone, lambda few=few: one_after_another(few)))
            photos = list(itertools.islice(stream, images))
            sides["at once"].append(measured(process, lambda photos=photos: at_once(place, clients, photos)))
            photos = photos[: max(images // 10, 4)]
            sides["one client"].append(measured(process, lambda photos=photos: at_once(place, 1, photos)))
    middle = {
        name: {figure: round(statistics.median(one[figure] for one in found), 4) for figure in found[0]}
        for name, found in sides.items()
    }
    one, all_of_it = (
        [round(turn["images_per_s"], 3) for turn in sides[name]] for name in ("one after another", "at once")
    )
    return {
        "mean_difference_of_the_results_levels": round(difference, 4),
        "sides": middle,
        "images_per_s_of_the_turns": {"one after another": one, "at once": all_of_it},
        "times_as_many_images_at_once": round(statistics.median(all_of_it) / statistics.median(one), 3),
    }


def of_all_kinds() -> Iterator[Request]:
    """Requests for ever: of ten, one swap (a form, or JSON), four looks for faces, three refusals, two lists."""
    blank = io.BytesIO()
    Image.new("RGB", (SMALL_SIDE_PX, SMALL_SIDE_PX), (90, 90, 90)).save(blank, "JPEG")
    json_type = {"Content-Type": "application/json"}
    for number, (source, target) in enumerate((small(one), small(other)) for one, other in pairs()):
        encoded = {
            name: base64.b64encode(photo).decode() for name, photo in (("source", source), ("target", target))
        }
        body = json.dumps({**encoded, "consent": True, "format": "PNG"}).encode()
        headers = {**json_type, "Accept": "application/json"}
        look = json.dumps({"image": encoded["target"]}).encode()
        if number % 2:
            yield Request("swap, JSON", "POST", "/v1/swap", headers, body, 200)
        else:
            yield swap_of(source, target)
        yield form("faces", "/v1/faces", 200, ("image", source))
        yield form("faces", "/v1/faces", 200, ("image", target))
        yield Request("faces, JSON", "POST", "/v1/faces", json_type, look, 200)
        yield form("faces", "/v1/faces", 200, ("image", blank.getvalue()))
        yield form("no consent", "/v1/swap", 422, ("source", source), ("target", target))
        yield form("no face", "/v1/swap", 422, ("source", blank.getvalue()), ("target", target),
                   ("consent", b"true"))  # fmt: skip
        yield form("no image", "/v1/faces", 422, ("image", source[:200]))
        yield Request("models", "GET", "/v1/models", {}, None, 200)
        yield Request("metrics", "GET", "/metrics", {}, None, 200)


def memory_mib(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(number: int, clients: int, words: list[object]) -> dict[str, Any]:
    """Memory over many requests of all kinds."""
    stream, every = of_all_kinds(), max(number // SOAK_READINGS, 1)
    memory, sent, wrong = [], 0, Counter[str]()
    with tempfile.TemporaryDirectory() as data, service(Path(data, "all"), *words) as (place, process):
        began = time.perf_counter()
        while sent < number:
            side = Clients(place, clients)
            side.send(itertools.islice(stream, min(every, number - sent)))
            sent += len(side.seconds)
            wrong.update(f"{kind}: {status}" for kind, status in side.others)
            memory.append(round(memory_mib(process), 1))
            sys.stderr.write(f"{sent} requests, {memory[-1]} MiB\n")
        spent = time.perf_counter() - began
    half = len(memory) // 2
    return {
        "requests": sent,
        "of_twenty": dict(Counter(one.kind for one in itertools.islice(of_all_kinds(), 20))),
        "other_answers_than_expected": dict(wrong),
        "requests_per_s": round(sent / spent, 2),
        "memory_mib": memory,
        "median_of_third_quarter_mib": round(statistics.median(memory[half : half + half // 2]), 1),
        "median_of_last_quarter_mib": round(statistics.median(memory[half + half // 2 :]), 1),
    }


def main() -> None:
    """Measure what is asked for, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="of the service; left out, it chooses")
    parser.add_argument("--threads", type=int, help="likewise")
    parser.add_argument("--batch", type=int, help="likewise")
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    if asked.alone:
        loop_of_the_library()
        return
    known = environment(1)
    words: list[object] = []
    for name in ("workers", "threads", "batch"):
        if getattr(asked, name) is not None:
            words += [f"--{name}", getattr(asked, name)]
    what = {name: value for name, value in vars(asked).items() if name not in {"output", "alone"}}
    if asked.soak:
        found = soak(asked.soak, asked.clients, words)
    else:
        found = load(asked.clients, asked.images, asked.rounds, words)
    result = {"environment": known, "load_after": os.getloadavg()[0], "asked": what, **found}
    write_result(asked.output, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
