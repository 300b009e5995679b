"""One line of JSON for each request and event, with the request's id; nothing of what people sent, no file names."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from contextvars import ContextVar
from typing import Any, Final

LOGGER = logging.getLogger("hififace.server")

_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def request_id() -> str:
    """Of the request at hand; empty outside of one."""
    return _REQUEST_ID.get()


def begin_request(given: str | None) -> str:
    """Take the id that the caller gave, where it is one, or make one."""
    own = given if given is not None and _ID.fullmatch(given) else secrets.token_hex(8)
    _REQUEST_ID.set(own)
    return own


class JsonLines(logging.Formatter):
    """A record as one line of JSON; fields that are no part of the message come as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id():
            line["request_id"] = request_id()
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json() -> None:
    """All logs of this process to standard error, as JSON; for the command line alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("hififace").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
