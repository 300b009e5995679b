from __future__ import annotations

import pickle

import numpy as np
import pytest

from hififace.errors import FaceError
from hififace.evaluation.description import Description
from hififace.evaluation.methods import Subject, baseline_entries, bundle_entries
from hififace.faces.analysis import FaceAnalyser
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.evaluation_doubles import description, portrait


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mesh_bundle(tmp_path_factory.mktemp("bundles") / "one").folder


def subject(image) -> Subject:
    (face,) = FaceAnalyser(threads=1).analyse(image, ("landmarks", "identity"))
    found: Description = description(face.landmarks.points)._replace(
        box=face.detection.box, points5=face.detection.points, sface=face.identity
    )
    return Subject(str(image.mean()), image, found)


def test_two_bundles_of_one_name_are_told_apart(folder, tmp_path):
    second = write_mesh_bundle(tmp_path / "second", version="2").folder
    assert [e.name for e in bundle_entries([str(folder), str(second)])] == ["double-1", "double-2"]
    assert [e.name for e in bundle_entries([str(folder), str(folder)])] == ["double-1", "double-1-2"]
    (entry,) = bundle_entries([str(folder)])
    assert (entry.name, entry.version, len(entry.sha256)) == ("double", "1", 64)
    again = pickle.loads(pickle.dumps(entry))
    assert (again.name, again.folder, again.sha256) == (entry.name, entry.folder, entry.sha256)


def test_a_bundle_is_used_as_the_swapper_uses_it(folder):
    source, target = subject(portrait()), subject(portrait(0.8, mirrored=True))
    (entry,) = bundle_entries([str(folder)])
    swapped = entry.open().swap(source, target)
    swapper = FaceSwapper.load(folder, threads=1)
    swapper.set_source(source.pixels)
    expected = swapper.swap(target.pixels)
    np.testing.assert_allclose(swapped.image, expected.pixels, atol=2)
    np.testing.assert_allclose(swapped.mask, expected.mask(), atol=1e-2)
    options = SwapOptions(match_colour=False)
    (other,) = bundle_entries([str(folder)], options)
    as_generated = swapper.swap(target.pixels, options).pixels
    np.testing.assert_allclose(other.open().swap(source, target).image, as_generated, atol=2)
    assert np.abs(as_generated.astype(int) - expected.pixels).max() > 20


def test_what_is_known_of_a_source_is_what_the_swapper_would_find(folder):
    source = subject(portrait())
    swapper = FaceSwapper.load(folder, threads=1)
    found, known = (
        swapper.read_source(source.pixels),
        swapper.read_source(source.pixels, face=source.face.face()),
    )
    assert found.features.keys() == known.features.keys()
    for name, values in found.features.items():
        np.testing.assert_allclose(known.features[name], values, atol=1e-5)
    np.testing.assert_allclose(known.identity, found.identity, atol=1e-6)
    far = source.face._replace(box=source.face.box * 0.1).face()
    with pytest.raises(FaceError, match="at least 40 px are needed"):
        swapper.read_source(source.pixels, face=far)


def test_baselines_are_named_and_open():
    copy, paste = baseline_entries()
    source, target = subject(portrait()), subject(portrait(0.8, mirrored=True))
    assert copy.open().swap(source, target).image is target.pixels
    assert np.abs(paste.open().swap(source, target).image.astype(int) - target.pixels).max() > 20
