"""Which faces of an image are left unchanged by default: bystanders, and what is not a human face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hififace.faces.appearance import appearance_of
from hififace.faces.second_opinion import SURE_SCORE, looks_human
from hififace.faces.selection import left_out
from hififace.swap.engine import Engine
from hififace.swap.options import SwapOptions
from hififace.types import Face, RGBImage

NOT_HUMAN: Final = "it does not look like a human face; choose it by its number to swap it all the same"

SELECT_ALL: Final = "`all` or its number selects it"


def without_bystanders(
    engine: Engine, image: RGBImage, faces: Sequence[Face], options: SwapOptions, chosen: frozenset[int]
) -> tuple[list[Face], dict[int, str]]:
    """Look at the faces of an image before anything is generated.

    Args:
        engine: what runs the networks.
        image: (H, W, 3).
        faces: of it.
        options: `select` decides whether bystanders are looked for; faces selected by number are never doubted.
        chosen: indices of more faces that are chosen by number.

    Returns:
        The faces, with the landmarks and identities that were found on the way; and index -> why a face is left out, a
        sentence without its end.
    """
    known = {face.index: face for face in faces}
    if options.indices is not None:
        return list(faces), {}
    asked = [
        face
        for face in faces
        if face.index not in chosen and face.detection.size_px >= options.smallest_face_px
    ]
    doubtful = [face for face in asked if face.detection.score < SURE_SCORE]
    find_bystanders = isinstance(options.select, str) and options.select == "main" and len(asked) > 1
    located = engine.with_landmarks(image, asked if find_bystanders else doubtful)
    known |= {face.index: face for face in located}
    reasons: dict[int, str] = {}
    for face in doubtful:
        face = known[face.index]
        assert face.landmarks is not None
        identity, length = engine.embedder.embed_with_length(image, face.detection.points)
        # Out of focus, people and dogs look alike to these networks, and people are more often photographed.
        if looks_human(face.detection.score, face.landmarks.score, length) or (
            appearance_of(image, face.detection, face.landmarks).is_blurred
        ):
            known[face.index] = replace(
                face, identity=face.identity if face.identity is not None else identity
            )
        else:
            reasons[face.index] = NOT_HUMAN
    if find_bystanders:
        shown = {
            face.index: appearance_of(image, face.detection, face.landmarks)
            for face in located
            if face.landmarks is not None and face.index not in reasons
        }
        reasons |= {index: f"{reason} ({SELECT_ALL})" for index, reason in left_out(shown).items()}
    return [known[face.index] for face in faces], reasons
