"""Write docs/licences.md from the cards of `weights/registry.py` and the bundles that ship.

python tools/write_licences.py            # write
python tools/write_licences.py --check    # fail if the page is not what the cards say
"""

from __future__ import annotations

import sys
from pathlib import Path

from hififace.weights.bundle import available_models, load_bundle
from hififace.weights.registry import CARDS, Card

PAGE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"

ENCODERS = """
## Programs that come along

`pip install .` also installs libraries of others, under their own licences. Two kinds matter to whoever passes
the installation on, or sells what it makes:

- **PyAV's wheels** (videos) contain FFmpeg with **x264** and **x265**, both GPL-2.0-or-later, which makes the wheel's
  FFmpeg GPL as a whole. **pillow-heif's wheels** (`[heic]`) contain **x265** too. The GPL does not restrict what is
  made with a program, commercially or not. It binds whoever passes the program on: an installer, a container image or a
  device with hififace and these wheels in it must come with the GPL's text and an offer of their source. hififace's own
  code stays MIT: it is not derived from them, and runs without HEIC, and on a PyAV that was built without the two.
- **Patents** on H.264 (AVC) and HEVC may ask for a licence of their own, for commercial use above all. AV1 and VP9 are
  made to need none: `--codec av1` and `--codec vp9` choose them, with the encoders SVT-AV1 (BSD) and libvpx (BSD).

`--commercial` refuses models and parts by the tables above. It lets H.264 and HEVC pass, since their licences do, and
says the second point when a video is to be written.
"""

HEAD = """# Licences: every part, where it is from, and what it may be used for

<!-- Made by `python tools/write_licences.py`; change the cards, not this page. -->

The code is under the MIT licence (`LICENSE`). Files of weights have licences of their own. *Commercial* repeats what
their publishers say of the file and of what it was learned from, as far as we know it; it is no legal advice.
Full notices of what ships are in `src/hififace/weights/embedded/NOTICE.md`.
"""


def table(cards: list[Card]) -> str:
    lines = ["| name | file | licence | commercial | origin | SHA-256 |", "|---|---|---|---|---|---|"]
    for card in cards:
        sha256 = f"`{card.sha256}`" if card.sha256 else "not known"
        commercial = "yes" if card.commercial else "no"
        lines.append(
            f"| {card.name} | `{card.filename}` | {card.licence} | {commercial} | {card.origin} | {sha256} |"
        )
    return "\n".join(lines)


def bundles() -> str:
    lines = ["| model | file | licence | learned from | SHA-256 |", "|---|---|---|---|---|"]
    for name in available_models():
        bundle = load_bundle(name)
        for file, sha256 in sorted(bundle.files.items()):
            lines.append(
                f"| {name} {bundle.version} | `{file}` | {bundle.licence} | {bundle.training_data} | `{sha256}` |"
            )
    return "\n".join(lines)


def page() -> str:
    kinds = {
        kind: [card for card in CARDS if card.kind == kind]
        for kind in ("embedded", "fetchable", "user-supplied")
    }
    reasons = "\n".join(
        f"- **{card.name}**, for {card.used_by}. {card.instructions}" for card in kinds["user-supplied"]
    )
    sections = [HEAD, "## Ships inside the package\n", table(kinds["embedded"])]
    if available_models():
        sections += ["\n## Models that ship\n", bundles()]
    sections += [
        "\n## Fetched when you ask for it\n",
        table(kinds["fetchable"]),
        "\n## User-supplied files\n",
        table(kinds["user-supplied"]),
        "\nWhere each is found, and why it is not redistributed:\n",
        reasons,
        ENCODERS.rstrip("\n"),
    ]
    return "\n".join(sections) + "\n"


def main() -> None:
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != page():
            raise SystemExit(f"{PAGE} is not what the cards say. Run: python tools/write_licences.py")
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"{PAGE}: {len(CARDS)} cards, {len(available_models())} models")


if __name__ == "__main__":
    main()
