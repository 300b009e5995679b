"""Compare what ships with the originals, each run by its own runtime.

    python tools/compare_parts.py
    python tools/compare_parts.py --golden tests/golden/mesh_originals.npz    # what the tests compare with

Prints, for FaceMesh and the iris network, the largest distance in pixels between the original under LiteRT
and both our ONNX file and our PyTorch twin; for YuNet and SFace, the difference to OpenCV's own classes with
the same networks. Needs `ai-edge-litert` besides the train extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from skimage import data

import mesh_parts
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.sface import load_sface
from packages import EMBEDDED, MEDIAPIPE, fetch, read_member

FACE_BOX = (150, 25, 145)  # of the astronaut's portrait: left, top, side
EYE_BOX = (188, 88, 30)


def crop(box: tuple[int, int, int], size: int) -> NDArray[np.uint8]:
    """A square of the portrait as (size, size, 3)."""
    left, top, side = box
    return cv2.resize(data.astronaut()[top : top + side, left : left + side], (size, size))


def run_original(content: bytes, pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Outputs of a TFLite file for (N, H, W, 3) pictures, one by one."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    results = []
    for picture in pictures:
        interpreter.set_tensor(source["index"], picture[None])
        interpreter.invoke()
        results.append([interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()])
    return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]


def run_embedded(filename: str, pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Outputs of a file that ships for a (N, 3, H, W) batch."""
    session = onnxruntime.InferenceSession(EMBEDDED / filename, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": pictures}))


def sample_pictures(box: tuple[int, int, int], size: int) -> NDArray[np.float32]:
    """(N, size, size, 3) 0..1: a face or eye, its mirror image, darker, and noise."""
    picture = crop(box, size).astype(np.float32) / 255.0
    noise = np.random.default_rng(0).random((2, size, size, 3), dtype=np.float32)
    return np.concatenate([np.stack([picture, picture[:, ::-1], picture * 0.4]), noise])


def compare_mesh(
    name: str, content: bytes, twin: torch.nn.Module, box: tuple[int, int, int], size: int
) -> None:
    """Print the largest distance between the original, the ONNX file and the twin."""
    pictures = sample_pictures(box, size)
    originals = run_original(content, pictures)
    batch = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    ours = run_embedded(f"{name}.onnx", batch)
    with torch.no_grad():
        theirs = [output.numpy() for output in twin(torch.from_numpy(batch))]
    for place, output in enumerate(ours):
        original = originals[place].reshape(len(pictures), *output.shape[1:])
        if name == "face_mesh" and place == 1:  # the original gives the logit
            original = 1 / (1 + np.exp(-original))
        for kind, values in (("ONNX", output), ("PyTorch", theirs[place])):
            difference = np.abs(values - original).max()
            print(f"{name} output {place} {output.shape[1:]} {kind}: largest difference {difference:.5f}")


def compare_sface() -> None:
    """Print the cosine between OpenCV's recogniser, the ONNX file and the twin."""
    face = crop(FACE_BOX, 112)
    recogniser = cv2.FaceRecognizerSF.create(str(EMBEDDED / "sface.onnx"), "")
    batch = face.transpose(2, 0, 1)[None].astype(np.float32)
    ours = run_embedded("sface.onnx", batch)[0][0]
    with torch.no_grad():
        twin = load_sface()(torch.from_numpy(batch / 255.0))[0].numpy()
    print(f"sface PyTorch: largest difference {np.abs(twin - ours).max():.6f} of {np.abs(ours).max():.3f}")
    theirs = recogniser.feature(np.ascontiguousarray(face[:, :, ::-1]))[0]
    cosine = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
    print(f"sface under OpenCV: 1 - cosine {1 - cosine:.2e}")


def compare_yunet() -> None:
    """Print the difference between OpenCV's detector and ours on the portrait."""
    picture = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    detector = cv2.FaceDetectorYN.create(str(EMBEDDED / "yunet.onnx"), "", picture.shape[1::-1], 0.6)
    theirs = detector.detect(picture)[1][0]
    session = onnxruntime.InferenceSession(EMBEDDED / "yunet.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    batch = picture.transpose(2, 0, 1)[None].astype(np.float32)
    outputs = dict(zip(names, session.run(None, {"image": batch}), strict=True))
    best = None
    for stride in (8, 16, 32):
        scores = np.sqrt(outputs[f"cls_{stride}"] * outputs[f"obj_{stride}"])[0, :, 0]
        cell = int(scores.argmax())
        row, column = divmod(cell, picture.shape[1] // stride)
        points = (outputs[f"kps_{stride}"][0, cell].reshape(5, 2) + np.asarray([column, row])) * stride
        if best is None or scores[cell] > best[0]:
            best = scores[cell], points
    assert best is not None
    print(
        f"yunet under OpenCV: points differ by {np.abs(best[1].reshape(-1) - theirs[4:14]).max():.5f} px, "
        f"score by {abs(best[0] - theirs[14]):.6f}"
    )


def write_golden(path: Path, wheel: Path) -> None:
    """Outputs of the originals for two slices of the portrait, so that tests need no other runtime."""
    portrait = data.astronaut()
    arrays = {}
    for name, member, box in (
        ("face_mesh", mesh_parts.FACE_MESH_MEMBER, (120, 10, 192)),
        ("iris", mesh_parts.IRIS_MEMBER, (168, 70, 64)),
    ):
        left, top, size = box
        picture = portrait[top : top + size, left : left + size].astype(np.float32) / 255.0
        first, second = run_original(read_member(wheel, member), picture[None])
        arrays |= {f"{name}_box": np.asarray(box), f"{name}_0": first.ravel(), f"{name}_1": second.ravel()}
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheels", type=Path, default=Path("build/wheels"), help="where packages are kept")
    parser.add_argument("--golden", type=Path, help="write what the tests compare with, and do nothing else")
    options = parser.parse_args()
    wheel = fetch(MEDIAPIPE, options.wheels)
    if options.golden:
        write_golden(options.golden, wheel)
        return
    compare_mesh(
        "face_mesh", read_member(wheel, mesh_parts.FACE_MESH_MEMBER), load_face_mesh(), FACE_BOX, 192
    )
    compare_mesh("iris", read_member(wheel, mesh_parts.IRIS_MEMBER), load_iris(), EYE_BOX, 64)
    compare_sface()
    compare_yunet()


if __name__ == "__main__":
    main()
