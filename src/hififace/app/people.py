"""Source faces: a visitor's source photos, the face chosen among them, and what was worked out about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hififace.app.limits import Limits
from hififace.app.photos import Photo, read_photo
from hififace.errors import OptionError
from hififace.swap.source_map import Source
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage


@dataclass(slots=True, eq=False)
class People:
    """The source photos of one visitor; image and video take from the same."""

    photos: list[Photo] = field(default_factory=list)
    chosen: int | None = None
    """The source face that the next click on a face of a target puts in: its place in `faces`."""
    model: str | None = None
    """The model whose detector found the faces."""
    known: dict[tuple[str, tuple[Path, ...], int | None], Source] = field(default_factory=dict)
    """Sources already worked out, which is the costly half."""

    @property
    def faces(self) -> list[tuple[Photo, int]]:
        """Every face of every photo, in the order shown."""
        return [(photo, face.index) for photo in self.photos for face in photo.faces]

    def thumbnail(self, place: int) -> RGBImage:
        """(T, T, 3) of a face by its place in `faces`."""
        photo, face = self.faces[place]
        return photo.thumbnails[face]

    def called(self, place: int) -> str:
        """What people call a face by its place in `faces`."""
        photo, face = self.faces[place]
        return photo.name if len(photo.faces) == 1 else f"face {face + 1} of {photo.name}"

    def choose(self, place: int) -> None:
        """Choose the source face that the next clicks assign.

        Raises:
            OptionError: there is no such face.
        """
        if not 0 <= place < len(self.faces):
            raise OptionError(
                f"There is no source face {place + 1}; {len(self.faces)} are shown. Choose one of them."
            )
        self.chosen = place

    def remove(self, number: int) -> Photo:
        """Take one photo out; another face is chosen where it was one of its own.

        Args:
            number: of the photo, from 0.

        Raises:
            OptionError: there is no such photo.
        """
        if not 0 <= number < len(self.photos):
            raise OptionError(f"There is no source photo {number + 1}; {len(self.photos)} are there.")
        first = sum(len(photo.faces) for photo in self.photos[:number])
        gone = self.photos.pop(number)
        behind = first + len(gone.faces)
        if self.chosen is not None and self.chosen >= behind:
            self.chosen -= len(gone.faces)
        elif self.chosen is not None and self.chosen >= first:
            self.chosen = self.photos[0].main_face if self.photos else None
        self.known = {what: source for what, source in self.known.items() if gone.path not in what[1]}
        return gone

    def assign(self, mapping: dict[int, int], face: int) -> None:
        """Put the chosen source face into this face of a target; again takes it back.

        Args:
            mapping: face of the target -> place in `faces`; changed.
            face: of the target.

        Raises:
            OptionError: no source was given yet.
        """
        if self.chosen is None:
            raise OptionError("No source was given. Add a source photo first.")
        if mapping.get(face) == self.chosen:
            del mapping[face]
        else:
            mapping[face] = self.chosen

    def everybody(self, swapper: FaceSwapper, limits: Limits, *, average: bool) -> Source:
        """The source for targets of which no face was clicked.

        Raises:
            OptionError: no source was given yet.
            HififaceError: why the face cannot be a source.
        """
        if self.chosen is None:
            raise OptionError("No source was given. Add a source photo first.")
        return self.source(self.chosen, swapper, limits, average=average)

    def source(self, place: int, swapper: FaceSwapper, limits: Limits, *, average: bool) -> Source:
        """A face as the library takes it; where all photos show one person, the average of them.

        Raises:
            HififaceError: why it cannot be a source: too small, turned away, ...
        """
        photo, face = self.faces[place]
        photos, choice = (tuple(self.photos), None) if average else ((photo,), face)
        question = (str(swapper.bundle.folder), tuple(one.path for one in photos), choice)
        if question not in self.known:
            images = [read_photo(one.path, one.name, limits) for one in photos]
            self.known[question] = swapper.read_source(images, face="main" if choice is None else choice)
        return self.known[question]
