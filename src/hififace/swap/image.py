"""The swap of one image, from whatever people hand in to a result with an outcome for every face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hififace.errors import FaceError, NoFaceFoundError, OptionError
from hififace.faces.identity import cosine
from hififace.media.image import LoadedImage
from hififace.swap.options import SwapOptions
from hififace.swap.result import FaceOutcome, SwapResult
from hififace.swap.source_map import Assignment, Source, SourceMap
from hififace.swap.sources import ImageLike, load_image, turn_deg
from hififace.swap.stages import StageClock
from hififace.types import RGBImage

if TYPE_CHECKING:
    from hififace.swapper import FaceSwapper


def swap_image(
    swapper: FaceSwapper, image: ImageLike, options: SwapOptions, source_map: SourceMap
) -> SwapResult:
    """See `FaceSwapper.swap`.

    Raises:
        OptionError: nobody was given to put in.
        NoFaceFoundError: the image shows no face.
        FaceError: it shows faces, but none that was to be swapped; the sentence says why for each.
        ImageError: it cannot be read.
    """
    if source_map.is_empty:
        raise OptionError(
            "Nobody was given to put into the image. Call set_source(photo) first, or map_source(reference, photo)."
        )
    clock = StageClock()
    with clock("total"):
        with clock("read"):
            target = load_image(image)
        with clock("detect"):
            faces = swapper.find_faces(target.pixels, options)
        if not faces:
            raise NoFaceFoundError(_none_found(target, options))
        with clock("assign"):
            assignments = swapper.assign(target.pixels, faces, options, source_map)
        outcomes, pixels = _swap_assigned(swapper, target.pixels, assignments, options, clock)
    if not any(outcome.swapped for outcome in outcomes):
        reasons = "; ".join(f"face {outcome.face.index}: {outcome.reason}" for outcome in outcomes)
        raise FaceError(
            f"{target.name} shows {len(faces)} {'face' if len(faces) == 1 else 'faces'}, none of which was swapped "
            f"({reasons})."
        )
    return SwapResult(
        image=pixels,
        target=target,
        faces=tuple(outcomes),
        timings_ms=clock.timings_ms,
        claim=swapper.claim(options),
        compare=options.compare,
    )


def _none_found(target: LoadedImage, options: SwapOptions) -> str:
    told = f"No face was found in {target.name}; nothing was swapped. If it shows one, try a lower detection threshold"
    return (
        f"{told}."
        if options.rotated
        else f"{told}, or ask for faces that lie or stand on their heads (rotated)."
    )


def _swap_assigned(
    swapper: FaceSwapper,
    image: RGBImage,
    assignments: Sequence[Assignment],
    options: SwapOptions,
    clock: StageClock,
) -> tuple[list[FaceOutcome], RGBImage]:
    """Swap the faces that have a source; an outcome for every face, in order."""
    outcomes = {a.face.index: FaceOutcome(a.face, False, a.reason) for a in assignments}
    sources = {a.face.index: a.source for a in assignments if a.source is not None}
    chosen = [a.face for a in assignments if a.source is not None]
    targets = []
    for target in swapper.prepare(image, chosen, options, clock=clock):
        turn = turn_deg(target.features)
        if turn <= options.largest_turn_deg:
            targets.append(target)
        else:
            reason = f"it is turned away by {turn:.0f} degrees"
            outcomes[target.face.index] = FaceOutcome(target.face, False, reason)
    with clock("generate"):
        generated = swapper.generate(targets, [sources[target.face.index] for target in targets], options)
    result = image
    for face in generated:
        with clock("paste"):
            pasted = swapper.paste_one(result, face, options)
        result = pasted.image
        outcomes[face.target.face.index] = FaceOutcome(
            face=face.target.face,
            swapped=True,
            source=sources[face.target.face.index].name,
            target_crop=face.target.crop,
            crop=pasted.crop,
            mask=pasted.mask,
            matrix=face.matrix,
        )
    if options.similarity:
        with clock("similarity"):
            for index, outcome in outcomes.items():
                if outcome.swapped:
                    outcomes[index] = _with_similarity(swapper, image, result, outcome, sources[index])
    return [outcomes[a.face.index] for a in assignments], result


def _with_similarity(
    swapper: FaceSwapper, before: RGBImage, after: RGBImage, outcome: FaceOutcome, source: Source
) -> FaceOutcome:
    """Measured where the target's five points are: detecting again could find another face."""
    result = swapper.parts.embedder.embed(after, outcome.face.detection.points)
    return replace(
        outcome,
        similarity_source=cosine(result, source.identity),
        similarity_target=cosine(result, swapper.identity(before, outcome.face)),
    )
