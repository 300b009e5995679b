"""bfloat16 and torch.compile: other ways to compute the same step."""

import json

import pytest
import torch
from safetensors.torch import load_file

from hififace.models.pretrained.bfm import BaselFaceModel
from hififace.models.pretrained.deep3d import FaceCoefficients
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape
from hififace.models.pretrained.resampling import apply_affine, invert_affine, resample_affine
from hififace.training.loop import RunOptions, train
from tests.support.training_doubles import FakeLossNetworks, tiny_config, write_tiny_set


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_tiny_set(tmp_path_factory.mktemp("set"))


def run_training(photos, run, **changes):
    """Three steps; what was logged, and the generator's weights."""
    config = tiny_config(total_images=12, log_every_images=4, checkpoint_every_images=12, **changes)
    train(config, photos, run, RunOptions(device="cpu", loss_networks=FakeLossNetworks()))
    log = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return log, load_file(run / "checkpoints/000000012/generator.safetensors")


def assert_losses_near(first, second, rel, abs_):
    """The first step to the given precision; the later ones in kind only: where a gradient is nothing but rounding,
    Adam makes whole steps of it."""
    assert [line["images"] for line in first] == [line["images"] for line in second] == [4, 8, 12]
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        names = [name for name in a if name.startswith("loss/")]
        assert len(names) == 10
        for name in names:
            near = (rel, abs_) if number == 0 else (0.2, 0.02)
            assert b[name] == pytest.approx(a[name], rel=near[0], abs=near[1]), (number, name)


def test_bfloat16_gives_nearly_the_losses_of_float32(photos, tmp_path):
    plain, weights = run_training(photos, tmp_path / "plain")
    half, half_weights = run_training(photos, tmp_path / "half", precision="bfloat16")
    assert_losses_near(plain, half, rel=0.05, abs_=0.02)
    assert plain[0] != half[0], "nothing ran in bfloat16"
    assert {v.dtype for v in half_weights.values()} == {torch.float32}, "weights stay float32"
    assert weights.keys() == half_weights.keys()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_step_gives_the_losses_of_the_eager_one(photos, tmp_path, precision):
    plain, weights = run_training(photos, tmp_path / "plain", precision=precision)
    compiled, compiled_weights = run_training(
        photos, tmp_path / "compiled", precision=precision, compile=True
    )
    exact = precision == "float32"
    assert_losses_near(plain, compiled, rel=1e-3 if exact else 0.05, abs_=1e-5 if exact else 0.02)
    # A checkpoint of a compiled run is one like any other: the eager run goes on from it.
    assert compiled_weights.keys() == weights.keys()
    config = tiny_config(total_images=16, precision=precision)
    options = RunOptions(device="cpu", loss_networks=FakeLossNetworks())
    assert train(config, photos, tmp_path / "compiled", options).images == 16


def both(call):
    """What a call gives in float32, and what it gives where everything else runs in bfloat16."""
    with torch.no_grad():
        plain = call()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return plain, call()


def assert_same(plain, inside):
    assert plain.dtype == inside.dtype == torch.float32
    torch.testing.assert_close(inside, plain, rtol=1e-6, atol=1e-3)


def test_positions_are_measured_in_float32_under_autocast():
    """bfloat16 would round a point near 150 px to whole pixels."""
    torch.manual_seed(0)
    mesh, iris, shape = load_face_mesh(), load_iris(), load_mesh_shape()
    crops = torch.rand(2, 3, 192, 192)
    assert_same(*(found.points for found in both(lambda: mesh(crops))))
    assert_same(*(found.iris for found in both(lambda: iris(crops[:, :, :64, :64]))))
    points = shape.mean[None] * 40 + 64 + torch.rand(2, 468, 3)
    for plain, inside in zip(*both(lambda: shape.coefficients(points)), strict=True):
        assert_same(plain, inside)
    assert_same(*both(lambda: shape.landmarks(shape.coefficients(points))))


def test_affine_maps_are_computed_in_float32_under_autocast():
    torch.manual_seed(1)
    matrix = torch.tensor([[1.3, -0.2, 7.1], [0.2, 1.3, -3.7]])
    points = torch.rand(2, 5, 3) * 150
    assert_same(*both(lambda: invert_affine(matrix)))
    assert_same(*both(lambda: apply_affine(matrix, points)))
    pictures = torch.rand(2, 3, 32, 32)
    assert_same(*both(lambda: resample_affine(pictures, matrix, 24)))


def test_basel_landmarks_are_projected_in_float32_even_from_bfloat16_coefficients():
    torch.manual_seed(2)
    bfm = BaselFaceModel(torch.randn(68, 3), torch.randn(68, 3, 80) * 0.02, torch.randn(68, 3, 64) * 0.02)
    exact = torch.randn(2, 257) * 0.3
    assert_same(*both(lambda: bfm(FaceCoefficients.from_flat(exact))))
    rounded = exact.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = bfm(FaceCoefficients.from_flat(rounded))
    assert_same(bfm(FaceCoefficients.from_flat(rounded.float())), found)
