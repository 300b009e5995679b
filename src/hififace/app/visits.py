"""What the page and its API share: who is asking, and errors as sentences."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from hififace.errors import HififaceError

Returned = TypeVar("Returned")


def spoken(handler: Callable[..., Returned]) -> Callable[..., Returned]:
    """Say every error of the library as a sentence in the page, without a stack trace."""

    @functools.wraps(handler)
    def said(*args: Any, **kwargs: Any) -> Returned:
        try:
            return handler(*args, **kwargs)
        except HififaceError as error:
            raise gr.Error(str(error), duration=None, title="Not done", print_exception=False) from None

    return said


def visitor(request: gr.Request) -> str:
    """What tells visitors apart: the browser tab's random session name."""
    return str(request.session_hash)


def client(request: gr.Request) -> str:
    """Who requests are counted for: the address, and the user where a password is asked."""
    host = request.client.host if request.client else ""
    return f"{host} {request.username or ''}"
