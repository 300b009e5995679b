from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hififace.errors import WeightsError
from hififace.weights import download, places, store
from hififace.weights.registry import Card, find_card

CONTENT = b"weights" * 100


def card(kind: str = "fetchable", **changes: object) -> Card:
    values = {
        "name": "part",
        "kind": kind,
        "filename": "part.bin",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "licence": "MIT",
        "commercial": True,
        "origin": "a test",
        "used_by": "a test",
        "urls": ("https://example.invalid/part.bin",),
        "instructions": "Found on the shelf.",
    }
    return Card(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    monkeypatch.delenv("HIFIFACE_OFFLINE", raising=False)
    return tmp_path


def put(content: bytes = CONTENT) -> Path:
    path = places.model_dir() / "part.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("platform", "variables", "tail"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/hififace"),
        ("linux", {}, ".local/share/hififace"),
        ("darwin", {}, "Library/Application Support/hififace"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/hififace"),
    ],
)
def test_data_dir_follows_the_platform(monkeypatch, platform, variables, tail):
    for name in ("HIFIFACE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places.sys, "platform", platform)
    assert places.data_dir().as_posix().endswith(tail)


def test_asking_where_things_are_makes_no_folder(home: Path):
    places.model_dir()
    assert list(home.iterdir()) == []


def test_verify_tells_the_four_states():
    assert store.verify(card()).state == "missing"
    put()
    assert store.verify(card()).state == "intact"
    assert store.verify(card(sha256=None)).state == "present"
    put(b"other")
    finding = store.verify(card())
    assert (finding.state, finding.usable) == ("altered", False)
    assert hashlib.sha256(b"other").hexdigest() in finding.detail


def test_locate_says_how_to_get_what_is_missing(home: Path):
    with pytest.raises(WeightsError, match="hififace weights fetch part"):
        store.locate(card())
    with pytest.raises(WeightsError, match=r"may not be redistributed.*on the shelf.*part\.bin"):
        store.locate(card("user-supplied"))
    assert store.locate(card()) if put() else False


def test_embedded_path_of_a_damaged_installation():
    assert store.embedded_path("yunet.onnx").is_file()
    with pytest.raises(WeightsError, match="Install the package again"):
        store.embedded_path("nothing.onnx")


def test_commercial_use_refuses_by_licence():
    put()
    research = card("user-supplied", commercial=False, licence="research only")
    assert store.locate(research) == places.model_dir() / "part.bin"
    with pytest.raises(WeightsError, match="research only"):
        store.locate(research, commercial=True)
    with pytest.raises(WeightsError, match="research only"):
        store.fetch(research, commercial=True)


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_offline_never_touches_the_network(monkeypatch, way):
    def touched(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", touched)
    monkeypatch.setattr(socket, "getaddrinfo", touched)
    monkeypatch.setattr(download, "download", touched)
    if way == "variable":
        monkeypatch.setenv("HIFIFACE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline"):
        store.fetch(card(), no_network=True if way == "argument" else None)


def test_fetch_of_a_whole_file_downloads_nothing(monkeypatch):
    monkeypatch.setattr(download, "download", None)
    put()
    assert store.fetch(card()) == places.model_dir() / "part.bin"
    assert store.fetch(find_card("yunet")).name == "yunet.onnx"


def test_fetch_replaces_an_altered_file(monkeypatch):
    put(b"altered")
    calls = []
    monkeypatch.setattr(
        download, "download", lambda urls, final, **settings: calls.append((urls, final, settings["sha256"]))
    )
    store.fetch(card())
    assert calls == [(card().urls, places.model_dir() / "part.bin", card().sha256)]


def test_the_http_library_is_imported_only_to_fetch():
    program = (
        "import sys, hififace.weights.store as s; s.embedded_path('sface.onnx'); "
        "print([m for m in ('urllib.request', 'http.client', 'hififace.weights.download') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_in_the_given_folder_comes_first(tmp_path):
    put()
    (tmp_path / "mine").mkdir()
    assert store.locate_in(tmp_path / "mine", card()) == places.model_dir() / "part.bin"
    (tmp_path / "mine" / "part.bin").write_bytes(CONTENT)
    assert store.locate_in(tmp_path / "mine", card()) == tmp_path / "mine" / "part.bin"
    with pytest.raises(WeightsError, match="not on this machine"):
        store.locate_in(None, card("user-supplied", filename="other.bin"))
