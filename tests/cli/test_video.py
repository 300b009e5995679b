from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.face_videos import face_video, head, put, room

from hififace.cli.main import main
from hififace.cli.video import parse_rate, parse_seconds, progress_words, video_sentence
from hififace.errors import OptionError
from hififace.media.probe import probe
from hififace.video.report import VideoProgress


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90", 90), ("10s", 10), ("1:30", 90), ("0:01:30.5", 90.5), ("0", 0)]
)
def test_seconds_are_read_as_people_write_them(text, seconds):
    assert parse_seconds(text, "--start") == seconds


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "-5", "1:-2", "", "nan"])
def test_what_is_no_time_is_refused_with_the_options_name(text):
    with pytest.raises(OptionError, match="--preview"):
        parse_seconds(text, "--preview")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (None, None),
        ("24", 24),
        ("29.97", Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("12.5", 12.5),
    ],
)
def test_rates_are_exact(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "0", "-1", "1/0"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(OptionError, match="--fps"):
        parse_rate(text)


def test_progress_in_words():
    words = progress_words(VideoProgress(50, 450, 4.0, {"decode": 1.0, "follow": 6.0, "swap": 3.0}))
    assert words == "4.0 fps, 0:01:40 left, follow 60 %, swap 30 %, decode 10 %"
    assert progress_words(VideoProgress(5, None, 4.0, {})) == "4.0 fps"


def test_the_last_line_says_what_was_done_and_what_was_not():
    told = video_sentence(
        {
            "output": "out.mp4",
            "num_frames": 10,
            "num_frames_changed": 8,
            "num_frames_resumed": 4,
            "tracks": [{"num_swapped": 8}]
            + [{"index": n, "num_swapped": 0, "reason": f"it is small: {n}"} for n in range(1, 11)],
            "seconds": 2.0,
            "fps": 3.0,
            "busy_s": {"swap": 1.0, "follow": 2.0},
            "notes": ["Stream 1 was left out."],
        }
    )
    assert "1 of 11 people swapped in 8 of them" in told
    assert "  face 8: it is small: 8\n  and 2 more faces" in told
    assert "slowest stage: follow" in told
    assert "4 frames were there" in told
    assert told.endswith("Stream 1 was left out.")


def test_a_video_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    bundle = str(write_mesh_bundle(tmp_path / "bundle").folder)
    Image.fromarray(np.ascontiguousarray(head())).save("me.png")
    face_video(tmp_path / "video.mp4", lambda n: put(room(), head(), 120 + n, 120), 10)
    with pytest.raises(SystemExit) as left:
        main(
            ["swap", "me.png", "video.mp4", "-o", "out.mp4", "--preview", "0.2s", "--model", bundle, "--json"]
        )
    assert not left.value.code
    report = json.loads(capsys.readouterr().out)
    assert report["num_frames"] == report["num_frames_changed"] == 5
    assert probe("out.mp4").num_frames == 5


def test_a_folder_of_videos_goes_on_behind_one_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    bundle = str(write_mesh_bundle(tmp_path / "bundle").folder)
    Image.fromarray(np.ascontiguousarray(head())).save("me.png")
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "c.mkv"):
        face_video(tmp_path / "videos" / name, lambda n: put(room(), head(), 120 + n, 120), 4)
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video at all")
    with pytest.raises(SystemExit) as left:
        main(["swap", "me.png", "videos", "-o", "out", "--model", bundle, "--preset", "ultrafast"])
    assert left.value.code == 1
    told = capsys.readouterr()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mkv"]
    assert [line.split(":")[0] for line in told.out.splitlines()] == ["out/a.mp4", "out/c.mkv"]
    assert "slowest stage" in told.out
    assert "b.mp4 is not a video" in told.err
    assert "1 of 3 could not be swapped" in told.err
