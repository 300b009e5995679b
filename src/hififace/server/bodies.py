"""From a request's body to photos and what is asked: multipart forms, whose fields are JSON values, or JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from hififace.json_values import parse_json, parse_json_object
from hififace.server.problems import FieldProblem, ProblemError
from hififace.server.schemas import FacesInJson, SwapAsked, SwapInJson
from hififace.server.settings import ServiceLimits

M = TypeVar("M", bound=BaseModel)

_NUM_FIELDS = 64


@dataclass(slots=True)
class Form:
    """A multipart form: files by field, and the other fields as JSON values."""

    files: dict[str, list[UploadFile]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def of(self, name: str, most: int) -> list[UploadFile]:
        """The files of a field.

        Raises:
            ProblemError: none, or more than `most`.
        """
        found = self.files.get(name, [])
        if not 0 < len(found) <= most:
            wanted = "1 file" if most == 1 else f"1 to {most} files"
            raise field_problem(name, f"{len(found)} files came; {wanted} expected")
        return found

    def refuse_others(self, names: Iterable[str]) -> None:
        """Refuse files in other fields.

        Raises:
            ProblemError: there are some.
        """
        for name in self.files.keys() - set(names):
            raise field_problem(name[:80], "no file is expected here")


def field_problem(name: str, message: str, status: int = 422) -> ProblemError:
    """A problem with one field."""
    return ProblemError(status, f"{name}: {message}.", errors=[FieldProblem(field=name, message=message)])


def media_type_of(request: Request) -> str:
    """What the body says it is."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_form(request: Request, num_files: int) -> Form:
    """A multipart form.

    Raises:
        ProblemError: it cannot be read, or is no form.
    """
    if media_type_of(request) != "multipart/form-data":
        raise ProblemError(415, "multipart/form-data was expected.")
    form = Form()
    found = await request.form(max_files=num_files, max_fields=_NUM_FIELDS, max_part_size=100_000)
    for name, value in found.multi_items():
        if isinstance(value, UploadFile):
            form.files.setdefault(name, []).append(value)
        elif name in form.values:
            raise field_problem(name[:80], "it came twice; once was expected")
        else:
            try:
                form.values[name] = parse_json(value)
            except ValueError:
                form.values[name] = value
    return form


async def read_json(request: Request, model: type[M]) -> M:
    """A JSON body.

    Raises:
        ProblemError: it is no JSON object.
        ValidationError: it holds something else than expected.
    """
    body = await request.body()
    try:
        values = await run_in_threadpool(parse_json_object, body)
    except ValueError as error:
        raise ProblemError(400, f"The body is no JSON object: {error}.") from error
    return model.model_validate(values)


async def read_swap(request: Request, limits: ServiceLimits) -> tuple[tuple[bytes, ...], bytes, SwapAsked]:
    """Source photos, target and settings of a swap.

    Raises:
        ProblemError: a photo is missing or too large, or the body cannot be read.
        ValidationError: a setting is not as expected.
    """
    if media_type_of(request) == "application/json":
        asked = await read_json(request, SwapInJson)
        given = [asked.source] if isinstance(asked.source, str) else asked.source
        if not 0 < len(given) <= limits.photos:
            raise field_problem("source", f"{len(given)} photos came; 1 to {limits.photos} expected")
        sources = [await run_in_threadpool(decoded, text, "source", limits) for text in given]
        return tuple(sources), await run_in_threadpool(decoded, asked.target, "target", limits), asked
    form = await read_form(request, limits.photos + 1)
    form.refuse_others(("source", "target"))
    files = form.of("source", limits.photos), form.of("target", 1)
    settings = SwapAsked.model_validate(form.values)
    sources = [await content(one, "source", limits) for one in files[0]]
    return tuple(sources), await content(files[1][0], "target", limits), settings


async def read_faces(request: Request, limits: ServiceLimits) -> tuple[bytes, str | None, bool]:
    """Image, model and whether turned faces are looked for.

    Raises:
        ProblemError, ValidationError: as `read_swap`.
    """
    if media_type_of(request) == "application/json":
        asked = await read_json(request, FacesInJson)
        return await run_in_threadpool(decoded, asked.image, "image", limits), asked.model, asked.rotated
    form = await read_form(request, 1)
    form.refuse_others(("image",))
    (file,) = form.of("image", 1)
    asked = FacesInJson.model_validate({"image": "", **form.values})
    return await content(file, "image", limits), asked.model, asked.rotated


def decoded(text: str, name: str, limits: ServiceLimits) -> bytes:
    """The bytes of base64.

    Raises:
        ProblemError: it is none, or too large.
    """
    if len(text) * 3 // 4 > limits.upload_mb * 1e6 + 3:
        raise _too_large(name, limits)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise field_problem(name, "it is not base64") from None


async def content(file: UploadFile, name: str, limits: ServiceLimits) -> bytes:
    """The bytes of an uploaded photo.

    Raises:
        ProblemError: it is too large.
    """
    if (file.size or 0) > limits.upload_mb * 1e6:
        raise _too_large(name, limits)
    return await file.read()


def _too_large(name: str, limits: ServiceLimits) -> ProblemError:
    return field_problem(name, f"photos of up to {limits.upload_mb:g} MB are taken; make it smaller", 413)
