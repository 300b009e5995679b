"""A whole evaluation, of a bundle that paints one flat colour, over shards of one portrait."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import BundleError, OptionError, WeightsError
from hififace.evaluation.run import Settings, evaluate


def result(evaluation, name):
    return next(s for s in evaluation.results if s.entry.name == name)


def test_all_methods_went_through_all_parts(evaluation):
    assert [s.entry.name for s in evaluation.results] == ["copy", "paste", "double"]
    assert {part: len(pairs) for part, pairs in evaluation.protocol.parts.items()} == {
        "swap": 3,
        "same_person": 3,
        "reconstruction": 2,
    }
    assert evaluation.protocol.left_out == {"p2": "no face was found in its middle"}
    assert not evaluation.complete
    assert evaluation.network == "sface"
    for one in evaluation.results:
        assert one.refusals == {"swap": {}, "same_person": {}, "reconstruction": {}}


def test_copy_bounds_every_measure(evaluation):
    """Nothing changed: no error anywhere, the target leaks whole."""
    swap = result(evaluation, "copy").parts["swap"]
    for name in (
        "dlib_target",
        "pose_deg",
        "expression",
        "mouth_opening",
        "eye_opening",
        "gaze_deg",
        "mask_area",
    ):
        assert swap[name].mean == pytest.approx(0, abs=1e-5), name
    assert swap["shape_target"].mean == pytest.approx(0, abs=1e-5)
    assert swap["sface_target"].mean == pytest.approx(1, abs=1e-6)
    assert swap["psnr_db"].mean == 60
    assert swap["ssim"].mean == pytest.approx(1)


def test_a_flat_colour_is_no_good_swap(evaluation):
    double, copy = (result(evaluation, name).parts for name in ("double", "copy"))
    assert double["swap"]["sface_target"].mean < 0.95
    assert double["reconstruction"]["psnr_db"].mean < 40
    # The double's disc of radius 0.35 sides, eroded and softened, against the face in the crop.
    assert 0.3 < double["swap"]["mask_area"].mean < 1.2
    assert double["swap"]["frechet_sface"].mean > copy["swap"]["frechet_sface"].mean


def test_paste_puts_the_source_in(evaluation):
    """Pairs of one person are another brightness of one photo: pasted, it is nearly the target."""
    paste = result(evaluation, "paste")
    assert 0.3 < paste.parts["swap"]["mask_area"].mean < 1.1
    assert paste.parts["reconstruction"]["psnr_db"].mean > 35
    assert paste.parts["same_person"]["sface_source"].mean > 0.9


def test_pictures_are_kept_of_bundles_only(evaluation):
    assert [p is not None for p in result(evaluation, "double").images] == [True] * 3
    assert not any(p is not None for p in result(evaluation, "paste").images)


def test_a_second_run_gives_the_same_from_what_was_kept(evaluation, workplace, monkeypatch):
    """Descriptions and baselines come from the cache: no network is opened for them."""
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))

    def refuse(*_):
        raise AssertionError("a network was opened although everything is known")

    monkeypatch.setattr("hififace.evaluation.work.Describer", refuse)
    again = evaluate([], Settings(workplace / "data", num_pairs=3))
    for first, second in zip(evaluation.results[:2], again.results, strict=True):
        assert first.parts == second.parts


@pytest.mark.slow
def test_two_processes_find_the_same(evaluation, workplace, monkeypatch, tmp_path):
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    settings = Settings(workplace / "data", num_pairs=3, workers=2, cache=tmp_path)
    again = evaluate([str(workplace / "bundle")], settings)
    for first, second in zip(evaluation.results, again.results, strict=True):
        assert first.parts == second.parts
        for one, other in zip(first.images, second.images, strict=True):
            np.testing.assert_array_equal(one, other)


def test_missing_weights_are_said_before_any_work(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="hififace weights fetch evaluation"):
        evaluate([], Settings(workplace / "data"))


def test_a_missing_bundle_is_said_before_any_work(workplace):
    with pytest.raises(BundleError, match="No bundle 'nowhere'"):
        evaluate(["nowhere"], Settings(workplace / "data"))


def test_nothing_to_measure_is_refused(workplace):
    with pytest.raises(OptionError, match="nothing to measure"):
        evaluate([], Settings(workplace / "data", baselines=False))
    with pytest.raises(OptionError, match="0 workers"):
        Settings(workplace / "data", workers=0)
    with pytest.raises(OptionError, match="0 pairs"):
        Settings(workplace / "data", num_pairs=0)
