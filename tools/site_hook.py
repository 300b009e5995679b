"""Hooks of the site (`mkdocs.yml`): pages from outside docs/, and references made from the code.

The repository's own pages (README, CHANGELOG, ...) become pages of the site, links to files outside docs/ lead to
copies of these files, and the pages of commands and of the Python API are written anew at every build.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/reporting.md",
    "CODE_OF_CONDUCT.md": "project/conduct.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "examples/README.md": "project/examples.md",
}
"""File of the repository -> page of the site."""
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))|(^\[[\w-]+\]: )(\S+)", re.M)


def site_uri(path: str) -> str:
    """Where a file of the repository is found on the site, by its path from the root."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PAGES.get(path, f"repository/{path}")


def relative_uri(here: str, there: str) -> str:
    """A link from one page to another, both by their paths from the root of the site."""
    up = len(PurePosixPath(here).parts) - 1
    return "../" * up + there


def rewritten(text: str, origin: str) -> tuple[str, set[str]]:
    """A page's text with its links led to the site, and the files outside docs/ that it names.

    Args:
        text: Markdown.
        origin: the page's path from the root of the repository.
    """
    outside: set[str] = set()
    folder = (ROOT / origin).parent

    def lead(match: re.Match[str]) -> str:
        if match[2] is None or match[2].startswith(("http:", "https:", "mailto:")):
            return match[0]
        target = (folder / match[2]).resolve()
        if not target.is_relative_to(ROOT) or not target.is_file():
            return match[0]
        path = target.relative_to(ROOT).as_posix()
        if not path.startswith("docs/"):
            outside.add(path)
        return f"{match[1]}{relative_uri(site_uri(origin), site_uri(path))}{match[3]}"

    return LINK.sub(lead, text), outside


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files from outside docs/, and the references."""
    outside: set[str] = set()
    for file in files.documentation_pages():
        outside |= rewritten(file.content_string, f"docs/{file.src_uri}")[1]
    for path, uri in PAGES.items():
        text, named = rewritten((ROOT / path).read_text(encoding="utf-8"), path)
        outside |= named
        files.append(File.generated(config, uri, content=text))
    for path in sorted(outside - set(PAGES)):
        files.append(File.generated(config, site_uri(path), abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    files.append(File.generated(config, "reference/python.md", content=python_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead the links of a page of docs/ to the site."""
    if page.file.generated_by:
        return markdown
    return rewritten(markdown, f"docs/{page.file.src_uri}")[0]


def commands_page() -> str:
    """Every command and option, from the program itself."""
    from typer.main import get_command

    from hififace.cli.main import COMMANDS, build_app

    lines = ["# Commands", "", "Made from the program: what `hififace COMMAND --help` says.", ""]
    for row in COMMANDS:
        group: Any = get_command(build_app([row.name]))
        lines += command_lines(f"hififace {row.name}", group.commands[row.name], level=2)
    return "\n".join(lines) + "\n"


def command_lines(title: str, command: Any, level: int) -> list[str]:
    """One command: its help, a table of its options, its subcommands."""
    lines = [f"{'#' * level} `{title}`", "", plain(command.help or ""), ""]
    rows = [option_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        lines += ["| | | default |", "|---|---|---|", *rows, ""]
    for name, below in sorted(getattr(command, "commands", {}).items()):
        lines += command_lines(f"{title} {name}", below, level + 1)
    return lines


def option_row(parameter: Any) -> str:
    """A row of the table: how it is written, what it does, what it is if left out."""
    is_argument = getattr(parameter, "param_type_name", "") == "argument"
    spelled = [parameter.metavar or parameter.name.upper()] if is_argument else list(parameter.opts)
    spelled += [] if is_argument else list(parameter.secondary_opts)
    written = ", ".join(f"`{word}`" for word in spelled)
    default = parameter.default
    shown = "required" if parameter.required else "" if default in (None, False, [], ()) else f"`{default}`"
    return f"| {written} | {plain(getattr(parameter, 'help', '') or '').replace('|', '&#124;')} | {shown} |"


def plain(text: str) -> str:
    """Help as one paragraph, without marks of the terminal, safe in Markdown."""
    words = " ".join(text.replace("\b", "").split())
    return words.replace("<", "&lt;").replace("*", r"\*").replace("[", r"\[")


def python_page() -> str:
    """Every public name, from its docstring."""
    import hififace

    lines = ["# Python", "", "Made from the docstrings. Import every name from `hififace` itself.", ""]
    homes: dict[str, str] = hififace._HOMES
    first = ("FaceSwapper", "SwapOptions", "SwapResult", "FaceOutcome", "VideoOptions", "available_models")
    for name in [*first, *(name for name in sorted(homes) if name not in first)]:
        lines += [f"::: {homes[name]}.{name}", "    options: {heading_level: 2, show_root_heading: true}", ""]
    return "\n".join(lines)
