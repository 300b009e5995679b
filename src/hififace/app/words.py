"""What the page says, and how it writes down the progress and the figures of a swap."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from hififace.app.video_jobs import Standing

HEAD: Final = """<header class="hf-head"><h1>hififace</h1>
<p>Put a face into a photo or a video. Files stay on the machine that serves this page, and are removed when it is
closed.</p></header>"""

FOOT: Final = """<p class="hf-foot">Every result is marked as a face swap: in signed Content Credentials
and in plain metadata. Use faces only with the consent of the people shown.</p>"""


def listed(sentences: Sequence[str]) -> str:
    """One sentence as it is, several as a list."""
    sentences = [_plain(sentence) for sentence in sentences]
    return sentences[0] if len(sentences) == 1 else "\n".join(f"- {sentence}" for sentence in sentences)


def figures(report: dict[str, Any]) -> str:
    """HTML of `SwapResult.to_json`: what became of each face, how alike it is, and where the time went."""
    rows = []
    for face in report["faces"]:
        told = f"became {face['source']}" if face["swapped"] else f"left as it is: {face['reason']}"
        alike = [_number(face["similarity_source"]), _number(face["similarity_target"])]
        if face["warning"]:
            told += f"; {face['warning']}"
        rows.append([str(face["index"]), told, *alike])
    stages = report["timings_ms"]
    times = [[name, f"{spent:.0f} ms"] for name, spent in stages.items() if name != "total"]
    times.append(["total", f"{stages['total']:.0f} ms"])
    head = ["Face", "", "Like the source", "Like the target"]
    notes = [_sentence(note) for note in (*report["source_notes"], *report["notes"])]
    return _table(head, rows, num_figures=2) + _table(["Stage", "Time"], times, num_figures=1) + _notes(notes)


def progress_html(standing: Standing, *, is_preview: bool) -> str:
    """How far a video is: a bar, frames, frames per second and time left; or a sentence where it waits or is over."""
    what = "preview" if is_preview else "video"
    if standing.status == "waiting":
        others = "the next one" if standing.before == 0 else f"{standing.before} before it"
        return _box("waiting", f"The {what} waits: {others}.")
    if standing.status == "done" and standing.report is not None:
        report = standing.report
        return _box(
            "done",
            f"The {what} is done: {report.tally.num_frames} frames in {_clock(report.seconds)}.",
            f"{report.fps:.1f} frames per second",
            share=1.0,
        )
    if standing.status == "cancelled":
        return _box("cancelled", f"{standing.problem} The same settings go on where it stopped.")
    if standing.status == "failed":
        return _box("failed", standing.problem)
    return _at_work(standing, what)


def video_figures(report: dict[str, Any]) -> str:
    """HTML of `VideoReport.to_json`: who was swapped, where the time went, what could not be carried over."""
    rows = [
        [
            str(track["index"]),
            _became(track),
            f"{track['first_s']:.1f} to {track['last_s']:.1f} s",
            f"{track['num_swapped']} of {track['num_frames']}",
        ]
        for track in report["tracks"]
    ]
    times = [[name, f"{spent:.1f} s"] for name, spent in report["busy_s"].items()]
    times.append(["all of it, overlapping", f"{report['seconds']:.1f} s"])
    notes = [*map(_sentence, report["source_notes"]), *report["notes"]]
    if report["num_frames_resumed"]:
        notes.insert(0, f"{report['num_frames_resumed']} frames were there from before.")
    return (
        _table(["Person", "", "Seen", "Frames swapped"], rows, num_figures=2)
        + _table(["Stage", "Time at work"], times, num_figures=1)
        + _notes(notes)
    )


def _became(track: dict[str, Any]) -> str:
    """Of one person of a video."""
    if track["source"]:
        told = f"became {track['source']}"
        # A face is seldom swapped in all frames of its track: some are carried on unseen.
        partly = track["reason"] and track["num_swapped"] < track["num_frames"]
        return f"{told}; in some frames left as it is: {track['reason']}" if partly else told
    return f"left as it is: {track['reason']}" if track["reason"] else "left as it is"


def _sentence(note: str) -> str:
    """With its beginning and end."""
    return f"{note[:1].upper()}{note[1:]}."


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="hf-note">{escape(note)}</p>' for note in notes)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, num_figures: int) -> str:
    """Texts are escaped: file names come from visitors. The last `num_figures` columns hold numbers."""
    kinds = [""] * (len(head) - num_figures) + [' class="n"'] * num_figures
    titles = "".join(
        f"<th{kind}>{escape(text)}</th>" if text else f"<td{kind}></td>"
        for text, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(text)}</td>' for text, kind in zip(row, kinds, strict=True))}</tr>"
        for row in rows
    )
    return f'<table class="hf-table"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _at_work(standing: Standing, what: str) -> str:
    progress = standing.progress
    title = f"Cancelling the {what} ..." if standing.stopping else f"Swapping the {what} ..."
    if progress is None:
        return _box("working", title, "looking at it", share=0.0)
    words = [f"{progress.done} frames"]
    share = None
    if progress.expected:
        share = min(progress.done / progress.expected, 1.0)
        words = [f"{share:.0%}", f"{progress.done} of {progress.expected} frames"]
    words.append(f"{progress.fps:.1f} frames per second")
    if progress.left_s is not None:
        words.append(f"{_clock(progress.left_s)} left")
    return _box("working", title, ", ".join(words), share=share)


def _box(status: str, title: str, told: str = "", *, share: float | None = None) -> str:
    bar = ""
    if share is not None:
        percent = round(100 * share)
        bar = (
            f'<div class="hf-bar" role="progressbar" aria-label="{escape(title)}" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{percent}" aria-valuetext="{escape(told)}">'
            f'<div style="width:{percent}%"></div></div>'
        )
    below = f'<p class="hf-figures">{escape(told)}</p>' if told else ""
    return f'<div class="hf-progress" data-status="{status}"><p>{escape(title)}</p>{bar}{below}</div>'


def _clock(seconds: float) -> str:
    """For example "0:07" or "1:02:03"."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _plain(text: str) -> str:
    """File names come from visitors: in Markdown they must not become links or tags."""
    for sign in "\\|`*_[]<>!#":
        text = text.replace(sign, f"&#{ord(sign)};")
    return text
