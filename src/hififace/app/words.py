"""What the page says, and how it writes down the figures of a swap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

HEAD: Final = """# hififace
Put the face of one photo into another. Photos and results stay on the machine that serves this page and
are removed when it is closed."""

FOOT: Final = """Every result is marked as a face swap: in signed Content Credentials and in plain metadata.
Use faces only with the consent of the people shown."""


def listed(sentences: Sequence[str]) -> str:
    """One sentence as it is, several as a list."""
    sentences = [_plain(sentence) for sentence in sentences]
    return sentences[0] if len(sentences) == 1 else "\n".join(f"- {sentence}" for sentence in sentences)


def figures(report: dict[str, Any]) -> str:
    """Markdown tables of `SwapResult.to_json`: what became of each face, and where the time went."""
    lines = ["| Face | Similarity to the source | Similarity to the target | |", "|---|---|---|---|"]
    for face in report["faces"]:
        told = f"became {face['source']}" if face["swapped"] else f"left as it is: {face['reason']}"
        lines.append(
            f"| {face['index']} | {_number(face['similarity_source'])} | {_number(face['similarity_target'])} "
            f"| {_plain(told)} |"
        )
    stages = {name: spent for name, spent in report["timings_ms"].items() if name != "total"}
    lines += ["", f"| {' | '.join(stages)} | **total** |", "|" + "---|" * (len(stages) + 1)]
    times = [f"{spent:.0f} ms" for spent in stages.values()]
    lines.append(f"| {' | '.join(times)} | **{report['timings_ms']['total']:.0f} ms** |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _plain(text: str) -> str:
    """File names come from visitors: they must not become table cells, links or tags."""
    for sign in "\\|`*_[]<>!#":
        text = text.replace(sign, f"&#{ord(sign)};")
    return text
