from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.interrupts import hear_interrupts

from hififace import FaceSwapper, SwapOptions
from hififace.cli.main import main
from hififace.media.image import read_image


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_mesh_bundle(tmp_path_factory.mktemp("bundle") / "double").folder)


@pytest.fixture(autouse=True)
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """me.png, and a folder of two targets, one image without a face, and one that is no image."""
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.chdir(tmp_path)
    face = np.ascontiguousarray(data.astronaut()[20:250, 110:340])
    Image.fromarray(face).save("me.png")
    Path("album").mkdir()
    Image.fromarray(face[:, ::-1]).save("album/a.png")
    Image.fromarray(face // 2 + 60).save("album/b.jpg", quality=95)
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save("album/empty.png")
    Path("album/broken.png").write_bytes(b"no image")
    return tmp_path


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["swap", *words])
    return int(left.value.code or 0)


def test_python_and_the_command_give_identical_pixels(bundle: str, capsys: pytest.CaptureFixture[str]):
    words = [
        "--shape-rate",
        "0.7",
        "--id-rate",
        "0.9",
        "--passes",
        "2",
        "--no-match-colour",
        "--threads",
        "1",
    ]
    assert run("me.png", "album/a.png", "-o", "out.png", "-m", bundle, *words) == 0
    assert capsys.readouterr().out.startswith("out.png: 1 of 1 faces swapped in ")
    swapper = FaceSwapper.load(bundle, threads=1)
    swapper.set_source("me.png")
    result = swapper.swap(
        "album/a.png", SwapOptions(shape_rate=0.7, id_rate=0.9, passes=2, match_colour=False)
    )
    np.testing.assert_array_equal(read_image("out.png").pixels, result.pixels)
    from_array = swapper.swap(
        read_image("album/a.png").pixels,
        SwapOptions(shape_rate=0.7, id_rate=0.9, passes=2, match_colour=False),
    )
    np.testing.assert_array_equal(from_array.pixels, result.pixels)


def test_a_folder_goes_on_after_files_that_fail(bundle: str, capsys: pytest.CaptureFixture[str]):
    assert run("me.png", "album", "-o", "out", "-m", bundle) == 1
    assert names("out") == ["a.png", "b.jpg"]
    told = capsys.readouterr()
    assert "No face was found in album/empty.png" in told.err
    assert "album/broken.png is not an image" in told.err
    assert told.err.count("album/broken.png") == 1
    assert "2 of 4 could not be swapped" in told.err
    assert len(told.out.splitlines()) == 2


def test_json_has_a_line_for_every_target(bundle: str, capsys: pytest.CaptureFixture[str]):
    words = ["--json", "--similarity", "--compare"]
    assert run("me.png", "album/a.png", "album/empty.png", "-o", "out", "-m", bundle, *words) == 1
    done, failed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert done["output"] == "out/a.png"
    assert done["provider"] == "CPUExecutionProvider"
    assert {"detect", "encode", "generate", "paste", "total"} < set(done["timings_ms"])
    assert 0.0 < done["faces"][0]["similarity_source"] <= 1.0
    assert "No face was found" in failed["error"]
    assert read_image("out/a.png").size == (460, 230)


def test_people_are_mapped_with_and_without_a_source_for_the_others(bundle: str):
    assert run("album/a.png", "-o", "out.png", "-m", bundle, "--map", "me.png=me.png") == 0
    assert run("album/a.png", "-o", "numbered.png", "-m", bundle, "--map", "0=album/b.jpg") == 0
    assert run("me.png", "album/a.png", "-o", "both.png", "-m", bundle, "--map", "0=album/b.jpg") == 0
    np.testing.assert_array_equal(read_image("both.png").pixels, read_image("numbered.png").pixels)
    assert not np.array_equal(read_image("both.png").pixels, read_image("out.png").pixels)


def test_a_poor_photo_of_a_source_is_told_about_whichever_way_it_is_given(
    bundle: str, capsys: pytest.CaptureFixture[str]
):
    Image.open("me.png").rotate(180).save("lying.png")
    told = "the face in lying.png lies or stands upside down"
    ways = (["lying.png"], ["--map", "0=lying.png"], ["--map", "me.png=lying.png"])
    for way in ways:
        words = [*way, "album/a.png", "-o", "out.png", "-m", bundle, "--rotated"]
        assert run(*words) == 0
        assert told in capsys.readouterr().err
        assert run(*words, "--json") == 0
        (note,) = json.loads(capsys.readouterr().out)["source_notes"]
        assert note.startswith(told)


def test_several_photos_of_the_source(bundle: str):
    assert run("me.png", "album/a.png", "-o", "one.png", "-m", bundle) == 0
    assert run("me.png", "album/a.png", "-o", "two.png", "-m", bundle, "--source", "album/b.jpg") == 0
    assert not np.array_equal(read_image("one.png").pixels, read_image("two.png").pixels)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["me.png"], 2, "a source and at least one target were expected"),
        (["me.png", "album/a.png", "--map", "anna.jpg"], 2, "REFERENCE=SOURCE was expected"),
        (["me.png", "album/a.png", "--shape-rate", "3"], 2, "shape_rate is 3.0"),
        (["me.png", "album/a.png", "--source-face", "best"], 2, "--source-face is 'best'"),
        (["me.png", "album/a.png", "--model", "no-such-model"], 1, "No bundle 'no-such-model'"),
    ],
)
def test_wrong_words_are_a_sentence_and_an_exit_code(
    words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert run(*words, "-o", "out.png") == code
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("album/empty.png", "album/a.png", "No face was found in empty.png"),
        ("missing.png", "album/a.png", "missing.png does not exist"),
        ("me.png", "album/empty.png", "No face was found in album/empty.png"),
        ("me.png", "video.mp4", "video.mp4"),
    ],
)
def test_pictures_that_do_not_do_are_a_sentence_and_leave_nothing(
    bundle: str, source: str, target: str, sentence: str, capsys: pytest.CaptureFixture[str]
):
    before = names(".")
    assert run(source, target, "-o", "out.png", "-m", bundle) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert names(".") == before


def test_stopped_by_the_user_it_leaves_whole_files_only(bundle: str):
    # Enough for seconds of work: on a busy machine the signal arrives late.
    photo = Path("album/a.png").read_bytes()
    for number in range(400):
        Path(f"album/c{number:03}.png").write_bytes(photo)
    process = subprocess.Popen(
        [sys.executable, "-m", "hififace", "swap", "me.png", "album", "-o", "out", "-m", bundle],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 120
    while not list(Path().glob("out/c*.png")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "finished results are kept" in told
    written = names("out")
    assert 0 < len(written) < 402
    for name in written:
        assert not name.startswith(".")
        assert read_image(Path("out") / name).size == (230, 230)


@pytest.mark.parametrize(
    "words",
    [
        ["me.png", "album/a.png", "-o", "me.png"],
        ["album/a.png", "-o", "me.png", "--map", "0=me.png"],
        ["album/b.jpg", "album/a.png", "-o", "me.png", "--source", "me.png"],
        ["me.png", "album/a.png", "-o", "album/b.jpg", "--select", "album/b.jpg"],
        ["me.png", "album", "-o", "album"],
        ["me.png", "album/a.png", "-o", "link.png"],
    ],
)
def test_no_file_that_is_read_is_overwritten(
    bundle: str, words: list[str], capsys: pytest.CaptureFixture[str]
):
    Path("link.png").symlink_to("me.png")
    before = {path: path.read_bytes() for path in [Path("me.png"), *Path("album").iterdir()]}
    assert run(*words, "-m", bundle) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_is_meant_is_made(bundle: str):
    assert run("me.png", "album/a.png", "-o", "new/", "-m", bundle) == 0
    assert names("new") == ["a.png"]


def test_a_name_with_an_equals_sign_can_be_mapped(bundle: str, capsys: pytest.CaptureFixture[str]):
    Path("a=b").mkdir()
    for name in ("a=b/anna=1.png", "me=2.png"):
        Path(name).write_bytes(Path("me.png").read_bytes())
    assert run("album/a.png", "-o", "out.png", "--map", "a=b/anna=1.png=me=2.png", "-m", bundle) == 0
    assert "1 of 1 faces" in capsys.readouterr().out
    assert run("album/a.png", "-o", "out.png", "--map", "x=none.png", "-m", bundle) == 1
    assert "none.png does not exist" in capsys.readouterr().err


def test_a_fault_of_ours_in_one_target_is_its_sentence_and_the_others_go_on(
    bundle: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    swap = FaceSwapper.swap

    def failing(self: FaceSwapper, image: object, *words: object, **more: object) -> object:
        if str(image).endswith("a.png"):
            raise PermissionError(1, "Operation not permitted")
        return swap(self, image, *words, **more)

    monkeypatch.setattr(FaceSwapper, "swap", failing)
    assert run("me.png", "album", "-o", "out", "-m", bundle) == 1
    told = capsys.readouterr()
    assert "album/a.png could not be swapped for a reason that was not foreseen (PermissionError" in told.err
    assert names("out") == ["b.jpg"]


def test_an_address_is_told_whole(bundle: str, capsys: pytest.CaptureFixture[str]):
    for words in (
        ["https://example.org/me.jpg", "album/a.png"],
        ["me.png", "https://example.org/you.mp4"],
    ):
        assert run(*words, "-o", "out.png", "-m", bundle) == 2
        assert "https://example.org/" in capsys.readouterr().err
