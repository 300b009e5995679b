"""The swap of images, from whatever people hand in to results with an outcome for every face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hififace.errors import FaceError, HififaceError, NoFaceFoundError, OptionError
from hififace.faces.identity import cosine
from hififace.media.image import LoadedImage
from hififace.media.image_like import ImageLike, load_image
from hififace.provenance.claim import Claim
from hififace.swap.bystanders import without_bystanders
from hififace.swap.engine import Engine, Generated, StageClock, Target, generate_faces, paste_faces
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.result import FaceOutcome, SwapResult
from hififace.swap.source_map import Assignment, Source, SourceMap, assign, notes_of
from hififace.swap.sources import warn_of_swapped_channels
from hififace.types import Face, FloatArray

MOST_CHECKED = 8
"""In larger crowds, faces are checked for failure only where similarities are asked for: two runs of the recogniser."""

UNLIKE_ANYBODY = 0.2
"""A result whose cosine to source and target is below shows neither: of 1,000 swaps the mean to the source is 0.6."""


@dataclass(slots=True)
class _Plan:
    """One image on its way: what was found, who becomes whom, and what is asked of its result."""

    target: LoadedImage
    assignments: list[Assignment]
    clock: StageClock
    output: OutputOptions
    generated: Generated | None = None

    @property
    def faces(self) -> Target:
        """For the engine."""
        assigned = self.assignments
        return Target(self.target.pixels, [a.face for a in assigned], [a.source for a in assigned])


def swap_images(
    engine: Engine,
    images: Sequence[ImageLike],
    options: SwapOptions,
    source_map: SourceMap | Sequence[SourceMap],
    output: OutputOptions | Sequence[OutputOptions] | None = None,
    *,
    faces: Sequence[Face] | None = None,
    reference: FloatArray | None = None,
    check: bool = True,
) -> list[SwapResult | HififaceError]:
    """Swap the faces of several images in as few runs of the generator as its batch size allows.

    Args:
        engine: what runs the networks.
        images: the targets.
        options: see `SwapOptions`.
        source_map: who becomes whom; or one for each image, for callers whose images belong to different people.
        output: what the results tell and how they are written; likewise.
        faces: of each image, where they were found already; None finds them.
        reference: (D,) identity of the person of `options.select`, where that is a photo.
        check: compare the results with sources and targets at once; False leaves it to `with_similarities`, for
            callers that show the image first.

    Returns:
        For each image its result, or the error that says why there is none: `NoFaceFoundError` (the image shows no
        face), `FaceError` (none that was to be swapped), `ImageError` (it cannot be read).

    Raises:
        OptionError: no source was given.
    """
    source_maps = [source_map] * len(images) if isinstance(source_map, SourceMap) else list(source_map)
    if any(one.is_empty for one in source_maps):
        raise OptionError(
            "No source was given for the image. Call set_source(photo) first, or map_source(reference, photo)."
        )
    output = output or OutputOptions()
    outputs = [output] * len(images) if isinstance(output, OutputOptions) else list(output)
    plans: list[_Plan | HififaceError] = []
    for image, own_map, own_output in zip(images, source_maps, outputs, strict=True):
        try:
            plans.append(_plan(engine, image, options, own_map, own_output, faces, reference))
        except HififaceError as error:
            plans.append(error)
    ready = [plan for plan in plans if isinstance(plan, _Plan)]
    shared = StageClock()
    for plan, generated in zip(
        ready, generate_faces(engine, [plan.faces for plan in ready], options, clock=shared), strict=True
    ):
        plan.generated = generated
        for stage, spent in shared.timings_ms.items():  # of a batch, each image has its share
            plan.clock.timings_ms[stage] = spent / len(ready)
    return [
        plan if isinstance(plan, HififaceError) else _finished(engine, plan, options, check=check)
        for plan in plans
    ]


def _plan(
    engine: Engine,
    image: ImageLike,
    options: SwapOptions,
    source_map: SourceMap,
    output: OutputOptions,
    faces: Sequence[Face] | None,
    reference: FloatArray | None,
) -> _Plan:
    clock = StageClock()
    with clock("read"):
        target = load_image(image)
    with clock("detect"):
        found = list(faces) if faces is not None else engine.find_faces(target.pixels, options)
    if not found:
        raise NoFaceFoundError(_none_found(target, options))
    warn_of_swapped_channels(image, target.pixels, found)
    with clock("assign"):
        found, left_out = without_bystanders(
            engine, target.pixels, found, options, frozenset(source_map.by_index)
        )
        assignments = assign(
            source_map,
            found,
            options,
            lambda face: engine.identity(target.pixels, face),
            reference,
            left_out,
        )
    return _Plan(target, assignments, clock, output)


def _none_found(target: LoadedImage, options: SwapOptions) -> str:
    told = f"No face was found in {target.name}; nothing was swapped. If it shows one, try a lower detection threshold"
    return (
        f"{told}."
        if options.rotated
        else f"{told}, or ask for faces that lie or stand upside down (rotated)."
    )


def _finished(
    engine: Engine, plan: _Plan, options: SwapOptions, *, check: bool
) -> SwapResult | HififaceError:
    """Put the generated faces of one image back; an outcome for every face, in order."""
    target, clock, output, generated = plan.target, plan.clock, plan.output, plan.generated
    assert generated is not None
    pixels, pasted = paste_faces(engine, generated.image, generated.faces, options, clock=clock)
    sources = {a.face.index: a.source for a in plan.assignments if a.source is not None}
    outcomes = {
        a.face.index: FaceOutcome(a.face, False, generated.refused.get(a.face.index, a.reason))
        for a in plan.assignments
    }
    for one in pasted:
        face = one.generated.target.face
        outcomes[face.index] = FaceOutcome(
            face=face,
            swapped=True,
            source=sources[face.index].name,
            target_crop=one.generated.target.crop,
            crop=one.crop,
            mask=one.mask,
            matrix=one.generated.matrix,
        )
    if not pasted:
        reasons = "; ".join(f"face {outcome.face.index}: {outcome.reason}" for outcome in outcomes.values())
        return FaceError(
            f"{target.name} shows {len(outcomes)} {'face' if len(outcomes) == 1 else 'faces'}, none of which was "
            f"swapped ({reasons})."
        )
    clock.timings_ms["total"] = sum(clock.timings_ms.values())
    result = SwapResult(
        pixels=pixels,
        target=target,
        faces=tuple(outcomes[a.face.index] for a in plan.assignments),
        timings_ms=clock.timings_ms,
        claim=claim_of(engine, output),
        compare=output.compare,
        source_notes=notes_of(sources[index] for index, outcome in outcomes.items() if outcome.swapped),
    )
    if check and (output.similarity or (output.check and len(pasted) <= MOST_CHECKED)):
        return with_similarities(engine, result, sources, options, shown=output.similarity)
    return result


def with_similarities(
    engine: Engine,
    result: SwapResult,
    sources: Mapping[int, Source],
    options: SwapOptions,
    *,
    shown: bool = True,
) -> SwapResult:
    """The result with its faces compared with their sources and targets by the recogniser that ships.

    Args:
        engine: what made it.
        result: of `swap_images`.
        sources: of each swapped face, by its index.
        options: those of the swap.
        shown: also report the figures; else only warn of failures.
    """
    if not shown and options.id_rate != 1.0:  # a weaker swap may well look like its target
        return result
    clock, outcomes = StageClock(), []
    with clock("similarity"):
        for outcome in result.faces:
            if not outcome.swapped:
                outcomes.append(outcome)
                continue
            face, source = outcome.face, sources[outcome.face.index]
            # Where the target's five points are: detecting again could find another face.
            made = engine.embedder.embed(result.pixels, face.detection.points)
            to_source = cosine(made, source.identity)
            before = engine.identity(result.target.pixels, face)
            to_target = cosine(made, before)
            same = cosine(source.identity, before) >= options.same_person
            checked = options.id_rate == 1.0 and not same
            outcomes.append(
                replace(
                    outcome,
                    similarity_source=to_source if shown else None,
                    similarity_target=to_target if shown else None,
                    warning=failure(to_source, to_target) if checked else "",
                )
            )
    timings_ms = {**result.timings_ms, **clock.timings_ms}
    timings_ms["total"] = timings_ms.pop("total", 0.0) + clock.timings_ms["similarity"]
    return replace(result, faces=tuple(outcomes), timings_ms=timings_ms)


def failure(to_source: float, to_target: float) -> str:
    """What is wrong with a generated face by the recogniser that ships: a sentence without its end, or nothing.

    Args:
        to_source: cosine of result and source.
        to_target: cosine of result and target.
    """
    figures = f"similarity {to_source:.2f} to the source, {to_target:.2f} to the target"
    if max(to_source, to_target) < UNLIKE_ANYBODY:
        return f"the generated face looks like neither of the two ({figures})"
    if to_source < to_target:
        return f"the generated face looks more like the target than like the source ({figures})"
    return ""


def claim_of(engine: Engine, output: OutputOptions) -> Claim:
    """What results of this model say about themselves."""
    return Claim(
        model=engine.bundle.name,
        model_version=engine.bundle.version,
        consent_confirmed=output.consent_confirmed,
        consent_statement=output.consent_statement,
    )
