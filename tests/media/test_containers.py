from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from tests.support.videos import Recipe, latin_1_video, make_video

from hififace.errors import VideoError
from hififace.media.containers import open_container, readable
from hififace.media.probe import probe


def test_tags_that_are_not_utf_8_are_read_and_can_be_written(tmp_path: Path):
    video = latin_1_video(tmp_path / "video.mkv")
    with open_container(video) as container:
        assert "title" in container.metadata
    title = probe(video).metadata["title"]
    assert (title[:3], title[-8:]) == ("Caf", " au lait")
    assert json.loads(json.dumps(title, ensure_ascii=False).encode()) == title


def test_readable_text_stays_and_half_characters_go():
    assert readable("Grüße \U0001f600") == "Grüße \U0001f600"
    assert readable("a\udce9b") == "a?b"


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile clip.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "hls", "sdp"],
)
def test_a_script_that_names_other_files_is_no_video(tmp_path: Path, script: str):
    make_video(tmp_path / "clip.mp4", Recipe(seconds=0.2))
    (tmp_path / "video.mp4").write_text(script)
    with pytest.raises(VideoError, match="not a video"):
        probe(tmp_path / "video.mp4")


def test_ffmpeg_alone_would_follow_the_script(tmp_path: Path):
    make_video(tmp_path / "clip.mp4", Recipe(seconds=0.2))
    (tmp_path / "video.mp4").write_text("ffconcat version 1.0\nfile clip.mp4\n")
    with av.open(str(tmp_path / "video.mp4")) as video:
        assert video.format.name == "concat"


def test_a_colon_in_the_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4", Recipe(seconds=0.2)).rename("concat:clip.mp4")
    with open_container(Path("concat:clip.mp4")) as video:
        assert video.format.name.startswith("mov")
