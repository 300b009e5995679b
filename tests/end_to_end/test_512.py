"""The 512 px networks: exported, swapped and laid side by side, with generated weights of their true shapes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.evaluation_doubles import portrait
from tests.support.literature_doubles import generated
from tests.support.preparation_doubles import double_factory, make_image, save
from tests.support.published_doubles import small_arcface, small_deep3d

from hififace.data.index import PreparedSet
from hififace.evaluation.compare import PhotoPair, compare
from hififace.export.checkpoint import export_published
from hififace.export.graph import export_bundle
from hififace.models.generator import Generator
from hififace.models.params import GeneratorParams, mini_512, paper_512
from hififace.models.published import Published
from hififace.preparation.basel import LAYOUT
from hififace.preparation.build import PrepareOptions, prepare_set
from hififace.swapper import FaceSwapper
from hififace.training.families import check_set
from hififace.training.presets import paper_512 as paper_512_run


def lively(params: GeneratorParams) -> Generator:
    """Weights under which result and mask depend on target and vector."""
    network = Generator(params).eval().requires_grad_(False)
    network.load_state_dict(generated(network))
    network.gains = torch.tensor([part.gain for part in params.vector for _ in range(part.size)])
    return network


@pytest.fixture
def photos(tmp_path: Path) -> PhotoPair:
    """A face of about 400 px, so that 512 px are shown."""
    for name, image in (("me", portrait()), ("you", portrait(0.8, mirrored=True))):
        Image.fromarray(image).resize((800, 800), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    return PhotoPair(tmp_path / "me.png", tmp_path / "you.png")


def assert_swaps_at_512(folder: Path, photos: PhotoPair) -> None:
    swapper = FaceSwapper.load(folder, threads=2)
    assert swapper.bundle.output_resolution == 512
    swapper.set_source(photos.source)
    result = swapper.swap(photos.target)
    (face,) = result.faces
    assert face.swapped
    (crop,) = swapper.crops(photos.target)
    (made,) = swapper.swap_crops([crop.crop])
    assert made.image.shape == (512, 512, 3)
    assert made.mask.shape == (512, 512)
    before = np.asarray(Image.open(photos.target).convert("RGB")).astype(int)
    changed = abs(result.pixels.astype(int) - before)
    assert changed[300:500, 300:500].mean() > 3
    assert changed[:40, :40].mean() < 1
    measured = compare([str(folder)], [photos], threads=2)
    assert np.isfinite(measured.values["likeness"]).all()
    assert measured.values["leak"][0, 0] < 0.999


def test_the_embedded_familys_512_network_is_exported_and_swaps(tmp_path, photos):
    description = {
        "name": "mini512",
        "version": "1",
        "family": "mesh",
        "template": "mini_128",
        "identity": {"part": "sface", "size": 128},
        "shape": {"part": "mesh"},
        "licence": "none",
        "training_data": "none",
        "made_by": "a test",
    }
    bundle = export_bundle(lively(mini_512()), description, tmp_path / "mini512", half=True).bundle
    assert (bundle.resolution, bundle.output_resolution) == (512, 512)
    assert_swaps_at_512(tmp_path / "mini512", photos)


@pytest.mark.slow
def test_paper_512_is_given_256_px_and_swaps_at_512(tmp_path, photos):
    torch.manual_seed(0)
    published = Published(lively(paper_512()), small_arcface().eval(), small_deep3d().eval())
    bundle = export_published(published, tmp_path / "paper512").bundle
    assert (bundle.resolution, bundle.output_resolution) == (256, 512)
    assert_swaps_at_512(tmp_path / "paper512", photos)


def test_sets_of_512_px_are_prepared_and_fit_the_preset(tmp_path):
    for person in range(2):
        for photo in range(3):
            image = make_image(person, photo, size=600, texture=20 * person + photo)
            save(tmp_path / "people" / f"n{person}" / f"{photo}.png", image)
    options = PrepareOptions(resolution=512, template="frontal_256", photos_per_shard=4)
    prepare_set([tmp_path / "people"], tmp_path / "set", options, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    assert (len(prepared), prepared.card.resolution, prepared.card.template) == (6, 512, "frontal_256")
    with Image.open(io.BytesIO(prepared.member(0, "jpg"))) as crop:
        assert crop.size == (512, 512)
    basel = prepared.card.model_copy(
        update={
            "family": "basel",
            "identity_size": 512,
            "identity_embedder": "arcface_r100",
            "coefficients": LAYOUT,
        }
    )
    check_set(paper_512_run(), basel)  # raises where crops and results differ in size
