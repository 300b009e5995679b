"""Who rests: people of a video who are not swapped are not followed by the mesh in every frame.

What is decided about a face is known only some groups of frames after it was taken (`video/selection.py` looks ahead).
So that a resumed run does the same as one that was never interrupted, what was decided about a group counts from one
fixed group on, however early it was known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hififace.video.options import FRAMES_PER_GROUP
from hififace.video.selection import LOOKAHEAD_GROUPS

BEHIND_GROUPS: Final = LOOKAHEAD_GROUPS + 1
"""What was decided about a group counts so many groups later."""


class RestOrders:
    """What was decided about the tracks of each group of frames; `restore` carries it over an interruption."""

    def __init__(self) -> None:
        self._decisions: dict[tuple[int, int], dict[int, tuple[float, bool]]] = {}

    def note(self, shot: int, frame_index: int, decisions: Mapping[int, tuple[float, bool]]) -> None:
        """Take in what was decided about one frame.

        Args:
            shot: its shot.
            frame_index: its number in the video.
            decisions: track -> its size in pixels, and whether it is swapped; swapped once in a group counts.
        """
        group = frame_index // FRAMES_PER_GROUP
        noted = self._decisions.setdefault((shot, group), {})
        for index, (size_px, is_swapped) in decisions.items():
            noted[index] = size_px, is_swapped or noted.get(index, (0.0, False))[1]
        # Frames are taken ahead of decisions by less than this.
        oldest = group - BEHIND_GROUPS
        self._decisions = {key: noted for key, noted in self._decisions.items() if key[1] > oldest}

    def due(self, shot: int, frame_index: int) -> dict[int, tuple[float, bool]]:
        """What counts from the group on that begins with this frame, as in `note`; nothing of an earlier shot does."""
        return self._decisions.get((shot, frame_index // FRAMES_PER_GROUP - BEHIND_GROUPS), {})

    def state(self) -> list[Any]:
        """Everything needed to go on, as JSON can hold it."""
        return [
            [*key, [[index, *one] for index, one in noted.items()]] for key, noted in self._decisions.items()
        ]

    def restore(self, state: list[Any]) -> None:
        """Go on from what `state()` gave."""
        self._decisions = {
            (shot, group): {index: (size_px, is_swapped) for index, size_px, is_swapped in noted}
            for shot, group, noted in state
        }
