"""A served page for tests, with a tiny bundle and an album of drawn and public-domain images."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import hififace.app
from hififace.app.launch import Served, ServeOptions, serve
from hififace.app.limits import Limits
from hififace.types import RGBImage
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.face_videos import face_video, head, put, room

EXAMPLES = Path(hififace.app.__file__).parent / "examples"


def write_album(folder: Path) -> Path:
    """me.png, target.jpg (two faces), video.mp4 (one), empty.png, broken.jpg and letter.mp4, which are refused.

    Portraits that the page itself offers (CC BY 4.0), so that screenshots show swaps of different people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(EXAMPLES / "portrait-124.jpg") as portrait:
        portrait.resize((400, 400), Image.Resampling.LANCZOS).save(folder / "me.png")
    shutil.copyfile(EXAMPLES / "two-people.jpg", folder / "target.jpg")
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save(folder / "empty.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "letter.mp4").write_text("Dear reader, this is no video. " * 50)
    write_video(folder / "video.mp4", 100)
    return folder


def write_video(path: Path, num_frames: int) -> Path:
    """A head that sways through a room, at 25 frames per second, with sound."""

    def sway(number: int) -> RGBImage:
        x = 160 + 40 * math.sin(number / 12)
        return put(room(), head(), x, 120, turn_deg=6 * math.sin(number / 9))

    return face_video(path, sway, num_frames, sound=True)


def serve_page(folder: Path, limits: Limits | None = None) -> Served:
    """A page with the bundle `double` and a broken one, on a free port of this machine."""
    write_mesh_bundle(folder / "bundles" / "double")
    torn = folder / "bundles" / "torn"
    shutil.copytree(folder / "bundles" / "double", torn)
    (torn / "generator.onnx").write_bytes(b"altered")
    options = ServeOptions(bundles=(folder / "bundles",), threads=1, limits=limits or Limits())
    return serve(options, folder=folder)
