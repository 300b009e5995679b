"""SCRFD: a generated graph of its layout, whose answer depends on the red of the image."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hififace.errors import WeightsError
from hififace.faces.scrfd import TYPICAL_POINTS, ScrfdDetector

ROW, COLUMN = 10, 20  # of the stride 8 map
CELL = (ROW * 80 + COLUMN) * 2 + 1  # second anchor
POINTS = np.array([[-2, -1], [2, -1], [0, 0.5], [-1, 2], [1, 2]], np.float32)


def graph(num_outputs=9, *, batched=False, dynamic=False, numbered=False):
    """Zeros everywhere, but at one cell of stride 8: score = mean of the first channel of the input.

    Args:
        num_outputs: 9, or 6 without points.
        batched: outputs (1, N, C) as of the files exported for batches, else (N, C).
        dynamic: the input's height and width are free, as in the published files.
        numbered: outputs are called by numbers alone, as there.
    """
    nodes, initialisers, outputs = [], [], []
    nodes.append(helper.make_node("Slice", ["image", "starts", "ends", "axes"], ["first"]))
    for name, value in (("starts", [0]), ("ends", [1]), ("axes", [1])):
        initialisers.append(numpy_helper.from_array(np.array(value, np.int64), name))
    nodes.append(helper.make_node("ReduceMean", ["first"], ["red"], keepdims=0))
    for width, kind in ((1, "score"), (4, "box"), (10, "point")):
        for stride in (8, 16, 32):
            values = np.zeros(((640 // stride) ** 2 * 2, width), np.float32)
            if stride == 8:
                values[CELL] = {1: [1.0], 4: [4, 5, 4, 5], 10: POINTS.ravel()}[width]
            name = f"{kind}_{stride}" if not numbered else str(443 + 7 * len(outputs))
            values = values[None] if batched else values
            initialisers.append(numpy_helper.from_array(values, f"{name}_values"))
            if kind == "score":
                nodes.append(helper.make_node("Mul", [f"{name}_values", "red"], [name]))
            else:
                nodes.append(helper.make_node("Identity", [f"{name}_values"], [name]))
            shape = [None, width] if dynamic else list(values.shape)
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    size = ["?", "?"] if dynamic else [640, 640]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size])
    made = helper.make_graph(nodes, "scrfd", [image], outputs[:num_outputs], initialisers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("scrfd") / "scrfd_tiny_bnkps.onnx"
    onnx.save(graph(), path)
    return ScrfdDetector(path, threads=1)


def red(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 255
    return image


def test_distances_and_offsets_are_decoded_in_strides(detector):
    (found,) = detector.detect(red(640, 640))
    x, y = COLUMN * 8, ROW * 8
    np.testing.assert_allclose(found.box, [x - 32, y - 40, x + 32, y + 40], atol=1e-4)
    np.testing.assert_allclose(found.points, POINTS * 8 + [x, y], atol=1e-4)
    assert found.score == pytest.approx(127.5 / 128, abs=1e-4)  # (255 - 127.5) / 128


def test_the_network_sees_rgb(detector):
    assert detector.detect(np.ascontiguousarray(red(640, 640)[..., ::-1])) == []


def test_a_wide_picture_is_fitted_and_mapped_back(detector):
    # 1280 x 1280: halved; the face comes back twice as large.
    (found,) = detector.detect(red(1280, 1280))
    np.testing.assert_allclose(found.box, [256, 80, 384, 240], atol=1e-3)
    np.testing.assert_allclose(found.points[2], [160.5 * 2 - 0.5, (80 + 4 + 0.5) * 2 - 0.5], atol=1e-3)


def test_other_graphs_are_refused_with_the_widths_found(tmp_path):
    path = tmp_path / "no_points.onnx"
    onnx.save(graph(num_outputs=6), path)
    with pytest.raises(WeightsError, match=r"outputs of widths \[1, 1, 1, 4, 4, 4\]; SCRFD with five points"):
        ScrfdDetector(path)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(WeightsError, match="No network file"):
        ScrfdDetector(tmp_path / "scrfd_10g_bnkps.onnx")


LAYOUTS = {
    "scrfd_500m_bnkps": {"numbered": True, "dynamic": True},
    "scrfd_2.5g_bnkps": {"numbered": True},
    "scrfd_10g_bnkps": {"numbered": True, "batched": True},
    "scrfd_500m": {"numbered": True, "dynamic": True, "num_outputs": 6},
    "scrfd_2.5g": {"numbered": True, "num_outputs": 6},
    "scrfd_10g": {"numbered": True, "batched": True, "num_outputs": 6},
}
"""Fixed and free sizes, one image and batches, with points and without: what the published exports differ in."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_find_the_same_face(tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    onnx.save(graph(**LAYOUTS[name]), path)
    without_points = not name.endswith("bnkps")
    if without_points:
        with pytest.raises(WeightsError, match="Use a file whose name ends in `bnkps`"):
            ScrfdDetector(path, threads=1)
    (found,) = ScrfdDetector(path, threads=1, without_points=without_points).detect(red(640, 640))
    x, y = COLUMN * 8, ROW * 8
    np.testing.assert_allclose(found.box, [x - 32, y - 40, x + 32, y + 40], atol=1e-4)
    expected = found.box[:2] + TYPICAL_POINTS * [64, 80] if without_points else POINTS * 8 + [x, y]
    np.testing.assert_allclose(found.points, expected, atol=1e-3)


def test_a_file_with_points_is_read_with_them_even_where_they_are_not_asked_for(tmp_path):
    path = tmp_path / "scrfd_500m_bnkps.onnx"
    onnx.save(graph(numbered=True), path)
    (found,) = ScrfdDetector(path, threads=1, without_points=True).detect(red(640, 640))
    np.testing.assert_allclose(found.points, POINTS * 8 + [COLUMN * 8, ROW * 8], atol=1e-4)
