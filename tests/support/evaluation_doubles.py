"""Validation shards of one public-domain portrait, and weights for dlib's recogniser: a whole evaluation in seconds."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from hififace.evaluation.description import Description
from hififace.models.pretrained.dlib import DlibRecogniser
from hififace.types import RGBImage


def portrait(brightness: float = 1.0, mirrored: bool = False, shift: int = 0) -> RGBImage:
    """(200, 200, 3) the astronaut's face, a little changed."""
    whole = np.ascontiguousarray(data.astronaut()[15 + shift : 215 + shift, 125:325])
    image = whole[:, ::-1] if mirrored else whole
    return np.clip(np.rint(image * brightness), 0, 255).astype(np.uint8)


def write_validation_shards(folder: Path) -> Path:
    """Two people with two photos each, and two portraits; one more photo shows no face."""
    people = {
        "00_00": (portrait(), {"identity": "a"}),
        "00_01": (portrait(0.9, shift=3), {"identity": "a"}),
        "01_00": (portrait(mirrored=True), {"identity": "b"}),
        "01_01": (portrait(0.8, mirrored=True, shift=5), {"identity": "b"}),
    }
    portraits = {
        "p0": (portrait(0.7), {"age": 40}),
        "p1": (portrait(0.95, mirrored=True, shift=2), {}),
        "p2": (np.full((200, 200, 3), 90, np.uint8), {}),
    }
    _write_tar(folder / "identities-val-000.tar", people)
    _write_tar(folder / "photos-val-000.tar", portraits)
    return folder


def write_dlib_weights(home: Path) -> None:
    """Random weights in TensorFlow.js's layout where `hififace weights fetch` would put the real ones."""
    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    blob, manifest = tfjs_weights(DlibRecogniser(), seed=4)
    (folder / "face_recognition_model.bin").write_bytes(blob)
    (folder / "face_recognition_model-weights_manifest.json").write_text(json.dumps(manifest))


def tfjs_weights(network: DlibRecogniser, *, seed: int) -> tuple[bytes, list[dict[str, object]]]:
    """A weights file and its manifest: kernels in 8 bits, the rest as float32, as the published ones mix them."""
    random = np.random.default_rng(seed)
    entries: list[dict[str, object]] = []
    blob = b""
    for key, value in network.state_dict().items():
        module, _, kind = key.rpartition(".")
        shape = tuple(value.shape)
        if kind == "weight":
            stored = (shape[1], shape[0]) if key == "fc.weight" else (*shape[2:], shape[1], shape[0])
            name = "fc" if key == "fc.weight" else f"{module.replace('.', '/')}/filters"
            levels = random.integers(0, 256, stored).astype(np.uint8)
            scale = 3.0 / (255 * np.sqrt(np.prod(stored[:-1])))
            entry = {"quantization": {"dtype": "uint8", "scale": scale, "min": -127.5 * scale}}
            blob += levels.tobytes()
        else:
            ending = {"bias": "/bias", "factor": "/scale/weights", "shift": "/scale/biases"}[kind]
            name, stored, entry = module.replace(".", "/") + ending, shape, {}
            numbers = np.ones(shape) if kind == "factor" else random.normal(0, 0.05, shape)
            blob += numbers.astype(np.float32).tobytes()
        entries.append({"name": name, "shape": list(stored), "dtype": "float32", **entry})
    return blob, [{"weights": entries, "paths": ["face_recognition_model.bin"]}]


def description(mesh: np.ndarray, *, size_px: float = 100.0) -> Description:
    """A face with a given mesh and nothing else worth mentioning."""
    return Description(
        place=0,
        box=np.array([0, 0, size_px, size_px], np.float32),
        points5=mesh[[468 // 4, 100, 1, 61, 291], :2].astype(np.float32),
        mesh=mesh.astype(np.float32),
        irises=np.zeros((2, 5, 3), np.float32),
        sface=np.eye(128, dtype=np.float32)[0],
        dlib=np.eye(128, dtype=np.float32)[0],
        features=np.zeros(4, np.float32),
        size_hw=np.array([200, 200], np.float32),
    )


def _write_tar(path: Path, photos: dict[str, tuple[RGBImage, dict[str, object]]]) -> None:
    with tarfile.open(path, "w") as tar:
        for key, (pixels, note) in photos.items():
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
            for name, content in (
                (f"{key}.jpg", buffer.getvalue()),
                (f"{key}.json", json.dumps(note).encode()),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
