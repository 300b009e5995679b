"""A model is a bundle: a folder with `model.json` and the graphs that it describes.

`model.json` says everything a swapper must know (resolution, alignment, parts, layout of the identity vector,
licence) and holds the SHA-256 of every file, so a bundle that was cut short or altered is refused by name.
The bundles that ship are sub-folders of `embedded/`; their folder names are the model names.
"""

from __future__ import annotations

import glob
import hashlib
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from hififace.errors import BundleError, WeightsError
from hififace.json_values import parse_json
from hififace.processes import is_left_behind, process_mark
from hififace.weights.registry import find_card
from hififace.weights.store import refuse_non_commercial

SCHEMA_VERSION: Final = 1
MANIFEST_NAME = "model.json"
EMBEDDED_BUNDLES = Path(__file__).parent / "embedded"

_CARDS_OF_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "yunet": ("yunet",),
    "scrfd": ("scrfd_10g",),
    "sface": ("sface",),
    "mesh": ("face_mesh", "face_mesh_topology", "mesh_shape"),
}
"""The embedded files of each part that is not a graph of the bundle."""

_MAX_MANIFEST_BYTES = 1 << 20
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _plain_file_name(name: str) -> str:
    """A bundle comes from strangers: its file names must not reach out of its folder."""
    if not _FILE_NAME.fullmatch(name) or name == MANIFEST_NAME:
        raise ValueError(f"'{name}' is not a plain file name inside the bundle's folder")
    return name


FileName = Annotated[str, AfterValidator(_plain_file_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    """Base model: unknown keys are refused, so that a mistyped key is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Attribute(_Strict):
    """An attribute that an embedding encodes along one direction, such as glasses."""

    name: str = Field(min_length=1)
    direction: tuple[float, ...] = Field(min_length=1)
    """Unit vector towards faces that have the attribute."""
    level: float
    """Coordinate along the direction of faces without the attribute."""

    @field_validator("direction")
    @classmethod
    def _unit_length(cls, direction: tuple[float, ...]) -> tuple[float, ...]:
        length = math.hypot(*direction)
        if abs(length - 1.0) > 1e-3:
            raise ValueError(f"an attribute's direction has length {length:.4f}; it should be 1")
        return direction


class VectorEntry(_Strict):
    """One named part of the identity vector.

    The name is the owner, an underscore and the feature (`target_pose`); the feature is the name of an
    output of the bundle's identity or shape graph, or of the embedded part that stands for it.
    """

    name: str = Field(min_length=1)
    size: int = Field(gt=0)
    gain: float = 1.0
    """What the generator multiplies the part by on entry; callers hand in the plain feature."""
    strength: float = Field(default=1.0, gt=0.0, le=3.0)
    """How far a rate of 1 goes from the target's value to the source's, for parts that the source owns; above 1 it goes
    beyond: a network that moves the shape less than it is asked to is asked for more."""
    feedback: float = Field(default=0.0, ge=0.0, le=2.0)
    """How much of what a first result lacks of a source's identity is asked for in addition the second time; 0: faces
    are generated once."""
    owner: Literal["source", "target"]
    without: tuple[Attribute, ...] = ()
    """Attributes that are removed from a source's embedding, since they belong to the photo, not to the person."""

    @model_validator(mode="after")
    def _directions_fit(self) -> VectorEntry:
        for attribute in self.without:
            if len(attribute.direction) != self.size or self.owner != "source":
                raise ValueError(
                    f"the direction of '{attribute.name}' has {len(attribute.direction)} numbers; '{self.name}' has "
                    f"{self.size}, and must be the source's"
                )
        if self.feedback and self.name != "source_identity":
            raise ValueError(f"'{self.name}' has feedback; only source_identity can have it")
        return self

    @property
    def feature(self) -> str:
        """The name without its owner: `pose` of `target_pose`."""
        return self.name.removeprefix(f"{self.owner}_")


class Part(_Strict):
    """A network used in addition to the generator."""

    part: str = Field(min_length=1)
    """Name of an embedded part, or the file name of one of the bundle's graphs."""
    size: int | None = Field(default=None, gt=0)
    """Numbers it returns for one face, where that is fixed."""
    description: str = ""


GraphName: TypeAlias = Literal["generator", "generator_int8", "eyeglasses", "occluders", "identity", "shape"]


class Graphs(_Strict):
    """File names of the graphs of a bundle."""

    generator: FileName
    generator_int8: FileName | None = None
    """The same network in whole numbers of eight bits, for videos on processors that are faster at them. It takes its
    weights out of the generator's file, beside which it has to lie (`export/quantise.py`)."""
    eyeglasses: FileName | None = None
    """Input `crop` (B,3,128,256), the upper half of a crop; output `frames` (B,1,128,256), frames of eyeglasses."""
    occluders: FileName | None = None
    """Input `crop` (B,3,128,128); output `covered` (B,1,128,128), what covers the face."""
    identity: FileName | None = None
    """Input `image` (B,3,S,S) RGB 0..1, the aligned crop; output `identity` (B,D), unit length."""
    shape: FileName | None = None
    """Input `image` (B,3,S,S) RGB 0..1, the aligned crop; one output per named coefficient."""


class Bundle(_Strict):
    """The content of `model.json`, and the folder that it was read from."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(min_length=1)
    family: Literal["mesh", "basel"]
    resolution: int = Field(gt=0)
    """Side of the target crop, in pixels: the S of the generator's `target`."""
    output_resolution: int | None = Field(default=None, gt=0)
    """Side of the generator's `image`, in pixels, where it differs from `resolution`."""
    template: str = Field(min_length=1)
    detector: str = "yunet"
    identity: Part
    shape: Part
    vector: tuple[VectorEntry, ...] = Field(min_length=1)
    graphs: Graphs
    half_weights: bool = False
    """Weights are stored as float16; computation is in float32 either way."""
    licence: str = Field(min_length=1)
    commercial: bool = False
    """Whether its licence and its training photos allow commercial use; False unless stated."""
    training_data: str = ""
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    made_by: str = ""
    files: dict[FileName, Sha256]

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Bundle:
        names = [entry.name for entry in self.vector]
        if len(set(names)) != len(names):
            raise ValueError(f"vector names a part twice: {', '.join(names)}")
        unlisted = [file for file in self._graph_files() if file not in self.files]
        if unlisted:
            raise ValueError(f"files holds no SHA-256 for the graph {unlisted[0]}")
        return self

    def _graph_files(self) -> list[str]:
        graphs = self.graphs
        named = (getattr(graphs, name) for name in type(graphs).model_fields)
        return [file for file in named if file]

    @property
    def vector_size(self) -> int:
        """Length D of the whole identity vector."""
        return sum(entry.size for entry in self.vector)

    @property
    def feedback(self) -> float:
        """The `feedback` of the identity."""
        return max((entry.feedback for entry in self.vector), default=0.0)

    @property
    def folder(self) -> Path:
        """The folder this bundle was loaded from.

        Raises:
            BundleError: the bundle was made in memory and never loaded.
        """
        if self._folder is None:
            raise BundleError(f"Bundle '{self.name}' was not loaded from a folder; write it, then load it.")
        return self._folder

    def path(self, graph: GraphName) -> Path:
        """Where a graph lies.

        Raises:
            BundleError: the bundle has no such graph.
        """
        file = getattr(self.graphs, graph)
        if file is None:
            raise BundleError(
                f"Bundle '{self.name}' has no {graph} graph; it uses the embedded part instead."
            )
        return self.folder / str(file)


def available_models() -> list[str]:
    """Names of the embedded models, for `FaceSwapper.load`."""
    if not EMBEDDED_BUNDLES.is_dir():
        return []
    return sorted(manifest.parent.name for manifest in EMBEDDED_BUNDLES.glob(f"*/{MANIFEST_NAME}"))


def load_bundle(name_or_folder: str | Path, *, commercial: bool = False) -> Bundle:
    """Read and verify a bundle, by the name of an embedded one (`mini`) or the path of a folder.

    Args:
        name_or_folder: which.
        commercial: refuse one that, or a part of which, may not be used commercially.

    Raises:
        BundleError: nothing there, `model.json` missing or not as it should be, a file missing or altered.
        WeightsError: refused for its licence.
    """
    folder = _resolve(name_or_folder)
    bundle = _parse_manifest(folder)
    if commercial:
        _refuse_non_commercial(bundle)
    for file, expected in bundle.files.items():
        _verify(folder / file, expected, bundle.name)
    bundle._folder = folder
    return bundle


def _refuse_non_commercial(bundle: Bundle) -> None:
    if not bundle.commercial:
        raise WeightsError(
            f"The model '{bundle.name}' may not be used commercially: its licence is \"{bundle.licence}\". Choose a "
            f'bundle whose {MANIFEST_NAME} says "commercial": true, or leave --commercial out if your use is not '
            "commercial."
        )
    for part in (bundle.detector, bundle.identity.part, bundle.shape.part):
        for name in _CARDS_OF_PARTS.get(part, ()):
            refuse_non_commercial(find_card(name), True)


def write_bundle(folder: Path, description: Mapping[str, Any], files: Mapping[str, Path | bytes]) -> Bundle:
    """Write a bundle atomically: into a temporary folder, then one rename.

    Args:
        folder: where it shall be; an older bundle there is replaced, anything else is left alone.
        description: the fields of `Bundle` except `files`, which is computed here.
        files: content, or the file to copy, of each file by its name in the bundle.

    Raises:
        BundleError: the description is wrong, the folder holds something else, or writing fails.
    """
    folder = Path(folder).absolute()
    check_writable(folder, description, files)
    try:
        with _staging(folder) as staging:
            hashes = {name: _place(content, staging / name) for name, content in files.items()}
            bundle = _validate({**description, "files": hashes}, f"the new bundle {folder.name}")
            text = bundle.model_dump_json(indent=2, exclude_none=True)
            (staging / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"Cannot write the bundle {folder}: {error.strerror or error}. Nothing was left behind."
        ) from error
    return load_bundle(folder)


def check_writable(folder: Path, description: Mapping[str, Any], files: Iterable[str]) -> None:
    """Refuse now what `write_bundle` would refuse after the graphs have been made, which takes minutes.

    Raises:
        BundleError: the description is wrong, a file's name is no plain name, or the folder holds something else.
    """
    _refuse_foreign(folder)
    _validate({**description, "files": dict.fromkeys(files, "0" * 64)}, f"the new bundle {folder.name}")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _resolve(name_or_folder: str | Path) -> Path:
    if isinstance(name_or_folder, str) and name_or_folder in available_models():
        return EMBEDDED_BUNDLES / name_or_folder
    folder = Path(name_or_folder).expanduser()
    if not folder.is_dir():
        shipped = ", ".join(available_models()) or "none"
        near = get_close_matches(str(name_or_folder), available_models(), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise BundleError(
            f"No bundle '{name_or_folder}': neither a folder nor one of the models that ship ({shipped}). {hint}"
            "Give the folder that holds model.json; `hififace convert` makes one from a published checkpoint."
        )
    return folder


def _parse_manifest(folder: Path) -> Bundle:
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(
                f"{path} is larger than {_MAX_MANIFEST_BYTES} bytes; it does not describe a bundle."
            )
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{folder} is not a bundle: its {MANIFEST_NAME} cannot be read ({error.strerror or error})."
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not valid JSON ({error}). Make or fetch the bundle again.") from error
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {found!r}; this hififace reads version {SCHEMA_VERSION}. "
            "Update hififace, or make the bundle again."
        )
    return _validate(content, str(path))


def _validate(content: Mapping[str, Any], where: str) -> Bundle:
    try:
        return Bundle.model_validate(content)
    except ValidationError as error:
        faults = error.errors()
        first = "; ".join(f"{_dotted(fault['loc'])}: {fault['msg']}" for fault in faults[:3])
        raise BundleError(f"{where} is not valid ({len(faults)} faults): {first}.") from error


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) or MANIFEST_NAME


def _verify(path: Path, expected: str, name: str) -> None:
    if not path.is_file():
        raise BundleError(
            f"Bundle '{name}' is incomplete: {path} is missing. Make or fetch the bundle again."
        )
    found = file_sha256(path)
    if found != expected:
        raise BundleError(
            f"Bundle '{name}' was altered: {path} has SHA-256 {found[:12]}…, "
            f"{MANIFEST_NAME} says {expected[:12]}…. Make or fetch the bundle again."
        )


def _refuse_foreign(folder: Path) -> None:
    """Replace a bundle, an empty folder or nothing; never somebody's other files."""
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST_NAME).is_file()):
        raise BundleError(f"{folder} exists and is not a bundle; choose another place for the new one.")


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends well, and else vanishes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder, "new")
    mark = process_mark()
    staging, aside = (folder.parent / f".{folder.name}.{mark}.{kind}" for kind in ("new", "old"))
    staging.mkdir()
    try:
        yield staging
        if folder.exists():
            folder.rename(aside)
        try:
            staging.rename(folder)
        except OSError:
            if aside.exists():
                aside.rename(folder)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            _sweep(folder, "old")  # not before: it may have been all that was there


def _sweep(folder: Path, kind: str) -> None:
    """Remove temporary folders of killed processes beside a bundle."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*.{kind}"):
        mark = path.name.removeprefix(f".{folder.name}.").removesuffix(f".{kind}")
        if is_left_behind(mark, path):
            shutil.rmtree(path, ignore_errors=True)


def _place(content: Path | bytes, path: Path) -> str:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        shutil.copyfile(content, path)
    return file_sha256(path)
