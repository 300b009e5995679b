"""Sources and their assignment to the faces of a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from hififace.faces.identity import cosine
from hififace.faces.selection import by_index, select_faces
from hififace.swap.identity_vector import FaceFeatures
from hififace.swap.options import SwapOptions
from hififace.types import Face, FloatArray

Embed: TypeAlias = Callable[[Face], FloatArray]
"""Returns the identity (D,) of a face of the current image."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An encoded source face, from `FaceSwapper.set_source` or `read_source`."""

    name: str
    """File name of its photo, for messages."""
    features: FaceFeatures = field(repr=False)
    """Features of the source for the bundle's identity vector."""
    identity: FloatArray = field(repr=False)
    """(D,) unit vector of the embedded recogniser, for similarities."""
    num_photos: int = 1
    notes: tuple[str, ...] = ()
    """Warnings about its photos, without full stops; usually empty."""


def notes_of(sources: Iterable[Source]) -> tuple[str, ...]:
    """The notes of several sources, each once."""
    return tuple(dict.fromkeys(note for source in sources for note in source.notes))


@dataclass(frozen=True, slots=True, eq=False)
class ReferencePerson:
    """A person in the target, identified by a reference photo, and their source."""

    name: str
    reference: FloatArray = field(repr=False)
    """(D,) identity of the person in the target."""
    source: Source


@dataclass(frozen=True, slots=True, eq=False)
class SourceMap:
    """All sources of a swap. Immutable, so that several users can share one `FaceSwapper`, each with their own map."""

    default: Source | None = None
    """Source of every selected face without one of its own; None leaves those unchanged."""
    people: tuple[ReferencePerson, ...] = ()
    """People identified by reference photos."""
    by_index: Mapping[int, Source] = field(default_factory=lambda: MappingProxyType({}))
    """Sources by the number of a face, counted from 0 at the left; these take precedence."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them, each once."""
        given = [self.default, *(person.source for person in self.people), *self.by_index.values()]
        return tuple({id(source): source for source in given if source is not None}.values())

    @property
    def is_empty(self) -> bool:
        """No source was given."""
        return self.default is None and not self.people and not self.by_index

    def shows(self, identity: FloatArray | None, same_person: float) -> bool:
        """Whether a face is one of the people of the map."""
        return identity is not None and any(
            cosine(identity, person.reference) >= same_person for person in self.people
        )

    def source_for(self, identity: FloatArray, same_person: float) -> Source | None:
        """The source of the role that a face plays, the best one above the threshold; else the default."""
        found = [(cosine(identity, person.reference), person.source) for person in self.people]
        best = max(found, key=lambda pair: pair[0], default=None)
        return best[1] if best is not None and best[0] >= same_person else self.default


@dataclass(frozen=True, slots=True)
class Assignment:
    """What happens to one face of a target."""

    face: Face
    source: Source | None
    """None: it stays as it is."""
    reason: str = ""
    """Why it stays as it is: a sentence without its end."""


def assign(
    source_map: SourceMap,
    faces: Sequence[Face],
    options: SwapOptions,
    embed: Embed,
    reference: FloatArray | None = None,
    left_out: Mapping[int, str] = MappingProxyType({}),
) -> list[Assignment]:
    """Decide for every face of one image.

    Args:
        source_map: the sources to choose from.
        faces: of the image, left to right.
        options: which faces, and the thresholds.
        embed: asked only where people are told apart.
        reference: identity of the person of `options.select`, where that is a photo.
        left_out: index of a face -> why it is not swapped unless it is chosen by number or shows a person of the map.

    Raises:
        FaceError: a face was asked for by a number that the image does not have, or nobody in it is the person of
            the reference.
    """
    by_index(faces, list(source_map.by_index))  # says which number there is not
    if reference is not None or source_map.people:
        faces = [replace(face, identity=embed(face)) for face in faces]
    doubted = () if options.indices is not None else left_out
    selected = _selected([face for face in faces if face.index not in doubted], options, reference)
    selected |= set(source_map.by_index)

    def shows(face: Face) -> bool:
        return source_map.shows(face.identity, options.same_person)

    def decide(face: Face) -> tuple[Source | None, str]:
        size = face.detection.size_px
        if face.index not in selected and not (face.index in left_out and shows(face)):
            return None, left_out.get(face.index, "it was not selected")
        if size < options.smallest_face_px:
            return None, f"it is {size:.0f} px large, below the limit of {options.smallest_face_px:g} px"
        if face.index in source_map.by_index:
            return source_map.by_index[face.index], ""
        known = face.identity
        source = source_map.default if known is None else source_map.source_for(known, options.same_person)
        return source, "" if source is not None else "no source was given for this person"

    return [Assignment(face, *decide(face)) for face in faces]


def _selected(faces: Sequence[Face], options: SwapOptions, reference: FloatArray | None) -> set[int]:
    """Indices of the faces that the options mean."""
    if not faces:
        return set()
    if reference is not None:
        chosen = select_faces(faces, "reference", reference=reference, threshold=options.same_person)
    elif options.indices is not None:
        chosen = by_index(faces, options.indices)
    elif options.select == "main":
        chosen = list(faces)
    else:
        chosen = select_faces(faces, str(options.select))
    return {face.index for face in chosen}
