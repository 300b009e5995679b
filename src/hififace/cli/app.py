"""`hififace app`: open the web page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hififace.app.launch import ServeOptions, serve
from hififace.app.limits import Limits, parse_auth
from hififace.cli.option_flags import Flags, takes_options
from hififace.cli.running import commercial_option, providers_option, threads_option
from hififace.option_fields import options_of

_WHERE, _LIMITS = "Where and with what", "Limits"


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
            help="Address to listen on; other than this machine's needs --auth.", rich_help_panel=_WHERE
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port; the first free one from 7860 if left out.", rich_help_panel=_WHERE),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            envvar="HIFIFACE_APP_AUTH",
            metavar="USER:PASSWORD",
            help="Ask for these. In the environment they are not seen in the list of processes.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name by which people reach the page, such as that of a proxy; repeatable. Requests under "
            "other names are refused, so that no web site can pass itself off as this page.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    bundles: Annotated[
        list[Path] | None,
        typer.Option(
            "--bundles",
            help="A bundle, or a folder of bundles, to offer; repeatable.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    providers: Annotated[str | None, providers_option(_WHERE)] = None,
    threads: Annotated[int | None, threads_option(_WHERE)] = None,
    commercial: Annotated[bool, commercial_option(_WHERE)] = False,
    limits: Limits,
) -> None:
    """Open the web page on this machine.

    hififace app

    Stops with Ctrl-C; every visitor's photos and results are then gone.
    """
    options = ServeOptions(
        host=host,
        port=port,
        auth=parse_auth(auth),
        names=tuple(allow_host or ()),
        bundles=tuple(bundles or ()),
        providers=None if providers is None else tuple(word.strip() for word in providers.split(",")),
        threads=threads,
        commercial=commercial,
        limits=limits,
    )
    served = serve(options)
    try:
        typer.echo(f"hififace: the page is at {served.url} (Ctrl-C stops it)")
        served.wait()
    finally:
        served.stop()
