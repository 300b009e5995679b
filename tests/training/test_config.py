import json

import pytest

from hififace.errors import OptionError
from hififace.training.config import config_differences, parse_config, with_overrides
from hififace.training.presets import PRESETS, make_preset
from tests.support.training_doubles import tiny_config


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_survives_json_and_divides_its_batch(name):
    config = make_preset(name)
    assert config.preset == name
    assert parse_config(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert config.split_batch(1) * config.accumulation == config.batch_size


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_a_recipe(name):
    """At most four knots a schedule; the learning rate's last knot is the end of the run."""
    config = make_preset(name)
    rate = config.generator_optimiser.learning_rate
    schedules = [rate, config.discriminator_optimiser.learning_rate, *config.loss.weights.values()]
    knots = [schedule for schedule in schedules if isinstance(schedule, tuple)]
    assert all(len(schedule) <= 4 and schedule[-1][0] <= config.total_images for schedule in knots)
    assert not isinstance(rate, tuple) or rate[-1][0] == config.total_images


def test_the_papers_numbers():
    config = make_preset("paper_256")
    adam = config.generator_optimiser
    assert (adam.kind, adam.learning_rate, adam.beta1, adam.beta2) == ("adam", 1e-4, 0.0, 0.99)
    assert (config.batch_size, config.total_images, config.data.same_rate) == (32, 6_400_000, 0.5)
    weights = config.loss.weights
    assert [weights[n] for n in ("shape", "identity", "segmentation", "reconstruction", "perceptual", "cycle")] == [
        0.5, 5, 100, 20, 5, 1,
    ]  # fmt: skip
    assert config.adversarial.r1_gamma > 0


def test_the_references_numbers():
    config = make_preset("reference_256")
    adam = config.generator_optimiser
    assert (adam.kind, adam.learning_rate, adam.beta2, adam.weight_decay, adam.gradient_clip) == (
        "adamw", 5e-5, 0.999, 0.01, 1000,
    )  # fmt: skip
    assert config.adversarial.r1_gamma == 0
    assert config.loss.weights["eye_heatmap"] == config.loss.weights["mouth_heatmap"] == 10_000
    assert config.loss.shape_clamp == 10


@pytest.mark.parametrize("name", ["mini_128", "smoke"])
def test_the_small_models_ask_for_nothing_that_needs_files_of_the_user(name):
    config = make_preset(name)
    assert config.family == "mesh"
    assert not config.loss.needs("eye_heatmap", "mouth_heatmap")
    assert config.loss.needs("segmentation")


def test_overrides_reach_every_depth():
    config = with_overrides(
        tiny_config(),
        [
            "seed=7",
            "adversarial.form=hinge",
            "loss.weights.identity=[[0,1],[100,2.5]]",
            "loss.weights.lips=3",
        ],
    )
    assert (config.seed, config.adversarial.form) == (7, "hinge")
    assert config.loss.weights["identity"] == ((0, 1.0), (100, 2.5))
    assert config.loss.weights["lips"] == 3.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_sise=4", "did you mean batch_size"),
        ("loss.weights.identiti=4", "did you mean identity"),
        ("adversarial.r1_gama=4", "did you mean r1_gamma"),
        ("looss.mask_dilation=3", "did you mean loss"),
        ("seed.deep=1", "'seed' holds a value"),
        ("seed", "has no '='"),
        ("batch_size=-4", "batch_size: Input should be greater than 0"),
        ("loss.mask_dilation=4", "must be odd, found 4"),
        ("loss.weights.identity=[[5,1],[5,2]]", "must increase"),
        ("adversarial.form=magic", "logistic"),
    ],
)
def test_what_is_wrong_is_said_by_name(override, message):
    with pytest.raises(OptionError, match=message.replace("[", r"\[").replace("(", r"\(")):
        with_overrides(tiny_config(), [override])


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match="did you mean mini_128"):
        make_preset("mini128")


def test_differences_are_named_by_their_path():
    old = tiny_config().model_dump(mode="json")
    new = with_overrides(tiny_config(), ["adversarial.r1_gamma=2", "seed=3"]).model_dump(mode="json")
    assert config_differences(old, new) == {"adversarial.r1_gamma": (0.1, 2.0), "seed": (0, 3)}


def test_a_term_that_is_never_above_zero_is_not_needed():
    loss = with_overrides(tiny_config(), ["loss.weights.lips=0", "loss.weights.gaze=[[0,0],[9,1]]"]).loss
    assert not loss.needs("lips", "eyelids")
    assert loss.needs("gaze")
