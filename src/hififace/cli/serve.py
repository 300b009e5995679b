"""`hififace serve`: the service for programs, over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.cli.running import commercial_option, providers_option, threads_option
from hififace.errors import OptionError, RuntimeUnavailableError
from hififace.weights.store import data_dir

if TYPE_CHECKING:
    from hififace.server.settings import ServiceOptions

_WHERE, _LIMITS, _PAGE = "Where and with what", "Limits", "/page"


def serve(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; other than this machine's needs API keys.", rich_help_panel=_WHERE
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", rich_help_panel=_WHERE)] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of API keys, NAME:SHA256 a line; or HIFIFACE_API_KEYS with the same, separated by commas.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print a new API key and its line for --keys, and stop.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name by which the service is reached, such as that of a proxy; repeatable.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of jobs and their files; several services may share one.", rich_help_panel=_WHERE
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model of requests that name none.", rich_help_panel=_WHERE)
    ] = "mini",
    bundles: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle, or a folder of bundles, to offer; repeatable.", rich_help_panel=_WHERE),
    ] = None,
    providers: Annotated[str | None, providers_option(_WHERE)] = None,
    threads: Annotated[int | None, threads_option(_WHERE)] = None,
    commercial: Annotated[bool, commercial_option(_WHERE)] = False,
    workers: Annotated[int, typer.Option(help="Threads that swap images.", rich_help_panel=_WHERE)] = 1,
    batch: Annotated[
        int,
        typer.Option(help="Images of different requests in one run of the network.", rich_help_panel=_WHERE),
    ] = 8,
    jobs_at_once: Annotated[
        int,
        typer.Option(help="Jobs at work at the same time; 0 leaves them to others.", rich_help_panel=_WHERE),
    ] = 1,
    page: Annotated[
        bool,
        typer.Option("--page", help="Also offer the web page, at /page.", rich_help_panel=_WHERE),
    ] = False,
    auth: Annotated[
        str | None,
        typer.Option(
            envvar="HIFIFACE_APP_AUTH",
            metavar="USER:PASSWORD",
            help="What the page asks for; needed where other machines reach it.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    max_upload_mb: Annotated[
        float, typer.Option(help="Size of one photo, in 10^6 bytes.", rich_help_panel=_LIMITS)
    ] = 50.0,
    max_megapixels: Annotated[
        float, typer.Option(help="Pixels of one photo, in millions.", rich_help_panel=_LIMITS)
    ] = 50.0,
    max_video_mb: Annotated[
        float, typer.Option(help="Size of a job's targets, in 10^6 bytes.", rich_help_panel=_LIMITS)
    ] = 500.0,
    max_video_minutes: Annotated[
        float, typer.Option(help="Length of one video, in minutes.", rich_help_panel=_LIMITS)
    ] = 10.0,
    requests_per_minute: Annotated[
        int, typer.Option(help="Requests of one key, or of one address.", rich_help_panel=_LIMITS)
    ] = 600,
    queue: Annotated[int, typer.Option(help="Images that may wait.", rich_help_panel=_LIMITS)] = 64,
    jobs_per_key: Annotated[
        int, typer.Option(help="Unfinished jobs of one key.", rich_help_panel=_LIMITS)
    ] = 20,
    max_disk_mb: Annotated[
        float, typer.Option(help="Files of all jobs, in 10^6 bytes.", rich_help_panel=_LIMITS)
    ] = 20_000.0,
    keep_minutes: Annotated[
        float,
        typer.Option(
            help="Files of a finished job are removed so long after its end.", rich_help_panel=_LIMITS
        ),
    ] = 60.0,
) -> None:
    """Serve programs over HTTP: images at once, videos as jobs.

    hififace serve

    Its description is at /openapi.json. Stops with Ctrl-C or SIGTERM: images that wait are finished, jobs go on when
    it is started again.
    """
    try:
        import uvicorn

        from hififace.server.keys import Keys
        from hififace.server.keys import new_key as make_key
        from hififace.server.logs import log_as_json
        from hififace.server.routes import create_app
        from hififace.server.service import Service
        from hififace.server.settings import ServiceLimits, ServiceOptions
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
        host=host,
        port=port,
        names=tuple(allow_host or ()),
        keys=known,
        model=model,
        bundles=tuple(bundles or ()),
        providers=None if providers is None else tuple(word.strip() for word in providers.split(",")),
        threads=threads,
        commercial=commercial,
        workers=workers,
        batch=batch,
        jobs_at_once=jobs_at_once,
        limits=ServiceLimits(
            upload_mb=max_upload_mb,
            megapixels=max_megapixels,
            video_mb=max_video_mb,
            video_minutes=max_video_minutes,
            requests_per_minute=requests_per_minute,
            queue=queue,
            jobs_per_key=jobs_per_key,
            disk_mb=max_disk_mb,
            keep_minutes=keep_minutes,
        ),
    )
    page_options = None
    if page:
        from hififace.app.launch import ServeOptions, mount
        from hififace.app.limits import Limits, parse_auth

        page_options = ServeOptions(
            host=host,
            auth=parse_auth(auth),
            names=options.names,
            limits=Limits(
                upload_mb=max_upload_mb,
                megapixels=max_megapixels,
                video_mb=max_video_mb,
                video_minutes=max_video_minutes,
            ),
        )
    log_as_json()
    service = Service(options)
    app = create_app(service, aside=(_PAGE,) if page else ())
    mounted = mount(app, _PAGE, page_options, bundles=service.bundles) if page_options is not None else None

    class Server(uvicorn.Server):
        """Tells streams of events that the service stops: they would never end by themselves."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            service.stopping.set()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                place = self.servers[0].sockets[0].getsockname()
                typer.echo(f"hififace: the service is at http://{host}:{place[1]} (Ctrl-C stops it)")

    try:
        Server(uvicorn.Config(app, **_how(options))).run()
    finally:
        if mounted is not None:
            mounted.stop()


def _how(options: ServiceOptions) -> dict[str, Any]:
    return {
        "host": options.host,
        "port": options.port,
        "log_config": None,  # ours
        "access_log": False,  # names of paths are not for logs
        "server_header": False,
        "timeout_keep_alive": 30,
        "h11_max_incomplete_event_size": 32_768,
        "http": "h11",
        "ws": "none",
        "lifespan": "on",
    }
