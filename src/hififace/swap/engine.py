"""The core: detect faces, encode them, generate, blend. Images, videos and evaluation all call it.

    engine = Engine(load_bundle("mini"))
    faces = engine.find_faces(image, options)
    swapped = swap_faces(engine, image, faces, sources, options)      # one source, or None, for each face

`swap_faces` is two steps, which videos run in two threads: `generate_faces` runs the network on the faces of any number
of images at once, `paste_faces` puts the faces of one image back.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.errors import BundleError, OptionError
from hififace.faces.alignment import Border, align, matrix_scale, transform_points, warp
from hififace.faces.blending import paste_back
from hififace.faces.defocus import blurred, matching_blur, softened
from hififace.faces.detection import FaceDetector, ScrfdDetector, YuNetDetector
from hififace.faces.exposure import dimmed, exposure_gain
from hififace.faces.eyeglasses import EyeglassSegmenter, keep_frames
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.masks import border_fade, grey_as, match_colour, soft_erosion
from hififace.faces.occlusion import OccluderSegmenter, occlusion
from hififace.faces.shape import MeshShapePrior
from hififace.faces.shape_warp import ShapeWarp, shape_warp, warped
from hififace.faces.templates import find_template
from hififace.pixels import to_uint8
from hififace.processes import usable_cores
from hififace.swap.face_features import create_encoder, turn_deg, with_landmarks
from hififace.swap.generate import FaceGenerator, GeneratedFace, TargetFace
from hififace.swap.identity_vector import IDENTITY, identity_part, identity_vectors, target_needs
from hififace.swap.options import SwapOptions
from hififace.swap.precision import OTHER_PRECISIONS, Precision, WantedPrecision, choose
from hififace.swap.source_map import Source
from hififace.types import Detection, Face, FloatArray, Matrix23, RGBImage
from hififace.weights import openvino_graph
from hififace.weights.bundle import Bundle
from hififace.weights.registry import find_card
from hififace.weights.sessions import CPU, Session
from hififace.weights.store import locate

EROSION_SIDE_PX = 256
"""Crop side at which the reference implementation erodes masks seven times."""


class Detector(Protocol):
    """A face detector: one of ours, or the caller's."""

    def detect(self, image: RGBImage, *, rotated: bool = False) -> Sequence[Detection]:
        """Faces of an image (H, W, 3) uint8 RGB, left to right, in pixels of it."""


class StageClock:
    """Sums of milliseconds per stage.

    Attributes:
        timings_ms: stage -> milliseconds, in the order in which the stages first ran.
    """

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block; stages that run several times are added up."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - began) * 1e3
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + spent


class Engine:
    """A bundle's generator and its frozen networks. Stateless between calls, so threads may share one.

    Attributes:
        bundle: what is swapped with.
        template: the five points that faces are aligned to, at the generator's size.
        border: what crops show beyond the image.
        embedder: the recogniser that ships, which tells people apart in every family.
        landmarker: the mesh that ships, which says in every family how well a face is seen.
        provider: what the networks really run on, by ONNX Runtime's name (in bfloat16 the generator is OpenVINO's).
        reason: one sentence saying why that.
        precision: arithmetic of the generator.
        precision_reason: one sentence saying why that.

    Args:
        precision: arithmetic of the generator for images (`swap/precision.py`); videos have their own option.

    Raises:
        OptionError: a precision that this bundle, provider or processor does not have.
        BundleError: a part that this hififace does not know.
        WeightsError: a file that is missing or broken.
        RuntimeUnavailableError: ONNX Runtime is not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        detector: Detector | None = None,
        precision: WantedPrecision = "float32",
    ) -> None:
        how: dict[str, Any] = {"providers": providers, "threads": threads}
        self.bundle = bundle
        self.template = find_template(bundle.template).scaled(bundle.resolution)
        self.embedder = SFaceEmbedder(**how)
        self._detector = create_detector(bundle.detector, **how) if detector is None else detector
        self.landmarker = FaceMeshLandmarker(**how)
        self._encoder = create_encoder(bundle, self.landmarker, self.embedder, **how)
        self._generator = FaceGenerator(bundle, **how)
        self.border: Border = self._encoder.border
        self._eyeglasses, self._occluders = self._open_segmenters(**how)
        # Outlines are moved by what the mesh's shape model says; the coefficients of other families say it otherwise.
        self._shape_prior = MeshShapePrior.load() if bundle.family == "mesh" else None
        self.provider = self._generator.session.provider
        self.reason = self._generator.session.reason
        self.precision: Precision = "float32"
        self.precision_reason = "float32: what images are swapped with."
        self._float32_generator = self._generator  # also of the engines that are made of this one
        self._others: dict[str, Engine] = {}
        self._opening = threading.Lock()
        if precision != "float32":
            chosen = self._at(precision, threads)
            self._generator = chosen._generator
            self._eyeglasses, self._occluders = chosen._eyeglasses, chosen._occluders
            self.precision, self.precision_reason = chosen.precision, chosen.precision_reason

    def for_videos(self, wanted: WantedPrecision = "auto") -> Engine:
        """The same engine with the generator that videos use; all other networks are shared.

        Args:
            wanted: `auto` takes what was measured to be the fastest (`swap/precision.py`).

        Raises:
            OptionError: a precision that this bundle, provider or processor does not have.
        """
        with self._opening:
            if wanted not in self._others:
                # A video's other stages need the rest of the cores.
                half = max(usable_cores() // 2, 1)
                self._others[wanted] = self._at(wanted, self._float32_generator.session.threads or half)
            return self._others[wanted]

    def _at(self, wanted: WantedPrecision, threads: int | None) -> Engine:
        """`threads` are those of a run on OpenVINO; ONNX Runtime's are those of the float32 generator."""
        if wanted == "float32":
            return self._with(self._float32_generator, "float32: as asked.")
        lacks = {name: self._lacks(name) for name in OTHER_PRECISIONS}
        if wanted != "auto":
            if lacks[wanted] is not None:
                raise OptionError(f"precision is {wanted}, but {lacks[wanted]}.")
            return self._with(self._open(wanted, threads), f"{wanted}: as asked.")
        possible = [name for name in OTHER_PRECISIONS if lacks[name] is None]
        if not possible:
            reasons = dict.fromkeys(filter(None, lacks.values()))  # one of each
            return self._with(self._float32_generator, f"float32: {', and '.join(reasons)}.")
        opened: dict[Precision, FaceGenerator] = {"float32": self._float32_generator}

        def session(name: Precision) -> Session:
            if name not in opened:
                opened[name] = self._open(name, threads)
            return opened[name].session

        measured = choose(self.bundle, session, possible)
        session(measured.best)
        return self._with(opened[measured.best], measured.sentence)

    def _lacks(self, precision: Precision) -> str | None:
        """Why the generator does not run in a precision, as the end of a sentence; None where it does."""
        if self._float32_generator.session.provider != CPU:
            return f"other precisions are made for the CPU, not for {self.provider}"
        if precision == "int8" and self.bundle.graphs.generator_int8 is None:
            return f"the model '{self.bundle.name}' has no int8 graph (`hififace quantise` makes one)"
        return openvino_graph.why_not() if precision == "bfloat16" else None

    def _open(self, precision: Precision, threads: int | None) -> FaceGenerator:
        if precision != "bfloat16":
            threads = self._float32_generator.session.threads or None
        return FaceGenerator(self.bundle, providers=["cpu"], threads=threads, precision=precision)

    def _with(self, generator: FaceGenerator, reason: str) -> Engine:
        other = copy.copy(self)
        other._generator, other.precision, other.precision_reason = generator, generator.precision, reason
        if generator.precision == "bfloat16":
            threads = generator.session.threads or None
            other._eyeglasses, other._occluders = self._open_segmenters(threads=threads, bfloat16=True)
        return other

    def _open_segmenters(self, **how: Any) -> tuple[EyeglassSegmenter | None, OccluderSegmenter | None]:
        """What finds things in front of faces, where the bundle has it."""
        graphs, bundle = self.bundle.graphs, self.bundle
        return (
            None if graphs.eyeglasses is None else EyeglassSegmenter(bundle.path("eyeglasses"), **how),
            None if graphs.occluders is None else OccluderSegmenter(bundle.path("occluders"), **how),
        )

    def find_faces(self, image: RGBImage, options: SwapOptions | None = None) -> list[Face]:
        """Faces of an image (H, W, 3), left to right, numbered from 0, with detections and nothing more.

        Raises:
            OptionError: a threshold, for a detector of the caller's that has none.
        """
        options, detector = options or SwapOptions(), self._detector
        if options.detection_threshold is not None:
            if not hasattr(detector, "score_threshold"):
                raise OptionError(
                    f"detection_threshold is {options.detection_threshold}, but the given detector, "
                    f"{type(detector).__name__}, has no score_threshold. Set it there."
                )
            # A copy shares the network; the setting is this call's alone, whatever other threads do.
            detector = copy.copy(detector)
            detector.score_threshold = options.detection_threshold
        found = detector.detect(image, rotated=options.rotated)
        return [Face(index, detection) for index, detection in enumerate(found)]

    def identity(self, image: RGBImage, face: Face) -> FloatArray:
        """(D,) unit vector: the identity that the face carries, or else what the recogniser that ships says."""
        return (
            face.identity if face.identity is not None else self.embedder.embed(image, face.detection.points)
        )

    def with_landmarks(self, image: RGBImage, faces: Sequence[Face]) -> list[Face]:
        """The faces of an image with the 468 points of each; those that carry them keep theirs."""
        return with_landmarks(self.landmarker, image, faces)

    def encode(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        needs: frozenset[str],
        *,
        matrices: Sequence[Matrix23] | None = None,
        gains: Sequence[float] | None = None,
        shown: RGBImage | None = None,
        clock: StageClock | None = None,
    ) -> list[TargetFace]:
        """Align faces of one image and encode their features.

        Args:
            image: (H, W, 3).
            faces: landmarks and identities that they carry are used as they are.
            needs: names of the features; each may cost a network.
            matrices: image pixels to crop pixels, for callers that steadied them; None aligns by the five points.
            gains: by how much the generator is to see each brighter, for callers that steadied them; None takes what
                each crop needs.
            shown: (H, W, 3) the image that crops are cut from, where that is another one: features are `image`'s.
            clock: told how long `align` and `encode` took.
        """
        clock = clock or StageClock()
        shown = image if shown is None else shown
        with clock("align"):
            if matrices is None:
                aligned = [
                    align(shown, face.detection.points, self.template, border=self.border) for face in faces
                ]
                crops, matrices = [one.crop for one in aligned], [one.matrix for one in aligned]
            else:
                side = self.template.size
                crops = [np.asarray(warp(shown, m, side, border=self.border), np.uint8) for m in matrices]
        with clock("encode"):
            features = self._encoder.encode(image, faces, crops, matrices, needs)
        if self.bundle.family == "mesh":
            # Their identities are the embedder's, which nobody then has to ask again.
            faces = [
                replace(face, identity=each.get(IDENTITY, face.identity))
                for face, each in zip(faces, features, strict=True)
            ]
        if gains is None:
            gains = [exposure_gain(crop) for crop in crops]
        return [TargetFace(*row) for row in zip(faces, crops, matrices, features, gains, strict=True)]

    def warps_shapes(self, options: SwapOptions) -> bool:
        """Whether targets are warped before they are generated."""
        return self._shape_prior is not None and options.warp_shape and options.shape_rate > 0.0

    def shape_warps(
        self, faces: Sequence[Face], sources: Sequence[Source], options: SwapOptions
    ) -> list[ShapeWarp | None]:
        """How the image is to be warped before its faces are generated, so that their shapes are the sources'.

        Args:
            faces: with landmarks.
            sources: one for each.
            options: `warp_shape` and `shape_rate` are used; faces turned too far are not warped.
        """
        prior = self._shape_prior
        if prior is None or not self.warps_shapes(options):
            return [None] * len(faces)
        warps: list[ShapeWarp | None] = []
        for face, source in zip(faces, sources, strict=True):
            assert face.landmarks is not None
            own = face.coefficients or prior.coefficients(face.landmarks.points)
            refused = float(np.abs(own.pose_deg[:2]).max()) > options.largest_turn_deg
            warps.append(
                None
                if refused
                else shape_warp(
                    prior, face.landmarks.points, own, source.features["shape"], rate=options.shape_rate
                )
            )
        return warps

    def refines(self, options: SwapOptions) -> bool:
        """Whether faces are generated once more, asking for what the first results lack of the sources' identity."""
        return options.refine and options.id_rate > 0.0 and self.bundle.feedback > 0.0

    def identity_lacks(
        self, targets: Sequence[TargetFace], sources: Sequence[Source], options: SwapOptions
    ) -> list[FloatArray]:
        """What first results lack of the identity that was asked for, (D,) each: a - e(G(target, a)).

        Here a is the identity in the vector and e the embedding of the result, both of unit length. A
        network that is asked for a + feedback (a - e) comes nearer to a than one that is asked for a: how far it stays
        behind differs from face to face (docs/lab-book.md, 2026-11-28).

        Args:
            targets: from `encode`.
            sources: one for each.
            options: as for `generate`.
        """
        vectors = self._vectors(targets, sources, options)
        made = self._generator.generate(targets, vectors, passes=1, batch_size=options.batch_size)
        points = [transform_points(face.matrix, face.target.face.detection.points) for face in made]
        found = self._encoder.identities([face.image for face in made], points)
        return list(vectors[:, identity_part(self.bundle.vector)] - found)

    def generate(
        self,
        targets: Sequence[TargetFace],
        sources: Sequence[Source],
        options: SwapOptions,
        lacks: Sequence[FloatArray] | None = None,
    ) -> list[GeneratedFace]:
        """Run the network on encoded faces of any number of images.

        Args:
            targets: from `encode`, with what `target_needs` names for the same rates.
            sources: one for each.
            options: rates, `refine`, passes and batch size are used.
            lacks: from `identity_lacks`, for callers that steadied them; None measures them, where faces are refined.
        """
        if not targets:
            return []
        vectors = self._vectors(targets, sources, options)
        if self.refines(options):
            lacks = self.identity_lacks(targets, sources, options) if lacks is None else lacks
            more = np.float32(self.bundle.feedback) * np.stack(lacks)
            vectors[:, identity_part(self.bundle.vector)] += more
        made = self._generator.generate(
            targets, vectors, passes=options.passes, batch_size=options.batch_size
        )
        return [self._behind(face, options) for face in made]

    def _vectors(
        self, targets: Sequence[TargetFace], sources: Sequence[Source], options: SwapOptions
    ) -> FloatArray:
        return identity_vectors(
            self.bundle.vector,
            [source.features for source in sources],
            [target.features for target in targets],
            shape_rate=options.shape_rate,
            id_rate=options.id_rate,
            unit_identity=self._encoder.unit_identity,
        )

    def _behind(self, face: GeneratedFace, options: SwapOptions) -> GeneratedFace:
        """The same face behind what covers the target's: its mask spares that, and the frames of glasses are known."""
        target = _at_side(face.target.lit_crop, face.image.shape[0])
        frames = None
        if self._eyeglasses is not None and options.keep_glasses:
            frames = self._eyeglasses.frames(target)
        covered = occlusion(target, face.mask, self._occluders)
        return face._replace(mask=face.mask * (1.0 - covered), frames=frames)


def create_detector(
    name: str, *, providers: Sequence[str] | None = None, threads: int | None = None
) -> FaceDetector:
    """The detector of a bundle's `detector`.

    Raises:
        BundleError: a name that this hififace does not know.
        WeightsError: its file is user-supplied, and it is not there.
    """
    if name == "yunet":
        return YuNetDetector(providers=providers, threads=threads)
    if name == "scrfd":
        return ScrfdDetector(locate(find_card("scrfd_10g")), providers=providers, threads=threads)
    raise BundleError(f"The bundle asks for the detector '{name}'; this hififace has yunet and scrfd.")


# -----------------------------------------------------------------------------------------------------------
# Swapping


class Target(NamedTuple):
    """One image with its faces and their sources."""

    image: RGBImage
    """(H, W, 3)."""
    faces: Sequence[Face]
    sources: Sequence[Source | None]
    """Source of each face; None leaves it unchanged."""
    matrices: Sequence[Matrix23] | None = None
    """Maps image pixels to crop pixels, one per face; None computes them."""
    gains: Sequence[float] | None = None
    """Brightness gain of each face before the generator; None computes them."""


class Generated(NamedTuple):
    """Generated faces of one image."""

    faces: tuple[GeneratedFace, ...]
    refused: dict[int, str]
    """Index of a face that was left unchanged although it has a source -> the reason, without a full stop."""
    image: RGBImage
    """(H, W, 3) what the faces are to be pasted into: the target with these faces warped, or its own array."""


class Pasted(NamedTuple):
    """One face as it was blended."""

    crop: RGBImage
    """(N, N, 3) after colour matching; grey in a grey image."""
    mask: FloatArray
    """(N, N) 0..1, the mask that was used."""
    generated: GeneratedFace


class Swapped(NamedTuple):
    """A swapped image."""

    pixels: RGBImage
    """(H, W, 3) a new image, or the target's own array if nothing was changed."""
    faces: tuple[Pasted, ...]
    refused: dict[int, str]
    """As in `Generated`."""


class Steady(Protocol):
    """Steadies over time what is read off single frames of an identity."""

    def __call__(
        self, faces: Sequence[TargetFace], sources: Sequence[Source], owners: Sequence[int]
    ) -> tuple[list[TargetFace], list[FloatArray] | None]:
        """The faces, with the targets' identities steadied, and what results lack of the sources' (`identity_lacks`).

        Args:
            faces: encoded, in the order of their images.
            sources: one for each.
            owners: the place of each face's image among the targets.
        """


def swap_faces(
    engine: Engine,
    image: RGBImage,
    faces: Sequence[Face],
    sources: Sequence[Source | None],
    options: SwapOptions | None = None,
    *,
    matrices: Sequence[Matrix23] | None = None,
    clock: StageClock | None = None,
) -> Swapped:
    """Swap the faces of one image whose sources are known.

    Args:
        engine: what runs the networks.
        image: (H, W, 3), not changed.
        faces: of that image; landmarks and identities that they carry are used as they are.
        sources: one for each; None leaves the face unchanged.
        options: see `SwapOptions`; which faces is not asked again.
        matrices: image pixels to crop pixels, for callers that steadied them.
        clock: told how long each stage took.
    """
    options = options or SwapOptions()
    (made,) = generate_faces(engine, [Target(image, faces, sources, matrices)], options, clock=clock)
    pixels, pasted = paste_faces(engine, made.image, made.faces, options, clock=clock)
    return Swapped(pixels, pasted, made.refused)


def generate_faces(
    engine: Engine,
    targets: Sequence[Target],
    options: SwapOptions,
    *,
    crops_only: bool = False,
    steady: Steady | None = None,
    clock: StageClock | None = None,
) -> list[Generated]:
    """Encode and generate the faces of several images, all in one run of the network as far as its batch size goes.

    Faces turned away by more than `options.largest_turn_deg` are refused.

    Args:
        engine: what runs the networks.
        targets: images, their faces, and a source for each.
        options: see `SwapOptions`.
        crops_only: `Generated.image` is not wanted, so the crops' pixels are warped by the faster interpolation.
        steady: steadies identities over time, for videos.
        clock: told how long each stage took.
    """
    clock = clock or StageClock()
    needs = target_needs(engine.bundle.vector, options.shape_rate, options.id_rate)
    encoded: list[TargetFace] = []
    sources: list[Source] = []
    owners: list[int] = []
    refused: list[dict[int, str]] = [{} for _ in targets]
    images: list[RGBImage] = []
    for place, target in enumerate(targets):
        chosen = [(number, source) for number, source in enumerate(target.sources) if source is not None]
        faces = [target.faces[number] for number, _ in chosen]
        warps: list[ShapeWarp | None] = [None] * len(faces)
        if engine.warps_shapes(options):
            with clock("align"):
                faces = engine.with_landmarks(target.image, faces)
                warps = engine.shape_warps(faces, [source for _, source in chosen], options)
        images.append(warped(target.image, warps, sharp=not crops_only))
        found = engine.encode(
            target.image,
            faces,
            needs,
            matrices=None if target.matrices is None else [target.matrices[number] for number, _ in chosen],
            gains=None if target.gains is None else [target.gains[number] for number, _ in chosen],
            shown=images[-1],
            clock=clock,
        )
        for (_, source), face, bend in zip(chosen, found, warps, strict=True):
            turn = turn_deg(face.features)
            if turn > options.largest_turn_deg:
                refused[place][face.face.index] = f"it is turned away by {turn:.0f} degrees"
            else:
                encoded.append(replace(face, warp=bend))
                sources.append(source)
                owners.append(place)
    with clock("generate"):
        lacks = None
        if steady is not None:
            encoded, lacks = steady(encoded, sources, owners)
        generated = [_with_blur(face) for face in engine.generate(encoded, sources, options, lacks)]
    return [
        Generated(
            tuple(face for face, owner in zip(generated, owners, strict=True) if owner == place),
            refused[place],
            images[place],
        )
        for place in range(len(targets))
    ]


def paste_faces(
    engine: Engine,
    image: RGBImage,
    generated: Sequence[GeneratedFace],
    options: SwapOptions,
    *,
    clock: StageClock | None = None,
) -> tuple[RGBImage, tuple[Pasted, ...]]:
    """Blend generated faces into a copy of their image (H, W, 3).

    Args:
        engine: what made the faces: its crops' border decides how they are put back.
        image: the target, as `Generated.image` has it.
        generated: faces of that image, in the order in which they are put back.
        options: how to blend.
        clock: told how long `paste` took.
    """
    clock = clock or StageClock()
    pasted = []
    for face in generated:
        with clock("paste"):
            back, mask = ready_to_paste(face, options)
            image = paste_back(
                image,
                back,
                mask,
                face.matrix,
                detail=options.detail,
                border=engine.border,
                gain=face.target.gain,
                base=target_pixels(face),
            )
        shown = back if back.dtype == np.uint8 else to_uint8(np.asarray(back, np.float32))
        pasted.append(Pasted(np.asarray(shown, np.uint8), mask, face))
    return image, tuple(pasted)


def ready_to_paste(
    face: GeneratedFace, options: SwapOptions
) -> tuple[NDArray[np.uint8] | FloatArray, FloatArray]:
    """The generated face and the mask for blending.

    Returns:
        (N, N, 3) uint8, or float 0..1 where the target is dim: its colour matched, grey in a grey image, in the
        target's light; and (R, R) 0..1, R the side of the face's own mask.
    """
    mask, crop, target = blending_mask(face.mask, options, face.image.shape[0]), face.image, face.target
    if options.match_colour:
        crop = match_colour(crop, _at_side(target.lit_crop, crop.shape[0]), mask)
    softer_px = face.blur_px * mask.shape[0] / crop.shape[0]
    crop, mask = blurred(crop, face.blur_px), softened(mask, softer_px)
    if face.frames is not None:
        mask = keep_frames(mask, face.frames)
    return dimmed(grey_as(crop, target.lit_crop), target.gain), mask


def target_pixels(face: GeneratedFace) -> RGBImage | None:
    """(N, N, 3) the target in the pixels of the generated face; None where that is finer than what was cut out."""
    return face.target.crop if face.target.crop.shape == face.image.shape else None


def blending_mask(mask: FloatArray, options: SwapOptions, crop_side: int | None = None) -> FloatArray:
    """The network's mask (N, N), shrunk and softened as the options say.

    It tells where the network generated, which is a little more than should be taken: at the rim, generated face and
    target are already mixed, and a hard edge there would show. Where the face is larger than the crop it reaches the
    border, and is faded toward it.

    Args:
        mask: of the square of the crop.
        options: how much.
        crop_side: of the crop, px, where its mask is coarser.
    """
    rounds = round(options.mask_erosion * mask.shape[0] / EROSION_SIDE_PX)
    soft = soft_erosion(mask, iterations=max(rounds, 1)) if options.mask_erosion else mask
    if options.mask_feather_px > 0:
        sigma = options.mask_feather_px * mask.shape[0] / (crop_side or mask.shape[0])
        soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), sigma), np.float32)
    return soft * border_fade(mask)


def _with_blur(face: GeneratedFace) -> GeneratedFace:
    """The same, knowing how blurred its target is."""
    side_px = face.image.shape[0] / matrix_scale(face.matrix)
    return face._replace(blur_px=matching_blur(face.target.lit_crop, face.image, face.mask, side_px))


def _at_side(crop: RGBImage, side: int) -> RGBImage:
    if crop.shape[0] == side:
        return crop
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
