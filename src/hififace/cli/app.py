"""`hififace app`: open the web page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hififace.app.launch import ServeOptions, serve
from hififace.app.limits import Limits, parse_auth
from hififace.cli.option_flags import Flags, takes_options
from hififace.cli.running import (
    SERVER,
    bundles_option,
    commercial_option,
    named_providers,
    precision_option,
    providers_option,
    threads_option,
)
from hififace.option_fields import options_of
from hififace.swap.precision import WantedPrecision

_LIMITS = "Limits"


@takes_options(
    limits=Flags(
        Limits,
        {_LIMITS: tuple(options_of(Limits))},
        names={
            "upload_mb": "--max-upload-mb",
            "megapixels": "--max-megapixels",
            "video_mb": "--max-video-mb",
            "video_minutes": "--max-video-minutes",
            "video_megapixels": "--max-video-megapixels",
            "photos": "--max-photos",
            "sessions": "--max-visitors",
            "sessions_per_address": "--max-visitors-per-address",
            "disk_mb": "--max-disk-mb",
            "minutes": "--keep-minutes",
            "return_s": "--return-seconds",
        },
    )
)
def app(
    *,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any but this machine's own (127.0.0.1) needs --auth.",
            rich_help_panel=SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port; default: the first free one from 7860.", rich_help_panel=SERVER),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            envvar="HIFIFACE_APP_AUTH",
            metavar="USER:PASSWORD",
            help="User and password of the page. Safer in the environment, where the process list does not show them.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Further host name of the page, such as that of a proxy; repeatable. Requests under other names are "
            "refused, as protection against DNS rebinding.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    bundles: Annotated[list[Path] | None, bundles_option()] = None,
    providers: Annotated[str | None, providers_option(SERVER)] = None,
    threads: Annotated[int | None, threads_option(SERVER)] = None,
    precision: Annotated[WantedPrecision, precision_option(SERVER)] = "float32",
    commercial: Annotated[bool, commercial_option(SERVER)] = False,
    limits: Limits,
) -> None:
    """Open the web page on this machine.

    hififace app

    Stops with Ctrl-C, which deletes every visitor's photos and results.
    """
    options = ServeOptions(
        host=host,
        port=port,
        auth=parse_auth(auth),
        names=tuple(allow_host or ()),
        bundles=tuple(bundles or ()),
        providers=named_providers(providers),
        threads=threads,
        precision=precision,
        commercial=commercial,
        limits=limits,
    )
    served = serve(options)
    try:
        typer.echo(f"hififace: the page is at {served.url} (Ctrl-C stops it)")
        served.wait()
    finally:
        served.stop()
