"""Sources, targets and results of the literature's protocols: some frames of a video or folder, or one photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hififace.errors import DataError, ImageError
from hififace.media.image import read_image
from hififace.media.video import VideoReader
from hififace.types import RGBImage

IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
VIDEO_ENDINGS: Final = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True, slots=True)
class Clip:
    """A video file, a folder of its frames, or a photo."""

    name: str
    path: Path

    def frames(self, num: int) -> list[RGBImage]:
        """`num` equally spaced frames including the first; all if there are fewer.

        Raises:
            DataError: there is no frame, or one cannot be read.
            VideoError: the video cannot be read.
        """
        if self.path.is_dir():
            paths = frame_paths(self.path)
            return [_read(paths[place]) for place in evenly(len(paths), num)]
        if self.path.suffix.lower() in VIDEO_ENDINGS:
            return self._of_video(num)
        return [_read(self.path)]

    def stamp(self) -> str:
        """A key that changes when the file, or the folder's list of frames, changes."""
        if self.path.is_dir():
            sizes = [(path.name, path.stat().st_size) for path in frame_paths(self.path)]
            return f"{self.path.resolve()} {sizes}"
        facts = self.path.stat()
        return f"{self.path.resolve()} {facts.st_size} {facts.st_mtime_ns}"

    def _of_video(self, num: int) -> list[RGBImage]:
        # Frame counts of containers are unreliable, so frames are counted before some are converted.
        total = sum(1 for _ in VideoReader(self.path).frames())
        wanted = set(evenly(total, num))
        chosen = [
            frame.rgb() for place, frame in enumerate(VideoReader(self.path).frames()) if place in wanted
        ]
        if not chosen:
            raise DataError(f"{self.path} holds no frame. Copy or download it again.")
        return chosen


def evenly(total: int, num: int) -> list[int]:
    """`num` equally spaced indices of 0..total-1 including 0; all if there are fewer."""
    count = min(total, num)
    return [place * total // count for place in range(count)]


def frame_paths(folder: Path) -> list[Path]:
    """Images of a folder, in numerical order if their names are numbers.

    Raises:
        DataError: there is none.
    """
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS and not p.name.startswith(".")]
    if not paths:
        raise DataError(
            f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)}); frames of a video were expected."
        )
    return sorted(paths, key=lambda p: (int(p.stem) if p.stem.isdecimal() else -1, p.name))


def _read(path: Path) -> RGBImage:
    try:
        return read_image(path).pixels
    except ImageError as error:
        raise DataError(f"A frame cannot be read: {error}") from error
