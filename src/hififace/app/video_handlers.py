"""What the buttons of the video tab do: plain functions over one visitor's state, without a page.

videos = VideoStudio(studio, jobs)
videos.set_video("visitor", upload, "video.mp4", "mini")
videos.assign("visitor", 0)                                  # the chosen source face plays face 0 of the frame shown
videos.start("visitor", SwapRequest(model="mini", consent=True), preview=True)
videos.look("visitor").job.standing

A person picked on one frame is found on every other by their identity, as `FaceSwapper.map_source` does.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from hififace.app.asking import SwapRequest
from hififace.app.handlers import Kept, Studio, kept_thumbnail
from hififace.app.people import People
from hififace.app.preview import Patch, cut_pieces, preview
from hififace.app.sessions import Session
from hififace.app.video_jobs import VideoJob, VideoJobs
from hififace.app.videos import (
    PLAIN_CODEC,
    PLAIN_SUFFIX,
    PREVIEW_S,
    Still,
    Video,
    first_frame_with_faces,
    frame_at,
    open_video,
)
from hififace.app.watching import Watching
from hififace.errors import HififaceError, OptionError
from hififace.faces.identity import SAME_PERSON_COSINE, cosine
from hififace.hosting.meter import LimitError
from hififace.media.video import VideoReader
from hififace.swap.image import claim_of
from hififace.swap.source_map import ReferencePerson, SourceMap
from hififace.swapper import FaceSwapper
from hififace.types import FloatArray, RGBImage
from hififace.video.job import swap_video, work_folder
from hififace.video.options import VideoOptions
from hififace.video.report import VideoProgress, VideoReport

SEGMENT_FRAMES: Final = VideoOptions().segment_frames
"""Most frames that are done again when a cancelled video goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """Somebody of the video who was clicked on."""

    identity: FloatArray = field(repr=False)
    thumbnail: RGBImage = field(repr=False)


@dataclass(slots=True, eq=False)
class VideoState:
    """What one visitor has put together on the video tab."""

    people: People
    video: Video | None = None
    frame: Still | None = None
    """The frame shown."""
    picks: list[Pick] = field(default_factory=list)
    mapping: dict[int, int] = field(default_factory=dict)
    """Pick -> place in `people.faces`; empty: everybody becomes the chosen one."""
    job: VideoJob | None = None
    """The video or preview being made, or the last one."""
    own_format: bool = False
    """The result shall be of the video's container and codec, instead of those that everything plays."""
    format_chosen: bool = False
    """The visitor said which: another video does not change it."""
    start_s_wanted: float = 0.0
    end_s_wanted: float = 0.0
    """What of the video is wanted, in its seconds; an end of 0 is the video's own."""
    made_from: object = None
    """The choices that the last job was begun with."""
    asked: SwapRequest | None = None
    """The settings heard last."""
    drawing: object = None
    """The drawing begun last: an earlier one comes too late to be shown."""
    kept: Path | None = None
    """The last result that was put among the kept."""
    watching: Watching | None = None
    """What may be shown of a job at work."""
    previewed: tuple[object, list[Patch]] | None = None
    """Choices and frame, and the preview that belongs to them."""
    is_preview: bool = False
    start_s: float = 0.0
    """The moment of the video at which the result begins."""

    def pick_of(self, face: int) -> int | None:
        """Which pick a face of the frame shown is, if it is one."""
        if self.frame is None:
            return None
        identity = self.frame.faces[face].identity
        alike = [(cosine(identity, pick.identity), place) for place, pick in enumerate(self.picks)]
        best = max(alike, default=None)
        return best[1] if best is not None and best[0] >= SAME_PERSON_COSINE else None

    def choices(self, request: SwapRequest) -> tuple[object, ...]:
        """Everything that decides how the result looks, to compare; taking back the statement changes no result."""
        video = None if self.video is None else self.video.path
        photos = tuple(photo.path for photo in self.people.photos)
        looks = request.model, request.average, request.swap, self.own_format
        trim = self.start_s_wanted, self.end_s_wanted
        return looks, video, photos, self.people.chosen, tuple(sorted(self.mapping.items())), trim

    @property
    def is_current(self) -> bool:
        """Whether the last job is of what is chosen now."""
        if self.made_from is None or self.asked is None:
            return False
        return self.made_from == self.choices(self.asked)

    def forget_picks(self) -> None:
        """Source faces got other numbers, or the video is another."""
        self.picks.clear()
        self.mapping.clear()


class VideoStudio:
    """The video tab without its page; sources, models, visitors and limits are the image tab's."""

    def __init__(self, studio: Studio, jobs: VideoJobs) -> None:
        self._studio, self._jobs = studio, jobs
        studio.on_people_change.append(_forget_picks)

    @contextmanager
    def _state(self, key: str) -> Iterator[tuple[Session, VideoState]]:
        with self._studio.sessions.visit(key) as session:
            people = session.state.setdefault(People, People())
            if VideoState not in session.state:
                state = session.state[VideoState] = VideoState(people)
                session.closers.append(lambda: self._end_job(state))
            yield session, session.state[VideoState]

    def look(self, key: str) -> VideoState:
        """The state of a visitor, for showing it."""
        with self._state(key) as (_, state):
            return state

    # -------------------------------------------------------------------------------------------------------
    # Which video, which frame, who

    def set_video(self, key: str, upload: Path, name: str, model: str | None, client: str = "") -> None:
        """Take a video and show its first frame with faces; the video before is removed.

        Raises:
            HififaceError: it cannot be read, or is larger or longer than the page takes; the sentence says which.
        """
        self._studio.meter.count(client)
        self.clear_video(key)
        swapper = self._studio.bundles.swapper(model)
        with self._state(key) as (session, state):
            path = self._studio.sessions.take(session, upload, name, video=True)
            try:
                video = open_video(path, name, self._studio.limits)
                state.frame = first_frame_with_faces(video, swapper)
            except HififaceError:
                self._studio.sessions.drop(session, path)
                raise
            state.video, state.people.model = video, model
            if not state.format_chosen:
                state.own_format = video.played_by_browsers

    def clear_video(self, key: str) -> None:
        """Remove the video and what was made of it, from the disk too; a swap at work is cancelled."""
        with self._state(key) as (session, state):
            self._end_job(state)
            if state.video is not None:
                self._studio.sessions.drop(session, state.video.path)
                kept = {one.file for one in self._studio.look(key).kept}
                _empty(state.video.path.parent, kept)
            state.video = state.frame = state.job = state.made_from = state.previewed = state.watching = None
            state.start_s_wanted = state.end_s_wanted = 0.0
            state.forget_picks()

    def choose_format(self, key: str, *, own_format: bool) -> None:
        """Say once for all videos of the visit what the result shall be."""
        with self._state(key) as (_, state):
            state.own_format, state.format_chosen = own_format, True

    def trim(self, key: str, start_s: float, end_s: float) -> None:
        """Say which part of the video is wanted.

        Raises:
            OptionError: it is no part of it.
        """
        with self._state(key) as (_, state):
            last_s = math.inf if state.video is None else state.video.last_s or math.inf
            if not 0.0 <= start_s < end_s:  # written so that NaN is refused
                raise OptionError(
                    f"The part from {start_s:g} to {end_s:g} s was asked for; a beginning before an end was expected."
                )
            state.start_s_wanted, state.end_s_wanted = start_s, 0.0 if end_s >= last_s - 0.02 else end_s

    def preview(self, key: str, request: SwapRequest) -> list[Patch]:
        """What the faces of the frame shown would become, as pieces to lay over it.

        Raises:
            HififaceError: why a face cannot be a source, or an option that is out of its range.
        """
        options, output = request.options(), request.output_options()
        swapper = self._studio.bundles.swapper(request.model)
        with self._state(key) as (_, state):
            if state.frame is None or state.people.chosen is None:
                return []
            choices = (*state.choices(request), state.frame.moment_s)
            if state.previewed is None or state.previewed[0] != choices:
                sources = {}
                for place in range(len(state.frame.faces)):
                    pick = state.pick_of(place)
                    chosen = state.mapping.get(-1 if pick is None else pick)
                    if not state.mapping:
                        chosen = state.people.chosen
                    if chosen is not None:
                        index = state.frame.faces[place].face.index
                        sources[index] = state.people.source(
                            chosen, swapper, self._studio.limits, average=request.average
                        )
                pieces = cut_pieces(state.frame.image, [framed.face for framed in state.frame.faces])
                patches = preview(swapper, pieces, sources, options, output)
                state.previewed = choices, patches
            return state.previewed[1]

    def keep(self, key: str) -> None:
        """Put a finished video among the results of the visit, once."""
        with self._state(key) as (_, state):
            file = None if state.job is None else state.job.standing.file
            if file is None or file == state.kept or state.watching is None:
                return
            state.kept = file
            first = next(iter(VideoReader(file)), None)
            small = "" if first is None else kept_thumbnail(first.rgb(), state.watching.claim)
            self._studio.keep(key, Kept(file, small, is_video=True))

    def show_frame(self, key: str, moment_s: float, model: str | None) -> None:
        """Show the frame of another moment, to choose faces on.

        Raises:
            OptionError: there is no video.
            VideoError: the frame cannot be decoded.
        """
        swapper = self._studio.bundles.swapper(model)
        with self._state(key) as (_, state):
            if state.video is None:
                raise OptionError("There is no video yet. Add the video whose faces shall be replaced.")
            state.frame = frame_at(state.video, moment_s, swapper)

    def assign(self, key: str, face: int) -> None:
        """Let the chosen source face play this person of the frame shown; again takes it back.

        Raises:
            OptionError: there is no such face, or no source yet.
        """
        with self._state(key) as (_, state):
            if state.frame is None or not 0 <= face < len(state.frame.faces):
                raise OptionError(f"The frame shows no face {face + 1}. Choose one of the faces shown.")
            place = state.pick_of(face)
            if place is not None:
                state.people.assign(state.mapping, place)
                return
            chosen = state.frame.faces[face]
            state.people.assign(state.mapping, len(state.picks))
            state.picks.append(Pick(chosen.identity, chosen.thumbnail))

    def who(self, key: str) -> list[str]:
        """Sentences that say who becomes whom."""
        with self._state(key) as (_, state):
            people = state.people
            if people.chosen is None:
                return ["Add a photo of the source face."]
            if state.video is None:
                return ["Add the video whose faces shall be replaced."]
            if not state.mapping:
                return [f"Everybody in the video becomes {people.called(people.chosen)}."]
            return [
                f"Person {pick + 1} of the video becomes {people.called(place)}."
                for pick, place in sorted(state.mapping.items())
            ]

    # -------------------------------------------------------------------------------------------------------
    # Swap

    def start(
        self,
        key: str,
        request: SwapRequest,
        client: str = "",
        *,
        preview: bool = False,
        preview_s: float | None = None,
        own_format: bool = False,
    ) -> VideoJob:
        """Put the video into the line; it goes on whether or not the page is open.

        Args:
            key: the visitor.
            request: the settings.
            client: who the request is counted for.
            preview: only a few seconds.
            preview_s: where these begin, in seconds of the video; None: at the frame shown.
            own_format: container and codec of the video instead of those that everything plays.

        Raises:
            HififaceError: something is missing, or cannot be done; the sentence says what.
        """
        options, output_options = request.options(), request.output_options()
        self._studio.meter.count(client)
        swapper = self._studio.bundles.swapper(request.model)
        with self._state(key) as (_, state):
            video = state.video
            if video is None:
                raise OptionError("There is no video yet. Add the video whose faces shall be replaced.")
            if state.job is not None and not state.job.standing.over:
                raise OptionError("A video of yours is being made. Wait for it, or cancel it first.")
            source_map = self._source_map(state, swapper, average=request.average)
            if preview_s is None:
                preview_s = 0.0 if state.frame is None else state.frame.moment_s
            video_options = self._video_options(state, preview_s if preview else None, own_format=own_format)
            suffix = video.own_suffix if own_format else PLAIN_SUFFIX
            kind = "preview" if preview else "swapped"
            output = self._place_of(state, f"{Path(video.name).stem[-60:]}-{kind}", suffix)
            keep = work_folder(
                swapper.engine, video.path, output, options, video_options, output_options, source_map
            )
            for old in output.parent.glob(f".{output.name}.*.unfinished"):
                if old != keep:  # of other settings
                    shutil.rmtree(old)

            most = self._studio.limits.video_frames
            watching = Watching(claim_of(swapper.engine, output_options))

            def work(
                progress: Callable[[VideoProgress], None], should_stop: Callable[[], bool]
            ) -> VideoReport:
                def counted(now: VideoProgress) -> None:
                    if now.done > most:
                        raise LimitError(
                            f"{video.name} has more than {most} frames, as many as this page takes. Cut it."
                        )
                    progress(now)

                try:
                    return swap_video(
                        swapper.engine,
                        video.path,
                        output,
                        options,
                        video_options,
                        output_options,
                        source_map=source_map,
                        progress=counted,
                        should_stop=should_stop,
                        watch=watching.take,
                    )
                except HififaceError as error:
                    raise video.says(error) from error

            state.watching = watching
            state.job, state.is_preview = self._jobs.submit(work), preview
            state.asked, state.own_format = request, own_format
            state.made_from = state.choices(request)
            state.start_s = video_options.start_s or 0.0
            return state.job

    def _place_of(self, state: VideoState, stem: str, suffix: str) -> Path:
        """Where the result goes: a new name where the one before is kept, so that every download stays what it was."""
        assert state.video is not None
        folder, number = state.video.path.parent, 1
        while True:
            place = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
            if not place.exists():
                return place
            number += 1

    def cancel(self, key: str) -> None:
        """Stop the video of a visitor; the same settings go on where it stopped."""
        with self._state(key) as (_, state):
            if state.job is not None:
                self._jobs.cancel(state.job)

    def _end_job(self, state: VideoState) -> None:
        """Cancel, and wait until nothing is written any more."""
        if state.job is not None:
            self._jobs.cancel(state.job)
            state.job.wait()

    def _video_options(self, state: VideoState, preview_s: float | None, *, own_format: bool) -> VideoOptions:
        video = state.video
        assert video is not None
        options = VideoOptions(
            codec=None if own_format else PLAIN_CODEC, tone_map=True, segment_frames=SEGMENT_FRAMES
        )
        if preview_s is not None:
            # A frame near the end still gives a whole preview.
            end_s = state.end_s_wanted or video.last_s
            latest_s = max(end_s - PREVIEW_S, 0.0) if end_s else preview_s
            return replace(options, start_s=min(preview_s, latest_s) or None, preview_s=PREVIEW_S)
        # What a container says of its length is not believed: nothing behind the limit is decoded.
        most_s = self._studio.limits.video_minutes * 60
        return replace(
            options,
            start_s=state.start_s_wanted or None,
            end_s=min(state.end_s_wanted, most_s) if state.end_s_wanted else most_s,
        )

    def _source_map(self, state: VideoState, swapper: FaceSwapper, *, average: bool) -> SourceMap:
        people, limits = state.people, self._studio.limits
        if not state.mapping:
            return SourceMap(default=people.everybody(swapper, limits, average=average))
        return SourceMap(
            people=tuple(
                ReferencePerson(
                    f"person {pick + 1}",
                    state.picks[pick].identity,
                    people.source(place, swapper, limits, average=average),
                )
                for pick, place in sorted(state.mapping.items())
            )
        )


def _empty(folder: Path, kept: set[Path]) -> None:
    """Remove what a video left; results that can still be downloaded stay until the visitor goes."""
    for place in folder.iterdir():
        if place.is_dir():
            shutil.rmtree(place)
        elif place not in kept:
            place.unlink()


def _forget_picks(session: Session) -> None:
    state = session.state.get(VideoState)
    if state is not None:
        state.forget_picks()
