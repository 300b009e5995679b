"""A video on the command line: its options from text, its progress as a bar."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from hififace.errors import OptionError
from hififace.video.options import HIGHEST_RATE, LOWEST_RATE

if TYPE_CHECKING:
    from hififace.video.report import VideoProgress


MOST_REASONS: Final = 8
"""Faces that were left as they are of which the console tells why."""


def parse_seconds(text: str | None, option: str) -> float | None:
    """`90`, `90s`, `1:30` or `0:01:30.5` as seconds.

    Raises:
        OptionError: anything else.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.strip().removesuffix("s").split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(not 0 <= part < 1e9 for part in parts):
        raise OptionError(f"{option} is {text!r}; seconds such as 90, 10s or 1:30 were expected.")
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + part
    return seconds


def parse_rate(text: str | None) -> Fraction | None:
    """`24`, `30000/1001` or `29.97`, which means 30000/1001 as it does everywhere.

    Raises:
        OptionError: anything else.
    """
    if text is None:
        return None
    named = {"23.976": (24000, 1001), "23.98": (24000, 1001), "29.97": (30000, 1001), "59.94": (60000, 1001)}
    if text in named:
        return Fraction(*named[text])
    try:  # only so many digits: Fraction("1e999999999") would be computed
        rate = (
            Fraction(text) if re.fullmatch(r"\d{1,9}(\.\d{0,9}|/\d{1,9})?", text, re.ASCII) else Fraction(0)
        )
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise OptionError(
            f"--fps is {text!r}; a rate such as 24, 29.97 or 30000/1001 was expected, from "
            f"{LOWEST_RATE} to {HIGHEST_RATE}."
        )
    return rate


def video_sentence(report: dict[str, Any]) -> str:
    """One line for people, and one for each note."""
    swapped = sum(track["num_swapped"] > 0 for track in report["tracks"])
    told = (
        f"{report['output']}: {report['num_frames']} frames, {swapped} of {len(report['tracks'])} people swapped in "
        f"{report['num_frames_changed']} of them, in {report['seconds']:.1f} s ({report['fps']:.1f} frames per second"
    )
    busiest = max(report["busy_s"], key=report["busy_s"].__getitem__, default=None)
    told += f"; slowest stage: {busiest})" if busiest else ")"
    if report["num_frames_resumed"]:
        told += f"; {report['num_frames_resumed']} frames were there from an earlier run"
    left = [track for track in report["tracks"] if not track["num_swapped"]]
    reasons = [f"  face {track['index']}: {track['reason']}" for track in left[:MOST_REASONS]]
    if len(left) > MOST_REASONS:
        reasons.append(
            f"  and {len(left) - MOST_REASONS} more faces that were left as they are (--json tells why)"
        )
    return "\n".join([told, *reasons, *(f"  {note}" for note in report["notes"])])


@contextmanager
def video_bar(name: str, *, shown: bool = True) -> Iterator[Any]:
    """A bar with frames per second, time left and the share of each stage; nothing where nobody looks."""
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, told="")
        yield lambda progress: bar.update(
            task, completed=progress.done, total=progress.expected, told=progress_words(progress)
        )


def progress_words(progress: VideoProgress) -> str:
    """For example "12.5 fps, 0:03:20 left, follow 61 %, swap 30 %, decode 9 %"."""
    words = [f"{progress.fps:.1f} fps"]
    if progress.left_s is not None:
        seconds = round(progress.left_s)
        words.append(f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left")
    total = sum(progress.busy_s.values())
    if total > 0:
        by_share = sorted(progress.busy_s.items(), key=lambda one: -one[1])
        words += [f"{stage} {100 * spent / total:.0f} %" for stage, spent in by_share]
    return ", ".join(words)
