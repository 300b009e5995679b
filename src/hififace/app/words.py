"""What the page says, and how it writes down the progress and the figures of a swap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from hififace.app.examples import ATTRIBUTION
from hififace.app.icons import LOGO, icon
from hififace.app.video_jobs import Standing
from hififace.app.viewer import address
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.hosting.bundles import NO_MODEL, Offer

if TYPE_CHECKING:
    from hififace.app.handlers import Kept

FOOT: Final = f"""<footer class="hf-foot"><p>Every result is marked as a face swap, with the statement confirmed above its button:
in signed Content Credentials and in plain metadata.</p><p>{escape(ATTRIBUTION)}</p></footer>"""

_TABS: Final = (("photo", "Photo"), ("video", "Video"), ("live", "Live"))

_ELSEWHERE: Final = "This page cannot do that."
"""Where nothing of an error is for visitors."""

_LABELS: Final = {
    "sface_top1": "Source picked out of all, by the recogniser it learned from",
    "dlib_top1": "The same, by one it never saw",
    "dlib_same": "Taken for the source by that one",
}
"""Figures of a model's card that are shares of 100, in words."""


def head_html() -> str:
    """The name, the tabs, and light or dark."""
    tabs = "".join(
        f'<button type="button" role="tab" data-tab="{name}" aria-controls="{name}-stage" aria-selected="false" '
        f'tabindex="-1">{icon(name)} {told}</button>'
        for name, told in _TABS
    )
    return (
        f'<header class="hf-head"><h1>{LOGO} hififace</h1><div class="hf-tabs" role="tablist" aria-label="What to swap">'
        f'{tabs}</div><p class="hf-private">{icon("lock", side_px=16)} Files stay on the machine that serves this page, '
        'and go when it is closed.</p><button type="button" class="hf-tool" data-do="theme" aria-label="Light or dark" '
        f'title="Light or dark">{icon("theme")}</button></header>'
    )


def sentence(report: dict[str, Any]) -> str:
    """HTML of one line below a result: how many faces, how long, and what is wrong with it."""
    faces = report["faces"]
    number = len(faces)
    stages = report["timings_ms"]
    # Figures are measured behind the result, for the details alone.
    seconds = (stages["total"] - stages.get("similarity", 0.0)) / 1e3
    told = f"{report['num_swapped']} of {number} {'face' if number == 1 else 'faces'} swapped in {seconds:.2f} s."
    warnings = [f"Face {face['index'] + 1}: {face['warning']}." for face in faces if face.get("warning")]
    notes = [_sentence(note) for note in (*report["source_notes"], *report["notes"])]
    return f'<p class="hf-done">{escape(told)}</p>{_notes([*warnings, *notes])}'


def card_html(offer: Offer | None) -> str:
    """HTML of a model: what it is, what it was trained on, its licence, and its figures in words."""
    if offer is None:
        return f'<p class="hf-hint">{escape(NO_MODEL)}</p>'
    if offer.bundle is None:
        return f'<p class="hf-told" data-bad><b>{escape(offer.name)}</b> cannot be used. {escape(offer.problem)}</p>'
    bundle = offer.bundle
    rows = (
        ("Generates", f"faces of {bundle.resolution} px"),
        ("Trained on", bundle.training_data or "not said"),
        ("Licence", bundle.licence),
    )
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in rows)
    return (
        f'<div class="hf-card"><p title="Version {escape(str(bundle.version))}"><b>{escape(bundle.name)}</b></p>'
        f"<dl>{told}</dl>{_measured(bundle.metrics)}</div>"
    )


def history_html(kept: Sequence[Kept], packed: str = "") -> str:
    """HTML of the results of a visit.

    Args:
        kept: the latest first.
        packed: address of a ZIP file that is to be fetched at once.
    """
    if not kept:
        return ""
    links = "".join(
        f'<a class="hf-kept" href="{address(one.file)}" download="{escape(one.file.name)}" title="{escape(one.file.name)}" '
        f'aria-label="Download {escape(one.file.name)}">'
        + (
            f'<img src="{one.thumbnail}" alt="">'
            if one.thumbnail
            else f'<span class="hf-noimage">{icon("video")}</span>'
        )
        + (f'<span class="hf-plays">{icon("play", side_px=16)}</span>' if one.is_video else "")
        + "</a>"
        for one in kept
    )
    go = f'<a hidden data-go href="{packed}" download="hififace-results.zip">ZIP</a>' if packed else ""
    every = ""
    if len(kept) > 1:
        every = f'<button type="button" class="hf-plain" data-do="all">{icon("down", side_px=16)} Download all</button>'
    return (
        f'<section class="hf-history" aria-label="Results of this visit"><p class="hf-title">Results of this visit{every}</p>'
        f'<div class="hf-row">{links}</div>{go}</section>'
    )


def listed(sentences: Sequence[str]) -> str:
    """HTML of some sentences. Texts are escaped: file names come from visitors."""
    return "".join(f'<p class="hf-hint">{escape(sentence)}</p>' for sentence in sentences)


def figures(report: dict[str, Any]) -> str:
    """HTML of `SwapResult.to_json`: what became of each face, how alike it is, and where the time went."""
    faces = "".join(_likeness(face) for face in report["faces"])
    stages = report["timings_ms"]
    times = [[name, f"{spent:.0f} ms"] for name, spent in stages.items() if name != "total" and spent >= 0.5]
    times.append(["total", f"{stages['total']:.0f} ms"])
    return f"{faces}{_SCALE}{_table(['Stage', 'Time'], times, num_figures=1)}"


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
        return _box("failed", for_visitors(standing.problem))
    return _at_work(standing, what)


def video_figures(report: dict[str, Any]) -> str:
    """HTML of `VideoReport.to_json`: who was swapped, where the time went, what could not be carried over."""
    rows = [
        [
            str(track["index"] + 1),
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


def trim_html(start_s: float, end_s: float, last_s: float) -> str:
    """HTML of the two handles that say which part of a video is wanted, all in seconds."""
    last = round(last_s, 2)
    ends = "".join(
        f'<input type="range" min="0" max="{last:g}" step="0.05" value="{value:g}" aria-label="{told}, in seconds">'
        for value, told in ((start_s, "Beginning"), (end_s, "End"))
    )
    return (
        '<div class="hf-trim"><p class="hf-title">Part that is swapped <output></output></p>'
        f'<div class="hf-track"><div class="hf-kept-part"></div>{ends}</div></div>'
    )


def counted_from_1(text: str) -> str:
    """A sentence of the library, which numbers faces from 0, as the page says it."""
    return re.sub(r"\bface (\d+)", lambda found: f"face {int(found.group(1)) + 1}", text)


def for_visitors(text: str) -> str:
    """A sentence of the library as the page says it: faces count from 1, and nobody is told to install something."""
    text = re.sub(r", and ([^,.`]*) with `pip install [^`]*`", "", text)
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", text) if not re.search(r"\bpip install\b", one)]
    told = re.sub(r"\s*\b(Run|Install)\b[^.]*:$", "", " ".join(sentences))
    return counted_from_1(told) or _ELSEWHERE


def _became(track: dict[str, Any]) -> str:
    """Of one person of a video."""
    if track["source"]:
        told = f"became {track['source']}"
        # A face is seldom swapped in all frames of its track: some are carried on unseen.
        partly = track["reason"] and track["num_swapped"] < track["num_frames"]
        return f"{told}; in some frames left as it is: {track['reason']}" if partly else told
    return f"left as it is: {track['reason']}" if track["reason"] else "left as it is: no source assigned"


def _sentence(note: str) -> str:
    """With its beginning and end."""
    return f"{note[:1].upper()}{note[1:]}."


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="hf-note">{escape(note)}</p>' for note in notes)


_SAME_PERCENT: Final = round(100 * SAME_PERSON_COSINE)
_SCALE: Final = (
    '<p class="hf-hint hf-scale">The bars show the cosine of two identities, from 0 to 1. Photos of two people are mostly '
    f"below {SAME_PERSON_COSINE:.2f} (the mark), two photos of one person above; 1 is the same photo. A good swap is right "
    "of the mark for the source, and left of it for the target.</p>"
)


def _likeness(face: dict[str, Any]) -> str:
    number = face["index"] + 1
    if not face["swapped"]:
        return f'<p class="hf-note">Face {number} left unchanged: {escape(face["reason"] or "")}</p>'
    bars = "".join(
        _bar_of(told, face[name])
        for told, name in (("like the source", "similarity_source"), ("like the target", "similarity_target"))
        if face[name] is not None
    )
    return f'<div class="hf-alike"><p>Face {number} became {escape(face["source"])}</p>{bars}</div>'


def _bar_of(told: str, cosine: float) -> str:
    percent = min(max(round(100 * cosine), 0), 100)
    return (
        f'<div class="hf-meter"><span>{told}</span><div role="img" aria-label="{told}: {cosine:.2f} of 1">'
        f'<i style="width:{percent}%"></i><b style="left:{_SAME_PERCENT}%"></b></div><span class="n">{cosine:.2f}</span></div>'
    )


def _measured(metrics: Mapping[str, Any]) -> str:
    swap = metrics.get("swap") if isinstance(metrics.get("swap"), Mapping) else None
    if not swap:
        return ""
    bars = "".join(
        f'<div class="hf-meter"><span>{told}</span><div role="img" aria-label="{told}: {swap[name]:.0f} of 100">'
        f'<i style="width:{swap[name]:.0f}%"></i></div><span class="n">{swap[name]:.0f} %</span></div>'
        for name, told in _LABELS.items()
        if isinstance(swap.get(name), (int, float))
    )
    pairs = metrics.get("protocol", {}).get("num_pairs", {}).get("swap")
    more = [
        f"{told} {swap[name]:{form}}{unit}"
        for name, told, form, unit in (
            ("pose_deg", "pose is off by", ".1f", " degrees"),
            ("gaze_deg", "gaze by", ".1f", " degrees"),
        )
        if isinstance(swap.get(name), (int, float))
    ]
    told = f"On {pairs} pairs of two people" if pairs else "Measured"
    return f'{bars}<p class="hf-hint">{told}{": " if more else ""}{", ".join(more)}.</p>'


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
