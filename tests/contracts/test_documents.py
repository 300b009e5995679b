"""The documents tell the truth: their commands run, their links lead somewhere, their tables are current."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
import typer
from PIL import Image

from hififace import __version__
from hififace.cli.main import build_app
from hififace.provenance.verify import check_file
from hififace.weights.bundle import load_bundle
from hififace.weights.registry import CARDS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CODE_OF_CONDUCT", "CONTRIBUTING", "SECURITY")),
]
# A block is run unless the line before it says why not: <!-- not run: reason -->
FENCE = re.compile(r"(<!-- not run: [^>]+ -->\n)?```(bash|python)\n(.*?)```", re.S)


def blocks(document: Path, language: str) -> list[str]:
    found = FENCE.findall(document.read_text(encoding="utf-8"))
    return [body for excuse, spoken, body in found if spoken == language and not excuse]


def commands(document: Path) -> list[str]:
    lines = "\n".join(blocks(document, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


ALL_COMMANDS = [(document, line) for document in DOCUMENTS for line in commands(document)]


def shown_commands(document: Path) -> list[str]:
    """Every call of the command in a block, also of those that are not run, without what a shell does around it."""
    text = document.read_text(encoding="utf-8")
    shown = [body for _, spoken, body in FENCE.findall(text) if spoken == "bash"]
    shown += re.findall(r"^    (?=hififace )(.*\n)", text, re.M)
    lines = "\n".join(shown).replace("\\\n", " ").splitlines()
    calls = [
        re.search(r"(?:^|[= ]|-- )hififace (?=[a-z]).*", line.split(" #")[0].split(" | ")[0])
        for line in lines
    ]
    return [
        re.sub(r"^.*?hififace ", "", call[0]).split(" > ")[0]
        for call in calls
        if call and "pip install" not in call[0]
    ]


SHOWN_COMMANDS = [(document, line) for document in DOCUMENTS for line in shown_commands(document)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: the clone's examples, and a home of their own."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name, example in (("me", "officer"), ("me-too", "officer"), ("holiday", "astronaut")):
        shutil.copy(ROOT / "examples" / f"{example}.jpg", folder / f"{name}.jpg")
    write_video(folder / "holiday.jpg", folder / "video.mp4")
    return folder


def write_video(photo: Path, path: Path) -> None:
    """Two seconds in which the camera moves over a photo."""
    with Image.open(photo) as opened, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        for at in range(8):
            shown = opened.convert("RGB").crop((4 * at, 0, 400 + 4 * at, 400)).resize((320, 320))
            container.mux(stream.encode(av.VideoFrame.from_image(shown)))
        container.mux(stream.encode(None))


def run_python(program: str, workplace: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=workplace, capture_output=True, text=True)


@pytest.mark.parametrize(
    "document",
    # The recipes of python.md are whole programs each: test_recipes.py runs them.
    [document for document in DOCUMENTS if blocks(document, "python") and document.name != "python.md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_python_of_the_documents_runs(workplace: Path, monkeypatch, document: Path):
    """The blocks of one document, one after the other, in one program."""
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    monkeypatch.setenv("HIFIFACE_OFFLINE", "1")
    done = run_python("\n".join(blocks(document, "python")), workplace)
    assert done.returncode == 0, f"{document.name}\n{done.stdout}{done.stderr}"


def test_a_python_block_that_fails_is_seen(workplace: Path):
    assert run_python("from hififace import NoSuchName", workplace).returncode != 0


@pytest.mark.parametrize(("document", "line"), SHOWN_COMMANDS, ids=[line for _, line in SHOWN_COMMANDS])
def test_commands_that_are_shown_have_the_options_that_exist(document: Path, line: str):
    """Names of options, and those that are required: what a block that is not run can still get wrong."""
    name, *words = shlex.split(line)
    command = typer.main.get_command(build_app([name])).commands[name]
    while getattr(command, "commands", None) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context(f"hififace {name}", words)  # raises what a terminal would show


@pytest.mark.parametrize(("document", "line"), ALL_COMMANDS, ids=[line for _, line in ALL_COMMANDS])
def test_commands_of_the_documents_run(workplace: Path, monkeypatch, document: Path, line: str):
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    monkeypatch.setenv("HIFIFACE_OFFLINE", "1")
    words = shlex.split(line, comments=True)
    assert words[0] == "hififace", f"{document.name} runs {words[0]}: say <!-- not run: why -->"
    done = subprocess.run(
        [sys.executable, "-m", "hififace", *words[1:]], cwd=workplace, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{document.name}: {line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(document: Path):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_program_files_that_are_named_exist(document: Path):
    for name in re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|sh))`", document.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or (ROOT / "src" / "hififace" / name).exists(), (
            f"{document.name} names {name}"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(document: Path):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(
        re.findall(r"\bmake ([a-z][\w-]*)", " ".join(re.findall(r"`(make [^`]+)`", document.read_text())))
    )
    assert named <= targets


def test_the_demo_writes_what_it_names(workplace: Path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    monkeypatch.setenv("HIFIFACE_OFFLINE", "1")
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe is not None
    (workplace / "demo").mkdir()
    for line in re.findall(r"^\t@\$\(BIN\)/hififace (.*)$", recipe[1], re.M):
        subprocess.run([sys.executable, "-m", "hififace", *shlex.split(line)], cwd=workplace, check=True)
    named = re.findall(r"\$\(CURDIR\)/(\S+)\"", recipe[1])
    assert named == ["demo/swapped.jpg", "demo/side-by-side.jpg"]
    sizes = [Image.open(workplace / name).size for name in named]
    assert sizes == [(512, 512), (1024, 512)]


def test_the_licence_page_is_what_the_cards_say():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "write_licences.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_notices_of_what_ships_name_the_same_files():
    notice = (ROOT / "src" / "hififace" / "weights" / "embedded" / "NOTICE.md").read_text(encoding="utf-8")
    for card in CARDS:
        if card.kind == "embedded":
            assert f"`{card.filename}`" in notice
            assert card.sha256 in notice or card.filename.endswith(".npz"), (
                f"NOTICE.md has another {card.filename}"
            )


@pytest.mark.parametrize(
    "name",
    [
        "examples/nobody.jpg",
        "docs/showcase/portraits.jpg",
        "docs/showcase/clip.webp",
    ],
)
def test_swaps_that_are_shown_are_marked_as_such(name: str):
    verdict = check_file(ROOT / name)
    assert verdict.claim is not None
    mini = load_bundle("mini")
    assert (verdict.claim.model, verdict.claim.model_version) == (mini.name, mini.version), "make them anew"


@pytest.mark.parametrize(("name", "largest_kb"), [("portraits.jpg", 600), ("clip.webp", 1500)])
def test_what_the_readme_shows_is_small_marked_and_attributed(name: str, largest_kb: int):
    path = ROOT / "docs" / "showcase" / name
    assert path.stat().st_size < largest_kb * 1000
    verdict = check_file(path)
    assert verdict.claim is not None
    assert verdict.claim.statement == "face swap"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"docs/showcase/{name}" in readme
    assert "10.6084/m9.figshare.5047666" in readme
    assert "CC BY 4.0" in readme


def test_one_version_everywhere():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{__version__}}}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_example_has_a_licence():
    named = (ROOT / "examples" / "README.md").read_text()
    for path in (ROOT / "examples").iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in named
