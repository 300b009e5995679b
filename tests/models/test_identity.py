from __future__ import annotations

import pytest
import torch

from hififace.models.identity import average_sources, basel_features, identity_vector, interpolate, split
from hififace.models.params import BASEL_VECTOR, mesh_vector
from hififace.models.pretrained.deep3d import FaceCoefficients

LAYOUT = mesh_vector(identity_size=4, expression_size=3, embedding_size=5)


def mesh_face(seed: int, batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    sizes = {"shape": 4, "expression": 3, "pose": 3, "identity": 5}
    face = {name: torch.randn(batch, size) for name, size in sizes.items()}
    return {**face, "identity": torch.nn.functional.normalize(face["identity"], dim=1)}


def test_shape_and_identity_come_from_the_source_the_rest_from_the_target() -> None:
    source, target = mesh_face(1), mesh_face(2)
    parts = split(identity_vector(LAYOUT, source, target), LAYOUT)
    assert torch.equal(parts["source_shape"], source["shape"])
    assert torch.equal(parts["target_expression"], target["expression"])
    assert torch.equal(parts["target_pose"], target["pose"])
    assert torch.equal(parts["source_identity"], source["identity"])


def test_basel_vector_equals_the_reference_slices() -> None:
    torch.manual_seed(0)
    source, target, v_id = torch.randn(2, 257), torch.randn(2, 257), torch.randn(2, 512)
    vector = identity_vector(
        BASEL_VECTOR,
        basel_features(FaceCoefficients.from_flat(source), v_id),
        basel_features(FaceCoefficients.from_flat(target)),
    )
    assert torch.equal(vector, torch.cat([source[:, :80], target[:, 80:], v_id], dim=1))


def test_rates_mix_only_what_they_govern() -> None:
    source, target = mesh_face(1), mesh_face(2)
    parts = split(identity_vector(LAYOUT, source, target, shape_rate=0.25, id_rate=0.5), LAYOUT)
    torch.testing.assert_close(parts["source_shape"], 0.25 * source["shape"] + 0.75 * target["shape"])
    # As the reference: a mixed embedding is shorter than one.
    mixed = 0.5 * source["identity"] + 0.5 * target["identity"]
    torch.testing.assert_close(parts["source_identity"], mixed)
    assert (mixed.norm(dim=1) < 1).all()
    assert torch.equal(parts["target_pose"], target["pose"])


def test_a_rate_may_differ_from_picture_to_picture() -> None:
    source, target = mesh_face(1), mesh_face(2)
    vector = identity_vector(LAYOUT, source, target, shape_rate=torch.tensor([[1.0], [0.0]]))
    shape = split(vector, LAYOUT)["source_shape"]
    torch.testing.assert_close(shape[0], source["shape"][0])
    torch.testing.assert_close(shape[1], target["shape"][1])


def test_mixed_identity_can_be_brought_back_to_unit_length() -> None:
    vector = identity_vector(LAYOUT, mesh_face(1), mesh_face(2), id_rate=0.5, unit_identity=True)
    torch.testing.assert_close(split(vector, LAYOUT)["source_identity"].norm(dim=1), torch.ones(2))


def test_rate_zero_is_the_target_itself() -> None:
    source, target = mesh_face(1), mesh_face(2)
    vector = identity_vector(LAYOUT, source, target, shape_rate=0.0, id_rate=0.0)
    torch.testing.assert_close(vector, identity_vector(LAYOUT, target, target))


def test_at_full_rates_the_target_needs_no_identity() -> None:
    target = {name: values for name, values in mesh_face(2).items() if name in ("expression", "pose")}
    assert identity_vector(LAYOUT, mesh_face(1), target).shape == (2, 15)
    with pytest.raises(
        ValueError, match="'source_identity' needs 'identity', but the face says only expression, pose"
    ):
        identity_vector(LAYOUT, mesh_face(1), target, id_rate=0.5)


def test_one_source_serves_many_targets() -> None:
    source, target = mesh_face(1, batch=1), mesh_face(2, batch=3)
    vector = identity_vector(LAYOUT, source, target)
    assert vector.shape == (3, 15)
    torch.testing.assert_close(
        vector[2:], identity_vector(LAYOUT, source, {k: v[2:] for k, v in target.items()})
    )


def test_gradients_reach_the_target_through_its_own_parts_only() -> None:
    target = {name: values.requires_grad_() for name, values in mesh_face(2).items()}
    identity_vector(LAYOUT, mesh_face(1), target).sum().backward()
    assert target["expression"].grad is not None
    assert target["shape"].grad is None


def test_wrong_sizes_are_told_in_a_sentence() -> None:
    source = {**mesh_face(1), "shape": torch.zeros(2, 9)}
    with pytest.raises(ValueError, match=r"'shape' is \(2, 9\); the part 'source_shape' expects \(B, 4\)"):
        identity_vector(LAYOUT, source, mesh_face(2))
    with pytest.raises(ValueError, match=r"expects \(B, 15\)"):
        split(torch.zeros(2, 14), LAYOUT)


def test_averaged_sources_keep_a_unit_identity() -> None:
    faces = [mesh_face(1), mesh_face(2), mesh_face(3)]
    mean = average_sources(faces)
    torch.testing.assert_close(mean["shape"], sum(face["shape"] for face in faces) / 3)
    torch.testing.assert_close(mean["identity"].norm(dim=1), torch.ones(2))
    one = average_sources(faces[:1])
    assert all(torch.equal(one[name], faces[0][name]) for name in one)


def test_sources_that_cannot_be_averaged_are_told_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        average_sources([])
    with pytest.raises(ValueError, match="have different features"):
        average_sources([mesh_face(1), {"shape": torch.zeros(2, 4)}])


def test_interpolate() -> None:
    assert interpolate(torch.tensor(4.0), torch.tensor(8.0), 0.25).item() == 7.0
