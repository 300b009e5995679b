"""Every error is a problem document (RFC 9457): a sentence, a status, and the field that is meant."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from hififace.errors import (
    FaceError,
    HififaceError,
    ImageError,
    OptionError,
    RuntimeUnavailableError,
    VideoError,
    WeightsError,
)
from hififace.hosting.meter import LimitError
from hififace.server.logs import LOGGER, request_id

MEDIA_TYPE: Final = "application/problem+json"

_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    499: "Client Closed Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}
"""Those of HTTP (RFC 9110), as RFC 9457 wants it where `type` is about:blank; names in Python differ by version."""

_OF_THE_FRAMEWORK: Final = {
    400: "The request cannot be read; a Range is to be one of bytes of the file.",
    404: "Nothing is at this path; /openapi.json says what there is.",
    405: "This path does not take this method; /openapi.json says which.",
    416: "The range that was asked for lies outside of the file.",
}
"""Sentences for errors of which the framework says no more than their names."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """A problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "consent: Input should be true.",
                    "request_id": "6f1f6a0c9be04f1f",
                    "errors": [{"field": "consent", "message": "Input should be true"}],
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] = []


class ProblemError(Exception):
    """An answer that is a problem document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers


class FieldError(Exception):
    """An error of the library, and the field of the request that caused it."""

    def __init__(self, field: str, error: HififaceError) -> None:
        super().__init__(str(error))
        self.field, self.error = field, error


def status_of(error: HififaceError) -> int:
    """The status that an error of the library becomes."""
    if isinstance(error, LimitError):
        return 413 if error.retry_after_s is None else 429
    if isinstance(error, (OptionError, ImageError, FaceError, VideoError)):
        return 422
    if isinstance(error, (WeightsError, RuntimeUnavailableError)):
        return 503
    return 500


def problem_body(status: int, detail: str, errors: Sequence[FieldProblem] = ()) -> dict[str, Any]:
    """The document."""
    title = _TITLES.get(status, "Error")
    return Problem(
        title=title, status=status, detail=detail, request_id=request_id(), errors=list(errors)
    ).model_dump()


def answer(
    status: int,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response."""
    return JSONResponse(
        problem_body(status, detail, errors),
        status,
        headers=None if headers is None else dict(headers),
        media_type=MEDIA_TYPE,
    )


def of_validation(errors: Sequence[Any]) -> ProblemError:
    """From what pydantic says; values that came are not repeated."""
    told = [
        FieldProblem(
            field=".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path")),
            message=str(error["msg"]),
        )
        for error in errors[:20]
    ]
    detail = "; ".join(f"{one.field or 'the request'}: {one.message}" for one in told)
    return ProblemError(422, f"{detail}.", errors=told)


def of_exception(error: Exception) -> ProblemError:
    """Whatever was raised, as an answer; what nobody foresaw is logged and not told."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, FieldError):
        inner = of_exception(error.error)
        return ProblemError(
            inner.status,
            f"{error.field}: {inner.detail}",
            errors=[FieldProblem(field=error.field, message=inner.detail)],
            headers=inner.headers,
        )
    if isinstance(error, (RequestValidationError, ValidationError)):
        return of_validation(error.errors())
    if isinstance(error, HififaceError) and status_of(error) != 500:
        wait = error.retry_after_s if isinstance(error, LimitError) else None
        headers = None if wait is None else {"Retry-After": str(int(wait) + 1)}
        return ProblemError(status_of(error), str(error), headers=headers)
    if isinstance(error, HTTPException):
        told = str(error.detail)
        if told == HTTPStatus(error.status_code).phrase:
            told = _OF_THE_FRAMEWORK.get(error.status_code, told)
        return ProblemError(error.status_code, f"{told.rstrip('.')}.", headers=error.headers)
    if _is_of_a_full_disk(error):
        return ProblemError(507, "The disk of this service is full. Try again later.")
    if isinstance(error, MemoryError):
        return ProblemError(503, "There is not enough memory for this now. Send a smaller image, or later.")
    LOGGER.error("unforeseen", exc_info=error)
    return ProblemError(
        500, "Something went wrong on the machine that serves this; its log says what, under the request id."
    )


def _is_of_a_full_disk(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, sqlite3.OperationalError):
        return "disk is full" in str(cause)  # its number has a name from Python 3.11 on
    return isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}


def of_plain_text(status: int) -> ProblemError:
    """For an error that the framework answers with plain text, past all handlers."""
    return ProblemError(
        status, _OF_THE_FRAMEWORK.get(status, f"{_TITLES.get(status, 'The request failed')}.")
    )


def handle_problems(service: FastAPI) -> None:
    """Turn the errors that a service's routes raise into problem documents."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        told = of_exception(error)
        return answer(told.status, told.detail, told.errors, told.headers)

    for kind in (
        ProblemError,
        FieldError,
        HififaceError,
        RequestValidationError,
        ValidationError,
        HTTPException,
        OSError,
        sqlite3.OperationalError,
        MemoryError,
    ):  # all others come to the door
        service.add_exception_handler(kind, handle)
