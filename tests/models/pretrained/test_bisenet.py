"""BiSeNet: the published names, and the reference's rule for what is face."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hififace.models.pretrained.bisenet import BiSeNet, region_of_labels
from tests.support.seeded_weights import reference_shapes


def _labels(*squares: tuple[int, int]) -> Tensor:
    """(1, 512, 512) background with a square of each (label, side) in a column of its own."""
    labels = torch.zeros(1, 512, 512, dtype=torch.int64)
    for column, (label, side) in enumerate(squares):
        labels[0, :side, 64 * column : 64 * column + side] = label
    return labels


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        state = BiSeNet().state_dict()
    assert [(key, tuple(value.shape)) for key, value in state.items()] == list(
        reference_shapes("bisenet").items()
    )


def test_scores_have_the_size_of_the_crop() -> None:
    network = BiSeNet(width=4).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 96, 64)).shape == (2, 19, 96, 64)


def test_the_rule_takes_glasses_and_mouth_and_leaves_ears_neck_and_hair() -> None:
    for label in range(19):
        is_face = label in {1, 2, 3, 4, 5, 6, 10, 11, 12, 13}
        region = region_of_labels(_labels((label, 32)), 512)
        assert bool(region.mask.any()) == is_face, f"label {label}"
        assert bool(region.found) == is_face, f"label {label}"


def test_the_inside_of_the_mouth_can_be_left_out_but_still_counts_as_a_face() -> None:
    labels = _labels((1, 32), (11, 32))
    with_mouth = region_of_labels(labels, 512).mask
    without = region_of_labels(labels, 512, include_mouth=False).mask
    assert (with_mouth - without).sum() == 32 * 32


@pytest.mark.parametrize(("num_pixels", "found"), [(19, False), (20, True)])
def test_a_handful_of_pixels_is_no_face(num_pixels: int, found: bool) -> None:
    """The reference: a sum of at most 5000 in steps of 255 is none, and 19 * 255 = 4845."""
    labels = torch.zeros(1, 512, 512, dtype=torch.int64)
    labels.flatten()[:num_pixels] = 1
    assert bool(region_of_labels(labels, 256).found) is found


def test_a_picture_is_enlarged_by_repetition_and_its_mask_has_its_size() -> None:
    network = BiSeNet(width=2)
    seen: list[Tensor] = []

    def scores(faces: Tensor) -> Tensor:
        seen.append(faces)
        return torch.cat([faces[:, :1] * 0 + 0.5, faces[:, :1]], dim=1)  # brighter than half: label 1

    network.forward = scores  # type: ignore[method-assign]
    faces = torch.zeros(1, 3, 256, 256)
    faces[..., 100:] = 1.0
    region = network.face_region(faces)
    assert seen[0].shape[-2:] == (512, 512)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(region.mask, faces[:, :1])
    assert region.found.all()
