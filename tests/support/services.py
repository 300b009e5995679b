"""A running service for tests: a real uvicorn on loopback, in a thread or as a process that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from hififace.server.routes import create_app
from hififace.server.service import Service
from hififace.server.settings import ServiceOptions, server_settings

WAIT_S = 600.0


@contextmanager
def running(bundle: Path, data: Path, **changes: Any) -> Iterator[httpx.Client]:
    """A client of a service with one bundle; `client.service` is its inside."""
    given = {"data": data, "bundles": (bundle,), "model": "double", "threads": 1, "port": 0, **changes}
    service = Service(ServiceOptions(**given))
    server = uvicorn.Server(uvicorn.Config(create_app(service), **server_settings(service.options)))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    waited = time.monotonic()
    while not server.started:
        assert time.monotonic() - waited < WAIT_S
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S, trust_env=False) as client:
        client.service = service  # type: ignore[attr-defined]
        yield client
    service.stopping.set()
    server.should_exit = True
    thread.join(WAIT_S)
    assert not thread.is_alive()


@contextmanager
def process(*words: object, home: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`hififace serve` with these options, as people start it; what is left of it at the end is killed."""
    home.mkdir(exist_ok=True)
    log = home / "log"  # no pipe: nobody reads it, and a full one would stop the service
    with log.open("a") as lines:
        started = subprocess.Popen(
            [sys.executable, "-m", "hififace", "serve", "--port", "0", *map(str, words)],
            env={**os.environ, "HIFIFACE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
        )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert "the service is at" in line, log.read_text()
        place = line.split(" at ")[1].split()[0]
        with httpx.Client(base_url=place, timeout=WAIT_S, trust_env=False) as client:
            yield started, client
    finally:
        started.kill()
        started.communicate()


def finished(client: httpx.Client, job: str) -> dict[str, Any]:
    """The job when it has come to an end."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_S:
        told = client.get(f"/v1/jobs/{job}").json()
        if told["state"] in {"done", "failed"}:
            return dict(told)
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {told}")
