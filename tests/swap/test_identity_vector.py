from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hififace.models import identity as torch_identity
from hififace.models.params import BASEL_VECTOR, VectorPart, mesh_vector
from hififace.swap.identity_vector import (
    FaceFeatures,
    average_sources,
    free_of,
    identity_vectors,
    source_needs,
    target_needs,
)
from hififace.weights.bundle import Attribute, VectorEntry

MESH = mesh_vector(5, 4, 6)


def entries(layout: tuple[VectorPart, ...]) -> tuple[VectorEntry, ...]:
    return tuple(VectorEntry(name=p.name, size=p.size, gain=p.gain, owner=p.owner) for p in layout)


def face(layout: tuple[VectorPart, ...], seed: int) -> dict[str, np.ndarray]:
    """All features of the layout; the identity of unit length."""
    generator = np.random.default_rng(seed)
    found = {
        part.name.partition("_")[2]: generator.normal(size=part.size).astype(np.float32) for part in layout
    }
    found["identity"] /= np.linalg.norm(found["identity"])
    return found


def as_torch(features: FaceFeatures) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(values))[None] for name, values in features.items()}


@pytest.mark.parametrize("layout", [MESH, BASEL_VECTOR], ids=["mesh", "basel"])
@pytest.mark.parametrize(("shape_rate", "id_rate"), [(1.0, 1.0), (0.0, 1.0), (0.3, 0.8), (1.0, 0.0)])
@pytest.mark.parametrize("unit_identity", [False, True])
def test_numpy_and_torch_put_the_same_vector_together(layout, shape_rate, id_rate, unit_identity):
    source, target = face(layout, 1), face(layout, 2)
    rates = {"shape_rate": shape_rate, "id_rate": id_rate, "unit_identity": unit_identity}
    expected = torch_identity.identity_vector(layout, as_torch(source), as_torch(target), **rates)
    found = identity_vectors(entries(layout), [source], [target], **rates)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6, atol=1e-7)


def test_numpy_and_torch_average_the_same_sources():
    faces = [face(MESH, seed) for seed in range(3)]
    expected = torch_identity.average_sources([as_torch(one) for one in faces])
    for name, values in average_sources(faces).items():
        np.testing.assert_allclose(values, expected[name][0].numpy(), rtol=1e-5, atol=1e-6)
    assert np.linalg.norm(average_sources(faces)["identity"]) == pytest.approx(1.0)


def test_each_face_gets_its_own_row():
    sources, targets = [face(MESH, 1), face(MESH, 2)], [face(MESH, 3), face(MESH, 4)]
    both = identity_vectors(entries(MESH), sources, targets)
    for row in range(2):
        np.testing.assert_array_equal(
            both[row], identity_vectors(entries(MESH), [sources[row]], [targets[row]])[0]
        )
    assert identity_vectors(entries(MESH), [], []).shape == (0, 18)


def test_only_what_the_rates_ask_for_is_needed_of_a_target():
    layout = entries(MESH)
    assert source_needs(layout) == {"shape", "identity"}
    assert target_needs(layout) == {"expression", "pose"}
    assert target_needs(layout, shape_rate=0.5) == {"expression", "pose", "shape"}
    assert target_needs(layout, id_rate=0.5) == {"expression", "pose", "identity"}


def test_a_missing_or_misshapen_quantity_is_named():
    source, target = face(MESH, 1), face(MESH, 2)
    del target["pose"]
    with pytest.raises(ValueError, match="'target_pose' needs 'pose'"):
        identity_vectors(entries(MESH), [source], [target])
    with pytest.raises(ValueError, match="'source_shape'"):
        identity_vectors(entries(MESH), [{**source, "shape": np.zeros(9, np.float32)}], [face(MESH, 2)])


def test_a_strength_goes_beyond_the_source_at_a_rate_of_one_and_keeps_the_target_at_none():
    layout = tuple(
        entry.model_copy(update={"strength": 1.5}) if entry.name == "source_shape" else entry
        for entry in entries(MESH)
    )
    source, target = face(MESH, 1), face(MESH, 2)
    shape = slice(0, 5)
    for rate, share in ((1.0, 1.5), (0.5, 0.75), (0.0, 0.0)):
        found = identity_vectors(layout, [source], [target], shape_rate=rate)[0]
        wanted = share * source["shape"] + (1.0 - share) * target["shape"]
        np.testing.assert_allclose(found[shape], wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[-6:], source["identity"])
    assert target_needs(layout) == {"expression", "pose", "shape"}


def test_an_embedding_loses_what_the_photo_says_and_keeps_the_rest():
    glasses = Attribute(name="glasses", direction=(0.6, 0.8, 0.0), level=0.1)
    wearing = np.array([0.6, 0.4, 0.6928203], np.float32)
    freed = free_of(wearing, (glasses,))
    along = np.array(glasses.direction, np.float32)
    beyond = wearing - (wearing @ along - 0.1) * along
    np.testing.assert_allclose(freed, beyond / np.linalg.norm(beyond), atol=1e-6)
    assert np.linalg.norm(freed) == pytest.approx(1.0, abs=1e-6)
    bare = np.array([-0.6, 0.4, 0.6928203], np.float32)
    np.testing.assert_array_equal(free_of(bare, (glasses,)), bare)  # who has none of it is left alone


def test_only_the_sources_own_part_is_freed():
    direction = (1.0, *[0.0] * 5)
    layout = tuple(
        part.model_copy(update={"without": (Attribute(name="glasses", direction=direction, level=0.0),)})
        if part.feature == "identity"
        else part
        for part in entries(MESH)
    )
    source, target = face(MESH, 1), face(MESH, 2)
    source["identity"] = np.abs(source["identity"])
    plain, freed = (identity_vectors(one, [source], [target])[0] for one in (entries(MESH), layout))
    np.testing.assert_array_equal(plain[:-6], freed[:-6])
    assert freed[-6] == 0.0 < plain[-6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": (0.6, 0.6)}, "has length 0.8485; it should be 1"),
        ({"direction": (0.6, 0.8)}, "has 2 numbers; 'source_identity' has 6"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        VectorEntry(
            name="source_identity",
            size=6,
            owner="source",
            without=({"name": "glasses", "level": 0.0, **changes},),
        )
