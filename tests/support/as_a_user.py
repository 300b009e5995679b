"""Training as a user does it: photos in folders, and the command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data as images


def two_people(folder: Path) -> Path:
    """Two made-up people with a photo each: the astronaut (public domain), and the same relit and stretched."""
    portrait = cv2.resize(images.astronaut()[0:260, 90:350, ::-1], (520, 520), interpolation=cv2.INTER_CUBIC)
    wide = cv2.resize(portrait, (600, 520))[:, 40:560]
    for name, image in (("first", portrait), ("second", np.ascontiguousarray(wide[:, ::-1] // 2 + 60))):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "0.png"), image)
    return folder


def run(*words: object) -> str:
    """What `hififace WORDS` printed; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "hififace", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
