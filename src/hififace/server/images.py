"""Routes about images: swapped or looked at while the caller waits; nothing of them is kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from hififace.provenance.content_credentials import MIME_TYPES
from hififace.server import schemas
from hififace.server.bodies import read_faces, read_swap
from hififace.server.line import SwapWork, read_photo
from hififace.server.openapi import BODIES
from hififace.server.problems import ProblemError
from hififace.server.service import Service
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper


class ImageRoutes:
    """The routes, with the service behind them."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits = service, service.options.limits

    def add_to(self, app: FastAPI) -> None:
        """Offer them."""
        binary = {"schema": {"type": "string", "format": "binary"}}
        app.post(
            "/v1/swap",
            tags=["images"],
            response_model=schemas.SwapAnswer,
            responses={200: {"content": {"image/*": binary}}},
            openapi_extra=BODIES["swap"],
        )(self.swap)
        app.post("/v1/faces", tags=["images"], openapi_extra=BODIES["faces"])(self.faces)
        app.get("/v1/models", tags=["images"])(self.models)

    async def swap(self, request: Request) -> Any:
        """Put a person's face into an image. Answers with the marked file; for `Accept: application/json` with JSON."""
        sources, target, asked = await read_swap(request, self._limits)
        await self.model(asked.model)  # one that cannot be used is said before it waits
        work = SwapWork(
            model=asked.model or self._service.options.model,
            sources=sources,
            source_face=asked.source_face,
            target=target,
            options=asked.swap_options(),
            output_options=asked.output_options(),
            format=None if asked.format == "same" else asked.format,
            quality=asked.quality,
            megapixels=self._limits.megapixels,
        )
        finished = await _unless_gone(request, self._service.line.swap(work))
        media_type = MIME_TYPES.get(finished.format, "image/png")
        if "application/json" in request.headers.get("accept", ""):
            image = base64.b64encode(finished.data).decode()
            return {"image": image, "media_type": media_type, "report": finished.report}
        told = {
            "X-Faces-Swapped": str(finished.report["num_swapped"]),
            "X-Faces": str(len(finished.report["faces"])),
        }
        return Response(finished.data, media_type=media_type, headers=told)

    async def faces(self, request: Request) -> schemas.FacesAnswer:
        """Find the faces of an image, left to right."""
        data, name, rotated = await read_faces(request, self._limits)
        return await run_in_threadpool(self._look, data, await self.model(name), rotated)

    async def models(self) -> schemas.ModelsAnswer:
        """The models on offer, with their licences."""
        bundles, default = self._service.bundles, self._service.options.model
        answers = []
        for name in bundles.names:
            offer = bundles.offers[name]
            answer = schemas.ModelAnswer(
                name=name,
                usable=offer.bundle is not None,
                problem=offer.problem or None,
                default=name == default,
            )
            if offer.bundle is not None:
                answer.version, answer.resolution = offer.bundle.version, offer.bundle.resolution
                answer.licence, answer.training_data = offer.bundle.licence, offer.bundle.training_data
            answers.append(answer)
        return schemas.ModelsAnswer(models=answers)

    async def model(self, name: str | None) -> FaceSwapper:
        """The opened model, or the default one."""
        return await run_in_threadpool(self._service.bundles.swapper, name or self._service.options.model)

    def _look(self, data: bytes, swapper: FaceSwapper, rotated: bool) -> schemas.FacesAnswer:
        image = read_photo(data, "image", self._limits.megapixels).pixels
        return schemas.FacesAnswer(
            width=image.shape[1],
            height=image.shape[0],
            faces=[
                schemas.FaceAnswer(
                    index=face.index,
                    box=[round(float(v), 2) for v in face.detection.box],
                    score=round(face.detection.score, 4),
                    points=[[round(float(v), 2) for v in point] for point in face.detection.points],
                    size_px=round(face.detection.size_px, 2),
                )
                for face in swapper.find_faces(image, SwapOptions(rotated=rotated))
            ],
        )


async def _unless_gone(request: Request, waiting: Awaitable[Any]) -> Any:
    """Wait for a result; where the caller goes away meanwhile, it is taken out of the line."""
    task = asyncio.ensure_future(waiting)
    try:
        while not task.done():
            done, _ = await asyncio.wait({task}, timeout=1.0)
            if not done and await request.is_disconnected():
                raise ProblemError(499, "The caller went away.")
        return task.result()
    finally:
        task.cancel()
