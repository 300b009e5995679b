"""A client of the service (`hififace serve`): thin, typed, with a connection that is kept.

with Client("http://127.0.0.1:8000", key="hf_...") as client:
    swapped = client.swap("me.jpg", "holiday.jpg", consent=True, select="largest")
    Path("out.jpg").write_bytes(swapped.data)
    job = client.submit("me.jpg", ["video.mp4"], consent=True)
    client.wait(job.id)
    client.download(job.id, "out.mp4")

`AsyncClient` has the same methods, to be awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from hififace.errors import HififaceError, OptionError, RuntimeUnavailableError
from hififace.media.atomic import atomic_path

try:
    import httpx
except ImportError as error:  # pragma: no cover
    raise RuntimeUnavailableError(
        "The client needs httpx, which is not installed. Run: pip install '.[client]'"
    ) from error

Photo: TypeAlias = str | os.PathLike[str] | bytes
"""The path or the bytes of an image or video file."""

_OVER = frozenset({"done", "failed"})


class ServiceError(HififaceError):
    """The service refused a request; the message is its own.

    Attributes:
        status: of HTTP.
        fields: field -> what is wrong with it.
        request_id: under which the service's log has it.
    """

    def __init__(self, answer: httpx.Response) -> None:
        try:
            told = answer.json()
        except ValueError:
            told = {}
        told = told if isinstance(told, dict) else {}
        super().__init__(str(told.get("detail") or f"The service answered {answer.status_code}."))
        self.status = answer.status_code
        self.fields = {str(one["field"]): str(one["message"]) for one in told.get("errors", [])}
        self.request_id = answer.headers.get("x-request-id", "")


@dataclass(frozen=True, slots=True)
class SwappedImage:
    """A result: a marked file."""

    data: bytes = field(repr=False)
    media_type: str
    num_swapped: int
    num_faces: int


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """The state of a job when it was asked for."""

    id: str
    kind: str
    state: str
    """`waiting`, `working`, `done` or `failed`."""
    done: int
    """Frames or images finished."""
    expected: int | None
    problem: str | None
    report: dict[str, Any] | None = field(repr=False)

    @classmethod
    def _of(cls, told: dict[str, Any]) -> RemoteJob:
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})


def _form(
    files: dict[str, Photo | Sequence[Photo]], options: dict[str, Any], stack: contextlib.ExitStack
) -> dict[str, Any]:
    """The body of a request; file names are not sent."""
    sent: list[tuple[str, tuple[str, Any]]] = []
    for name, given in files.items():
        for photo in [given] if isinstance(given, (str, os.PathLike, bytes)) else given:
            try:
                content: Any = photo
                if not isinstance(photo, bytes):
                    content = stack.enter_context(Path(photo).open("rb"))  # noqa: SIM115  # the stack closes it
            except OSError as error:
                raise OptionError(f"{name}: {photo!s} cannot be read: {error.strerror or error}.") from error
            sent.append((name, ("file", content)))
    return {"files": sent, "data": {name: json.dumps(value) for name, value in options.items()}}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise ServiceError(answer)
    return answer


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _image(answer: httpx.Response) -> SwappedImage:
    headers = _checked(answer).headers
    return SwappedImage(
        answer.content, headers["content-type"], int(headers["x-faces-swapped"]), int(headers["x-faces"])
    )


class Client:
    """A connection to a service.

    Args:
        url: of the service.
        key: an API key, where it asks for one.
        timeout_s: for one request; an image that waits in the line counts.

    Raises:
        ServiceError: by every method: the service refused.
        httpx.TransportError: by every method: it could not be reached.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def swap(
        self, source: Photo | Sequence[Photo], target: Photo, *, consent: bool, **options: Any
    ) -> SwappedImage:
        """Swap a source face into an image.

        Args:
            source: a photo of the person, or several.
            target: the image.
            consent: True says that the people shown agreed; nothing else is taken, and it goes into the mark.
            options: as in the service's description, such as `select="largest"` or `format="PNG"`.
        """
        with contextlib.ExitStack() as stack:
            body = _form({"source": source, "target": [target]}, {"consent": consent, **options}, stack)
            return _image(self._http.post("/v1/swap", **body))

    def faces(self, image: Photo, **options: Any) -> list[dict[str, Any]]:
        """The faces of an image, left to right: `box`, `points`, `score`, ..."""
        with contextlib.ExitStack() as stack:
            body = _form({"image": [image]}, options, stack)
            return list(_checked(self._http.post("/v1/faces", **body)).json()["faces"])

    def models(self) -> list[dict[str, Any]]:
        """The models on offer."""
        return list(_checked(self._http.get("/v1/models")).json()["models"])

    def submit(
        self, source: Photo | Sequence[Photo], targets: Sequence[Photo], *, consent: bool, **options: Any
    ) -> RemoteJob:
        """Submit a video or images as a job; arguments as for `swap`."""
        with contextlib.ExitStack() as stack:
            body = _form({"source": source, "target": targets}, {"consent": consent, **options}, stack)
            return RemoteJob._of(_checked(self._http.post("/v1/jobs", **body)).json())

    def job(self, job_id: str) -> RemoteJob:
        """State and progress of a job."""
        return RemoteJob._of(_checked(self._http.get(f"/v1/jobs/{job_id}")).json())

    def jobs(self) -> list[RemoteJob]:
        """Your jobs, oldest first."""
        return [RemoteJob._of(one) for one in _checked(self._http.get("/v1/jobs")).json()["jobs"]]

    def wait(self, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.5) -> RemoteJob:
        """Wait until a job has ended.

        Raises:
            ServiceError: there is no such job.
            HififaceError: it failed, with its sentence; or it is not over in time.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while (job := self.job(job_id)).state not in _OVER:
            if until is not None and time.monotonic() > until:
                raise HififaceError(
                    f"The job {job_id} has not ended after {timeout_s:g} seconds; it still runs."
                )
            time.sleep(poll_s)
        return _done(job)

    def download(self, job_id: str, path: str | os.PathLike[str]) -> Path:
        """Download a job's result to a file, atomically."""
        with self._http.stream("GET", f"/v1/jobs/{job_id}/result") as answer:
            if answer.is_error:
                answer.read()
            _write(_checked(answer).iter_bytes(), path)
        return Path(path)

    def remove(self, job_id: str) -> None:
        """Cancel a job and delete its files."""
        _checked(self._http.delete(f"/v1/jobs/{job_id}"))


class AsyncClient:
    """The same for asyncio; see `Client` for what each method does."""

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout_s)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def swap(
        self, source: Photo | Sequence[Photo], target: Photo, *, consent: bool, **options: Any
    ) -> SwappedImage:
        """As `Client.swap`."""
        with contextlib.ExitStack() as stack:
            body = _form({"source": source, "target": [target]}, {"consent": consent, **options}, stack)
            return _image(await self._http.post("/v1/swap", **body))

    async def faces(self, image: Photo, **options: Any) -> list[dict[str, Any]]:
        """As `Client.faces`."""
        with contextlib.ExitStack() as stack:
            body = _form({"image": [image]}, options, stack)
            return list(_checked(await self._http.post("/v1/faces", **body)).json()["faces"])

    async def models(self) -> list[dict[str, Any]]:
        """As `Client.models`."""
        return list(_checked(await self._http.get("/v1/models")).json()["models"])

    async def submit(
        self, source: Photo | Sequence[Photo], targets: Sequence[Photo], *, consent: bool, **options: Any
    ) -> RemoteJob:
        """As `Client.submit`."""
        with contextlib.ExitStack() as stack:
            body = _form({"source": source, "target": targets}, {"consent": consent, **options}, stack)
            return RemoteJob._of(_checked(await self._http.post("/v1/jobs", **body)).json())

    async def job(self, job_id: str) -> RemoteJob:
        """As `Client.job`."""
        return RemoteJob._of(_checked(await self._http.get(f"/v1/jobs/{job_id}")).json())

    async def wait(self, job_id: str, *, poll_s: float = 0.5) -> RemoteJob:
        """As `Client.wait`; `asyncio.timeout` says how long."""
        while (job := await self.job(job_id)).state not in _OVER:
            await asyncio.sleep(poll_s)
        return _done(job)

    async def download(self, job_id: str, path: str | os.PathLike[str]) -> Path:
        """As `Client.download`."""
        async with self._http.stream("GET", f"/v1/jobs/{job_id}/result") as answer:
            if answer.is_error:
                await answer.aread()
            _checked(answer)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                async for piece in answer.aiter_bytes():
                    file.write(piece)
        return Path(path)

    async def remove(self, job_id: str) -> None:
        """As `Client.remove`."""
        _checked(await self._http.delete(f"/v1/jobs/{job_id}"))


def _done(job: RemoteJob) -> RemoteJob:
    if job.state == "failed":
        raise HififaceError(job.problem or "The job failed.")
    return job


def _write(pieces: Iterator[bytes], path: str | os.PathLike[str]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for piece in pieces:
            file.write(piece)
