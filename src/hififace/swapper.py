"""The public API: a `FaceSwapper` holds a model and its sources, and swaps targets. `swap/engine.py` does the work.

swapper = FaceSwapper.load("mini")
swapper.set_source("me.jpg")                  # detect and encode the source, once
swapper.swap("holiday.jpg").save("out.jpg")   # then any number of targets
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from hififace.errors import HififaceError, OptionError
from hififace.media.image_like import ImageLike, load_image
from hififace.swap.engine import Detector, Engine
from hififace.swap.generate import GeneratedFace, TargetFace
from hififace.swap.identity_vector import target_needs
from hififace.swap.image import swap_images
from hififace.swap.options import OutputOptions, SwapOptions, options_or_default, with_changes
from hififace.swap.precision import WantedPrecision
from hififace.swap.result import SwapResult
from hififace.swap.source_map import ReferencePerson, Source, SourceMap
from hififace.swap.sources import FaceChoice, Photos, read_person, read_source
from hififace.types import Detection, Face, FloatArray, RGBImage
from hififace.video.job import swap_video
from hififace.video.options import VideoOptions
from hififace.video.report import VideoProgress, VideoReport
from hififace.weights.bundle import Bundle, load_bundle

IMAGES_PER_BATCH = 8
"""Images that `swap_many` reads before it runs the generator on all their faces; limits memory."""


class FaceSwapper:
    """Swaps faces in images and videos with one loaded model.

    Thread-safe if each call passes its own `sources`; `set_source` and `map_source` change the shared default.

    Attributes:
        engine: the loaded networks.
        bundle: the model and its description.
        provider: ONNX Runtime's name of the execution provider in use.
        reason: why this provider is in use, one sentence.
        source_map: the sources that `swap` uses if none are passed.
    """

    def __init__(self, engine: Engine) -> None:
        if not isinstance(engine, Engine):
            raise TypeError(
                f"FaceSwapper is made of a loaded Engine, and this is {type(engine).__name__}. "
                "Use FaceSwapper.load(), which takes the name or the folder of a model."
            )
        self.engine = engine
        self.bundle: Bundle = engine.bundle
        self.provider: str = engine.provider
        self.reason: str = engine.reason
        self.source_map = SourceMap()
        self._last_reference: tuple[object, FloatArray] | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "mini",
        *,
        device: str | None = None,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        detector: Detector | None = None,
        precision: WantedPrecision = "float32",
        commercial: bool = False,
    ) -> FaceSwapper:
        """Load a model and verify the SHA-256 of its files.

        Args:
            name_or_path: one of `hififace.available_models()`, or the folder of a bundle (with a `model.json`).
            device: device to run on: `cpu`, `cuda`, `cuda:1`, `coreml`, ...; None chooses the best available.
            providers: several devices in order of preference, as short names or ONNX Runtime's provider names.
            threads: CPU threads of one network run; None lets ONNX Runtime choose.
            detector: a face detector of your own, instead of the model's.
            precision: arithmetic of the generator for images: `float32`, `int8`, `bfloat16`, or `auto` for what was
                measured to be the fastest here. Videos have their own (`VideoOptions.precision`).
            commercial: refuse a model if its licence, or that of one of its parts, forbids commercial use.

        Raises:
            BundleError: there is no such model, or it is incomplete, altered or of an unknown layout.
            WeightsError: a part that it needs is missing, or its licence forbids commercial use.
            OptionError: there is no such device or precision here, or both `device` and `providers` were given.
            RuntimeUnavailableError: ONNX Runtime is not installed.
        """
        if device is not None and providers is not None:
            raise OptionError(f"Both device={device!r} and providers={providers!r} were given; choose one.")
        if isinstance(providers, str):
            raise OptionError(
                f"providers is {providers!r}; a list was expected, such as [{providers!r}], or device={providers!r}."
            )
        if detector is not None and (isinstance(detector, type) or not hasattr(detector, "detect")):
            raise OptionError(f"The detector is {detector!r}; an object with a method `detect` was expected.")
        wanted = [device] if device is not None else providers
        bundle = load_bundle(name_or_path, commercial=commercial)
        return cls(Engine(bundle, providers=wanted, threads=threads, detector=detector, precision=precision))

    def __repr__(self) -> str:
        bundle = self.bundle
        return f"FaceSwapper({bundle.name!r} {bundle.version}, {bundle.resolution} px, on {self.provider})"

    # -------------------------------------------------------------------------------------------------------
    # Sources

    def set_source(self, photos: Photos, *, face: FaceChoice = "main", rotated: bool = False) -> Source:
        """Set the source face for all following swaps.

        Args:
            photos: one photo of the person, or several, whose identities are averaged. Accepts everything that `swap`
                accepts.
            face: which face of each photo: `main` (clearly the largest), `largest`, or its number from the left,
                counted from 0.
            rotated: also find faces that lie on their side or upside down.

        Returns:
            The source. Its `notes` warn about poor photos (closed eyes, turned far away, upside down).

        Raises:
            FaceError: a photo shows no face, several without a clearly largest one, or one that is too small or turned
                too far away; the message says which.
            ImageError: a photo cannot be read.
        """
        source = self.read_source(photos, face=face, rotated=rotated)
        self.source_map = replace(self.source_map, default=source)
        return source

    def map_source(
        self,
        reference: ImageLike | int,
        photos: Photos | Source,
        *,
        face: FaceChoice = "main",
        rotated: bool = False,
    ) -> ReferencePerson | None:
        """Set the source face for one person in the targets; `set_source` applies to all others.

        Args:
            reference: a photo of that person, or the number of a face, counted from 0 at the left.
            photos: photos of the source, or a `Source` from `read_source`.
            face: as in `set_source`, for the reference and the source.
            rotated: as in `set_source`.

        Returns:
            The reference person, or None if a number was given.

        Raises:
            FaceError: as in `set_source`.
            ImageError: a photo cannot be read.
            OptionError: a number below 0.
        """
        source = (
            photos if isinstance(photos, Source) else self.read_source(photos, face=face, rotated=rotated)
        )
        if isinstance(reference, int):
            if reference < 0:
                raise OptionError(f"There is no face {reference}; faces are numbered from 0 at the left.")
            by_index = {**self.source_map.by_index, reference: source}
            self.source_map = replace(self.source_map, by_index=by_index)
            return None
        person = ReferencePerson(*read_person(self.engine, reference, face, rotated=rotated), source)
        self.source_map = replace(self.source_map, people=(*self.source_map.people, person))
        return person

    def read_source(
        self, photos: Photos, *, face: FaceChoice | Face = "main", rotated: bool = False
    ) -> Source:
        """Encode a source without setting it, for callers that pass `sources` themselves.

        Args:
            photos: as in `set_source`.
            face: as in `set_source`, or a `Face` that was already found in the only photo.
            rotated: as in `set_source`.

        Raises:
            FaceError: as in `set_source`.
            ImageError: a photo cannot be read.
        """
        return read_source(self.engine, photos, face, rotated=rotated)

    # -------------------------------------------------------------------------------------------------------
    # Targets

    @overload
    def swap(
        self,
        image: ImageLike,
        options: SwapOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        faces: Sequence[Face] | None = None,
        **changes: Any,
    ) -> SwapResult: ...

    @overload
    def swap(
        self,
        image: list[Any] | tuple[Any, ...],
        options: SwapOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        **changes: Any,
    ) -> list[SwapResult]: ...

    def swap(
        self,
        image: ImageLike | list[Any] | tuple[Any, ...],
        options: SwapOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        faces: Sequence[Face] | None = None,
        **changes: Any,
    ) -> SwapResult | list[SwapResult]:
        """Swap the faces of one image, or of each image of a list.

        Args:
            image: a path, bytes, an open file, a PIL image, a numpy array (grey, RGB or RGBA; uint8, or float 0 to 1),
                or a `LoadedImage`; or a list of these, which gives a list of results (`swap_many` gives them one by
                one, and continues after an image that cannot be swapped).
            options: see `SwapOptions`.
            output_options: see `OutputOptions`.
            sources: the source of every face, or a map of several; None uses those of `set_source` and `map_source`.
            faces: faces of the image that were already found (by `find_faces` or by you); not with a list.
            changes: options by name, such as `select="largest"`; they override the option objects.

        Raises:
            OptionError: no source was set, or an option does not exist or is out of its range.
            NoFaceFoundError: the image shows no face.
            FaceError: none of the faces could be swapped; the message gives the reason for each.
            ImageError: the image cannot be read.
        """
        if isinstance(image, (list, tuple)):
            if faces is not None:
                raise OptionError(
                    "faces belong to one image, but a list of images was given: swap each by itself."
                )
            results = self.swap_many(image, options, output_options, sources=sources, **changes)
            return [result for result in results if isinstance(result, SwapResult)]
        chosen, output = with_changes(
            changes,
            options_or_default(options, SwapOptions),
            options_or_default(output_options, OutputOptions),
        )
        (result,) = self._swap_batch([image], chosen, output, sources, faces)
        if isinstance(result, HififaceError):
            raise result
        return result

    def swap_many(
        self,
        images: Iterable[ImageLike],
        options: SwapOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        return_errors: bool = False,
        **changes: Any,
    ) -> Iterator[SwapResult | HififaceError]:
        """Swap the faces of many images, in batches.

        Args:
            images: images as in `swap`; any iterable, read a few at a time.
            options: see `SwapOptions`; `batch_size` is the number of faces per generator run.
            output_options: see `OutputOptions`.
            sources: as in `swap`.
            return_errors: yield the error of an image that cannot be swapped and continue, instead of raising it.
            changes: as in `swap`.

        Yields:
            One result per image, in order.

        Raises:
            OptionError, FaceError, ImageError: as in `swap`.
        """
        chosen, output = with_changes(
            changes,
            options_or_default(options, SwapOptions),
            options_or_default(output_options, OutputOptions),
        )
        waiting = iter(images)
        while batch := list(islice(waiting, IMAGES_PER_BATCH)):
            for result in self._swap_batch(batch, chosen, output, sources):
                if isinstance(result, HififaceError) and not return_errors:
                    raise result
                yield result

    def swap_video(
        self,
        video: str | os.PathLike[str],
        output: str | os.PathLike[str],
        options: SwapOptions | None = None,
        video_options: VideoOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        progress: Callable[[VideoProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        **changes: Any,
    ) -> VideoReport:
        """Swap the faces of a video. To resume an interrupted swap, make the same call again.

        Args:
            video: path of the target.
            output: path of the result; its ending chooses the container.
            options: see `SwapOptions`. Faces are numbered from the left of the first frame with faces, then in order
                of appearance.
            video_options: see `VideoOptions`.
            output_options: see `OutputOptions`; only consent applies.
            sources: as in `swap`.
            progress: called after each frame.
            should_stop: called after each frame; returning True stops the swap as Ctrl-C does.
            changes: options by name, such as `select="largest"` or `crf=20`; they override the option objects.

        Raises:
            OptionError: no source was set, or an option does not exist or does not fit this video.
            VideoError: the video cannot be read or written, or another process is writing the same result.
            InterruptedByUserError: stopped; finished segments are kept, and the same call resumes.
        """
        chosen, video_chosen, output_chosen = with_changes(
            changes,
            options_or_default(options, SwapOptions),
            options_or_default(video_options, VideoOptions),
            options_or_default(output_options, OutputOptions),
        )
        return swap_video(
            self.engine,
            video,
            output,
            chosen,
            video_chosen,
            output_chosen,
            source_map=self._sources(sources),
            progress=progress,
            should_stop=should_stop,
        )

    # -------------------------------------------------------------------------------------------------------
    # Parts of a swap

    def find_faces(self, image: ImageLike, options: SwapOptions | None = None) -> list[Face]:
        """Detect the faces of an image, left to right; landmarks and identity are not computed.

        Raises:
            ImageError: the image cannot be read.
        """
        return self.engine.find_faces(load_image(image).pixels, options)

    def identity(self, image: RGBImage, face: Face) -> FloatArray:
        """Identity of a face: (D,) unit vector of the embedded recogniser, for cosine similarities."""
        return self.engine.identity(image, face)

    def crops(self, image: ImageLike, faces: Sequence[Face] | None = None) -> list[TargetFace]:
        """Crop the faces of an image, aligned as the generator expects them; nothing is swapped.

        Args:
            image: as in `swap`.
            faces: faces of the image; None detects them.

        Raises:
            ImageError: the image cannot be read.
        """
        pixels = load_image(image).pixels
        found = self.engine.find_faces(pixels) if faces is None else faces
        return self.engine.encode(pixels, found, frozenset())

    def swap_crops(
        self,
        crops: Sequence[RGBImage],
        options: SwapOptions | None = None,
        *,
        source: Source | None = None,
        **changes: Any,
    ) -> list[GeneratedFace]:
        """Swap crops that you aligned yourself; nothing is detected, selected or blended.

        Args:
            crops: (S, S, 3) uint8 RGB each, aligned to the model's template (`engine.template`).
            options: see `SwapOptions`; only rates, passes and batch size apply.
            source: the source; None uses that of `set_source`.
            changes: as in `swap`.

        Returns:
            For each crop the generated image (N, N, 3) uint8 and its mask (N, N), 0 to 1.

        Raises:
            OptionError: no source was set, or a crop has another size or type.
        """
        (chosen,) = with_changes(changes, options_or_default(options, SwapOptions))
        source, side = source or self.source_map.default, self.bundle.resolution
        if source is None:
            raise OptionError("No source was given for the crops. Call set_source(photo) first.")
        needs = target_needs(self.bundle.vector, chosen.shape_rate, chosen.id_rate)
        targets = []
        for place, crop in enumerate(crops):
            if crop.shape != (side, side, 3) or crop.dtype != np.uint8:
                raise OptionError(
                    f"Crop {place} is an array of {crop.shape} {crop.dtype}; ({side}, {side}, 3) uint8 was expected."
                )
            whole = np.array([0, 0, side, side], np.float32)
            face = Face(place, Detection(whole, 1.0, self.engine.template.points.astype(np.float32)))
            targets += self.engine.encode(crop, [face], needs, matrices=[np.eye(2, 3)])
        return self.engine.generate(targets, [source] * len(targets), chosen)

    # -------------------------------------------------------------------------------------------------------

    def _swap_batch(
        self,
        images: Sequence[ImageLike],
        options: SwapOptions,
        output: OutputOptions,
        sources: SourceMap | Source | None,
        faces: Sequence[Face] | None = None,
    ) -> list[SwapResult | HififaceError]:
        if faces is not None and not all(isinstance(face, Face) for face in faces):
            raise OptionError(
                "faces holds other things than Face objects; a detection of yours becomes one by "
                "Face(number, Detection(box, score, points))."
            )
        return swap_images(
            self.engine,
            images,
            options,
            self._sources(sources),
            output,
            faces=faces,
            reference=self._reference(options),
        )

    def _sources(self, sources: SourceMap | Source | None) -> SourceMap:
        if isinstance(sources, Source):
            return SourceMap(sources)
        if sources is not None and not isinstance(sources, SourceMap):
            raise OptionError(
                f"sources is a {type(sources).__name__}; a Source or a SourceMap was expected. "
                "`read_source(photo)` makes a Source."
            )
        return sources or self.source_map

    def _reference(self, options: SwapOptions) -> FloatArray | None:
        """(D,) identity of the reference photo in `options.select`, or None; cached for the last photo."""
        photo, last = options.reference, self._last_reference
        if photo is None:
            return None
        if last is None or last[0] is not photo:
            last = self._last_reference = photo, read_person(self.engine, photo)[1]
        return last[1]
