"""One word for one thing, and words that a stranger from this field understands, in everything that people see."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from hififace.cli.main import COMMANDS, build_app

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "hififace").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HISTORY = {"lab-book.md"}
"""What was thought when it was written, in the words of then."""

INSTEAD = {
    r"films?": "video",
    r"pictures?": "image",
    r"paint(s|ed|ing)?": "generate, generated face",
    r"judges?|the opponent|the game": "discriminator, loss network",
    r"teachers?": "frozen networks, loss networks",
    r"manieth": "every N frames",
    r"to be brought by|brought (file|weight)s?": "user-supplied",
    r"contestants?|tell_apart": "method, verification metrics",
    r"nobody was given": "no source was given",
    r"goes on (behind|where)|(is|are) taken up": "resumes; segments after this frame are redone",
    r"(be|been|could be|is|are) had": "available, downloaded",
    r"for who|so that who": "for callers that; so that callers",
    r"as often as needed": "repeatable",
    r"told about|speaks? of|tells? of": "reported; says, names",
    r"quantit(y|ies) of": "face features",
    r"calm[ _]heads": "head initialisation scale",
    r"casting|painter|lookout": "source map, generator, detection schedule",
    r"frozen parts": "frozen networks",
    r"(who|person) (is|was|to be|to) put in(?!to)": "source face",
    r"critics?": "discriminator",
    r"pixels? (un)?fold(s|ed)?": "pixel_shuffle, pixel_unshuffle",
}
NEVER = re.compile("|".join(rf"\b({word})\b" for word in INSTEAD), re.I)

VALUES = ("mini_256:", "portraits:", "ff++:", "ff++, celeba-hq, ffhq:", "config.json")
"""Help of options that only one preset or protocol reads begins with its name."""

OWN_WORDS = {
    # (file, word): a name of earlier versions that is still read
    ("models/earlier_names.py", "judge"),
    ("export/figures.py", "contestants"),
}


def said(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of everything in a file that a person reads: strings, docstrings, comments, and names as words."""
    written = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in written:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            # turn_picture and TurnPicture are "turn picture".
            yield token.start[0], re.sub(r"(?<=[a-z])(?=[A-Z])", " ", token.string.replace("_", " "))


def found_in(text: str) -> list[str]:
    return [match.group(0) for match in NEVER.finditer(text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src" / "hififace")))
def test_sources_use_the_words_of_the_field(path: Path):
    here = path.relative_to(ROOT / "src" / "hififace").as_posix()
    wrong = [
        (line, word) for line, text in said(path) for word in found_in(text) if (here, word) not in OWN_WORDS
    ]
    assert wrong == [], f"{here}: see INSTEAD for the words to use"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_use_the_words_of_the_field(path: Path):
    if path.name in HISTORY:
        pytest.skip("history")
    # Names of files and symbols are theirs.
    text = re.sub(r"`[^`\n]+`", lambda span: " " * len(span[0]), path.read_text(encoding="utf-8"))
    wrong = [(text.count("\n", 0, match.start()) + 1, match.group(0)) for match in NEVER.finditer(text)]
    assert wrong == []


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for sub_name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{name} {sub_name}")


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_every_option_is_a_sentence_in_these_words(row):
    whole = typer.main.get_command(build_app([row.name]))
    (asked,) = [sub for name, sub in whole.commands.items() if name == row.name]
    parameters = []
    for name, command in commands(asked, row.name):
        assert found_in(command.help or "") == [], name
        # typer carries its own copy of click: `isinstance(..., click.Option)` would be true of none.
        parameters += [(name, one) for one in command.params if "--help" not in one.opts and not one.hidden]
    assert parameters
    for name, parameter in parameters:
        help_text = (parameter.help or "").strip()
        assert found_in(help_text) == [], (name, parameter.opts)
        assert len(help_text.split()) >= 3, f"{name} {parameter.opts[0]} says too little: {help_text!r}"
        assert help_text[0].isupper() or help_text.startswith(VALUES), (
            f"{name} {parameter.opts[0]}: {help_text!r}"
        )
        assert help_text.endswith((".", ")")), f"{name} {parameter.opts[0]} is no sentence: {help_text!r}"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ('"""A picture."""', "picture"),
        ("x = 1  # as the teachers say", "teachers"),
        ("class TeacherNetwork: ...", "Teacher"),
        ("def turn_picture(): ...", "picture"),
        ('print(f"{1} films")', "films"),
    ],
)
def test_the_words_are_found_wherever_they_are_written(tmp_path: Path, code: str, word: str):
    (tmp_path / "module.py").write_text(code + "\n", encoding="utf-8")
    assert [found for _, text in said(tmp_path / "module.py") for found in found_in(text)] == [word]
