"""The typed configuration of a run: validated, printed, saved; unknown keys are refused with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hififace.data.augment import AugmentOptions
from hififace.errors import OptionError, TrainingError
from hififace.json_values import parse_json
from hififace.losses.total import TERMS
from hififace.models.params import DiscriminatorParams, GeneratorParams
from hififace.training.schedule import Knot, Schedule, check_knots, is_ever_positive


def _checked(schedule: float | tuple[Knot, ...]) -> float | tuple[Knot, ...]:
    if isinstance(schedule, tuple):
        check_knots(schedule)
    return schedule


ScheduleField = Annotated[Schedule, AfterValidator(_checked)]


class Section(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Kind = TypeVar("Kind", bound=Section)


class HeldOutConfig(Section):
    """Figures of photos that are not trained on, while a run trains (`training/held_out.py`; `--held-out`)."""

    every_s: float = Field(300.0, ge=0)
    """Seconds between two measurements, rounded up to the next report."""
    pairs: int = Field(100, ge=1)
    pose_price: float = Field(0.02, ge=0)
    """Likeness (a mean cosine) that a degree of the head's pose is worth, in the score that chooses the best."""
    gaze_price: float = Field(0.01, ge=0)
    """Likewise a degree of gaze."""
    sharpness_worth: float = Field(0.2, ge=0)
    """Likeness that being as sharp as the target is worth, against being flat."""


class OptimiserConfig(Section):
    """Adam for one of the two networks."""

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: ScheduleField = 1e-4
    """Per step; may be a schedule over images."""
    beta1: float = Field(0.0, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    """Only for adamw."""
    gradient_clip: float | None = Field(None, gt=0)
    """Largest norm of all gradients together; None clips nothing."""


class DataConfig(Section):
    """Which pairs are shown."""

    same_rate: float = Field(0.5, ge=0, le=1)
    """Share of pairs that show one person twice (section 4.1 of the paper: 50 %)."""
    mirror: bool = True
    """Mirror source and target at random, each on its own."""
    source_jitter: float = Field(0.0, ge=0, le=5)
    """Strength of random colour changes of the source image; 1 is what `data/augment.py` calls slight."""
    min_native_px: float = Field(0.0, ge=0)
    """Real resolution that a photo needs to be a target, and with it what the discriminator and the pixel terms see;
    smaller photos are sources only. In pixels of the crop's side."""
    workers: int = Field(1, ge=0)
    """Threads that read ahead in each process; 0 reads in the loop."""
    resident: Literal["auto", "yes", "no"] = "auto"
    """Whether the whole set lies on the training device, from where batches are gathered without a reader. auto: on a
    GPU with room for it. The pairs are the same either way."""

    def is_resident(self, fits: bool) -> bool:
        """Whether the set shall lie on the device, given that it fits or not."""
        return self.resident == "yes" or (self.resident == "auto" and fits)

    def augment_options(self) -> AugmentOptions:
        """These settings in the data loader's terms."""
        slight = AugmentOptions()
        return AugmentOptions(
            mirror=slight.mirror if self.mirror else 0.0,
            brightness=slight.brightness * self.source_jitter,
            contrast=slight.contrast * self.source_jitter,
            saturation=slight.saturation * self.source_jitter,
        )


class AdversarialConfig(Section):
    """The GAN loss."""

    form: Literal["logistic", "hinge", "reference"] = "logistic"
    """logistic: non-saturating (the paper's "log-D trick"); reference: two channels of binary cross entropy."""
    r1_gamma: float = Field(0.0, ge=0)
    """Weight of the gradient penalty on real images; 0 leaves it out."""
    r1_every: int = Field(16, ge=1)
    """Steps between two penalties; each then counts `r1_every` times (lazy regularisation)."""
    discriminator_from_images: int = Field(0, ge=0)
    """The discriminator trains from here on. Give it a head start on the generator's adversarial term, which its
    schedule in `loss.weights.adversarial` starts: a generator that fools an untrained discriminator learns nothing."""


class LossConfig(Section):
    """What is minimised: the weight of each term, and on how much of a batch costly terms are computed."""

    weights: dict[str, ScheduleField]
    """Weight of each term by name (losses/total.py); a term that is missing or never above 0 is not computed."""
    mask_dilation: int = Field(5, ge=1)
    """Side of the square in which the target's face mask grows, in crop pixels; odd."""
    segmentation_on_low: bool = True
    """Also ask the low-resolution mask to cover the face (section 3.3 of the paper). Without, the fusion is free to let
    the target's own features through where the other terms allow it: eyes, teeth, light."""
    identity_on_low: bool = True
    """Also ask the low-resolution result for the identity (section 3.1 of the paper)."""
    second_embedder: Literal["none", "arcface_r100"] = "none"
    """A recogniser of the user's that compares identity beside SFace with equal weight (family "mesh"), so that no
    single network is merely fooled. Never dlib's: evaluation measures with it."""
    identity_on: Literal["all", "different"] = "all"
    """Pairs on which the identity terms are computed; "different" saves the identity network on pairs of one person,
    where the reconstruction says the same and more."""
    identity_jitter: float = Field(0.0, ge=0, le=3)
    """How much results are moved at random before a face recogniser sees them (`training/mesh_loss_networks.py`); 1 is
    about what two detections of one face differ by. One fixed view can be fooled by a pattern of streaks, moving ones
    hardly. Only for the family "mesh"."""
    identity_enough: float = Field(1.0, gt=0, le=1)
    """Cosine to the source from which on a recogniser asks for nothing more (losses/identity.py)."""
    landmark_share: float = Field(1.0, gt=0, le=1)
    """Share of each batch on which terms from landmarks are computed."""
    perceptual_share: float = Field(1.0, gt=0, le=1)
    """Share of each batch on which the perceptual term is computed."""
    like_reference: bool = False
    """Repeat the reference's preprocessing inside the losses, quirks included (training/basel_loss_networks.py)."""
    shape_clamp: float | None = Field(None, gt=0)
    """The reference cuts its shape term off here, in pixels, which also cuts its gradient; None does not."""
    leak_margin: float = Field(0.2, ge=-1, le=1)
    """Cosine to the target person below which the leak term is silent."""
    eyes_and_mouth_only: bool = False
    """Let the gradient of gaze, lids, lips and heat-maps reach the pixels of eyes and mouth alone
    (losses/face_parts.py), so that these terms move irises and lips and not the person."""
    identity_in_eyes_and_mouth: float = Field(1.0, ge=0, le=1)
    """Share of identity's gradient that reaches the pixels of eyes and mouth, where it argues with the terms above."""
    triplet_share: float = Field(0.0, ge=0, le=1)
    """Share of the pairs of one person whose target is first given a stranger's face by the moving average; the real
    photo is asked for, so that a changed identity has pixels as its label."""

    @model_validator(mode="after")
    def _known_terms(self) -> LossConfig:
        for name in self.weights:
            if name not in TERMS:
                raise ValueError(unknown_name(f"loss.weights.{name}", name, TERMS))
        return self

    def needs(self, *names: str) -> bool:
        """Whether any of these terms is ever minimised."""
        return any(is_ever_positive(self.weights.get(name, 0.0)) for name in names)


class TrainingConfig(Section):
    """Everything that decides a run. Numbers of images count pairs over all processes."""

    preset: str
    family: Literal["mesh", "basel"]
    """Which frozen networks the losses use: the open parts that ship, or the paper's, which are user-supplied."""
    generator: GeneratorParams
    discriminator: DiscriminatorParams
    seed: int = 0
    total_images: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    """Pairs of one optimiser step, over all processes and accumulation rounds."""
    accumulation: int = Field(1, ge=1)
    """Rounds into which each process splits its share of a batch, to save memory."""
    generator_optimiser: OptimiserConfig = OptimiserConfig()
    discriminator_optimiser: OptimiserConfig = OptimiserConfig()
    data: DataConfig = DataConfig()
    adversarial: AdversarialConfig = AdversarialConfig()
    loss: LossConfig
    ema_half_life_images: float = Field(10_000, gt=0)
    ema_rampup: float = Field(0.05, ge=0)
    """Longest half-life as a share of the images seen; 0 switches the ramp off."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """bfloat16 runs the networks under autocast; weights and losses stay float32. Fast on GPUs and on processors with
    products of bfloat16 (AVX-512, AMX); others are correct and slow. auto: bfloat16 where this machine is faster with
    it, measured at the start."""
    channels_last: bool = True
    compile: bool = False
    """torch.compile of the generator and the discriminator."""
    log_every_images: int = Field(1_000, gt=0)
    preview_every_images: int = Field(10_000, gt=0)
    preview_pairs: int = Field(8, ge=1, le=64)
    checkpoint_every_images: int = Field(10_000, gt=0)
    keep_last_checkpoints: int = Field(3, ge=1)
    keep_every_images: int | None = None
    """Milestones that are never removed, one for each so many images; None keeps none."""
    held_out: HeldOutConfig = HeldOutConfig()
    empty_mask_patience: int = Field(5, ge=1)
    """Reports in a row with an empty mask after which the run stops and says so."""

    @model_validator(mode="after")
    def _arithmetic(self) -> TrainingConfig:
        if self.loss.mask_dilation % 2 == 0:
            raise ValueError(f"loss.mask_dilation must be odd, found {self.loss.mask_dilation}")
        return self

    def split_batch(self, world_size: int) -> int:
        """Pairs of one round in one process.

        Raises:
            OptionError: if the batch does not divide evenly.
        """
        rounds = world_size * self.accumulation
        if self.batch_size % rounds:
            raise OptionError(
                f"batch_size={self.batch_size} does not divide over {world_size} processes x {self.accumulation} "
                f"accumulation rounds: choose a multiple of {rounds}."
            )
        return self.batch_size // rounds


ARCHITECTURE_KEYS = ("family", "generator", "discriminator", "seed")
"""What may not change when a run is resumed; every other change is allowed, said aloud and logged."""


def unknown_name(where: str, name: str, known: Iterable[str]) -> str:
    """A sentence for an unknown name, with the nearest known ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are: {', '.join(names)}."
    return f"There is no setting '{where}'; {hint}"


def with_overrides(config: Kind, overrides: Iterable[str]) -> Kind:
    """The configuration with `a.b=value` settings applied; values are JSON, bare words are strings.

    Raises:
        OptionError: for an unknown key (with a suggestion), a value of the wrong kind, or a missing '='.
    """
    values = config.model_dump(mode="python")
    for override in overrides:
        path, found, text = override.partition("=")
        if not found:
            raise OptionError(f"'--set {override}' has no '=': write it as --set section.name=value.")
        _assign(values, path.strip(), _parse(text.strip()))
    return parse_config(values, type(config))


@overload
def parse_config(values: Mapping[str, Any]) -> TrainingConfig: ...


@overload
def parse_config(values: Mapping[str, Any], kind: type[Kind]) -> Kind: ...


def parse_config(values: Mapping[str, Any], kind: type[Section] = TrainingConfig) -> Section:
    """Validates plain values, for example from a saved `config.json`.

    Raises:
        OptionError: naming the setting and what is wrong with it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OptionError(
            f"The configuration is not valid: {where + ': ' if where else ''}{first['msg']}, "
            f"found {first['input']!r:.120}."
        ) from error


def config_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two dumped configurations, as name -> (old, new)."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(set(old) | set(new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found.update(config_differences(before, after, f"{prefix}{key}."))
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found


def changes_of_run(
    run: Path, saved: Mapping[str, Any], now: Mapping[str, Any], fixed: Iterable[str] = ARCHITECTURE_KEYS
) -> list[str]:
    """What a resumed run does differently from now on: a sentence for each setting.

    Args:
        run: its folder.
        saved: the configuration of its newest checkpoint, dumped.
        now: the one that it is asked to go on with, dumped.
        fixed: sections that may not change.

    Raises:
        TrainingError: one of them did.
    """
    changed = config_differences(saved, now)
    for name, (old, new) in changed.items():
        if name.split(".")[0] in fixed:
            raise TrainingError(
                f"The run in {run} was started with {name}={old!r}, now it is {new!r}. The architecture and the seed "
                "of a run cannot change: choose another run folder, or give the old value."
            )
    return [
        f"changed since the checkpoint: {name} was {old!r}, is {new!r}"
        for name, (old, new) in changed.items()
    ]


def _parse(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets a dotted path; every step but a new loss term must exist already."""
    *parents, last = path.split(".")
    place: Any = values
    for depth, key in enumerate(parents):
        if not isinstance(place, dict) or key not in place:
            known = place if isinstance(place, dict) else ()
            raise OptionError(unknown_name(".".join(parents[: depth + 1]), key, known))
        place = place[key]
    if not isinstance(place, dict):
        raise OptionError(f"'{'.'.join(parents)}' holds a value, not settings: '{path}' cannot be set.")
    known_names = TERMS if parents == ["loss", "weights"] else place
    if last not in known_names:
        raise OptionError(unknown_name(path, last, known_names))
    place[last] = value
