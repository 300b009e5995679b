"""The service's description of itself, OpenAPI 3.1: what FastAPI finds, and the bodies that routes read themselves."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hififace.server import problems, schemas

_REF: Final = "#/components/schemas/{model}"
_FILE: Final = {"type": "string", "format": "binary"}

PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    kind: {
        "description": "A problem document (RFC 9457); `errors` names the fields.",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    for kind in ("4XX", "5XX")
}

_DOT: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A PNG of one grey pixel: an example that can be sent as it is."""

_EXAMPLE: Final = {
    "source": _DOT,
    "target": _DOT,
    "consent": True,
    "select": "largest",
    "format": "PNG",
}


def _body(json: str | None, form: str, example: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"multipart/form-data": {"schema": {"$ref": _REF.format(model=form)}}}
    if json is not None:
        content["application/json"] = {"schema": {"$ref": _REF.format(model=json)}}
        if example is not None:
            content["application/json"]["examples"] = {"one photo": {"value": example}}
    return {"requestBody": {"required": True, "content": content}}


BODIES: Final = {
    "swap": _body("SwapInJson", "SwapForm", _EXAMPLE),
    "faces": _body("FacesInJson", "FacesForm", {"image": _DOT}),
    "job": _body(None, "JobForm"),
}


def _form(model: type[BaseModel], files: dict[str, Any], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The schema of a multipart form: a model's fields, and files."""
    schema = model.model_json_schema(ref_template=_REF)
    properties = {name: value for name, value in schema["properties"].items() if name not in leave_out}
    required = [name for name in schema.get("required", []) if name not in leave_out]
    return {
        "type": "object",
        "description": "Fields other than files are JSON values: `-F consent=true -F select=[0,2]`.",
        "properties": {**files, **properties},
        "required": [*files, *required],
        "additionalProperties": False,
    }


def complete(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """Faces of images are swapped while the caller waits (`/v1/swap`); videos and lists of images are jobs.

    Every result is marked as a face swap, with the consent that was confirmed. Images that are swapped at once are not
    kept; files of jobs are removed some time after their end (`kept_until`), or by DELETE. Every error is a problem
    document (RFC 9457).
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    _, extra = models_json_schema(
        [(model, "validation") for model in (problems.Problem, schemas.SwapInJson, schemas.FacesInJson)],
        ref_template=_REF,
    )
    photos = {"type": "array", "items": _FILE, "minItems": 1}
    known = made.setdefault("components", {}).setdefault("schemas", {})
    known |= extra["$defs"]
    for name, schema in known.items():
        if "examples" in schema and (model := getattr(schemas, name, None)) is not None:
            schema["examples"] = model.model_json_schema()[
                "examples"
            ]  # FastAPI leaves out what is null in them
    known["SwapForm"] = _form(schemas.SwapAsked, {"source": photos, "target": _FILE})
    known["FacesForm"] = _form(schemas.FacesInJson, {"image": _FILE}, ("image",))
    known["JobForm"] = _form(schemas.JobAsked, {"source": photos, "target": photos})
    if keys:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
        for path in ("/healthz", "/readyz"):
            made["paths"][path]["get"]["security"] = []
    app.openapi_schema = made
    return made
