"""Requests and responses as pydantic models; options are generated from the library's dataclasses."""

from __future__ import annotations

from fractions import Fraction
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
)

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, create_model
from pydantic_core import PydanticCustomError

from hififace.hosting.consent import CONSENT
from hififace.option_fields import Option, options_of
from hififace.swap.options import LONGEST_STATEMENT, OutputOptions, SwapOptions
from hififace.video.options import VideoOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STRICT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

SwapSelection: TypeAlias = (
    Literal["all", "largest"]
    | Annotated[list[Annotated[StrictInt, Field(ge=0, le=9999)]], Field(min_length=1, max_length=1000)]
)
FaceOfPhoto: TypeAlias = Literal["main", "largest"] | Annotated[StrictInt, Field(ge=0, le=9999)]
ImageFormat: TypeAlias = Literal["same", "JPEG", "PNG", "WEBP", "TIFF", "AVIF"]

_NOT_ASKED: Final[dict[type, set[str]]] = {
    # A reference photo by its path would read files of this machine; how many faces fit into memory is the machine's
    # affair; consent has fields of its own.
    SwapOptions: {"select", "batch_size"},
    OutputOptions: {"consent_confirmed", "consent_statement"},
    # Where unfinished work lies, and how it is kept, is the service's affair.
    VideoOptions: {"smoothing", "mask_smoothing", "segment_frames", "work_folder"},
}


def _asked_of(kind: type[DataclassInstance]) -> list[Option]:
    return [option for name, option in options_of(kind).items() if name not in _NOT_ASKED[kind]]


def _fields_of(kind: type[DataclassInstance]) -> dict[str, Any]:
    """Fields of a pydantic model, of the options of a dataclass."""
    made: dict[str, Any] = {}
    for option in _asked_of(kind):
        hint = float if option.kind is Fraction else option.kind  # JSON has no fractions
        limits: dict[str, Any] = {}
        if option.interval is not None:
            bounds = {name: getattr(option.interval, name) for name in ("gt", "ge", "lt", "le")}
            limits = {name: hint(bound) for name, bound in bounds.items() if bound is not None}
        elif hint is str:  # names of encoders and their presets
            limits = {"max_length": 40, "pattern": "^[A-Za-z0-9_-]+$"}
        made[option.name] = (
            hint | None if option.optional else hint,
            Field(option.default, description=option.help, **limits),
        )
    return made


def _taken(asked: BaseModel, kind: type[DataclassInstance]) -> dict[str, Any]:
    return {option.name: getattr(asked, option.name) for option in _asked_of(kind)}


def _must_be_true(consent: bool) -> bool:
    # `Literal[True]` would take 1 as well, which is no statement.
    if consent is not True:
        raise PydanticCustomError("consent", "true was expected: nothing is swapped without consent")
    return consent


class _Asked(BaseModel):
    """Fields of every swap request, in addition to its photos."""

    model_config = STRICT

    consent: Annotated[bool, AfterValidator(_must_be_true)] = Field(
        json_schema_extra={"const": True},
        description=f'Must be true: "{CONSENT}" It goes into the file\'s mark.',
    )
    consent_statement: str = Field(
        CONSENT, min_length=1, max_length=LONGEST_STATEMENT, description="The very words that were confirmed."
    )
    model: str | None = Field(
        None, max_length=200, description="One of `GET /v1/models`; null takes the default."
    )
    source_face: FaceOfPhoto = Field(
        "main",
        description="Face of each source photo: the main one, the largest, or its number from the left.",
    )
    select: SwapSelection = Field(
        "all", description="Faces of the target: all, the largest, or numbers from the left, from 0."
    )

    def swap_options(self) -> SwapOptions:
        """As the library takes them.

        Raises:
            OptionError: values that do not go together.
        """
        select = tuple(self.select) if isinstance(self.select, list) else self.select
        return SwapOptions(**_taken(self, SwapOptions), select=select)

    def output_options(self) -> OutputOptions:
        """What the result tells, and the statement for its mark.

        Raises:
            OptionError: values that do not go together.
        """
        return OutputOptions(
            **_taken(self, OutputOptions), consent_confirmed=True, consent_statement=self.consent_statement
        )


if TYPE_CHECKING:

    class SwapSettings(_Asked):
        """See below."""

    class _VideoSettings(_Asked):
        """See below."""

else:
    SwapSettings = create_model(
        "SwapSettings",
        __base__=_Asked,
        __doc__="How to swap: the options of the library.",
        **_fields_of(SwapOptions),
        **_fields_of(OutputOptions),
    )
    _VideoSettings = create_model("_VideoSettings", __base__=SwapSettings, **_fields_of(VideoOptions))


class SwapAsked(SwapSettings):
    """A swap of one image."""

    format: ImageFormat = Field("same", description="Format of the result; `same` keeps the target's.")
    quality: int | None = Field(None, ge=1, le=100, description="Of lossy formats.")


class SwapInJson(SwapAsked):
    """A swap of one image, with its photos as base64."""

    source: str | list[str] = Field(description="Photo of the source face, base64; or several of them.")
    target: str = Field(description="The image whose faces are replaced, base64.")


class FacesInJson(BaseModel):
    """An image, as base64."""

    model_config = STRICT

    image: str
    model: str | None = Field(None, max_length=200)
    rotated: bool = False


class JobAsked(_VideoSettings):
    """A swap of a video or of several images; the video options are ignored for images."""

    model_config = STRICT

    def video_options(self, **places: Any) -> VideoOptions:
        """As the library takes them.

        Raises:
            OptionError: values that do not go together.
        """
        asked = _taken(self, VideoOptions)
        if asked["fps"] is not None:
            asked["fps"] = Fraction(asked["fps"]).limit_denominator(1001)
        return VideoOptions(**asked, **places)


# -----------------------------------------------------------------------------------------------------------
# Answers


def _like(example: dict[str, Any]) -> ConfigDict:
    """The settings of an answer that looks so."""
    return ConfigDict(json_schema_extra={"examples": [example]})


_A_FACE: Final = {
    "index": 0,
    "box": [172.4, 62.81, 276.13, 206.5],
    "score": 0.9312,
    "points": [[199.1, 117.0], [247.9, 116.2], [224.6, 146.3], [205.2, 171.4], [243.8, 170.7]],
    "size_px": 122.09,
}
_A_REPORT: Final = {
    "model": "mini",
    "model_version": "783104",
    "size": [512, 512],
    "num_swapped": 1,
    "faces": [
        {
            "index": 0,
            "box": [172.4, 62.81, 276.13, 206.5],
            "score": 0.9312,
            "swapped": True,
            "reason": None,
            "source": "source",
            "similarity_source": 0.61,
            "similarity_target": 0.12,
            "warning": None,
        }
    ],
    "notes": [],
    "source_notes": [],
    "timings_ms": {"detect": 17.7, "generate": 110.5, "paste": 21.2, "total": 300.9},
}
_A_JOB: Final = {
    "id": "hQ3xk9T2mWcVbN4sLr0a",
    "kind": "video",
    "state": "working",
    "done": 120,
    "expected": 300,
    "per_second": 8.5,
    "created": "2026-11-27T10:00:00Z",
    "kept_until": None,
    "problem": None,
    "result": None,
    "report": None,
}
_A_MODEL: Final = {
    "name": "mini",
    "usable": True,
    "problem": None,
    "version": "783104",
    "resolution": 256,
    "licence": "research",
    "training_data": "photos of people who agreed to it",
    "default": True,
}


class FaceAnswer(BaseModel):
    """One detected face."""

    index: int = Field(description="From the left, from 0.")
    box: list[float] = Field(description="x0, y0, x1, y1 in pixels.")
    score: float
    points: list[list[float]] = Field(
        description="Left eye, right eye, nose, left and right mouth corner: x, y."
    )
    size_px: float = Field(description="Square root of the box's area.")


class FacesAnswer(BaseModel):
    """Faces of an image."""

    model_config = _like({"width": 512, "height": 512, "faces": [_A_FACE]})

    width: int
    height: int
    faces: list[FaceAnswer]


class SwappedFace(BaseModel):
    """Outcome for one face."""

    index: int
    box: list[float]
    score: float
    swapped: bool
    reason: str | None = Field(description="Why it was left unchanged.")
    source: str | None
    similarity_source: float | None
    similarity_target: float | None
    warning: str | None = Field(description="What is wrong with the generated face by our own figures.")


class SwapReport(BaseModel):
    """Report of a swap."""

    model: str
    model_version: str
    size: list[int] = Field(description="Width and height in pixels.")
    num_swapped: int
    faces: list[SwappedFace]
    notes: list[str] = Field(description="What the result lacks of its target.")
    source_notes: list[str] = Field(description="What makes the photos of the source poor ones.")
    timings_ms: dict[str, float]


class SwapAnswer(BaseModel):
    """A result as JSON, for `Accept: application/json`."""

    model_config = _like({"image": "iVBORw0KGgo...", "media_type": "image/png", "report": _A_REPORT})

    image: str = Field(description="The marked file, base64.")
    media_type: str
    report: SwapReport


class ModelAnswer(BaseModel):
    """One model on offer."""

    name: str
    usable: bool
    problem: str | None = Field(description="Why it cannot be used.")
    version: str | None = None
    resolution: int | None = None
    licence: str | None = None
    training_data: str | None = None
    default: bool = False


class ModelsAnswer(BaseModel):
    """All models on offer."""

    model_config = _like({"models": [_A_MODEL]})

    models: list[ModelAnswer]


JobState: TypeAlias = Literal["waiting", "working", "done", "failed"]


class JobAnswer(BaseModel):
    """State of a job."""

    model_config = _like(_A_JOB)

    id: str
    kind: Literal["video", "images"]
    state: JobState
    done: int = Field(description="Frames or images finished.")
    expected: int | None = Field(description="About how many there will be.")
    per_second: float | None
    created: str
    kept_until: str | None = Field(
        description="When the job and its files are removed; null while it is unfinished."
    )
    problem: str | None = Field(description="The sentence that says why it failed.")
    result: str | None = Field(description="Where the result is.")
    report: dict[str, Any] | None


class JobsAnswer(BaseModel):
    """The caller's jobs, oldest first."""

    model_config = _like({"jobs": [_A_JOB]})

    jobs: list[JobAnswer]


class Standing(BaseModel):
    """Health of the service."""

    model_config = _like({"status": "ok", "detail": ""})

    status: Literal["ok", "starting", "stopping", "broken"]
    detail: str = ""
