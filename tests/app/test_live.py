from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hififace import OptionError
from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.live import Lives
from hififace.app.sessions import Sessions
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError

ASKED = SwapRequest(model="double", consent=True)


@pytest.fixture
def lives(bundles: Bundles, sessions: Sessions, upload: Callable[[str], Path]) -> Iterator[Lives]:
    studio = Studio(bundles, sessions, Limits(cameras=1))
    studio.add_source("v", upload("me.png"), "me.png", "double")
    studio.add_source("w", upload("me.png"), "me.png", "double")
    lives = Lives(studio)
    yield lives
    lives.stop()


def packed(album: Path) -> bytes:
    return (album / "target.jpg").read_bytes()


def test_without_consent_or_source_no_camera_is_opened(lives: Lives):
    with pytest.raises(OptionError, match="not confirmed"):
        lives.begin("v", SwapRequest("double"))
    with pytest.raises(OptionError, match="No source"):
        lives.begin("nobody", ASKED)


def test_frames_find_their_camera_by_its_secret_alone(lives: Lives, album: Path):
    secret = lives.begin("v", ASKED)
    assert len(secret) == 32
    frame = lives.frame(secret, packed(album))
    assert frame is not None
    assert frame.jpeg[:2] == b"\xff\xd8"
    assert lives.frame("0" * 32, packed(album)) is None
    lives.end("v")
    assert lives.frame(secret, packed(album)) is None


def test_what_is_no_frame_is_a_sentence(lives: Lives, album: Path):
    secret = lives.begin("v", ASKED)
    for nonsense in (b"", b"no image", b"\xff\xd8 nothing more", (album / "me.png").read_bytes()):
        with pytest.raises(OptionError, match="frame is"):
            lives.frame(secret, nonsense)


def test_consent_that_is_taken_back_ends_the_camera(lives: Lives, album: Path):
    secret = lives.begin("v", ASKED)
    lives.change("v", ASKED)
    assert lives.frame(secret, packed(album)) is not None
    lives.change("v", SwapRequest("double"))
    assert lives.frame(secret, packed(album)) is None


def test_as_many_cameras_as_the_limit_says(lives: Lives):
    lives.begin("v", ASKED)
    lives.begin("v", ASKED)  # one's own makes room
    with pytest.raises(LimitError, match="1 cameras"):
        lives.begin("w", ASKED)


def test_a_visitor_who_goes_takes_the_camera_along(lives: Lives, sessions: Sessions, album: Path):
    secret = lives.begin("v", ASKED)
    sessions.close("v")
    assert lives.frame(secret, packed(album)) is None
