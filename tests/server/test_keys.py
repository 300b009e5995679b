from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hififace import OptionError
from hififace.server import keys as module
from hififace.server.keys import Keys, bearer_of, new_key
from hififace.server.settings import ServiceLimits, ServiceOptions


def test_a_new_key_is_known_by_its_line_alone():
    key, line = new_key("shop")
    assert line == f"shop:{hashlib.sha256(key.encode()).hexdigest()}"
    assert key not in line
    keys = Keys.parse(f"# ours\n\n{line}\n", "file")
    assert keys.owner(key) == "shop"
    assert keys.owner(key[:-1]) is None
    assert keys.owner(line.split(":")[1]) is None  # who has read the file has no key
    assert new_key("shop")[0] != key


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shop", "entry 1 is no API key"),
        ("shop:abc", "entry 1 is no API key"),
        (f"# x\nanybody:{'0' * 64}", "entry 2 is no API key"),
        (f"a:{'0' * 64},b:{'0' * 64}", "entry 2 repeats"),
        (f"a:{'0' * 64},a:{'1' * 64}", "entry 2 repeats"),
        ("# none", "there is no API key"),
    ],
)
def test_files_without_keys_are_sentences(text: str, sentence: str):
    with pytest.raises(OptionError, match=sentence):
        Keys.parse(text, "keys.txt")


def test_a_missing_file_is_a_sentence(tmp_path: Path):
    with pytest.raises(OptionError, match="cannot be read"):
        Keys.read(tmp_path / "none")
    with pytest.raises(OptionError, match="1 to 64 of"):
        new_key("a b")


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.0)
    (anna, annas), (ben, bens) = new_key("anna"), new_key("ben")
    file = tmp_path / "keys.txt"
    file.write_text(annas)
    keys = Keys.read(file)
    file.write_text(f"{annas}\n{bens}\n")
    assert (keys.owner(anna), keys.owner(ben)) == ("anna", "ben")
    file.write_text("nonsense")
    assert (keys.owner(anna), keys.owner(ben)) == ("anna", "ben")
    assert "stay as they were" in caplog.text
    file.unlink()
    assert keys.owner(ben) == "ben"
    (tmp_path / "new").write_text(bens)
    (tmp_path / "new").replace(file)
    assert (keys.owner(anna), keys.owner(ben)) == (None, "ben")


def test_the_file_is_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    (anna, annas), (ben, bens) = new_key("anna"), new_key("ben")
    file = tmp_path / "keys.txt"
    file.write_text(annas)
    keys = Keys.read(file)
    assert keys.owner(anna) == "anna"
    file.write_text(bens)
    assert keys.owner(ben) is None
    now += 1.1
    assert (keys.owner(anna), keys.owner(ben)) == (None, "ben")


def test_both_headers_carry_keys():
    assert bearer_of([(b"Authorization", b"bearer  abc ")]) == "abc"
    assert bearer_of([(b"X-API-Key", b"abc")]) == "abc"
    assert bearer_of([(b"authorization", b"Basic abc")]) is None
    assert bearer_of([]) is None


def test_other_machines_need_keys(tmp_path: Path):
    with pytest.raises(OptionError, match="there are no API keys"):
        ServiceOptions(data=tmp_path, host="0.0.0.0")
    ServiceOptions(data=tmp_path, host="0.0.0.0", keys=Keys.parse(new_key("a")[1], "x"))
    with pytest.raises(OptionError, match="workers is 0"):
        ServiceOptions(data=tmp_path, workers=0)
    with pytest.raises(OptionError, match="limit queue is 0"):
        ServiceLimits(queue=0)


@pytest.mark.parametrize(
    ("given", "on_cpu", "cores", "expected"),
    [
        ({}, True, 2, (2, 1)),
        ({}, True, 64, (8, 8)),
        ({"threads": 4}, True, 8, (2, 4)),
        ({"workers": 1}, True, 2, (1, 2)),
        ({"workers": 3, "threads": 2}, True, 2, (3, 2)),
        ({}, False, 64, (2, None)),
        ({"workers": 5}, False, 2, (5, None)),
    ],
)
def test_cores_are_shared_by_images_side_by_side(
    tmp_path: Path, given: dict[str, int], on_cpu: bool, cores: int, expected: tuple[int, int | None]
):
    options = ServiceOptions(data=tmp_path, **given)
    assert options.shares(on_cpu=on_cpu, cores=cores) == expected
    assert options.images_per_run(on_cpu=on_cpu) == (2 if on_cpu else 8)
    assert ServiceOptions(data=tmp_path, batch=3).images_per_run(on_cpu=on_cpu) == 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such thing here")
def test_only_cores_that_the_process_may_use_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert ServiceOptions(data=tmp_path).shares(on_cpu=True) == (3, 1)


def test_devices_and_providers_are_one_choice(tmp_path: Path):
    assert ServiceOptions(data=tmp_path, devices=("cuda:0", "cuda:1")).benches == (("cuda:0",), ("cuda:1",))
    assert ServiceOptions(data=tmp_path, devices=("cuda:0", "cuda:1")).num_jobs == 2
    assert ServiceOptions(data=tmp_path, jobs_at_once=0).num_jobs == 0
    with pytest.raises(OptionError, match="choose one"):
        ServiceOptions(data=tmp_path, devices=("cuda:0",), providers=("cpu",))
