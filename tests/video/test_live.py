from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from hififace import FaceSwapper
from hififace.media.image import read_image
from hififace.provenance.verify import check_file
from hififace.swap.image import claim_of
from hififace.swap.options import OutputOptions
from hififace.swap.output import live_jpeg
from hififace.video.live import LiveSwap

PORTRAITS = Path(__file__).parents[1] / "portraits"


@pytest.fixture(scope="module")
def swapper() -> FaceSwapper:
    return FaceSwapper.load("mini", threads=1)


def generated(live: LiveSwap, image: np.ndarray) -> np.ndarray:
    """Frames until the generator has seen one."""
    end = time.monotonic() + 120
    while not live.tally.num_swapped:
        assert time.monotonic() < end
        shown = live.frame(image)
        time.sleep(0.02)
    return shown


def test_a_still_face_becomes_what_the_swap_of_an_image_makes(swapper: FaceSwapper):
    target = read_image(PORTRAITS / "024_smiling.jpg").pixels
    swapper.set_source(PORTRAITS / "100_neutral.jpg")
    expected = swapper.swap(target, detail=0.0)
    box = expected.faces[0].face.detection.box.astype(int)
    inside = np.s_[box[1] : box[3], box[0] : box[2]]
    source = swapper.source_map.default
    assert source is not None
    with LiveSwap(swapper.engine, source) as live:
        shown = generated(live, target)
    changed = np.abs(expected.pixels[inside].astype(int) - target[inside]).mean()
    off = np.abs(expected.pixels[inside].astype(int) - shown[inside]).mean()
    assert off < changed / 3
    assert (shown[:10] == target[:10]).all()


def test_the_face_goes_along_at_once_while_the_generator_sleeps(swapper: FaceSwapper):
    target = read_image(PORTRAITS / "024_smiling.jpg").pixels
    moved = np.roll(target, 12, axis=1)
    with LiveSwap(swapper.engine, swapper.read_source(PORTRAITS / "100_neutral.jpg")) as live:
        generated(live, target)
    made, count = live._made, live.tally.num_swapped
    assert made is not None
    live.frame(target)
    shown = live.frame(moved)  # closed: nothing new is generated
    assert live._made is made
    assert live.tally.num_swapped == count + 2
    changed = np.argwhere((shown != moved).any(axis=2))[:, 1].mean()
    before = np.argwhere((live.frame(target) != target).any(axis=2))[:, 1].mean()
    assert changed > before


def test_the_identity_of_whom_the_camera_lost_is_not_the_next_ones(swapper: FaceSwapper):
    target = read_image(PORTRAITS / "024_smiling.jpg").pixels
    with LiveSwap(swapper.engine, swapper.read_source(PORTRAITS / "100_neutral.jpg")) as live:
        generated(live, target)
        first = live._identity
        assert first is not None
        assert first[0] is live._identities
        live._lose()
        live.tally.num_swapped = 0
        generated(live, target)
        second = live._identity
    assert second is not None
    assert second[0] is live._identities
    assert second[0] is not first[0]
    assert second[1] is not first[1]


def test_without_a_face_the_frame_is_the_cameras_own(swapper: FaceSwapper):
    empty = np.full((120, 160, 3), 90, np.uint8)
    with LiveSwap(swapper.engine, swapper.read_source(PORTRAITS / "100_neutral.jpg")) as live:
        assert live.frame(empty) is empty
        assert live.tally.num_swapped == 0


def test_every_frame_says_what_it_is_to_people_and_to_programs(swapper: FaceSwapper, tmp_path: Path):
    grey = np.full((480, 640, 3), 128, np.uint8)
    claim = claim_of(swapper.engine, OutputOptions(consent_confirmed=True, consent_statement="Yes."))
    (tmp_path / "frame.jpg").write_bytes(live_jpeg(grey, claim))
    shown = read_image(tmp_path / "frame.jpg").pixels
    label = shown[440:475, 5:130]
    assert label.max() > 220  # white words
    assert label.min() < 60  # on a dark ground
    assert abs(int(shown[:400].mean()) - 128) < 2
    assert (grey == 128).all()
    found = check_file(tmp_path / "frame.jpg").claim
    assert found is not None
    assert found.consent_statement == "Yes."
