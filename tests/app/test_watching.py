from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from hififace.app.watching import Watching
from hififace.provenance.claim import Claim

CLAIM = Claim(model="mini")


def grey(level: int, height: int = 240, width: int = 320) -> Any:
    return SimpleNamespace(rgb=lambda: np.full((height, width, 3), level, np.uint8))


def level(jpeg: bytes | None) -> int:
    assert jpeg is not None
    return round(float(np.asarray(Image.open(io.BytesIO(jpeg)))[:50].mean()))


def test_one_frame_now_and_then_and_only_for_somebody_who_asks():
    now = 0.0
    watching = Watching(CLAIM, clock=lambda: now)
    assert watching.latest() is None
    watching.take(grey(50))
    now = 0.3
    watching.take(grey(100))  # too soon
    assert level(watching.latest()) == 50
    now = 1.0
    watching.take(grey(150))
    assert level(watching.latest()) == 150
    now = 60.0
    watching.take(grey(200))  # nobody has asked for a minute
    assert level(watching.latest()) == 150
    now = 61.0
    watching.take(grey(250))  # now somebody has
    assert level(watching.latest()) == 250


def test_a_large_frame_becomes_small_and_says_what_it_is():
    watching = Watching(CLAIM)
    watching.latest()
    watching.take(grey(200, 1080, 1920))
    jpeg = watching.latest()
    assert jpeg is not None
    shown = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert shown.shape == (540, 960, 3)
    assert shown[-40:, :150].min() < 60  # the ground of the words
