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


def write_portrait_shards(folder: Path) -> Path:
    """Four labelled portraits of two groups, for the protocol `portraits`."""
    _write_tar(
        folder / "portraits-val-000.tar",
        {
            "q0": (portrait(0.7), {"group": "north", "gender": "female"}),
            "q1": (portrait(0.95, mirrored=True, shift=2), {"group": "south"}),
            "q2": (portrait(0.85, shift=4), {"group": "south"}),
            "q3": (portrait(0.9, mirrored=True), {}),
        },
    )
    return folder


def face_of_68() -> np.ndarray:
    """(68, 2) a rough front face in the box of dlib's detector, 0..1."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.5 * np.cos(turn), 0.3 + 0.7 * np.sin(turn)], axis=1)
    brows = [(x, 0.2) for x in (0.1, 0.18, 0.26, 0.34, 0.42, 0.58, 0.66, 0.74, 0.82, 0.9)]
    nose = [(0.5, y) for y in (0.3, 0.38, 0.46, 0.54)] + [(x, 0.62) for x in (0.4, 0.45, 0.5, 0.55, 0.6)]
    eye = [(-0.1, 0.0), (-0.04, -0.03), (0.04, -0.03), (0.1, 0.0), (0.04, 0.03), (-0.04, 0.03)]
    eyes = [(middle + x, 0.3 + y) for middle in (0.27, 0.73) for x, y in eye]
    around = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    inner = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    mouth = [(0.5 + 0.18 * np.cos(a), 0.8 - 0.06 * np.sin(a)) for a in around]
    mouth += [(0.5 + 0.12 * np.cos(a), 0.8 - 0.02 * np.sin(a)) for a in inner]
    return np.concatenate([jaw, brows, nose, eyes, mouth]).astype(np.float32)


def write_landmarks68(home: Path) -> None:
    """A predictor that always answers its mean shape, where `hififace weights fetch` would put dlib's."""
    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    face = face_of_68()
    trees = [[([(0, 1, 5.0)] * 15, [np.zeros(136)] * 16)]]
    data = predictor_file(face, trees, anchors=[[30, 8]], deltas=[[(0.0, 0.0), (0.1, 0.0)]])
    (folder / "shape_predictor_68_face_landmarks.dat").write_bytes(data)


def predictor_file(
    initial: np.ndarray,
    cascades: list[list[tuple[list[tuple[int, int, float]], list[np.ndarray]]]],
    anchors: list[list[int]],
    deltas: list[list[tuple[float, float]]],
) -> bytes:
    """A shape predictor as dlib writes one: packed numbers in a fixed order."""

    def matrix(values: np.ndarray) -> bytes:
        flat = np.asarray(values, np.float32).ravel()
        return packed(-len(flat)) + packed(-1) + b"".join(packed_real(v) for v in flat)

    out = packed(1) + matrix(initial) + packed(len(cascades))
    for trees in cascades:
        out += packed(len(trees))
        for splits, leaves in trees:
            out += packed(len(splits))
            out += b"".join(packed(a) + packed(b) + packed_real(t) for a, b, t in splits)
            out += packed(len(leaves)) + b"".join(matrix(leaf) for leaf in leaves)
    out += packed(len(anchors)) + b"".join(packed(len(a)) + b"".join(map(packed, a)) for a in anchors)
    out += packed(len(deltas))
    for pairs in deltas:
        out += packed(len(pairs)) + b"".join(packed_real(x) + packed_real(y) for x, y in pairs)
    return out


def packed(number: int) -> bytes:
    """dlib's integer: a byte with the length and the sign, then the magnitude, lowest byte first."""
    size = max((abs(number).bit_length() + 7) // 8, 1)
    return bytes([size | (0x80 if number < 0 else 0)]) + abs(number).to_bytes(size, "little")


def packed_real(value: float) -> bytes:
    """dlib's real number: mantissa and exponent, whole bytes of nought dropped from the mantissa."""
    mantissa, exponent = np.frexp(np.float32(value))
    whole, exponent = int(mantissa * 2**24), int(exponent) - 24
    while whole and whole % 256 == 0:
        whole, exponent = whole // 256, exponent + 8
    return packed(whole) + packed(exponent)


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
