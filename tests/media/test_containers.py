from __future__ import annotations

import json
from pathlib import Path

from tests.support.films import latin_1_film

from hififace.media.containers import open_container, readable
from hififace.media.probe import probe


def test_tags_that_are_not_utf_8_are_read_and_can_be_written(tmp_path: Path):
    film = latin_1_film(tmp_path / "film.mkv")
    with open_container(film) as container:
        assert "title" in container.metadata
    title = probe(film).metadata["title"]
    assert (title[:3], title[-8:]) == ("Caf", " au lait")
    assert json.loads(json.dumps(title, ensure_ascii=False).encode()) == title


def test_readable_text_stays_and_half_characters_go():
    assert readable("Grüße \U0001f600") == "Grüße \U0001f600"
    assert readable("a\udce9b") == "a?b"
