"""Published checkpoints into bundles: convert, run, compare; small networks always, the real ones
when asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hififace.errors import WeightsError
from hififace.export.checkpoint import convert_checkpoint, export_published
from hififace.export.graph import SHAPE_OUTPUTS
from hififace.models.published import Published, load
from hififace.weights.bundle import Bundle, load_bundle
from hififace.weights.sessions import open_session
from tests.support.published_doubles import SMALL, small_published
from tests.support.seeded_weights import reference_shapes, seeded_image, seeded_state


def _swap_with_graphs(bundle: Bundle, source: Tensor, target: Tensor) -> dict[str, np.ndarray]:
    """A swap as an application does it: source once, named parts side by side, no torch."""
    shape, identity = (open_session(bundle.path(name)) for name in ("shape", "identity"))
    measured = {
        "source": {**shape.run({"image": source.numpy()}), **identity.run({"image": source.numpy()})},
        "target": shape.run({"image": target.numpy()}),
    }
    vector = np.concatenate([measured[e.owner][e.feature] for e in bundle.vector], axis=1)
    return open_session(bundle.path("generator")).run({"target": target.numpy(), "identity_vector": vector})


def _largest_difference(bundle: Bundle, network: Published, source: Tensor, target: Tensor) -> float:
    found = _swap_with_graphs(bundle, source, target)
    with torch.no_grad():
        expected = network(source, target)
    return max(
        float(np.abs(found[name] - getattr(expected, name).numpy()).max()) for name in ("image", "mask")
    )


def test_a_converted_bundle_swaps_like_pytorch(tmp_path: Path) -> None:
    network = small_published()
    report = export_published(network, tmp_path / "small")
    bundle = load_bundle(tmp_path / "small")
    assert bundle.family == "basel"
    assert bundle.template == "frontal_256"
    assert bundle.vector_size == 769
    assert list(report.differences) == ["generator", "identity", "shape"]
    assert tuple(d.output for d in report.differences["shape"]) == SHAPE_OUTPUTS
    source, target = (torch.from_numpy(seeded_image(phase, SMALL.resolution)) for phase in (0.0, 1.0))
    assert _largest_difference(bundle, network, source, target) <= 1e-3


def test_feedback_is_the_source_identitys(tmp_path: Path) -> None:
    export_published(small_published(), tmp_path / "small", feedback=0.4)
    bundle = load_bundle(tmp_path / "small")
    assert bundle.feedback == 0.4
    assert [part.name for part in bundle.vector if part.feedback] == ["source_identity"]


def test_a_wrong_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "discriminator_320000.pth"
    torch.save({"sequence.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"1425 keys are 1425 missing|missing \(id_extractor"):
        convert_checkpoint(path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True], ids=["single", "half"])
def test_the_real_architecture_converts_and_swaps_a_photo_like_pytorch(tmp_path: Path, half: bool) -> None:
    from skimage.data import astronaut

    path = tmp_path / "generator_320000.pth"
    state = seeded_state(reference_shapes("generator"))
    torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, path)
    report = convert_checkpoint(path, tmp_path / "standard", half=half)
    assert report.bundle.version == "320000"
    assert report.bundle.half_weights is half

    photo = torch.from_numpy(astronaut()[0:256, 96:352].copy()).permute(2, 0, 1)[None] / 255.0
    source = torch.from_numpy(seeded_image(0.0))
    tolerance = 5e-2 if half else 1e-3
    assert _largest_difference(report.bundle, load(path), source, photo) <= tolerance
