"""Routes about jobs: videos and lists of images, worked on whether or not anybody waits; seen by their owner alone."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from hififace.hosting.disk import disk_use
from hififace.provenance.content_credentials import MIME_TYPES
from hififace.server import schemas
from hififace.server.bodies import field_problem, read_form
from hififace.server.openapi import BODIES
from hififace.server.problems import ProblemError
from hififace.server.schemas import JobAsked
from hififace.server.service import Service
from hififace.server.store import Job
from hififace.server.uploads import store_files

_POLL_S: Final = 0.25
_SPARE_BYTES: Final = 200_000_000
"""Left free on the disk, for what else runs on this machine."""

_EVENT: Final = {
    "type": "object",
    "description": "One server-sent event; `data` is a job as JSON, of `removed` its id alone.",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "done", "failed", "removed"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}

_KINDS: Final = {**MIME_TYPES, ".mkv": "video/x-matroska", ".webm": "video/webm", ".zip": "application/zip"}


class JobRoutes:
    """The routes, with the service behind them."""

    def __init__(self, service: Service) -> None:
        self._service, self._store, self._limits = service, service.store, service.options.limits

    def add_to(self, app: FastAPI) -> None:
        """Offer them."""
        binary = {"schema": {"type": "string", "format": "binary"}}
        path = "/v1/jobs/{job_id}"
        app.post("/v1/jobs", tags=["jobs"], status_code=202, openapi_extra=BODIES["job"])(self.add)
        app.get("/v1/jobs", tags=["jobs"])(self.jobs)
        app.get(path, tags=["jobs"])(self.job)
        app.delete(path, tags=["jobs"], status_code=204, response_class=Response)(self.remove)
        app.get(
            f"{path}/result",
            tags=["jobs"],
            response_class=FileResponse,
            responses={200: {"content": {"*/*": binary}}},
        )(self.result)
        app.get(
            f"{path}/events",
            tags=["jobs"],
            response_class=StreamingResponse,
            responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
        )(self.events)

    async def add(self, request: Request, response: Response) -> schemas.JobAnswer:
        """Hand in a video, or images, and a person to put into them; the work goes on whether or not anybody waits."""
        limits = self._limits
        await run_in_threadpool(_check_disk, self._service, request)
        form = await read_form(request, limits.photos + limits.targets)
        form.refuse_others(("source", "target"))
        sources, targets = form.of("source", limits.photos), form.of("target", limits.targets)
        if any((one.size or 0) > limits.upload_mb * 1e6 for one in sources):
            told = f"photos of up to {limits.upload_mb:g} MB are taken; make it smaller"
            raise field_problem("source", told, 413)
        asked = JobAsked.model_validate(form.values)
        asked.swap_options()
        asked.video_options()
        await run_in_threadpool(self._service.bundles.swapper, asked.model or self._service.options.model)

        def take_in() -> Job:
            with self._store.incoming() as (job_id, place):
                kind = store_files(place, [s.file for s in sources], [t.file for t in targets], limits)
                said, owner = asked.model_dump(mode="json"), owner_of(request)
                if kind == "video" and said["compare"]:
                    raise field_problem("compare", "a video is not written side by side with its target")
                return self._store.add(job_id, place, owner, kind, said, most=limits.jobs_per_key)

        job = await run_in_threadpool(take_in)
        if self._service.workers is not None:
            self._service.workers.wake()
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return self._told(job)

    def jobs(self, request: Request) -> schemas.JobsAnswer:
        """Your jobs, oldest first."""
        return schemas.JobsAnswer(jobs=[self._told(job) for job in self._store.of(owner_of(request))])

    def job(self, job_id: str, request: Request) -> schemas.JobAnswer:
        """How far a job is."""
        return self._told(self._found(job_id, request))

    def remove(self, job_id: str, request: Request) -> None:
        """Cancel a job, and remove its files."""
        self._found(job_id, request)
        self._store.remove(job_id, owner_of(request))

    def result(self, job_id: str, request: Request) -> FileResponse:
        """The marked video, or a ZIP of the marked images."""
        job = self._found(job_id, request)
        if job.state != "done" or job.result is None:
            raise ProblemError(409, f"The job has no result: {job.problem or f'it is {job.state}.'}")
        path = self._store.folder(job.id) / job.result
        kind = _KINDS.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=kind, filename=f"result{path.suffix}")

    async def events(self, job_id: str, request: Request) -> StreamingResponse:
        """Server-sent events: `progress` whenever something changed, and `done`, `failed` or `removed` at the end."""
        self._found(job_id, request)
        return StreamingResponse(self._stream(job_id, owner_of(request)), media_type="text/event-stream")

    async def _stream(self, job_id: str, owner: str) -> AsyncIterator[str]:
        last, silent = "", 0
        while not self._service.stopping.is_set():
            job = self._store.find(job_id, owner)
            if job is None:
                yield f"event: removed\ndata: {json.dumps({'id': job_id})}\n\n"
                return
            said = self._told(job).model_dump_json()
            if job.over is not None:
                yield f"event: {job.state}\ndata: {said}\n\n"
                return
            silent += 1
            if said != last:
                last, silent = said, 0
                yield f"event: progress\ndata: {said}\n\n"
            elif silent >= 15 / _POLL_S:  # proxies end connections on which nothing comes
                silent = 0
                yield ": still there\n\n"
            await asyncio.sleep(_POLL_S)

    def _found(self, job_id: str, request: Request) -> Job:
        job = self._store.find(job_id, owner_of(request))
        if job is None:
            raise ProblemError(404, "There is no such job of yours; finished ones are kept for a while only.")
        return job

    def _told(self, job: Job) -> schemas.JobAnswer:
        return schemas.JobAnswer.model_validate(
            {
                "id": job.id,
                "kind": job.kind,
                "state": job.state,
                "done": job.done,
                "expected": job.expected,
                "per_second": job.per_second,
                "created": _moment(job.created),
                "kept_until": None
                if job.over is None
                else _moment(job.over + self._limits.keep_minutes * 60),
                "problem": job.problem,
                "result": f"/v1/jobs/{job.id}/result" if job.state == "done" else None,
                "report": job.report,
            }
        )


def owner_of(request: Request) -> str:
    """Whose request it is: the name of its key."""
    return str(request.scope["state"]["owner"])


def _check_disk(service: Service, request: Request) -> None:
    """Refuse a job that there is no room for.

    Raises:
        ProblemError: there is none.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced else service.options.limits.job_body_bytes
    used = disk_use(service.options.data)
    free = shutil.disk_usage(service.options.data).free
    # The upload, its copy in the job's folder, unfinished work and the result.
    if used + size > service.options.limits.disk_mb * 1e6 or free < 4 * size + _SPARE_BYTES:
        raise ProblemError(507, "There is no room for this job on the disk of this service. Try again later.")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
