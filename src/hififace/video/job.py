"""A video through the swapper: decode, follow, swap and encode overlap; an interrupted run resumes.

    report = swapper.swap_video("video.mp4", "out.mp4")

Everything between decoder and encoder is a pure function of the video, the options and the state at the last finished
segment: the same command after a kill gives the same bytes as an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from hififace import __version__
from hififace.errors import FaceError, InterruptedByUserError, NoFaceFoundError, OptionError, VideoError
from hififace.faces.alignment import warp
from hififace.faces.blending import affected_rectangle
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.shape_warp import ShapeWarp, warped
from hififace.media.atomic import refuse_no_file, refuse_overwriting, shortened
from hififace.media.containers import comment_of
from hififace.media.encoding import choose_settings
from hififace.media.frames import Frame
from hififace.media.hardware import in_hardware
from hififace.media.lock import folder_lock
from hififace.media.planes import Box
from hififace.media.quality import fit_to_target
from hififace.media.timing import Place, Span
from hififace.media.video import VideoReader
from hififace.media.writing import VideoWriter, begun_options
from hififace.swap.engine import (
    Engine,
    Target,
    generate_faces,
    paste_faces,
    ready_to_paste,
    target_pixels,
)
from hififace.swap.generate import GeneratedFace, TargetFace
from hififace.swap.image import claim_of
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.output import check_video, mark_video, video_tags
from hififace.swap.source_map import Source, SourceMap, notes_of
from hififace.swap.sources import read_person
from hififace.types import Face, FloatArray, RGBImage
from hififace.video.blur_smoothing import TrackBlurs
from hififace.video.identity_smoothing import TrackIdentities
from hififace.video.mask_smoothing import TrackMasks
from hififace.video.options import FRAMES_PER_GROUP, VideoOptions
from hififace.video.pasting import Patch, paste_into, warp_planes
from hififace.video.pipeline import Pipeline
from hififace.video.report import VideoProgress, VideoReport, VideoTally
from hififace.video.selection import LOOKAHEAD_GROUPS
from hififace.video.track import SteadyFace
from hififace.video.tracker import FrameFaces, VideoFaces

_STATE_VERSION = 9
"""Raised whenever the same options give another video, or the state stored with a segment changes: unfinished work of
before is then not taken up."""

_GROWN = 2.0
"""From so many times the size of its target on, a result is said to have grown."""

_LARGE_FRAME_PX = 3_000_000
"""From here on fewer frames wait between the stages: memory stays below half a gigabyte at 4K."""

MASK_SIDE_PX: Final = 128
"""Masks of larger generated faces are steadied, eroded and put back at this size."""

_NO_PIXELS: Final = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class _Generated:
    """One frame and what the network made of its faces."""

    faces: FrameFaces
    generated: tuple[GeneratedFace, ...]
    refused: Mapping[int, str]
    identities: dict[str, Any]
    """State of the identities behind this frame, where a segment ends with it."""


@dataclass(frozen=True, slots=True)
class _Finished:
    """One frame for the encoder."""

    frame: Frame
    faces: FrameFaces
    swapped: frozenset[int]
    refused: Mapping[int, str]
    steady: dict[str, Any]
    """State of identities, masks and blurs behind this frame, where a segment ends with it."""


def swap_video(
    engine: Engine,
    video: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: SwapOptions | None = None,
    video_options: VideoOptions | None = None,
    output_options: OutputOptions | None = None,
    *,
    source_map: SourceMap,
    progress: Callable[[VideoProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    watch: Callable[[Frame], None] | None = None,
) -> VideoReport:
    """Swap the faces of a video.

    Args:
        engine: what runs the networks.
        video: the target.
        output: the result; its ending names the container.
        options: as for images. Numbers of faces count from the left of the first frame with faces, then in order
            of appearance.
        video_options: see `VideoOptions`.
        output_options: see `OutputOptions`; a video has no use for the rest than consent.
        source_map: who becomes whom.
        progress: told after each frame.
        should_stop: asked after each frame; True stops as Ctrl-C does.
        watch: shown each finished frame before it is written; what it shows to people it has to mark itself.

    Raises:
        OptionError: no source was given, or an option that does not fit this video.
        VideoError: the video cannot be read or written, or another run is at the same swap.
        InterruptedByUserError: stopped; finished segments are kept, and the same call resumes.
    """
    options, video_options = options or SwapOptions(), video_options or VideoOptions()
    output_options = output_options or OutputOptions()
    if source_map.is_empty:
        raise OptionError(
            "No source was given for the video. Call set_source(photo) first, or map_source(reference, photo)."
        )
    if output_options.compare:
        raise OptionError("A video cannot be written side by side with its target; leave out compare.")
    refuse_overwriting([output], [video])
    refuse_no_file(output)
    engine = engine.for_videos(video_options.precision)
    run = _VideoRun(engine, Path(video), Path(output), options, video_options, output_options, source_map)
    refusal = VideoError(
        f"{output} is being made by another run of the same swap, whose work lies in {run.folder}. Wait for it, or "
        "stop it first."
    )
    # Threads of numpy's BLAS spin while they wait: the small matrices of every frame would keep a core busy.
    with folder_lock(run.folder, refusal), threadpool_limits(1, user_api="blas"):
        run.take_up()
        return run.finish(progress, should_stop or (lambda: False), watch)


class _VideoRun:
    """One call of `swap_video`."""

    def __init__(
        self,
        engine: Engine,
        video: Path,
        output: Path,
        options: SwapOptions,
        video_options: VideoOptions,
        output_options: OutputOptions,
        source_map: SourceMap,
    ) -> None:
        self._engine, self._video, self._output = engine, video, output
        self._options, self._video_options, self._source_map = options, video_options, source_map
        chosen = video_options
        self._reader = VideoReader(
            video, start_s=chosen.start_s, end_s=chosen.last_s, fps=chosen.fps, tone_map=chosen.tone_map
        )
        self._settings = choose_settings(
            self._reader, output, codec=chosen.codec, crf=chosen.crf, preset=chosen.preset
        )
        if chosen.encoder == "auto":
            self._settings = in_hardware(self._settings)
        self._claim = claim_of(engine, output_options)
        self._tags = video_tags(self._claim, comment_of(video))
        photo = options.reference
        self._reference = None if photo is None else read_person(engine, photo)[1]
        self.folder = work_folder(engine, video, output, options, video_options, output_options, source_map)

    def take_up(self) -> None:
        """Begin, or go on with what an earlier run left in the folder."""
        chosen = self._video_options
        if chosen.crf is None:
            begun = begun_options(self.folder)
            self._settings = (
                fit_to_target(self._settings, self._reader, keep_preset=chosen.preset is not None)
                if begun is None
                else replace(self._settings, options=begun)
            )
        self._writer = VideoWriter(self.folder, self._settings, frames_per_segment=chosen.segment_frames)
        self._faces, self._masks = self._new_faces(), TrackMasks(chosen.mask_smoothing)
        self._blurs = TrackBlurs()
        measure = partial(self._engine.identity_lacks, options=self._options)
        self._identities = TrackIdentities(measure if self._engine.refines(self._options) else None)
        state = self._writer.state
        self._tally = VideoTally.restored(state["tally"]) if state else VideoTally()
        if state.get("faces"):
            self._faces.restore(state["faces"])
            self._masks.restore(state["masks"])
            self._blurs.restore(state["blurs"])
            self._identities.restore(state["identities"])
        self._num_resumed = self._tally.num_frames
        self._last: _Finished | None = None
        self._rehearse()

    def _rehearse(self) -> None:
        """Open the result with all its streams, and read its mark back, before the first frame is worked on."""
        tried = self._writer.rehearse(self._output, self._reader, self._tags)
        try:
            check_video(tried, self._claim)
        finally:
            tried.unlink(missing_ok=True)

    def _new_faces(self) -> VideoFaces:
        engine, options = self._engine, self._options
        return VideoFaces(
            find_faces=lambda image: engine.find_faces(image, options),
            embed=lambda image, face: engine.embedder.embed_with_length(image, face.detection.points),
            # One thread: the stages beside it have work for the other cores.
            landmarker=FaceMeshLandmarker(providers=[engine.provider], threads=1),
            template=engine.template,
            options=options,
            video_options=self._video_options,
            source_map=self._source_map,
            reference=self._reference,
        )

    def finish(
        self,
        progress: Callable[[VideoProgress], None] | None,
        should_stop: Callable[[], bool],
        watch: Callable[[Frame], None] | None = None,
    ) -> VideoReport:
        """Do what is left and put the video into its place."""
        began, worked = time.perf_counter(), time.thread_time()
        large = self._reader.info.width * self._reader.info.height > _LARGE_FRAME_PX
        depth, self._lookahead = (1, 1) if large else (2, LOOKAHEAD_GROUPS)
        self._undecided: deque[list[FrameFaces]] = deque()
        stages: dict[str, Callable[[Any], Any]] = {
            "follow": self._follow,
            "generate": self._generate,
            "paste": self._paste,
        }
        groups = _groups(self._reader.frames(after=self._writer.place), self._lookahead)
        with Pipeline[list[_Finished]](groups, stages, depth=depth) as pipeline:

            def told() -> Iterator[Frame]:
                for one in itertools.chain.from_iterable(pipeline):
                    if should_stop():
                        raise KeyboardInterrupt
                    # Counted before it is handed on: a segment that ends with it stores the tally at once.
                    self._count(one)
                    if progress is not None:
                        progress(self._progress(time.perf_counter() - began, pipeline.busy_s))
                    if watch is not None:
                        watch(one.frame)
                    yield one.frame

            try:
                self._writer.write(told(), self._state)
            except KeyboardInterrupt:
                raise self._interrupted() from None
            self._refuse_unswapped()
            busy = dict(pipeline.busy_s)
            busy["encode"] = time.perf_counter() - began - pipeline.waited_s
            processor = pipeline.processor_s | {"encode": time.thread_time() - worked}
        notes = self._put_in_place()
        busy["join"] = time.perf_counter() - began - busy["encode"] - pipeline.waited_s
        self._writer.discard()
        return VideoReport(
            target=self._video,
            output=self._output,
            tally=self._tally,
            model=self._engine.bundle.name,
            provider=self._engine.provider,
            precision=self._engine.precision,
            seconds=time.perf_counter() - began,
            num_resumed=self._num_resumed,
            busy_s=busy,
            processor_s=processor,
            notes=(*notes, *self._reader.problems.sentences()),
            source_notes=notes_of(self._source_map.sources),
        )

    # -------------------------------------------------------------------------------------------------------
    # The stages

    def _follow(self, frames: list[Frame]) -> list[FrameFaces]:
        """Take a group; give the one that is so far behind that it can be decided. An empty one stands for the end."""
        if frames:
            self._undecided.append([self._faces.take(frame) for frame in frames])
        if not self._undecided or (frames and len(self._undecided) <= self._lookahead):
            return []
        return [self._faces.decide(taken) for taken in self._undecided.popleft()]

    def _generate(self, group: list[FrameFaces]) -> list[_Generated]:
        """Generate all faces of a group in one go."""
        targets = [
            Target(
                one.frame.rgb() if any(one.sources) else _NO_PIXELS,  # decoding to RGB costs time
                [_with_identity(steady) for steady in one.faces],
                one.sources,
                [steady.matrix for steady in one.faces],
                [steady.gain for steady in one.faces],
            )
            for one in group
        ]
        states: list[dict[str, Any]] = []

        def steady(
            faces: Sequence[TargetFace], sources: Sequence[Source], owners: Sequence[int]
        ) -> tuple[list[TargetFace], list[FloatArray] | None]:
            return self._steady_identities(group, states, list(zip(faces, sources, owners, strict=True)))

        made = generate_faces(self._engine, targets, self._options, crops_only=True, steady=steady)
        return [
            _Generated(one, each.faces, each.refused, state)
            for one, each, state in zip(group, made, states, strict=True)
        ]

    def _steady_identities(
        self,
        group: Sequence[FrameFaces],
        states: list[dict[str, Any]],
        encoded: Sequence[tuple[TargetFace, Source, int]],
    ) -> tuple[list[TargetFace], list[FloatArray] | None]:
        """Steady the identities frame by frame, so that how frames are grouped changes nothing; fills `states`."""
        faces: list[TargetFace] = []
        lacks: list[FloatArray] | None = []
        for place, one in enumerate(group):
            mine = [(face, source) for face, source, owner in encoded if owner == place]
            if mine:
                steadied, found = self._identities.update(
                    [face for face, _ in mine], [source for _, source in mine], float(one.frame.time_s)
                )
                faces += steadied
                lacks = None if lacks is None or found is None else lacks + found
            states.append({} if one.state is None else self._identities.state())
        return faces, lacks

    def _paste(self, group: list[_Generated]) -> list[_Finished]:
        """Put faces back frame by frame, through masks that are steady over time."""
        return [self._pasted(one) for one in group]

    def _pasted(self, one: _Generated) -> _Finished:
        frame, generated = one.faces.frame, one.generated
        if self._keeps_planes:
            generated = tuple(face._replace(mask=_coarse(face.mask)) for face in generated)
        if self._video_options.smooth:
            generated = self._steadied(one.faces, generated)
        if generated and self._keeps_planes:
            planes = frame.upright_copy()
            warp_planes(planes, _warps(generated))
            patches = [self._patch(frame, face, generated) for face in generated]
            if paste_into(planes, patches, frame.colour, detail=self._options.detail) is not None:
                frame = frame.with_upright(planes)
        elif generated:
            base = warped(frame.rgb(), _warps(generated))
            image, _ = paste_faces(self._engine, base, generated, self._options)
            frame = frame.with_rgb(image, _reach(generated, image))
        swapped = frozenset(face.target.face.index for face in generated)
        ends = one.faces.state is not None
        steady = (
            {"masks": self._masks.state(), "blurs": self._blurs.state(), "identities": one.identities}
            if ends
            else {}
        )
        return _Finished(frame, one.faces, swapped, one.refused, steady)

    @property
    def _keeps_planes(self) -> bool:
        """Whether the result's numbers mean what the video's do: else every frame goes through RGB."""
        own, new = self._reader.info.colour, self._settings.colour
        return own.hdr is None and (own.assumed_matrix, own.is_full) == (new.assumed_matrix, new.is_full)

    def _patch(self, frame: Frame, face: GeneratedFace, generated: Sequence[GeneratedFace]) -> Patch:
        crop, mask = ready_to_paste(face, self._options)
        base = target_pixels(face)
        if base is None:
            image = warped(frame.rgb(), _warps(generated))
            base = np.asarray(warp(image, face.matrix, crop.shape[0], border=self._engine.border), np.uint8)
        return Patch(crop, base, mask, face.matrix, face.target.gain)

    def _steadied(self, faces: FrameFaces, generated: Sequence[GeneratedFace]) -> tuple[GeneratedFace, ...]:
        time_s = float(faces.frame.time_s)
        if faces.is_cut:
            self._masks.cut()
            self._blurs.cut()
        self._masks.forget(time_s)
        self._blurs.forget(time_s)
        return tuple(
            face._replace(
                mask=self._masks.update(face.target.face.index, face.mask, time_s),
                blur_px=self._blurs.update(face.target.face.index, face.blur_px, time_s),
            )
            for face in generated
        )

    # -------------------------------------------------------------------------------------------------------
    # The end

    def _count(self, one: _Finished) -> None:
        self._tally.add(one.faces, one.swapped, one.refused)
        self._last = one

    def _state(self, place: Place) -> dict[str, Any]:
        """For the segment that ends with this frame; the last one of the video has nothing to go on behind."""
        last = self._last
        if last is None or last.faces.frame.index != place.index:
            return {"tally": self._tally.state()}
        return {"tally": self._tally.state(), "faces": last.faces.state, **last.steady}

    def _progress(self, elapsed_s: float, busy_s: dict[str, float]) -> VideoProgress:
        done = self._tally.num_frames
        expected = self._reader.expected_frames
        rate = (done - self._num_resumed) / elapsed_s if elapsed_s > 0 else 0.0
        return VideoProgress(done, None if expected is None else max(expected, done), rate, dict(busy_s))

    def _interrupted(self) -> InterruptedByUserError:
        place = self._writer.place
        safe = 0 if place is None else place.index + 1
        return InterruptedByUserError(
            f"{self._video}: stopped after {self._tally.num_frames} frames, of which {safe} are safe. The same command "
            "resumes there."
        )

    def _refuse_unswapped(self) -> None:
        """A video in which nobody was swapped is no result; nor is one that lacks a face which was asked for.

        Raises:
            NoFaceFoundError: it shows no face.
            FaceError: none of its faces was swapped, or a number was given that none of them has.
        """
        tracks, video = self._tally.tracks, self._video
        try:
            if not tracks:
                raise NoFaceFoundError(
                    f"No face was found in {video}; nothing was written. If it shows one, try a lower detection "
                    "threshold, or ask for faces that lie or stand upside down (rotated)."
                )
            missing = sorted({*self._source_map.by_index, *(self._options.indices or ())} - tracks.keys())
            if missing:
                asked = ", ".join(str(index) for index in missing)
                raise FaceError(
                    f"{video} has no face {asked}: it shows {len(tracks)}, with the numbers from 0 to {max(tracks)}. "
                    "Nothing was written."
                )
            if not self._tally.num_changed:
                faces = "1 face" if len(tracks) == 1 else f"{len(tracks)} faces"
                told = "; ".join(self._tally.reasons(most=3))
                raise FaceError(
                    f"{video} shows {faces}, none of which was swapped ({told}). Nothing was written."
                )
        except FaceError:
            self._writer.discard()
            raise

    def _put_in_place(self) -> list[str]:
        """Join and sign; the video appears under its name when it is whole."""
        # With the unfinished work, where the same command finds it again should it be killed now.
        unmarked = self._writer.folder / f"unmarked{self._output.suffix}"
        try:
            notes = self._writer.finish(unmarked, self._reader, self._tags)
            mark_video(unmarked, self._output, self._claim)
        finally:
            unmarked.unlink(missing_ok=True)
        return [*notes, *self._grown()]

    def _grown(self) -> list[str]:
        """A sentence where the result is much larger than its target."""
        if self._reader.span != Span():
            return []
        times = self._output.stat().st_size / max(self._video.stat().st_size, 1)
        if times < _GROWN:
            return []
        return [f"The result is {times:.1f} times as large as its target; a higher crf makes it smaller."]


def _with_identity(steady: SteadyFace) -> Face:
    """The face with the identity of its track's best view, so that encoding it takes no run of the recogniser."""
    return steady.face if steady.identity is None else replace(steady.face, identity=steady.identity)


def _coarse(mask: FloatArray) -> FloatArray:
    """A mask (N, N) at no more than `MASK_SIDE_PX`: it is smooth, and everything done with it costs a quarter."""
    if mask.shape[0] <= MASK_SIDE_PX:
        return mask
    return np.asarray(
        cv2.resize(mask, (MASK_SIDE_PX, MASK_SIDE_PX), interpolation=cv2.INTER_AREA), np.float32
    )


def _warps(generated: Sequence[GeneratedFace]) -> list[ShapeWarp | None]:
    return [face.target.warp for face in generated]


def _reach(generated: Sequence[GeneratedFace], image: RGBImage) -> Box:
    """x0, y0, x1, y1 of what warping and pasting could change of an image (H, W, 3)."""
    height, width = image.shape[:2]
    boxes = [affected_rectangle(np.ones_like(face.mask), face.matrix, (height, width)) for face in generated]
    boxes += [
        (max(x0, 0), max(y0, 0), min(x1, width), min(y1, height))
        for x0, y0, x1, y1 in (warp.box for warp in _warps(generated) if warp is not None)
        if x0 < width and y0 < height and x1 > 0 and y1 > 0
    ]
    corners = np.array([box for box in boxes if box is not None], int).reshape(-1, 4)
    if not len(corners):
        return (0, 0, 0, 0)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _groups(frames: Iterator[Frame], num_ends: int) -> Iterator[list[Frame]]:
    """Stretches of `FRAMES_PER_GROUP` frames at fixed places of the video, then so many empty ones."""
    for _, group in itertools.groupby(frames, key=lambda frame: frame.index // FRAMES_PER_GROUP):
        yield list(group)
    for _ in range(num_ends):
        yield []


def work_folder(
    engine: Engine,
    video: Path,
    output: Path,
    options: SwapOptions,
    video_options: VideoOptions,
    output_options: OutputOptions,
    source_map: SourceMap,
) -> Path:
    """Where the unfinished work of one swap lies: found again by the same question, and only by that.

    Its name holds a digest of everything that decides the result: the video, the bundle, the people, the options.
    """
    status = video.stat() if video.exists() else None
    question = {
        # What is stored with a segment, and what follows from it, may differ from version to version.
        "program": [__version__, _STATE_VERSION],
        "video": [str(video.resolve()), status.st_size, status.st_mtime_ns] if status else str(video),
        "ending": output.suffix.lower(),
        "bundle": engine.bundle.model_dump(mode="json"),
        # What `auto` came to: work begun in float32 is not finished in int8.
        "precision": engine.for_videos(video_options.precision).precision,
        "options": {f.name: _digested(getattr(options, f.name)) for f in fields(options)},
        "video_options": video_options.decisive(),
        "output_options": repr(output_options),
        "source_map": _source_map_digest(source_map),
    }
    text = json.dumps(question, sort_keys=True, default=str)
    ending = f".{hashlib.sha256(text.encode()).hexdigest()[:12]}.unfinished"
    name = f".{shortened(output.name, len(ending) + 1)}{ending}"
    return (video_options.work_folder or output.parent) / name


def _digested(value: Any) -> str:
    return hashlib.sha256(value.tobytes()).hexdigest() if isinstance(value, np.ndarray) else repr(value)


def _source_map_digest(source_map: SourceMap) -> list[Any]:
    def digest(source: Source | None) -> Any:
        if source is None:
            return None
        return [source.name, {str(k): _digested(v) for k, v in source.features.items()}]

    people = [[_digested(person.reference), digest(person.source)] for person in source_map.people]
    return [
        digest(source_map.default),
        people,
        {str(k): digest(v) for k, v in sorted(source_map.by_index.items())},
    ]
