"""Report of a video swap: tracks, problems, and time per stage."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hififace.video.tracker import FrameFaces


@dataclass(slots=True)
class TrackReport:
    """One tracked person."""

    index: int
    first_s: float
    last_s: float
    source: str | None = None
    """Name of the source; None if the person was left unchanged."""
    reason: str | None = None
    """Why the person was last left unchanged, without a full stop."""
    num_frames: int = 0
    """Frames in which the person appears."""
    num_swapped: int = 0
    """Frames in which the person was swapped."""
    num_bridged: int = 0
    """Frames in which the position was extrapolated."""
    mean_size_px: float = 0.0


@dataclass(slots=True)
class VideoTally:
    """Counts of finished frames; stored as JSON, so that a resumed run continues them."""

    num_frames: int = 0
    num_without_faces: int = 0
    num_changed: int = 0
    num_cuts: int = 0
    tracks: dict[int, TrackReport] = field(default_factory=dict)

    def add(self, result: FrameFaces, swapped: Set[int], refused: Mapping[int, str]) -> None:
        """Count one frame.

        Args:
            result: its faces, decided.
            swapped: indices of the faces that were really generated.
            refused: index of a face that has a source and was not -> why.
        """
        self.num_frames += 1
        self.num_cuts += result.is_cut
        self.num_without_faces += not result.faces
        self.num_changed += bool(swapped)
        time_s = float(result.frame.time_s)
        for one, source, reason in zip(result.faces, result.sources, result.reasons, strict=True):
            index = one.face.index
            track = self.tracks.setdefault(index, TrackReport(index, time_s, time_s))
            track.last_s = time_s
            track.num_frames += 1
            track.num_bridged += one.bridged
            track.mean_size_px += (one.face.detection.size_px - track.mean_size_px) / track.num_frames
            if index in swapped and source is not None:
                track.num_swapped += 1
                track.source = source.name
            else:
                track.reason = refused.get(index, reason) or track.reason

    def reasons(self, most: int) -> list[str]:
        """Why faces were never swapped, for at most `most` faces, without full stops."""
        left = [track for _, track in sorted(self.tracks.items()) if not track.num_swapped]
        told = [f"face {track.index}: {track.reason}" for track in left[:most]]
        return [*told, f"and {len(left) - most} more"] if len(left) > most else told

    def state(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "tracks": [asdict(t) for t in self.tracks.values()]}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> VideoTally:
        """Inverse of `state()`."""
        tracks = {t["index"]: TrackReport(**t) for t in state["tracks"]}
        return cls(**{**state, "tracks": tracks})


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """Progress of a video swap."""

    done: int
    """Finished frames, including those of an earlier run."""
    expected: int | None
    """Estimated number of frames; None if the video does not say."""
    fps: float
    """Frames per second of this run."""
    busy_s: dict[str, float]
    """Stage -> seconds of work so far; stages overlap."""

    @property
    def left_s(self) -> float | None:
        """Estimated seconds left; None if unknown."""
        if self.expected is None or self.fps <= 0:
            return None
        return max(self.expected - self.done, 0) / self.fps


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Report of a finished video swap."""

    target: Path
    output: Path
    tally: VideoTally
    model: str
    provider: str
    seconds: float
    """Duration of this run."""
    num_resumed: int
    """Frames that an earlier run had finished."""
    busy_s: dict[str, float]
    """Stage -> seconds of work in this run; stages overlap."""
    processor_s: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds of processor time of its own thread, without the threads of networks and codecs."""
    notes: tuple[str, ...] = ()
    """What could not be kept of the target, and problems of the video."""
    precision: str = "float32"
    """Arithmetic of the generator."""
    source_notes: tuple[str, ...] = ()
    """Warnings about the photos of the sources, without full stops."""

    @property
    def fps(self) -> float:
        """Frames per second of this run."""
        return (self.tally.num_frames - self.num_resumed) / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        tracks = [
            {
                **asdict(t),
                "first_s": round(t.first_s, 3),
                "last_s": round(t.last_s, 3),
                "mean_size_px": round(t.mean_size_px, 1),
            }
            for t in sorted(self.tally.tracks.values(), key=lambda t: t.index)
        ]
        return {
            "target": str(self.target),
            "output": str(self.output),
            "model": self.model,
            "provider": self.provider,
            "precision": self.precision,
            "num_frames": self.tally.num_frames,
            "num_frames_without_faces": self.tally.num_without_faces,
            "num_frames_changed": self.tally.num_changed,
            "num_cuts": self.tally.num_cuts,
            "num_frames_resumed": self.num_resumed,
            "tracks": tracks,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "busy_s": {stage: round(spent, 3) for stage, spent in self.busy_s.items()},
            "processor_s": {stage: round(spent, 3) for stage, spent in self.processor_s.items()},
            "notes": list(self.notes),
            "source_notes": list(self.source_notes),
        }
