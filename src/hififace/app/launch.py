"""Serve the page: only to this machine unless told otherwise, with no word to anybody else."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hififace.app.limits import Limits, check_address
from hififace.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from hififace.app.live import Lives
    from hififace.app.sessions import Sessions
    from hififace.app.video_jobs import VideoJobs
    from hififace.hosting.turns import Turns
    from hififace.swap.precision import WantedPrecision

SECURITY_HEADERS: Final = {
    # The browser itself refuses what the page must not do: ask any other machine for anything.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PATIENCE_S: Final = 5.0
"""How long a page that is told to end waits for what is at work before it removes the visitors' files under it."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How and where the page is offered. Checked when made.

    Raises:
        OptionError: other machines would reach it without a password.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    """None: the first free one from 7860."""
    auth: tuple[str, str] | None = None
    bundles: tuple[Path, ...] = ()
    providers: tuple[str, ...] | None = None
    threads: int | None = None
    precision: WantedPrecision = "float32"
    """Arithmetic of the generator for images, as in `FaceSwapper.load`."""
    commercial: bool = False
    """Offer no model that may not be used commercially."""
    limits: Limits = field(default_factory=Limits)
    names: tuple[str, ...] = ()
    """Further host names by which people reach the page; requests under any other name are refused."""

    def __post_init__(self) -> None:
        check_address(self.host, self.auth)


class Served:
    """A running page.

    Attributes:
        url: where.
        sessions: its visitors.
    """

    def __init__(self, parts: _Parts, url: str) -> None:
        self._page, self.url, self.sessions = parts.page, url, parts.sessions
        self._jobs, self._lives = parts.jobs, parts.lives

    def wait(self) -> None:
        """Until Ctrl-C, or whatever else the command line turns into one."""
        while self._page.is_running:
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop serving, cancel every video, and remove every visitor's files, whatever goes wrong on the way.

        A frame at work is waited for, but not its files' end: `docker stop` kills after ten seconds.
        """
        hurry = threading.Timer(PATIENCE_S, self.sessions.remove_files)
        hurry.daemon = True
        hurry.start()
        with contextlib.ExitStack() as steps:
            steps.callback(hurry.cancel)
            steps.callback(self.sessions.stop)
            steps.callback(self._jobs.stop)
            steps.callback(self._lives.stop)
            self._page.close(verbose=False)


class Mounted:
    """A page inside another program's server.

    Attributes:
        sessions: its visitors.
    """

    def __init__(self, parts: _Parts) -> None:
        self.sessions, self._jobs, self._lives = parts.sessions, parts.jobs, parts.lives

    def stop(self) -> None:
        """Cancel every video, and remove every visitor's files; the server stops by itself."""
        self._lives.stop()
        self._jobs.stop()
        self.sessions.stop()


@dataclass(frozen=True, slots=True)
class _Parts:
    """The page, and what is behind it."""

    page: Any
    sessions: Sessions
    jobs: VideoJobs
    lives: Lives
    sweep: Callable[[], None]


def serve(options: ServeOptions, *, folder: Path | None = None) -> Served:
    """Start serving and return at once.

    Args:
        options: see `ServeOptions`.
        folder: where the page's private folder is made; None takes the system's for temporary files.

    Raises:
        RuntimeUnavailableError: gradio is not installed.
        OptionError: a folder without bundles, or a port that is taken.
    """
    parts = _parts(options, folder, None)
    try:
        _, url, _ = parts.page.launch(
            server_name=options.host,
            server_port=options.port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            **_common(options),
        )
        _put_before(parts.page.app, options, parts)
    except BaseException:
        parts.sessions.stop()
        raise
    parts.sessions.start_sweeping(parts.sweep)
    return Served(parts, url)


def mount(
    server: Any,
    path: str,
    options: ServeOptions,
    *,
    turns: Turns | None = None,
    folder: Path | None = None,
) -> Mounted:
    """Put the page into a FastAPI application that another program serves.

    Args:
        server: the application, not started yet.
        path: where the page will be, such as `/page`.
        options: see `ServeOptions`; the port is the server's.
        turns: shared with that program: its models, its line, its counts; None gives the page its own.
        folder: as in `serve`.

    Raises:
        RuntimeUnavailableError: gradio is not installed.
        OptionError: a folder without bundles.
    """
    parts = _parts(options, folder, turns)
    try:
        import gradio as gr

        # Without it, Gradio takes the address of an unqueued event for the root, and loses the path in the files it names.
        gr.mount_gradio_app(
            server, parts.page, path, root_path=path, server_name=options.host, **_common(options)
        )
        (mounted,) = [route for route in server.routes if getattr(route, "path", None) == path]
        mounted.app = _gate(mounted.app, options, parts)
    except BaseException:
        parts.sessions.stop()
        raise
    parts.sessions.start_sweeping(parts.sweep)
    return Mounted(parts)


def _common(options: ServeOptions) -> dict[str, Any]:
    """What Gradio is told wherever the page is served: nothing that asks or tells other machines."""
    import gradio as gr

    from hififace.app.events import HEAD_SCRIPT
    from hififace.app.style import HEAD_STYLE, theme

    return {
        "auth": options.auth,
        "max_file_size": round(options.limits.largest_upload_mb * 1e6),
        "theme": theme(gr),
        "head": HEAD_STYLE + HEAD_SCRIPT,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "show_error": False,
    }


def _parts(options: ServeOptions, folder: Path | None, turns: Turns | None) -> _Parts:
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise RuntimeUnavailableError(
            "The web page needs gradio, which is not installed. Run: pip install '.[app]'"
        ) from error
    from hififace.app.handlers import Studio
    from hififace.app.live import Lives
    from hififace.app.sessions import Sessions
    from hififace.app.video_handlers import VideoStudio
    from hififace.app.video_jobs import VideoJobs
    from hififace.hosting.bundles import Bundles
    from hififace.hosting.turns import own_turns

    limits = options.limits
    if turns is None:
        bundles = Bundles(
            options.bundles,
            providers=options.providers,
            threads=options.threads,
            precision=options.precision,
            commercial=options.commercial,
        )
        turns = own_turns(
            bundles, videos_at_once=limits.videos_at_once, requests_per_minute=limits.requests_per_minute
        )
    sessions = Sessions(limits, root=folder)
    jobs = VideoJobs(at_once=limits.videos_at_once, waiting=limits.queue, turns=turns.videos)
    # Where the web server puts uploads, and whence alone it hands out files; read when the page is built.
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    try:
        from hififace.app.desk import Desk
        from hififace.app.ui import build_page
        from hififace.app.visits import Visits

        studio = Studio(turns.bundles, sessions, limits, turns)
        visits = Visits(sessions, limits.return_s)
        lives = Lives(studio)
        page = build_page(Desk(studio, VideoStudio(studio, jobs), visits, lives))
        page.queue(max_size=limits.queue, default_concurrency_limit=limits.at_once)
    except BaseException:
        sessions.stop()
        raise
    return _Parts(page, sessions, jobs, lives, visits.sweep)


def _put_before(app: Any, options: ServeOptions, parts: _Parts) -> None:
    """Wrap the running server in the gate; middleware can no longer be added by the usual call."""
    inner = app.build_middleware_stack() if app.middleware_stack is None else app.middleware_stack
    app.middleware_stack = _gate(inner, options, parts)


def _gate(inner: Any, options: ServeOptions, parts: _Parts) -> Any:
    """The gate, behind it the way of a camera's frames, behind that the page."""
    from hififace.app.gate import Gate
    from hififace.app.live_route import LiveRoute

    return Gate(
        LiveRoute(inner, parts.lives, cameras=options.limits.cameras),
        host=options.host,
        names=options.names,
        limits=options.limits,
        root=parts.sessions.root,
        headers=SECURITY_HEADERS,
    )
