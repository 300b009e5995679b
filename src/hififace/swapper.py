"""The public face: a `FaceSwapper` knows its sources and puts them into targets. `swap/engine.py` does the work.

swapper = FaceSwapper.load("mini")
swapper.set_source("me.jpg")                  # the costly half, once
swapper.swap("holiday.jpg").save("out.jpg")   # the cheap half, many times
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
from hififace.swap.options import OutputOptions, SwapOptions, with_changes
from hififace.swap.result import SwapResult
from hififace.swap.source_map import ReferencePerson, Source, SourceMap
from hififace.swap.sources import FaceChoice, Photos, read_person, read_source
from hififace.types import Detection, Face, FloatArray, RGBImage
from hififace.video.job import swap_video
from hififace.video.options import VideoOptions
from hififace.video.report import VideoProgress, VideoReport
from hififace.weights.bundle import Bundle, load_bundle

IMAGES_PER_BATCH = 8
"""Images that `swap_many` reads before it runs the generator on all their faces: bounds memory."""


class FaceSwapper:
    """A model, ready to swap, and its sources.

    Threads may share one; each with its own `sources`, since `set_source` and `map_source` change the common ones.

    Attributes:
        engine: the networks.
        bundle: the model.
        provider: what the generator really runs on, by ONNX Runtime's name.
        reason: one sentence saying why that.
        source_map: who becomes whom when `swap` is told nothing else.
    """

    def __init__(self, engine: Engine) -> None:
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
        commercial: bool = False,
    ) -> FaceSwapper:
        """Open a model, verified by its SHA-256s.

        Args:
            name_or_path: one of `hififace.available_models()`, or a folder with a `model.json`.
            device: what to run on: `cpu`, `cuda`, `cuda:1`, `coreml`, ...; None chooses.
            providers: the same as several, best first, by short or ONNX Runtime's own names.
            threads: of one run of a network; None leaves it to ONNX Runtime.
            detector: your own, in place of the model's.
            commercial: refuse a model that, or a part of which, may not be used commercially.

        Raises:
            BundleError: no such model, or it is incomplete, altered or of another kind.
            WeightsError: a part that it needs is missing, or the licence forbids the use.
            OptionError: no such device, or both `device` and `providers`.
            RuntimeUnavailableError: ONNX Runtime is not installed.
        """
        if device is not None and providers is not None:
            raise OptionError(
                f"Both device={device!r} and providers={list(providers)!r} were given; choose one."
            )
        wanted = [device] if device is not None else providers
        bundle = load_bundle(name_or_path, commercial=commercial)
        return cls(Engine(bundle, providers=wanted, threads=threads, detector=detector))

    def __repr__(self) -> str:
        bundle = self.bundle
        return f"FaceSwapper({bundle.name!r} {bundle.version}, {bundle.resolution} px, on {self.provider})"

    # -------------------------------------------------------------------------------------------------------
    # The costly half: sources

    def set_source(self, photos: Photos, *, face: FaceChoice = "main", rotated: bool = False) -> Source:
        """Say whose face is put into targets.

        Args:
            photos: one photo of the person, or several, which are averaged into one identity. A photo is anything that
                `swap` takes.
            face: which face of each photo: `main` (clearly larger than the others), `largest`, or its number.
            rotated: also find faces that lie or stand upside down.

        Returns:
            The source; its `notes` say what makes a photo a poor one (eyes shut, turned far, upside down).

        Raises:
            FaceError: no face, several and none the main one, too small, or turned away; the sentence says which.
            ImageError: a photo that cannot be read.
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
        """Say whose face one certain person of the targets gets, before `set_source` for all others.

        Args:
            reference: a photo of that person, or the number of a face, counted from 0 at the left.
            photos: of the source, or a `Source` already read.
            face: as in `set_source`, for both.
            rotated: likewise.

        Returns:
            The person, or None where a number was given.

        Raises:
            FaceError: as `set_source`.
            ImageError: a photo that cannot be read.
        """
        source = (
            photos if isinstance(photos, Source) else self.read_source(photos, face=face, rotated=rotated)
        )
        if isinstance(reference, int):
            by_index = {**self.source_map.by_index, reference: source}
            self.source_map = replace(self.source_map, by_index=by_index)
            return None
        person = ReferencePerson(*read_person(self.engine, reference, face, rotated=rotated), source)
        self.source_map = replace(self.source_map, people=(*self.source_map.people, person))
        return person

    def read_source(
        self, photos: Photos, *, face: FaceChoice | Face = "main", rotated: bool = False
    ) -> Source:
        """What `set_source` works out, for callers that keep sources themselves; changes nothing here.

        Args:
            photos: as in `set_source`.
            face: likewise, or a `Face` of the only photo that was already found.
            rotated: likewise.

        Raises:
            FaceError: as `set_source`.
            ImageError: a photo that cannot be read.
        """
        return read_source(self.engine, photos, face, rotated=rotated)

    # -------------------------------------------------------------------------------------------------------
    # The cheap half: targets

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
        image: list[Any],
        options: SwapOptions | None = None,
        output_options: OutputOptions | None = None,
        *,
        sources: SourceMap | Source | None = None,
        **changes: Any,
    ) -> list[SwapResult]: ...

    def swap(
        self,
        image: ImageLike | list[Any],
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
                one, and goes on after an image that cannot be swapped).
            options: see `SwapOptions`.
            output_options: see `OutputOptions`.
            sources: who becomes whom; None takes what `set_source` and `map_source` said.
            faces: of the image, where they were found already (`find_faces`, or your own); not with a list.
            changes: options of both kinds by name, such as `select="largest"`, over those given as objects.

        Raises:
            OptionError: no source was given, or an option that does not exist or is out of its range.
            NoFaceFoundError: the image shows no face.
            FaceError: it shows faces, but none that was to be swapped; the sentence says why for each.
            ImageError: it cannot be read.
        """
        if isinstance(image, list):
            if faces is not None:
                raise OptionError(
                    "faces belong to one image, but a list of images was given: swap each by itself."
                )
            results = self.swap_many(image, options, output_options, sources=sources, **changes)
            return [result for result in results if isinstance(result, SwapResult)]
        chosen, output = with_changes(changes, options or SwapOptions(), output_options or OutputOptions())
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
        """Swap the faces of many images, several of them in one run of the generator.

        Args:
            images: as `swap` takes them; read a few at a time.
            options: see `SwapOptions`; `batch_size` is the number of faces in one run.
            output_options: see `OutputOptions`.
            sources: as in `swap`.
            return_errors: give the error of an image that cannot be swapped in its place, and go on; else it is raised.
            changes: as in `swap`.

        Yields:
            A result for each image, in order.

        Raises:
            OptionError, FaceError, ImageError: as `swap`.
        """
        chosen, output = with_changes(changes, options or SwapOptions(), output_options or OutputOptions())
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
        """Swap the faces of a video. Stopped at any moment, the same call goes on where it was.

        Args:
            video: the target.
            output: the result; its ending names the container.
            options: as for images. Numbers of faces count from the left of the first frame with faces, then in order
                of appearance.
            video_options: see `VideoOptions`.
            output_options: see `OutputOptions`; only what it says of consent.
            sources: as in `swap`.
            progress: called after each frame.
            should_stop: asked after each frame; True stops as Ctrl-C does.
            changes: options of all three kinds by name, such as `select="largest"` or `crf=20`.

        Raises:
            OptionError: no source was given, or an option that does not exist or does not fit this video.
            VideoError: the video cannot be read or written, or another run is at the same swap.
            InterruptedByUserError: stopped; everything finished is kept, and the same call goes on.
        """
        chosen, video_chosen, output_chosen = with_changes(
            changes,
            options or SwapOptions(),
            video_options or VideoOptions(),
            output_options or OutputOptions(),
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
        """Faces of an image, left to right, with detections and nothing more.

        Raises:
            ImageError: it cannot be read.
        """
        return self.engine.find_faces(load_image(image).pixels, options)

    def identity(self, image: RGBImage, face: Face) -> FloatArray:
        """(D,) unit vector by the recogniser that ships: what sources and reference people are compared by."""
        return self.engine.identity(image, face)

    def crops(self, image: ImageLike, faces: Sequence[Face] | None = None) -> list[TargetFace]:
        """Faces of an image, cut out and aligned as the generator sees them; nothing is swapped.

        Args:
            image: as in `swap`.
            faces: of it; None finds them.

        Raises:
            ImageError: it cannot be read.
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
        """Generate faces for crops that you aligned yourself; nothing is detected, selected or blended.

        Args:
            crops: (S, S, 3) uint8 RGB each, aligned to the model's template (`engine.template`).
            options: rates, passes and batch size are used.
            source: who; None takes what `set_source` said.
            changes: as in `swap`.

        Returns:
            For each crop the generated image (N, N, 3) and its mask (N, N) 0 to 1.

        Raises:
            OptionError: no source was given, or a crop of another size.
        """
        (chosen,) = with_changes(changes, options or SwapOptions())
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
        return SourceMap(sources) if isinstance(sources, Source) else sources or self.source_map

    def _reference(self, options: SwapOptions) -> FloatArray | None:
        """(D,) identity of the person of `options.select`; None where that is no photo. Worked out once."""
        photo, last = options.reference, self._last_reference
        if photo is None:
            return None
        if last is None or last[0] is not photo:
            last = self._last_reference = photo, read_person(self.engine, photo)[1]
        return last[1]
