"""The recipes of docs/how-to/python.md are programs that run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.face_videos import face_video

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", PAGE, re.S | re.M)


def test_there_are_ten():
    assert len(RECIPES) == PAGE.count("```python") == 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: the examples, and a video."""
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples", place / "examples")
    portrait = np.asarray(Image.open(place / "examples" / "astronaut.jpg").resize((256, 256)))
    face_video(place / "video.mp4", lambda number: np.roll(portrait, number, axis=1), 4)
    return place


@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_runs(folder: Path, title: str, code: str):
    program = folder / "recipe.py"
    program.write_text(code, encoding="utf-8")
    home = {"HIFIFACE_HOME": str(folder / "home"), "HIFIFACE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", program.name],
        cwd=folder,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{title}\n{done.stdout}{done.stderr}"
