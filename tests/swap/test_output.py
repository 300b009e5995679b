from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from hififace.cli.main import main
from hififace.errors import HififaceError, ImageError, ProvenanceError
from hififace.media.image import LoadedImage, read_image
from hififace.provenance.claim import Claim, claim_in_xmp
from hififace.provenance.verify import check_file
from hififace.swap import output
from hififace.swap.output import identity_folder, mark_video, marked_image, save_image, video_tags

CLAIM = Claim(model="mini", model_version="1", consent_confirmed=True)
RESULT = np.random.default_rng(1).integers(0, 255, (48, 40, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))


def like(format: str) -> LoadedImage:
    return LoadedImage.from_pixels(np.zeros_like(RESULT), format=format)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".avif", ".heic", ".gif"])
def test_every_picture_carries_both_marks(tmp_path: Path, ending: str):
    path = save_image(RESULT, like("PNG"), tmp_path / f"out{ending}", CLAIM)
    verdict = check_file(path, identity_folder())
    assert (verdict.credentials, verdict.metadata, verdict.claim, verdict.marked) == (
        "own",
        True,
        CLAIM,
        True,
    )
    assert "made by this installation" in verdict.sentence()
    assert read_image(path).size == (40, 48)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_the_targets_settings_are_kept(tmp_path: Path):
    alpha = np.full((48, 40), 9, np.uint8)
    target = LoadedImage(pixels=np.zeros_like(RESULT), alpha=alpha, format="WEBP")
    path = save_image(RESULT, target, tmp_path / "out", CLAIM)
    again = read_image(path)
    assert again.format == "WEBP"
    assert again.alpha is not None


def test_lossless_results_come_back_bit_for_bit(tmp_path: Path):
    path = save_image(RESULT, like("PNG"), tmp_path / "out.png", CLAIM)
    np.testing.assert_array_equal(read_image(path).pixels, RESULT)


def test_a_format_without_room_for_a_mark_is_refused(tmp_path: Path):
    with pytest.raises(ImageError, match="no room for the mark"):
        save_image(RESULT, like("PNG"), tmp_path / "out.bmp", CLAIM)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_can_only_be_read_gives_png():
    assert marked_image(RESULT, like("PSD"), CLAIM).startswith(b"\x89PNG")


def test_without_the_library_the_plain_mark_stays(tmp_path: Path, monkeypatch, caplog):
    def refuse(*arguments: object) -> bytes:
        raise ProvenanceError("It does not load.")

    monkeypatch.setattr(output, "sign_bytes", refuse)
    path = save_image(RESULT, like("PNG"), tmp_path / "out.png", CLAIM)
    assert "only its plain mark" in caplog.text
    verdict = check_file(path)
    assert (verdict.credentials, verdict.metadata, verdict.marked) == ("absent", True, True)


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(output, "encode_image", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_image(RESULT, like("PNG"), tmp_path / "out.png", CLAIM)
    assert list(tmp_path.iterdir()) == []


def video(path: Path, tags: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for value in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), value * 40, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("ending", "credentials"), [(".mp4", "own"), (".mov", "own"), (".mkv", "absent"), (".webm", "absent")]
)
def test_videos_carry_what_their_container_has_room_for(
    tmp_path: Path, ending: str, credentials: str, caplog
):
    unmarked = video(tmp_path / f"unmarked{ending}", video_tags(CLAIM))
    path = mark_video(unmarked, tmp_path / f"out{ending}", CLAIM)
    verdict = check_file(path, identity_folder())
    assert (verdict.credentials, verdict.metadata, verdict.claim) == (credentials, True, CLAIM)
    assert verdict.marked
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_a_video_without_its_plain_mark_is_not_let_out(tmp_path: Path):
    unmarked = video(tmp_path / "unmarked.mp4", {})
    with pytest.raises(ProvenanceError, match="does not keep the mark"):
        mark_video(unmarked, tmp_path / "out.mp4", CLAIM)
    assert unmarked.exists()
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_that_cannot_be_placed_stays_where_it_was(tmp_path: Path):
    unmarked = video(tmp_path / "unmarked.mp4", video_tags(CLAIM))
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(HififaceError, match="cannot be written"):
        mark_video(unmarked, tmp_path / "file" / "out.mp4", CLAIM)
    assert unmarked.exists()


def test_the_gif_comment_is_put_together_from_its_blocks(tmp_path: Path):
    data = marked_image(RESULT, like("GIF"), CLAIM)
    assert claim_in_xmp(Image.open(io.BytesIO(data)).info["comment"]) == CLAIM


# -- hififace verify -------------------------------------------------------------------------------------


def verify(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["verify", *arguments])
    return int(leaving.value.code or 0)


def test_verify_command_says_what_it_found(tmp_path: Path, capsys):
    marked = save_image(RESULT, like("PNG"), tmp_path / "marked.png", CLAIM)
    assert verify(str(marked)) == 0
    assert "Face swap made with hififace" in capsys.readouterr().out
    plain = tmp_path / "plain.png"
    Image.fromarray(RESULT).save(plain)
    assert verify(str(marked), str(plain), str(tmp_path / "nowhere.png"), "--json") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row.get("marked") for row in rows] == [True, False, None]
    assert rows[0]["claim"]["model"] == "mini"
    assert "cannot be opened" in rows[2]["error"]


def test_verify_command_fails_for_an_altered_file(tmp_path: Path, capsys):
    path = save_image(RESULT, like("PNG"), tmp_path / "out.png", CLAIM)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert verify(str(path)) == 1
    assert "changed after it was signed" in capsys.readouterr().out
