"""The ablation's arms differ in what they are meant to, and its verdict says what the numbers say."""

from __future__ import annotations

import pytest

from hififace.training.config import TrainingConfig


@pytest.fixture(scope="module")
def ablation(tool):
    return tool("ablation")


def different(first: TrainingConfig, second: TrainingConfig) -> set[str]:
    a, b = (one.model_dump(mode="json")["loss"] for one in (first, second))
    weights = {f"weights.{name}" for name in a["weights"] if a["weights"][name] != b["weights"][name]}
    return weights | {name for name in a if name != "weights" and a[name] != b[name]}


def test_arms_differ_in_their_terms_their_gradients_and_their_triplets_alone(ablation):
    configs = {arm: ablation.arm_config(arm, 0, 100, 4) for arm in ablation.ARMS}
    terms = {"weights.gaze", "weights.eyelids", "weights.lips"}
    limited = {"eyes_and_mouth_only", "identity_in_eyes_and_mouth"}
    assert different(configs["A"], configs["B"]) == terms | {"landmark_share"}
    assert different(configs["A"], configs["C"]) == terms
    assert different(configs["C"], configs["D"]) == limited
    assert different(configs["A"], configs["E"]) == {"triplet_share"}
    assert different(configs["D"], configs["F"]) == {"triplet_share"}
    assert different(configs["C"], configs["G"]) == {"triplet_share"}
    assert different(configs["F"], configs["H"]) == {"identity_in_eyes_and_mouth"}
    for config in configs.values():
        same = {**config.model_dump(mode="json"), "loss": None, "preset": None}
        assert same == {**configs["A"].model_dump(mode="json"), "loss": None, "preset": None}
    assert ablation.arm_config("A", 1, 100, 4).seed == 1


def test_arms_of_the_smaller_network_differ_in_the_same(ablation):
    large, small = (ablation.arm_config("F", 0, 100, 4, name) for name in ("mini_256", "mini_128"))
    assert (large.generator.resolution, small.generator.resolution) == (256, 128)
    assert (large.discriminator.resolution, small.discriminator.resolution) == (256, 128)
    assert different(large, small) == {"mask_dilation"}


def numbers(ablation, **changes: float) -> dict[str, float]:
    return {**dict.fromkeys(ablation.MEASURES, 1.0), "dlib_source": 0.5, "dlib_top1": 90.0, **changes}


def test_the_verdict_asks_what_was_promised(ablation):
    measured = {
        "A": {0: numbers(ablation, gaze_deg=13.0), 1: numbers(ablation, gaze_deg=13.0, dlib_source=0.52)},
        "B": {0: numbers(ablation, eye_opening=0.02, mouth_opening=0.02)},
        "C": {0: numbers(ablation, dlib_source=0.6)},
        "F": {
            0: numbers(
                ablation,
                dlib_source=0.515,
                dlib_top1=88.0,
                gaze_deg=9.0,
                eye_opening=0.015,
                mouth_opening=0.019,
            )
        },
    }
    assert ablation.verdict(measured) == [
        "- yes: F is within 0.01 of A by dlib's distance",  # of 0.51, the mean of both seeds
        "- no: F is within 1 point of A's top-1",
        "- yes: F's gaze errs by at most 9.5 degrees",
        "- yes: F's lids err by 20 % less than B's",
        "- no: F's lips err by 20 % less than B's",
        "- yes: C loses likeness against A, as the seed reports",
    ]
    text = ablation.table(measured)
    assert "| A | 2 | 0.5100 ± 0.0100 | 90.0 ± 0.0 |" in text
    assert "| B | 1 | 0.5000 | 90.0 |" in text
    assert ablation.verdict({"A": measured["A"], "F": measured["F"]}) == []
