"""The open loss networks against the numpy parts that describe real photos: both must say the same of the same crop."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage import data as pictures
from torch.nn import functional as F

from hififace.data.loader import CropBatch, PairBatch
from hififace.errors import WeightsError
from hififace.faces.alignment import align
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder, cosine
from hififace.faces.landmarks import FaceMeshLandmarker, IrisLocator, point_groups
from hififace.faces.mesh_roi import roi_from_landmarks
from hififace.faces.shape import MeshShapePrior
from hififace.faces.templates import TEMPLATES
from hififace.losses.attributes import iris_direction
from hififace.models.generator import GeneratorOutput
from hififace.models.params import mesh_vector
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape
from hififace.models.pretrained.sface import load_sface
from hififace.training import mesh_loss_networks
from hififace.training.config import with_overrides
from hififace.training.mesh_loss_networks import OPENINGS, MeshLossNetworks, mesh_region, random_views
from hififace.training.presets import make_preset
from hififace.types import Landmarks

SIZE = 128


@pytest.fixture(scope="module")
def crop():
    """The astronaut's portrait (NASA, public domain), aligned, and what the numpy parts say of it."""
    image = pictures.astronaut()
    face = YuNetDetector(threads=1).detect(image)[0]
    pixels, matrix = align(image, face.points, TEMPLATES["mini_128"])
    found = FaceMeshLandmarker(threads=1).locate(image, face)
    prior = MeshShapePrior.load()
    from hififace.faces.alignment import transform_points

    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    points = np.concatenate(
        [transform_points(matrix, found.points[:, :2]), found.points[:, 2:] * scale], axis=1
    )
    return SimpleNamespace(
        pixels=pixels,
        points=points.astype(np.float32),
        prior=prior,
        coefficients=prior.coefficients(points.astype(np.float32)),
        identity=SFaceEmbedder(threads=1, flip=False).embed(image, face.points),
    )


@pytest.fixture(scope="module")
def loss_networks(crop):
    layout = crop.prior.layout
    parts = layout() if callable(layout) else layout
    slices, start = {}, 0
    for name, size in parts:
        slices[name] = slice(start, start + size)
        start += size
    card = SimpleNamespace(template="mini_128", resolution=SIZE, coefficient_slice=slices.__getitem__)
    vector = mesh_vector(crop.prior.identity_size, crop.prior.expression_size)
    made = MeshLossNetworks(card, vector, load_sface(), load_mesh_shape(), load_face_mesh(), load_iris())
    for network in (made.sface, made.face_mesh, made.iris):
        network.eval().requires_grad_(False)
    return made


@pytest.fixture(scope="module")
def batch(crop):
    image = torch.from_numpy(crop.pixels).permute(2, 0, 1)[None].float() / 255
    crops = CropBatch(
        image,
        torch.ones(1, 1, SIZE, SIZE),
        torch.ones(1, 1, SIZE, SIZE),
        torch.from_numpy(crop.identity)[None],
        torch.from_numpy(crop.prior.to_vector(crop.coefficients))[None],
        torch.from_numpy(crop.points)[None],
    )
    return PairBatch(crops, crops, torch.ones(1))


def as_output(image):
    low = F.avg_pool2d(image, 4)
    return GeneratorOutput(image, low, torch.ones(1, 1, SIZE, SIZE), torch.ones(1, 1, 32, 32))


def test_the_mesh_region_is_the_one_of_the_numpy_part(crop):
    ours = mesh_region(torch.from_numpy(crop.points[None, :, :2]))[0].numpy()
    assert np.allclose(ours, roi_from_landmarks(crop.points), atol=1e-3)


def test_points_of_an_unchanged_crop_are_those_of_preparation(loss_networks, batch, crop):
    points = loss_networks.mesh_points(batch.target.image, batch.target.landmarks)[0].numpy()
    distance = np.linalg.norm(points[:, :2] - crop.points[:, :2], axis=1)
    # The crop ends at the chin and has fewer pixels than the photo: a pixel on average, three at the rim.
    assert distance.mean() < 1.0
    assert np.percentile(distance, 95) < 3.0


def test_identity_of_a_crop_is_near_that_of_the_photo(loss_networks, batch, crop):
    vector = loss_networks.embedders[0](batch.target.image)[0].numpy()
    assert cosine(vector, crop.identity) > 0.9


def test_a_low_resolution_result_is_enlarged_first(loss_networks, batch):
    low = F.avg_pool2d(batch.target.image, 2)
    both = [F.normalize(loss_networks.embedders[0](x), dim=1) for x in (batch.target.image, low)]
    assert float((both[0] * both[1]).sum()) > 0.7


def test_the_identity_vector_has_the_parts_in_their_order(loss_networks, batch, crop):
    vector = loss_networks.identity_vector(batch)[0].numpy()
    c = crop.coefficients
    expected = np.concatenate([c.identity, c.expression, np.deg2rad(c.pose_deg), crop.identity])
    assert np.allclose(vector, expected, atol=1e-5)


def test_the_fused_points_of_one_face_with_itself_are_its_own(loss_networks, batch, crop):
    fused = loss_networks.fused_points(batch)[0].numpy()
    assert np.allclose(fused, crop.prior.landmarks(crop.coefficients), atol=0.02)


def test_irises_stand_where_the_numpy_part_sees_them(loss_networks, batch, crop):
    points = batch.target.landmarks[..., :2]
    ours = loss_networks.iris_directions(batch.target.image, points)[0].numpy()
    irises = IrisLocator(threads=1).locate(crop.pixels, Landmarks(crop.points, 1.0))
    for eye, (first, second) in enumerate(mesh_loss_networks.EYE_CORNERS):
        corners = [torch.from_numpy(crop.points[index, :2]) for index in (first, second)]
        theirs = iris_direction(torch.from_numpy(irises[eye, 0, :2].astype(np.float32)), *corners).numpy()
        # One crop is upright, the other turned along the eye: a twentieth of an eye's width is agreement.
        assert np.abs(ours[eye] - theirs).max() < 0.05


def test_an_unchanged_crop_costs_next_to_nothing_and_a_changed_one_more(loss_networks, batch):
    wanted = {"shape", "eyelids", "lips", "gaze"}
    same = loss_networks.attribute_terms(batch, as_output(batch.target.image), wanted)
    upside = loss_networks.attribute_terms(batch, as_output(batch.target.image.flip(3) * 0.9), wanted)
    assert set(same) == wanted
    assert float(same["gaze"]) == pytest.approx(0.0, abs=1e-6)
    for name in ("shape", "eyelids", "lips"):
        assert float(same[name]) < 0.1
    assert float(upside["gaze"]) > 0.005


@pytest.mark.parametrize("term", ["shape", "eyelids", "lips", "gaze"])
def test_every_term_sends_a_gradient_into_the_picture(loss_networks, batch, term):
    image = (batch.target.image * 0.8 + 0.1).requires_grad_(True)
    loss = loss_networks.attribute_terms(batch, as_output(image), {term})[term]
    loss.backward()
    assert torch.isfinite(image.grad).all()
    assert float(image.grad.abs().sum()) > 0


def test_openings_name_points_of_their_groups():
    groups = point_groups()
    for where, group in zip(
        (*OPENINGS["eyelids"], *OPENINGS["lips"]),
        ("image_left_eye", "image_right_eye", "lips_inner"),
        strict=True,
    ):
        assert {*where.upper, *where.lower, *where.corners} <= set(groups[group])


def test_random_views_keep_the_face_in_place_and_mirror_half() -> None:
    torch.manual_seed(0)
    to_arcface = torch.tensor([[0.8, 0.0, 5.0], [0.0, 0.8, 9.0]])
    assert torch.allclose(
        random_views(to_arcface, 64, 0.0)[:, 1], to_arcface[1].expand(64, 3), atol=1e-5
    )  # without jitter only mirrored: rows stay
    views = random_views(to_arcface, 2000, 1.0)
    mirrored = views[:, 0, 0] < 0
    assert 0.45 < mirrored.float().mean() < 0.55
    middle = (torch.tensor([55.5, 55.5]) - to_arcface[:, 2]) / 0.8  # crop point that maps to the middle
    seen = views[:, :, :2] @ middle + views[:, :, 2]
    assert torch.allclose(seen.mean(0), torch.full((2,), 55.5), atol=0.2)
    assert torch.allclose(seen.std(0), torch.full((2,), 1.5), atol=0.1)
    sizes = torch.linalg.det(views[:, :, :2]).abs().sqrt() / 0.8
    assert 0.025 < sizes.log().std() < 0.035


def test_only_results_are_moved_at_random(loss_networks, batch) -> None:
    """Photos are described as they are; a result with a gradient gets another view each time."""
    image = batch.target.image
    loss_networks.identity_jitter = 1.0
    try:
        assert torch.equal(loss_networks._embed(image), loss_networks._embed(image))
        moving = image.clone().requires_grad_()
        assert not torch.equal(loss_networks._embed(moving), loss_networks._embed(moving))
        similarity = F.cosine_similarity(loss_networks._embed(moving), loss_networks._embed(image))
        assert similarity.min() > 0.8  # the same person still
    finally:
        loss_networks.identity_jitter = 0.0


def test_a_second_embedder_judges_results_beside_sface(loss_networks, batch):
    both = replace(loss_networks, arcface=freeze(ArcFace(18, widths=(2, 4, 4, 4))))
    assert len(loss_networks.embedders) == 1
    result = (0.9 * batch.target.image).requires_grad_()
    found = [embed(result) for embed in both.embedders]
    assert [tuple(v.shape) for v in found] == [(1, 128), (1, 512)]
    known = both.known_embeddings(batch.source)
    assert known[0] is batch.source.identity
    assert not known[1].requires_grad
    assert torch.equal(known[1], both.embedders[1](batch.source.image))
    found[1].sum().backward()
    assert result.grad.abs().sum() > 0


def test_the_second_embedders_file_is_looked_for_among_those_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    config = with_overrides(make_preset("smoke"), ["loss.second_embedder=arcface_r100"])
    card = SimpleNamespace(template="mini_128", resolution=SIZE)
    with pytest.raises(WeightsError, match=r"ms1mv3_arcface_r100_fp16_backbone\.pth.*not on this machine"):
        MeshLossNetworks.load(config, card, torch.device("cpu"), tmp_path)
