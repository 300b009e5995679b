"""Real Ray nodes on this machine for tests: `ray start --head`, and others that join it and can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hififace

WAIT_S = 300.0


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class RayNodes:
    """A head and whoever joined it.

    Attributes:
        env: of commands that shall use the cluster.
    """

    def __init__(self, home: Path, *, head_cores: int) -> None:
        # Unix sockets have short names only.
        self._place = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._address = f"127.0.0.1:{free_port()}"
        sources = str(Path(hififace.__file__).parents[1])
        self.env = {
            **os.environ,
            "RAY_ADDRESS": self._address,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            # A busy machine takes longer to start one than the half minute that Ray gives.
            "RAY_raylet_start_wait_time_s": "240",
            "HIFIFACE_HOME": str(home),
            "PYTHONPATH": os.pathsep.join([sources, os.environ.get("PYTHONPATH", "")]),
        }
        self._nodes: list[subprocess.Popen[bytes]] = []
        port = self._address.partition(":")[2]
        self._start(head_cores, "--head", f"--port={port}", "--include-dashboard=false",
                    f"--temp-dir={self._place}")  # fmt: skip

    def join(self, cores: int, *words: str) -> int:
        """Another node; its number."""
        self._start(cores, f"--address={self._address}", *words)
        return len(self._nodes) - 1

    def _start(self, cores: int, *words: str) -> None:
        log = self._place / f"node-{len(self._nodes)}.log"
        env = {name: value for name, value in self.env.items() if name != "RAY_ADDRESS"}
        with log.open("wb") as lines:
            self._nodes.append(
                subprocess.Popen(
                    [
                        Path(sys.executable).with_name("ray"),
                        "start",
                        "--block",
                        "--node-ip-address=127.0.0.1",
                        f"--num-cpus={cores}",
                        "--object-store-memory=100000000",
                        "--disable-usage-stats",
                        *words,
                    ],
                    env=env,
                    stdout=lines,
                    stderr=subprocess.STDOUT,
                    preexec_fn=os.setpgrp,  # to be killed with all that it starts
                )
            )
        until = time.monotonic() + WAIT_S
        while "Ray runtime started." not in log.read_text(errors="replace"):
            assert self._nodes[-1].poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)

    def kill(self, number: int) -> None:
        """As a machine that loses its power: all of it, at once, without a word."""
        os.killpg(self._nodes[number].pid, signal.SIGKILL)
        self._nodes[number].wait()

    def close(self) -> None:
        """End what is left."""
        for number, node in enumerate(self._nodes):
            if node.poll() is None:
                self.kill(number)
        shutil.rmtree(self._place, ignore_errors=True)


@contextmanager
def ray_nodes(home: Path, *, head_cores: int = 1) -> Iterator[RayNodes]:
    """A cluster of one head; nothing is left of it at the end."""
    home.mkdir(exist_ok=True)
    nodes = RayNodes(home, head_cores=head_cores)
    try:
        yield nodes
    finally:
        nodes.close()
