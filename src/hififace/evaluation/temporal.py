"""Flicker: changes from frame to frame of a swapped video that are not in the original.

Two measures, for each face track of the original video:

- *Similarity*: the cosine s_t between the face of frame t and the source (or, without a source, the track's own mean
  face). Its variance over the track has two parts: slow changes of head pose and distance, and flicker. Half the mean
  square of successive differences, q² = mean((s_t+1 - s_t)²) / 2 (von Neumann 1941, "Distribution of the ratio of the
  mean square successive difference to the variance"), measures only the flicker: it equals the variance for independent
  frames, and is near 0 for slow changes.
- *Warping error*: E = Σ M |V_t - W(V_t-1)|² / Σ M, with W warping the frame before onto this one by the optical flow of
  the video, and M 1 where that flow is reliable (Lai et al. 2018, "Learning Blind Video Temporal Consistency"). Flow
  and M are those of the target video for all results, so the measure tests whether the generated face follows the
  motion of the video. Lai et al. use FlowNet2 and whole frames; this uses OpenCV's DIS flow (Kroeger et al. 2016) on a
  region of at most 256 px around the face, and for M the forward-backward consistency check of Sundaram et al. (2010,
  "Dense point trajectories by GPU-accelerated large displacement optical flow"). Root mean square, levels of 255.

The figures of the original video, from its noise and errors of the flow, are the lower bound. `video.py` measures whole
videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.types import RGBImage


@dataclass(frozen=True, slots=True)
class TrackFlicker:
    """Figures of one person in one video."""

    index: int
    num_frames: int
    similarity: float
    """Mean cosine to the source, or to the track's own mean face."""
    similarity_variance: float
    similarity_flicker: float
    """Half the mean square successive difference."""
    warping_error: float | None
    """Root mean square, levels of 255; None where no two neighbouring frames could be compared."""
    distance: float | None = None
    """Mean distance to the source by dlib's recogniser; None if it was not used."""
    same_share: float | None = None
    """Share of the frames in which dlib's recogniser accepts the face as the source."""


@dataclass(frozen=True, slots=True)
class VideoFlicker:
    """Figures of one video: the target itself, or a result."""

    video: Path
    tracks: tuple[TrackFlicker, ...]

    @property
    def num_frames(self) -> int:
        """Number of frames of all tracks."""
        return sum(track.num_frames for track in self.tracks)

    @property
    def similarity(self) -> float | None:
        """Mean over tracks, weighted by frames, as for the others; None for a video without faces."""
        return _mean([(t.similarity, t.num_frames) for t in self.tracks])

    @property
    def similarity_variance(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.similarity_variance, t.num_frames) for t in self.tracks])

    @property
    def similarity_flicker(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.similarity_flicker, t.num_frames) for t in self.tracks])

    @property
    def distance(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.distance, t.num_frames) for t in self.tracks if t.distance is not None])

    @property
    def same_share(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.same_share, t.num_frames) for t in self.tracks if t.same_share is not None])

    @property
    def warping_error(self) -> float | None:
        """Root of the mean square; levels of 255."""
        squares = [(t.warping_error**2, t.num_frames) for t in self.tracks if t.warping_error is not None]
        mean = _mean(squares)
        return None if mean is None else float(np.sqrt(mean))


def _mean(pairs: Sequence[tuple[float, int]]) -> float | None:
    if not pairs:
        return None
    values, weights = np.array(pairs, np.float64).T
    return float(np.average(values, weights=weights))


def successive_variance(values: Sequence[float]) -> float:
    """Half the mean square of successive differences; 0 for fewer than two values."""
    return float(np.mean(np.diff(values) ** 2) / 2) if len(values) > 1 else 0.0


def trusted(backward: NDArray[np.floating], forward: NDArray[np.floating]) -> NDArray[np.bool_]:
    """True where forward and backward flow are consistent.

    |b + f|² < 0.01 (|b|² + |f|²) + 0.5, with f sampled at the end of b (Sundaram et al. 2010).

    Args:
        backward: (h, w, 2) from this frame to the one before, pixels.
        forward: (h, w, 2) from the one before to this one.
    """
    there = _warped(forward.astype(np.float32), backward)
    apart = ((backward + there) ** 2).sum(axis=2)
    lengths = (backward**2).sum(axis=2) + (there**2).sum(axis=2)
    height, width = backward.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    to_x, to_y = x + backward[..., 0], y + backward[..., 1]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    return np.asarray(inside & (apart < 0.01 * lengths + 0.5))


def warping_error(
    before: NDArray[np.floating] | RGBImage,
    now: NDArray[np.floating] | RGBImage,
    backward: NDArray[np.floating],
    where: NDArray[np.bool_],
) -> float:
    """Mean square difference between a frame and the one before warped onto it, where the flow is trusted.

    Args:
        before: (h, w, 3).
        now: (h, w, 3), in the same units.
        backward: (h, w, 2) flow from `now` to `before`, pixels.
        where: (h, w) at least one of them true.
    """
    difference = now.astype(np.float64) - _warped(before.astype(np.float32), backward)
    return float((difference[where] ** 2).mean())


def _warped(image: NDArray[np.floating], flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """(h, w, C) sampled at positions displaced by the flow (h, w, 2)."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = (x + flow[..., 0]).astype(np.float32), (y + flow[..., 1]).astype(np.float32)
    read = cv2.remap(image, *places, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float64)
