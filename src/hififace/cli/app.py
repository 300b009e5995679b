"""`hififace app`: open the web page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hififace.app.launch import ServeOptions, serve
from hififace.app.limits import Limits, parse_auth
from hififace.cli.running import commercial_option, providers_option, threads_option

_WHERE, _LIMITS = "Where and with what", "Limits"


def app(
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
    max_upload_mb: Annotated[
        float, typer.Option(help="Size of one photo, in 10^6 bytes.", rich_help_panel=_LIMITS)
    ] = Limits().upload_mb,
    max_megapixels: Annotated[
        float, typer.Option(help="Pixels of one photo, in millions.", rich_help_panel=_LIMITS)
    ] = Limits().megapixels,
    max_video_mb: Annotated[
        float, typer.Option(help="Size of one video, in 10^6 bytes.", rich_help_panel=_LIMITS)
    ] = Limits().video_mb,
    max_video_minutes: Annotated[
        float, typer.Option(help="Length of one video, in minutes.", rich_help_panel=_LIMITS)
    ] = Limits().video_minutes,
    max_video_megapixels: Annotated[
        float, typer.Option(help="Pixels of one frame of a video, in millions.", rich_help_panel=_LIMITS)
    ] = Limits().video_megapixels,
    max_photos: Annotated[
        int, typer.Option(help="Source photos of one visitor.", rich_help_panel=_LIMITS)
    ] = Limits().photos,
    requests_per_minute: Annotated[
        int, typer.Option(help="Photos, videos and swaps from one address.", rich_help_panel=_LIMITS)
    ] = Limits().requests_per_minute,
    queue: Annotated[
        int,
        typer.Option(help="Requests that may wait, and videos that may.", rich_help_panel=_LIMITS),
    ] = Limits().queue,
    at_once: Annotated[
        int, typer.Option(help="Images swapped at the same time.", rich_help_panel=_LIMITS)
    ] = Limits().at_once,
    videos_at_once: Annotated[
        int, typer.Option(help="Videos swapped at the same time.", rich_help_panel=_LIMITS)
    ] = Limits().videos_at_once,
    max_visitors: Annotated[
        int, typer.Option(help="Visitors at the same time.", rich_help_panel=_LIMITS)
    ] = Limits().sessions,
    max_visitors_per_address: Annotated[
        int, typer.Option(help="Visitors from one address at the same time.", rich_help_panel=_LIMITS)
    ] = Limits().sessions_per_address,
    max_disk_mb: Annotated[
        float,
        typer.Option(help="Files of all visitors together, in 10^6 bytes.", rich_help_panel=_LIMITS),
    ] = Limits().disk_mb,
    keep_minutes: Annotated[
        float,
        typer.Option(
            help="Files of a visitor who does nothing for so long are removed.",
            rich_help_panel=_LIMITS,
        ),
    ] = Limits().minutes,
    return_seconds: Annotated[
        float,
        typer.Option(
            help="Files are removed so long after the tab was closed; a page reloaded within finds them.",
            rich_help_panel=_LIMITS,
        ),
    ] = Limits().return_s,
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
        limits=Limits(
            upload_mb=max_upload_mb,
            megapixels=max_megapixels,
            video_mb=max_video_mb,
            video_minutes=max_video_minutes,
            video_megapixels=max_video_megapixels,
            photos=max_photos,
            requests_per_minute=requests_per_minute,
            queue=queue,
            at_once=at_once,
            videos_at_once=videos_at_once,
            sessions=max_visitors,
            sessions_per_address=max_visitors_per_address,
            disk_mb=max_disk_mb,
            minutes=keep_minutes,
            return_s=return_seconds,
        ),
    )
    served = serve(options)
    try:
        typer.echo(f"hififace: the page is at {served.url} (Ctrl-C stops it)")
        served.wait()
    finally:
        served.stop()
