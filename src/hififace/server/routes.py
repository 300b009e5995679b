"""The application: the routes of version 1, what operators look at, and the door before them.

service = Service(options)
app = create_app(service)       # an ASGI application; uvicorn serves it
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from hififace import __version__
from hififace.server import schemas
from hififace.server.door import Door
from hififace.server.images import ImageRoutes
from hififace.server.jobs import JobRoutes
from hififace.server.metrics import CONTENT_TYPE_LATEST
from hififace.server.openapi import PROBLEM_RESPONSES, complete
from hififace.server.problems import handle_problems
from hififace.server.service import Service


def create_app(service: Service, *, aside: tuple[str, ...] = ()) -> FastAPI:
    """The application.

    Args:
        service: not started yet; it starts and ends with the application.
        aside: paths of what is mounted beside the routes and looks after itself, such as the page's.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="hififace",
        version=__version__,
        summary="Swap faces in images and videos.",
        description=inspect.cleandoc(complete.__doc__ or ""),
        lifespan=lifespan,
        docs_url=None,  # the pages that explore it load their scripts from other machines
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
    )
    app.add_middleware(
        Door, options=service.options, metrics=service.metrics, meter=service.meter, aside=aside
    )
    handle_problems(app)
    ImageRoutes(service).add_to(app)
    JobRoutes(service).add_to(app)
    _add_operations(app, service)
    app.openapi = lambda: complete(app, keys=bool(service.options.keys))  # type: ignore[method-assign]
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> schemas.Standing:
        """Whether the process answers; needs no key."""
        return schemas.Standing(status="ok")

    @app.get("/readyz", tags=["operation"], responses={503: {"model": schemas.Standing}})
    async def ready(response: Response) -> schemas.Standing:
        """Whether it can take work: 503 while the model is opened, and when it stops; needs no key."""
        standing = service.standing
        response.status_code = 200 if standing.status == "ok" else 503
        return standing

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        """Figures for Prometheus."""
        for state, number in service.store.counts().items():
            service.metrics.jobs_now.labels(state).set(number)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
