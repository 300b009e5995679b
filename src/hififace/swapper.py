"""The heart: `FaceSwapper` knows a source and puts it into targets.

    swapper = FaceSwapper.load("mini")
    swapper.set_source("me.jpg")                  # the costly half, once
    swapper.swap("holiday.jpg").save("out.jpg")   # the cheap half, many times

Two doors. `swap` takes an image of any kind and does everything (`swap/image.py`). Videos, which find and steady faces
themselves (`video/job.py`), take the steps below it one by one: `prepare` cuts out and encodes, `generate` runs the
network on any number of faces of any number of frames, `paste` puts them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hififace.provenance.claim import Claim
from hififace.swap.engine import FrozenParts
from hififace.swap.generate import FaceGenerator, GeneratedFace, TargetFace
from hififace.swap.identity_vector import identity_vectors, target_needs
from hififace.swap.image import swap_image
from hififace.swap.options import SwapOptions
from hififace.swap.pasting import Pasted, paste
from hififace.swap.result import SwapResult
from hififace.swap.source_map import Assignment, ReferencePerson, Source, SourceMap, assign
from hififace.swap.sources import FaceChoice, ImageLike, Photos, read_person, read_source, turn_deg
from hififace.swap.stages import StageClock
from hififace.types import Face, FloatArray, Matrix23, RGBImage
from hififace.weights.bundle import Bundle, load_bundle

if TYPE_CHECKING:  # videos are built on this file
    from hififace.video.options import VideoOptions
    from hififace.video.report import VideoReport


class FaceSwapper:
    """A bundle and the frozen parts around it, ready to swap.

    Threads may share one; each with its own `SourceMap`, since `set_source` and `map_source` change the common one.

    Attributes:
        bundle: what is swapped with.
        parts: the detector, the recogniser and the feature encoder around its generator.
        provider: what the generator really runs on, by ONNX Runtime's name.
        reason: one sentence saying why that.
        source_map: who is put into targets when `swap` is told nothing else.
    """

    def __init__(
        self, bundle: Bundle, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        self.bundle = bundle
        self.parts = FrozenParts(bundle, providers=providers, threads=threads)
        self._generator = FaceGenerator(bundle, providers=providers, threads=threads)
        self.provider = self._generator.session.provider
        self.reason = self._generator.session.reason
        self.source_map = SourceMap()
        self._last_reference: tuple[SwapOptions, FloatArray] | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "mini",
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> FaceSwapper:
        """Open a bundle, verified by its SHA-256s.

        Args:
            name_or_path: a model that ships (`mini`), or a folder with a `model.json`.
            providers: what to run on, best first (`cuda`, `cpu`); None chooses.
            threads: of one run of a network; None leaves it to ONNX Runtime.

        Raises:
            BundleError: no such bundle, or it is incomplete, altered or of another kind.
            WeightsError: a part that it needs is missing.
            RuntimeUnavailableError: ONNX Runtime is not installed.
        """
        return cls(load_bundle(name_or_path), providers=providers, threads=threads)

    # -------------------------------------------------------------------------------------------------------
    # The costly half: sources

    def set_source(self, photos: Photos, *, face: FaceChoice = "main") -> Source:
        """Say who is put into targets.

        Args:
            photos: one photo of the person, or several, which are averaged into one identity.
            face: which face of each photo: `main` (clearly larger than the others), `largest`, or its number.

        Raises:
            FaceError: no face, several and none the main one, too small, or turned away; the sentence says which.
            ImageError: a photo that cannot be read.
        """
        source = self.read_source(photos, face=face)
        self.source_map = replace(self.source_map, default=source)
        return source

    def map_source(
        self, reference: ImageLike | int, photos: Photos | Source, *, face: FaceChoice = "main"
    ) -> ReferencePerson | None:
        """Say who is put in for one certain person of the targets, before `set_source` for all others.

        Args:
            reference: a photo of that person, or the number of a face, counted from 0 at the left.
            photos: of the person put in, or a `Source` already read.
            face: as in `set_source`, for both.

        Returns:
            The role, or None where a number was given.

        Raises:
            FaceError: as `set_source`.
            ImageError: a photo that cannot be read.
        """
        source = photos if isinstance(photos, Source) else self.read_source(photos, face=face)
        if isinstance(reference, int):
            self.source_map = replace(
                self.source_map, by_index={**self.source_map.by_index, reference: source}
            )
            return None
        person = ReferencePerson(*read_person(self.parts, reference, face), source)
        self.source_map = replace(self.source_map, people=(*self.source_map.people, person))
        return person

    def read_source(self, photos: Photos, *, face: FaceChoice | Face = "main") -> Source:
        """What `set_source` works out, for who keeps sources themselves (`SourceMap`); changes nothing here.

        Args:
            photos: as in `set_source`.
            face: likewise, or a `Face` of the only photo that was already found.

        Raises:
            FaceError: as `set_source`.
            ImageError: a photo that cannot be read.
        """
        return read_source(self.parts, photos, face)

    # -------------------------------------------------------------------------------------------------------
    # The cheap half: targets

    def swap(
        self, image: ImageLike, options: SwapOptions | None = None, *, source_map: SourceMap | None = None
    ) -> SwapResult:
        """Swap the faces of one image.

        Args:
            image: a path, bytes, an open file, an (H, W, 3) uint8 RGB array, or a `LoadedImage`.
            options: see `SwapOptions`.
            source_map: who is put in; None takes what `set_source` and `map_source` said.

        Raises:
            OptionError: nobody was given to put in.
            NoFaceFoundError: the image shows no face.
            FaceError: it shows faces, but none that was to be swapped; the sentence says why for each.
            ImageError: it cannot be read.
        """
        return swap_image(self, image, options or SwapOptions(), source_map or self.source_map)

    def swap_video(
        self,
        video: str | Path,
        output: str | Path,
        options: SwapOptions | None = None,
        video_options: VideoOptions | None = None,
    ) -> VideoReport:
        """Swap the faces of a video; `video.job.swap_video` has more to ask and says what can go wrong."""
        from hififace.video.job import swap_video

        return swap_video(self, video, output, options, video_options)

    def claim(self, options: SwapOptions) -> Claim:
        """What results say about themselves."""
        return Claim(
            model=self.bundle.name,
            model_version=self.bundle.version,
            consent_confirmed=options.consent_confirmed,
            consent_statement=options.consent_statement,
        )

    # -------------------------------------------------------------------------------------------------------
    # Step by step: for videos

    def find_faces(self, image: RGBImage, options: SwapOptions | None = None) -> list[Face]:
        """Faces of an image (H, W, 3), left to right, with detections and nothing more."""
        options = options or SwapOptions()
        return self.parts.find_faces(image, threshold=options.detection_threshold, rotated=options.rotated)

    def identity(self, image: RGBImage, face: Face) -> FloatArray:
        """(D,) unit vector by the recogniser that ships: what `SourceMap` and references are compared by."""
        return self.parts.identity(image, face)

    def assign(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        options: SwapOptions,
        source_map: SourceMap | None = None,
    ) -> list[Assignment]:
        """Which faces of an image are swapped, and with whom.

        Raises:
            FaceError: a face was asked for by a number that the image does not have, or nobody in it is the person
                of the reference photo.
        """
        return assign(
            source_map or self.source_map,
            faces,
            options,
            lambda face: self.identity(image, face),
            self.reference_identity(options),
        )

    def reference_identity(self, options: SwapOptions) -> FloatArray | None:
        """(D,) identity of the person of `options.select`; None where that is no photo. Worked out once."""
        if options.reference is None:
            return None
        last = self._last_reference
        if last is None or last[0] is not options:
            last = options, read_person(self.parts, options.reference)[1]
            self._last_reference = last
        return last[1]

    def prepare(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        options: SwapOptions | None = None,
        *,
        matrices: Sequence[Matrix23] | None = None,
        gains: Sequence[float] | None = None,
        clock: StageClock | None = None,
    ) -> list[TargetFace]:
        """Cut out and measure faces of one image.

        Args:
            image: (H, W, 3).
            faces: landmarks and identities that they carry are used as they are.
            options: its rates decide what must be measured.
            matrices: image pixels to crop pixels, for who steadied them; None aligns by the five points.
            gains: by how much the generator is to see each brighter, for callers that steadied them; None takes what
                each crop needs.
            clock: told how long `align` and `measure` took.
        """
        options = options or SwapOptions()
        needs = target_needs(self.bundle.vector, options.shape_rate, options.id_rate)
        return self.parts.cut_out(image, faces, needs, matrices=matrices, gains=gains, clock=clock)

    def generate(
        self, targets: Sequence[TargetFace], sources: Sequence[Source], options: SwapOptions | None = None
    ) -> list[GeneratedFace]:
        """Run the network on faces of any number of images.

        Args:
            targets: from `prepare` with the same options.
            sources: one for each.
            options: rates, passes and batch size are used.
        """
        options = options or SwapOptions()
        if not targets:
            return []
        vectors = identity_vectors(
            self.bundle.vector,
            [source.features for source in sources],
            [target.features for target in targets],
            shape_rate=options.shape_rate,
            id_rate=options.id_rate,
            unit_identity=self.parts.unit_identity,
        )
        return self._generator.generate(
            targets, vectors, passes=options.passes, batch_size=options.batch_size
        )

    def paste(
        self, image: RGBImage, generated: Sequence[GeneratedFace], options: SwapOptions | None = None
    ) -> RGBImage:
        """Put generated faces back into their image (H, W, 3), which is not changed; a new one comes back."""
        for face in generated:
            image = self.paste_one(image, face, options).image
        return image

    def paste_one(
        self, image: RGBImage, generated: GeneratedFace, options: SwapOptions | None = None
    ) -> Pasted:
        """The same for one face, with the crop and the mask as they were used."""
        return paste(image, generated, options or SwapOptions(), border=self.parts.border)

    def swap_frame(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        sources: Sequence[Source | None],
        options: SwapOptions | None = None,
        *,
        matrices: Sequence[Matrix23] | None = None,
    ) -> RGBImage:
        """`prepare`, `generate` and `paste` for one frame whose faces and sources are known.

        Args:
            image: (H, W, 3).
            faces: of that frame.
            sources: one for each; None leaves the face as it is.
            options: see `SwapOptions`; which faces is not asked again.
            matrices: as in `prepare`.

        Returns:
            A new image, or the same where nothing was to be done.
        """
        options = options or SwapOptions()
        chosen = [place for place, source in enumerate(sources) if source is not None]
        targets = self.prepare(
            image,
            [faces[place] for place in chosen],
            options,
            matrices=None if matrices is None else [matrices[place] for place in chosen],
        )
        pairs = [
            (target, source)
            for target, source in zip(targets, (s for s in sources if s is not None), strict=True)
            if turn_deg(target.features) <= options.largest_turn_deg
        ]
        generated = self.generate([target for target, _ in pairs], [source for _, source in pairs], options)
        return self.paste(image, generated, options)
