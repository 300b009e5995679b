"""`hififace serve`: the service for programs, over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hififace.cli.option_flags import Flags, takes_options
from hififace.cli.running import (
    SERVER,
    bundles_option,
    commercial_option,
    named_providers,
    providers_option,
    threads_option,
)
from hififace.errors import OptionError, RuntimeUnavailableError
from hififace.server.settings import ServiceLimits, ServiceOptions, server_settings
from hififace.weights.places import data_dir

_LIMITS, _PAGE = "Limits", "/page"


@takes_options(
    settings=Flags(
        ServiceOptions,
        {SERVER: ("host", "port", "model", "precision", "workers", "batch", "jobs_at_once", "ray")},
        whole=False,
    ),
    limits=Flags(
        ServiceLimits,
        {
            _LIMITS: (
                "upload_mb", "megapixels", "video_mb", "video_minutes", "video_megapixels", "photos", "targets",
                "requests_per_minute", "queue", "jobs_per_key", "disk_mb", "keep_minutes", "body_seconds",
                "slowest_kb_per_s",
            )
        },
        names={
            "upload_mb": "--max-upload-mb",
            "megapixels": "--max-megapixels",
            "video_mb": "--max-video-mb",
            "video_minutes": "--max-video-minutes",
            "video_megapixels": "--max-video-megapixels",
            "photos": "--max-photos",
            "targets": "--max-targets",
            "disk_mb": "--max-disk-mb",
            "body_seconds": "--max-body-seconds",
            "slowest_kb_per_s": "--slowest-kb-per-s",
        },
    ),
)  # fmt: skip
def serve(
    *,
    settings: dict[str, Any],
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of API keys, one NAME:SHA256 per line; or set HIFIFACE_API_KEYS, separated by commas.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print a new API key and its line for --keys, and exit.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Further host name of the service, such as that of a proxy; repeatable.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of jobs and their files; several services may share one.", rich_help_panel=SERVER
        ),
    ] = None,
    bundles: Annotated[list[Path] | None, bundles_option()] = None,
    providers: Annotated[str | None, providers_option(SERVER)] = None,
    threads: Annotated[int | None, threads_option(SERVER)] = None,
    commercial: Annotated[bool, commercial_option(SERVER)] = False,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="Device to run on, such as cuda:0; repeatable, to use several at the same time.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Also offer the web page, at /page.", rich_help_panel=SERVER),
    ] = False,
    auth: Annotated[
        str | None,
        typer.Option(
            envvar="HIFIFACE_APP_AUTH",
            metavar="USER:PASSWORD",
            help="User and password of the page; required where other machines reach it.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    limits: ServiceLimits,
) -> None:
    """Run the HTTP service for programs: images at once, videos as jobs.

    hififace serve

    The OpenAPI description is at /openapi.json. Stops with Ctrl-C or SIGTERM: waiting images are finished, jobs resume
    at the next start.
    """
    try:
        import uvicorn

        from hififace.server.keys import Keys
        from hififace.server.keys import new_key as make_key
        from hififace.server.logs import log_as_json
        from hififace.server.routes import create_app
        from hififace.server.service import Service
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"The service needs {error.name}, which is not installed. Run: pip install '.[server]'"
        ) from error
    if new_key is not None:
        key, line = make_key(new_key)
        typer.echo(f"key, for whoever asks, shown this once:  {key}")
        typer.echo(f"line, for the file of --keys:             {line}")
        return
    in_environment = os.environ.get("HIFIFACE_API_KEYS", "")
    if keys is not None and in_environment:
        raise OptionError("Both --keys and HIFIFACE_API_KEYS were given; choose one.")
    known = Keys.read(keys) if keys is not None else Keys()
    if in_environment:
        known = Keys.parse(in_environment, "HIFIFACE_API_KEYS")
    options = ServiceOptions(
        data=data or data_dir() / "service",
        names=tuple(allow_host or ()),
        keys=known,
        bundles=tuple(bundles or ()),
        providers=named_providers(providers),
        threads=threads,
        commercial=commercial,
        devices=tuple(device or ()),
        limits=limits,
        **settings,
    )
    page_options = None
    if page:
        from hififace.app.launch import ServeOptions, mount
        from hififace.app.limits import Limits, parse_auth

        page_options = ServeOptions(
            host=options.host,
            auth=parse_auth(auth),
            names=options.names,
            limits=Limits(
                upload_mb=limits.upload_mb,
                megapixels=limits.megapixels,
                video_mb=limits.video_mb,
                video_minutes=limits.video_minutes,
                video_megapixels=limits.video_megapixels,
                photos=limits.photos,
                requests_per_minute=limits.requests_per_minute,
                queue=limits.queue,
                at_once=limits.queue,  # they wait in the line of the service
            ),
        )
    log_as_json()
    service = Service(options)
    app = create_app(service, aside=(_PAGE,) if page else ())
    mounted = mount(app, _PAGE, page_options, turns=service.turns()) if page_options is not None else None

    class Server(uvicorn.Server):
        """Tells streams of events that the service stops: they would never end by themselves."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            service.stopping.set()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                place = self.servers[0].sockets[0].getsockname()
                typer.echo(f"hififace: the service is at http://{options.host}:{place[1]} (Ctrl-C stops it)")

    try:
        Server(uvicorn.Config(app, **server_settings(options))).run()
    finally:
        if mounted is not None:
            mounted.stop()
