"""Drawn glasses and occluders with their labels, a few steps of training, and the way into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hififace.faces.alignment import align
from hififace.faces.eyeglasses import EyeglassSegmenter
from hififace.faces.templates import find_template
from hififace.media.image import read_image
from hififace.models.small_unet import EYEGLASSES, OCCLUDERS, SmallUNet
from hififace.swapper import FaceSwapper
from hififace.weights.bundle import load_bundle

PORTRAIT = Path(__file__).parents[2] / "benchmarks" / "portraits" / "128_neutral.jpg"


@pytest.fixture(scope="module")
def eyeglasses(tool):
    return tool("eyeglasses")


@pytest.fixture(scope="module")
def occluders(tool):
    return tool("occluders")


@pytest.fixture(scope="module")
def in_front(tool):
    return tool("in_front")


@pytest.fixture(scope="module")
def crop_and_mesh():
    swapper, image = FaceSwapper.load("mini", threads=1), read_image(PORTRAIT).pixels
    (face,) = swapper.engine.with_landmarks(image, swapper.engine.find_faces(image))
    aligned = align(image, face.detection.points, find_template("mini_128").scaled(256), border="edge")
    mesh = face.landmarks.points.copy()
    mesh[:, :2] = mesh[:, :2] @ aligned.matrix[:, :2].T + aligned.matrix[:, 2]
    return aligned.crop, mesh.astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
def test_labels_are_where_the_drawing_is(eyeglasses, crop_and_mesh, seed):
    crop, mesh = crop_and_mesh
    before = crop.copy()
    drawn, covered = eyeglasses.draw_glasses(np.random.default_rng(seed), crop, mesh)
    np.testing.assert_array_equal(crop, before)
    assert drawn.shape == crop.shape
    assert 0.0 <= covered.min() <= covered.max() <= 1.0
    assert 60 < covered.sum() < 0.15 * covered.size
    rows = np.flatnonzero(covered.max(axis=1) > 0.1)
    assert rows[-1] < 128  # all of it lies in what the network sees
    change = np.abs(drawn.astype(int) - crop).max(axis=2)
    assert change[covered > 0.9].mean() > 12 if (covered > 0.9).any() else change[covered > 0.3].mean() > 5


def test_a_few_steps_learn_one_drawing(eyeglasses, in_front, crop_and_mesh):
    torch.manual_seed(0)
    drawn, covered = eyeglasses.draw_glasses(np.random.default_rng(3), *crop_and_mesh)
    image = torch.from_numpy(drawn[:128].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    label = torch.from_numpy(covered[None, None, :128])
    network, first = SmallUNet(EYEGLASSES).train(), None
    adam = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(15):
        terms = in_front.losses(network(image), label, torch.ones_like(label), 2.0)
        total = 4 * terms["entropy"] + terms["dice"]
        first = float(total.detach()) if first is None else first
        adam.zero_grad()
        total.backward()
        adam.step()
    assert float(total.detach()) < 0.5 * first


def test_the_average_follows(in_front):
    average: dict[str, torch.Tensor] = {}
    for value in (0.0, 1.0, 1.0):
        in_front.keep_average(average, {"a": torch.tensor([value]), "n": torch.tensor(int(value))}, 0.5)
    assert average["a"].item() == pytest.approx(0.75)
    assert average["n"].item() == 1


def test_a_network_is_added_to_a_bundle(in_front, tmp_path, crop_and_mesh):
    folder = Path(shutil.copytree(load_bundle("mini").folder, tmp_path / "mini"))
    before = load_bundle(folder)
    torch.save(SmallUNet(EYEGLASSES).state_dict(), tmp_path / "network.pt")
    network = in_front.load(EYEGLASSES, tmp_path / "network.pt")
    in_front.add_to_bundle(network, folder, "eyeglasses", (128, 256), "frames")
    after = load_bundle(folder)
    assert after.graphs.eyeglasses == "eyeglasses.onnx"
    assert after.files["eyeglasses.onnx"] != before.files["eyeglasses.onnx"]
    assert {**after.files, "eyeglasses.onnx": ""} == {**before.files, "eyeglasses.onnx": ""}
    crop, _ = crop_and_mesh
    image = torch.from_numpy(crop[:128].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    with torch.inference_mode():
        wanted = network(image).sigmoid()[0, 0].numpy()
    segmenter = EyeglassSegmenter(after.path("eyeglasses"), threads=1)
    found = segmenter.network.session.run({"crop": image.numpy()})["frames"][0, 0]
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_degraded_samples_keep_their_labels_in_place(eyeglasses, in_front, crop_and_mesh):
    rng = np.random.default_rng(0)
    drawn, covered = eyeglasses.draw_glasses(rng, *crop_and_mesh)
    for _ in range(10):
        seen, label = in_front.degraded(rng, drawn[:128], covered[:128])
        assert seen.shape == (128, 256, 3)
        assert label.shape == (128, 256)
        assert 0.0 <= seen.min() <= seen.max() <= 1.0
        overlap = np.minimum(cv2.dilate(label, np.ones((5, 5))), covered[:128]).sum() / covered[:128].sum()
        assert overlap > 0.5
        one = in_front.as_sample(rng, seen, label, np.ones_like(label))
        assert [part.shape for part in one] == [(3, 128, 256), (1, 128, 256), (1, 128, 256)]


@pytest.mark.parametrize("seed", range(12))
def test_occluders_are_labelled_where_they_are(occluders, crop_and_mesh, seed):
    crop, mesh = crop_and_mesh
    before = crop.copy()
    other = np.random.default_rng(99).integers(0, 256, crop.shape).astype(np.uint8)
    drawn, covered = occluders.draw_occluder(np.random.default_rng(seed), crop, mesh, other)
    np.testing.assert_array_equal(crop, before)
    assert covered.shape == (256, 256)
    assert 0.0 <= covered.min() <= covered.max() <= 1.001
    change = np.abs(drawn.astype(int) - crop).max(axis=2)
    inside = covered > 0.9
    assert not inside.any() or change[inside].mean() > 8
    far = cv2.dilate((covered > 0).astype(np.uint8), np.ones((121, 121), np.uint8)) == 0
    assert change[far].max(initial=0) <= 2  # shadows reach a little beyond


@pytest.mark.parametrize("name", ["eyeglasses", "occluders"])
def test_training_runs(name, request, in_front, monkeypatch, crop_and_mesh):
    program = request.getfixturevalue(name)

    class OnePhoto(in_front.Photos):
        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)
            self.rows = self.sharp = self.turned = [1]

        def crop(self, row):
            return crop_and_mesh[0]

        def mesh(self, row):
            return crop_and_mesh[1]

    monkeypatch.setattr(in_front, "BATCH", 2)
    channels = EYEGLASSES if name == "eyeglasses" else OCCLUDERS
    average = in_front.train(SmallUNet(channels), OnePhoto(), program.sample, 0.02, 1.0)
    SmallUNet(channels).load_state_dict(average)
    assert all(torch.isfinite(value).all() for value in average.values())
