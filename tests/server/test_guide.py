"""The curl commands of docs/how-to/serve.md, as a reader runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from hififace.provenance.verify import check_file
from tests.support.services import running

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"<!-- not run: against a running service; tests/server/test_guide.py runs them -->\n```bash\n(.*?)```",
    (ROOT / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8"),
    re.S,
)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_of_the_guide_run(mesh_bundle: Path, tmp_path: Path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    images, jobs = BLOCKS
    with running(mesh_bundle, tmp_path / "data", model="mini") as client:
        script = f"set -eu\nSERVICE={str(client.base_url).rstrip('/')}\n{images}{jobs}"
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert client.get("/v1/jobs").json() == {"jobs": []}
    assert check_file(tmp_path / "swapped.jpg").marked
    assert json.loads((tmp_path / "swapped.json").read_text())["report"]["num_swapped"] == 1
    assert len(json.loads((tmp_path / "faces.json").read_text())["faces"]) == 1
    assert json.loads((tmp_path / "models.json").read_text())["models"]
    assert "event: done" in (tmp_path / "events.txt").read_text()
    assert zipfile.ZipFile(tmp_path / "result.zip").namelist() == ["image-0000.jpg"]
