"""From photos of a person to a `Source`: the one face each shows, or a sentence that says why there is none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from hififace.errors import FaceError, NoFaceFoundError, OptionError
from hififace.faces.appearance import SHUT, eye_openings, points_turn_deg
from hififace.faces.identity import average
from hififace.faces.turning import leaning_deg
from hififace.media.image import LoadedImage
from hififace.media.image_like import ImageLike, load_image
from hififace.swap.engine import Engine
from hififace.swap.face_features import POSE, turn_deg
from hififace.swap.identity_vector import FaceFeatures, average_sources, source_needs
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source
from hififace.types import Face, FloatArray, RGBImage

Photos: TypeAlias = ImageLike | Sequence[ImageLike]
"""One photo of a person, or several."""

FaceChoice: TypeAlias = Literal["main", "largest"] | int
"""Face of a source photo: "main" (clearly the largest, else an error), "largest", or its number from the left."""

CLEARLY_LARGER: Final = 1.5
"""Ratio of sizes from which the largest face of a photo is taken as the person meant."""

SMALLEST_SOURCE_PX: Final = 40.0
"""Smaller faces do not identify a person reliably."""

LARGEST_SOURCE_TURN_DEG: Final = 60.0
"""Beyond it half of the face is hidden, and its shape would be a guess."""

FAR_TURNED_DEG: Final = 35.0
"""A source turned further is used, with a note."""

LYING_DEG: Final = 45.0
"""A source whose head leans further is used, with a note."""

BLUE_SKIN_LEVELS: Final = 15.0
"""An array is probably BGR if the median of blue minus red over its faces is above this, in levels of 255."""


def read_source(
    engine: Engine, photos: Photos, face: FaceChoice | Face = "main", *, rotated: bool = False
) -> Source:
    """Work out everything about a person that swapping needs.

    Args:
        engine: what will swap.
        photos: one of the person, or several, which are averaged into one identity.
        face: which face of each photo; or the face itself of the only photo, for callers that found it already:
            landmarks and identity that it carries are used as they are.
        rotated: also find faces that lie or stand upside down, at several times the cost.

    Raises:
        FaceError: no face, several and none the main one, too small, or turned away.
        ImageError: a photo that cannot be read.
    """
    encoded, identities, names = [], [], []
    notes: list[str] = []
    for place, photo in enumerate(photo_list(photos)):
        image = load_image(photo)
        name = photo_name(image, place)
        if isinstance(face, Face):
            chosen = choose_face([face], "largest", name)
        else:
            chosen = choose_face(engine.find_faces(image.pixels, SwapOptions(rotated=rotated)), face, name)
        warn_of_swapped_channels(photo, image.pixels, [chosen])
        (chosen,) = engine.with_landmarks(image.pixels, [chosen])
        chosen = replace(chosen, identity=engine.identity(image.pixels, chosen))
        (found,) = engine.encode(image.pixels, [chosen], source_needs(engine.bundle.vector) | {POSE})
        require_frontal(found.features, name)
        notes += source_notes(chosen, name, turn_deg(found.features))
        encoded.append(found.features)
        identities.append(engine.identity(image.pixels, chosen))  # the face carries it: nothing is run again
        names.append(name)
    features = average_sources(encoded)
    for values in features.values():
        values.setflags(write=False)
    return Source(", ".join(names), features, average(identities), len(names), tuple(notes))


def source_notes(face: Face, name: str, turned_deg: float) -> list[str]:
    """What makes a face a poor source without being refused: sentences without their ends.

    Args:
        face: with landmarks.
        name: of its photo.
        turned_deg: pitch or yaw by the mesh, the larger of the two.
    """
    notes = []
    lean = float(leaning_deg(face.detection.points[None])[0])
    turned = max(turned_deg, points_turn_deg(face.detection.points))
    if abs(lean) > LYING_DEG:
        notes.append(f"the face in {name} lies or stands upside down (turned by {lean:.0f} degrees)")
    if turned > FAR_TURNED_DEG:
        notes.append(f"the face in {name} is turned by {turned:.0f} degrees, and what is hidden is guessed")
    if face.landmarks is not None and bool((eye_openings(face.landmarks.points) < SHUT).all()):
        notes.append(f"the eyes in {name} are shut, which makes the person harder to recognise")
    return notes


def read_person(
    engine: Engine, photo: ImageLike, face: FaceChoice = "main", *, rotated: bool = False
) -> tuple[str, FloatArray]:
    """A person of the targets by a reference photo: its name, and their identity (D,).

    Raises:
        FaceError: as `read_source`, except that a face may be turned away.
        ImageError: the photo cannot be read.
    """
    image = load_image(photo)
    name = photo_name(image, 0)
    chosen = choose_face(engine.find_faces(image.pixels, SwapOptions(rotated=rotated)), face, name)
    return name, engine.identity(image.pixels, chosen)


def photo_list(photos: Photos) -> list[ImageLike]:
    """One photo or several, as a list.

    Raises:
        OptionError: the list is empty.
    """
    if isinstance(photos, Sequence) and not isinstance(photos, (str, bytes, bytearray)):
        if not photos:
            raise OptionError("No source photo was given; at least one was expected.")
        return list(photos)
    return [photos]


def photo_name(photo: LoadedImage, place: int) -> str:
    """How messages call a source photo: its file name, or its place in the list."""
    return Path(photo.path).name if photo.path is not None else f"source photo {place + 1}"


def choose_face(faces: Sequence[Face], choice: FaceChoice, name: str) -> Face:
    """The one face of a photo that is meant.

    Raises:
        NoFaceFoundError: there is none.
        FaceError: there are several and none is clearly the largest, or not as many as the number asks for, or the
            one chosen is too small.
        OptionError: a choice that does not exist.
    """
    if not faces:
        raise NoFaceFoundError(
            f"No face was found in {name}. Choose a photo that shows one face from the front, sharp and well lit. If "
            "it lies or stands upside down, ask for rotated faces (--rotated)."
        )
    by_size = sorted(faces, key=lambda face: face.detection.size_px, reverse=True)
    if choice == "main":
        sizes = [face.detection.size_px for face in by_size]
        if len(sizes) > 1 and sizes[0] < CLEARLY_LARGER * sizes[1]:
            raise FaceError(
                f"{name} shows {len(faces)} faces and none is clearly the largest. Cut out the person meant, or "
                "choose: the largest face, or its number from the left, counted from 0."
            )
        chosen = by_size[0]
    elif choice == "largest":
        chosen = by_size[0]
    elif isinstance(choice, int) and not isinstance(choice, bool) and choice >= 0:
        if choice >= len(faces):
            raise FaceError(
                f"Face {choice} of {name} was asked for, but it shows {len(faces)}, counted from 0 at the left."
            )
        chosen = faces[choice]
    else:
        raise OptionError(
            f"The face {choice!r} was asked for; main, largest or a number from 0 was expected."
        )
    if chosen.detection.size_px < SMALLEST_SOURCE_PX:
        raise FaceError(
            f"The face in {name} is {chosen.detection.size_px:.0f} px large; at least {SMALLEST_SOURCE_PX:g} px are "
            "needed to tell who it is. Choose a larger photo."
        )
    return chosen


def require_frontal(features: FaceFeatures, name: str) -> None:
    """Refuse a source that looks too far aside, up or down.

    Raises:
        FaceError: it does.
    """
    turn = turn_deg(features)
    if turn > LARGEST_SOURCE_TURN_DEG:
        raise FaceError(
            f"The face in {name} is turned away by {turn:.0f} degrees; at most {LARGEST_SOURCE_TURN_DEG:g} were "
            "expected, since a hidden half cannot be known. Choose a photo from nearer the front."
        )


def warn_of_swapped_channels(given: ImageLike, pixels: RGBImage, faces: Sequence[Face]) -> None:
    """Warn where an array shows faces whose skin is clearly bluer than it is red, as BGR arrays of OpenCV do.

    Skin of every tone reflects more red than blue; only strongly blue light makes it otherwise. Files and PIL images
    say themselves what their channels are, so only arrays are asked.

    Args:
        given: what was handed in.
        pixels: (H, W, 3) what was read from it.
        faces: of it.
    """
    if not isinstance(given, np.ndarray):
        return
    blueness = []
    for face in faces:
        x0, y0, x1, y1 = (float(v) for v in face.detection.box)
        height, width = pixels.shape[:2]
        left, right = (round(min(max(x0 + share * (x1 - x0), 0), width)) for share in (0.25, 0.75))
        top, bottom = (round(min(max(y0 + share * (y1 - y0), 0), height)) for share in (0.3, 0.8))
        inner = pixels[top:bottom, left:right].reshape(-1, 3)
        if len(inner):
            blueness.append(float(np.median(inner[:, 2].astype(np.float32) - inner[:, 0])))
    if blueness and float(np.median(blueness)) > BLUE_SKIN_LEVELS:
        warnings.warn(
            "The faces of this array are bluer than they are red. OpenCV reads images as BGR; RGB is expected here: "
            "hand in array[..., ::-1].",
            UserWarning,
            stacklevel=2,
        )
