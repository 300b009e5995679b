r"""Carry out a Dockerfile in a bare root filesystem, and try what it makes, where no container engine can be started.

    debootstrap --variant=minbase \
        --include=python3,python3-pip,python3-venv,python-is-python3,ca-certificates bookworm /tmp/root
    python tools/try_image.py Dockerfile /tmp/root

As root, on Linux. The filesystem stands for the image of FROM, and is not changed: the steps work on a layer above it,
in a mount namespace of their own, which is gone at the end. Then the image is run as compose.yaml runs it: as its USER,
with a read-only root, no capabilities, one volume, and /tmp in memory: `doctor`, a swap, and the service, which is
asked for its health, swaps an image, and is told to end by SIGTERM.

What this does not show: that the image of FROM has what the filesystem has, the layers' sizes, networks of containers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORT = 18_765


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Word and rest of each."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] not in "# "]
    return [(word, rest) for word, rest in found]


class Image:
    """The steps carried out so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user, self.folder, self.entry = "root", "/", ["sh", "-c"]

    def do(self, word: str, rest: str) -> None:
        """Carry out one instruction."""
        if word == "COPY":
            *names, where = rest.split()
            for name in names:
                target = self.root / where.lstrip("/")
                if (ROOT / name).is_dir():
                    shutil.copytree(
                        ROOT / name, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, target)
        elif word == "RUN":
            self.run(["sh", "-c", rest], check=True)
        elif word == "ENV":
            for pair in rest.split():
                name, _, value = pair.partition("=")
                self.env[name] = value.replace("$PATH", self.env["PATH"])
        elif word == "USER":
            self.user = rest
        elif word == "WORKDIR":
            self.folder = rest
            (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "ENTRYPOINT":
            self.entry = json.loads(rest)

    def command(self, words: list[str], *, confined: bool = False) -> list[str]:
        """What runs words in the image; confined: as compose.yaml does."""
        enter = ["chroot", f"--userspec={self.user}:{self.user}", str(self.root)]
        inside = ["env", "-i", "-C", self.folder, *(f"{k}={v}" for k, v in self.env.items()), *words]
        if confined:
            enter = ["setpriv", "--no-new-privs", "--bounding-set=-all,+setuid,+setgid,+sys_chroot", *enter]
        return [*enter, *inside]

    def run(self, words: list[str], *, confined: bool = False, check: bool = False) -> str:
        """Run, and give what it prints."""
        done = subprocess.run(
            self.command(words, confined=confined), check=False, stdout=subprocess.PIPE, text=True
        )
        if check and done.returncode:
            sys.exit(f"{' '.join(words)[:200]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout


def build(dockerfile: Path, below: Path) -> Image:
    """Every step, on a layer above the filesystem."""
    layer = Path(tempfile.mkdtemp(prefix="image"))
    mount("-t", "tmpfs", "-o", "size=6g", "layer", layer)
    for name in ("upper", "work", "root"):
        (layer / name).mkdir()
    options = f"lowerdir={below},upperdir={layer / 'upper'},workdir={layer / 'work'}"
    mount("-t", "overlay", "-o", options, "image", layer / "root")
    image = Image(layer / "root")
    mount("-t", "proc", "proc", image.root / "proc")
    mount("--rbind", "/dev", image.root / "dev")
    for file in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copy2(file, image.root / file.lstrip("/"))
    for name in ("PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE"):
        value = os.environ.get(name, "")
        if value.startswith("/"):  # certificates of this machine's network
            inside = image.root / "tmp" / Path(value).name
            shutil.copy2(value, inside)
            image.env[name] = f"/tmp/{inside.name}"
        elif value:
            image.env[name] = value
    if (image.root / "usr/lib/python3.11/EXTERNALLY-MANAGED").exists():
        image.env["PIP_BREAK_SYSTEM_PACKAGES"] = "1"  # the image of FROM has a Python of its own
    for number, (word, rest) in enumerate(instructions(dockerfile), start=1):
        print(f"step {number}: {word} {' '.join(rest.split())[:110]}", flush=True)
        image.do(word, rest)
    return image


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def try_it(image: Image) -> None:
    """As compose.yaml runs it."""
    examples = image.root / "work"
    for name in ("officer.jpg", "astronaut.jpg"):
        shutil.copy2(ROOT / "examples" / name, examples)
    volume = image.root / "var/lib/hififace"
    mount("-t", "tmpfs", "-o", "mode=1777", "volume", volume)
    mount("-t", "tmpfs", "-o", "mode=1777", "tmp", image.root / "tmp")
    mount("-o", "remount,ro", image.root)
    image.env["TMPDIR"] = "/var/lib/hififace"
    hififace = image.entry
    who = image.run(["sh", "-c", "id -u; touch /srv/x 2>&1 || echo read-only"], confined=True).split()
    print("runs as user", who[0], "| root:", who[-1])
    assert who[0] != "0"
    assert who[-1] == "read-only"
    told = image.run(["sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status"], confined=True)
    print(" ".join(told.split()))
    assert "CapEff: 0000000000000000" in " ".join(told.split())
    print(image.run([*hififace, "doctor"], confined=True, check=True))
    out = "/var/lib/hififace/out.jpg"
    print(
        image.run([*hififace, "swap", "officer.jpg", "astronaut.jpg", "-o", out], confined=True, check=True)
    )
    words = ["serve", "--port", str(PORT), "--data", "/var/lib/hififace/service"]
    with subprocess.Popen(
        image.command([*hififace, *words], confined=True), stdout=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        print(service.stdout.readline().decode().strip())
        wait_ready()
        answer = post_swap()
        print("POST /v1/swap:", answer, "bytes")
        service.send_signal(signal.SIGTERM)
        print("SIGTERM: ended with", service.wait(60))
        assert service.returncode == 143  # what `docker stop` is told: ended by SIGTERM, in good order


def wait_ready() -> None:
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
                print("readyz:", answer.status)
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def post_swap() -> int:
    """A swap by JSON; the bytes of the result."""
    import base64

    photos = {
        name: base64.b64encode((ROOT / "examples" / file).read_bytes()).decode()
        for name, file in (("source", "officer.jpg"), ("target", "astronaut.jpg"))
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/v1/swap",
        json.dumps({**photos, "consent": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert answer.headers["content-type"] == "image/jpeg"
        return len(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("root", type=Path, help="a bare root filesystem with Python")
    asked = parser.parse_args()
    if os.environ.get("TRY_IMAGE_INSIDE") != "yes":  # again, where mounts are ours alone
        os.environ["TRY_IMAGE_INSIDE"] = "yes"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    try_it(build(asked.dockerfile, asked.root.resolve()))
    print("all steps were carried out, and the image does its work")


if __name__ == "__main__":
    main()
