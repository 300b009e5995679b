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
    """A frozen group of settings; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Kind = TypeVar("Kind", bound=Section)


class HeldOutConfig(Section):
    """Validation on held-out photos during a run (`training/held_out.py`; `--held-out`)."""

    every_s: float = Field(300.0, ge=0)
    """Seconds between two measurements, rounded up to the next report."""
    pairs: int = Field(100, ge=1)
    pose_price: float = Field(0.02, ge=0)
    """Penalty per degree of head pose error, in units of mean cosine similarity, in the score that selects the best
    checkpoint."""
    gaze_price: float = Field(0.01, ge=0)
    """Penalty per degree of gaze error, likewise."""
    sharpness_worth: float = Field(0.2, ge=0)
    """Reward for a result as sharp as the target, in units of mean cosine similarity; proportionally less below."""


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
    """Maximum global norm of the gradients; None does not clip."""


class DataConfig(Section):
    """Which pairs of source and target are drawn, and how they are augmented."""

    same_rate: float = Field(0.5, ge=0, le=1)
    """Share of pairs whose source and target show the same person (section 4.1 of the paper: 50 %)."""
    mirror: bool = True
    """Mirror source and target at random, independently."""
    source_jitter: float = Field(0.0, ge=0, le=5)
    """Strength of colour jitter on the source image; 1 is the `slight` setting of `data/augment.py`."""
    min_native_px: float = Field(0.0, ge=0)
    """Minimum real resolution of a target, and thereby of the photos that the discriminator and the pixel terms see;
    smaller photos are sources only. In pixels of the crop's side."""
    workers: int = Field(1, ge=0)
    """Prefetching threads in each process; 0 reads in the training loop."""
    resident: Literal["auto", "yes", "no"] = "auto"
    """Whether the whole set is kept in the training device's memory, where batches are gathered without reading files.
    auto: on a GPU with enough memory. The pairs are the same either way."""

    def is_resident(self, fits: bool) -> bool:
        """Whether to keep the set on the device, given whether it fits there."""
        return self.resident == "yes" or (self.resident == "auto" and fits)

    def augment_options(self) -> AugmentOptions:
        """These settings as options of the data loader."""
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
    """Number of images after which the discriminator is trained. Choose it smaller than the image count at which the
    schedule `loss.weights.adversarial` rises above 0: an untrained discriminator gives the generator no signal."""


class LossConfig(Section):
    """The loss: the weight of each term, and the share of a batch on which expensive terms are computed."""

    weights: dict[str, ScheduleField]
    """Weight of each term by name (losses/total.py); a term that is missing or never above 0 is not computed."""
    mask_dilation: int = Field(5, ge=1)
    """Side of the square kernel that dilates the target's face mask, in crop pixels; odd."""
    segmentation_on_low: bool = True
    """Also apply the segmentation term to the low-resolution mask (section 3.3 of the paper). Without it, the fusion
    module may keep the target's own features where the other terms allow it: eyes, teeth, light."""
    identity_on_low: bool = True
    """Also apply the identity term to the low-resolution result (section 3.1 of the paper)."""
    second_embedder: Literal["none", "arcface_r100"] = "none"
    """A user-supplied recogniser whose identity term counts as much as SFace's (family "mesh"): an adversarial pattern
    for one network rarely works on a second one. Never dlib's, which evaluation measures with."""
    identity_on: Literal["all", "different"] = "all"
    """Pairs on which the identity terms are computed. "different" skips the recogniser on pairs of the same person,
    where the reconstruction term already determines identity."""
    identity_jitter: float = Field(0.0, ge=0, le=3)
    """Strength of the random similarity transforms of results before the recogniser (`training/mesh_loss_networks.py`);
    1 is about the difference between two detections of the same face. With one fixed alignment the generator learned
    an adversarial pattern of streaks; random alignments prevent it. Only for the family "mesh"."""
    identity_enough: float = Field(1.0, gt=0, le=1)
    """Cosine to the source above which the identity term is 0 (losses/identity.py)."""
    landmark_share: float = Field(1.0, gt=0, le=1)
    """Share of each batch on which the landmark terms are computed."""
    perceptual_share: float = Field(1.0, gt=0, le=1)
    """Share of each batch on which the perceptual term is computed."""
    like_reference: bool = False
    """Reproduce the reference's preprocessing inside the losses, faults included (training/basel_loss_networks.py)."""
    shape_clamp: float | None = Field(None, gt=0)
    """Upper limit of the shape term in pixels, as in the reference; above it the gradient is 0. None is no limit."""
    leak_margin: float = Field(0.2, ge=-1, le=1)
    """Cosine to the target person below which the leak term is 0."""
    eyes_and_mouth_only: bool = False
    """Restrict the gradient of the gaze, eyelid, lip and heat-map terms to the pixels of eyes and mouth
    (losses/face_parts.py), so that these terms change eyes and lips but not the identity."""
    identity_in_eyes_and_mouth: float = Field(1.0, ge=0, le=1)
    """Share of the identity gradient that reaches the pixels of eyes and mouth, where it conflicts with those terms."""
    triplet_share: float = Field(0.0, ge=0, le=1)
    """Share of the pairs of the same person whose input target is first swapped to another person's face by the moving
    average. The label stays the real photo, so that a change of identity is supervised in every pixel."""
    feedback: float = Field(0.0, ge=0, le=2)
    """Ask for up to this share of what the moving average's first result lacks of the source's identity in addition, as
    swapping does with bundles that have a `feedback`; costs one more forward pass."""

    @model_validator(mode="after")
    def _known_terms(self) -> LossConfig:
        for name in self.weights:
            if name not in TERMS:
                raise ValueError(unknown_name(f"loss.weights.{name}", name, TERMS))
        return self

    def needs(self, *names: str) -> bool:
        """Whether any of these terms has a weight above 0 at any time."""
        return any(is_ever_positive(self.weights.get(name, 0.0)) for name in names)


class TrainingConfig(Section):
    """The whole configuration of a run. Image counts are pairs over all processes."""

    preset: str
    family: Literal["mesh", "basel"]
    """Which frozen networks the losses use: "mesh", the open ones; "basel", the paper's, which are user-supplied."""
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
    """Maximum half-life as a share of the images seen; 0 disables the ramp."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """bfloat16 runs the networks under autocast; weights and losses stay float32. It is fast on GPUs and on CPUs with
    bfloat16 instructions (AVX-512, AMX) and slow on all others. auto: the faster one on this machine, measured at the
    start."""
    channels_last: bool = True
    compile: bool = False
    """torch.compile of the generator and the discriminator."""
    log_every_images: int = Field(1_000, gt=0)
    preview_every_images: int = Field(10_000, gt=0)
    preview_pairs: int = Field(8, ge=1, le=64)
    checkpoint_every_images: int = Field(10_000, gt=0)
    keep_last_checkpoints: int = Field(3, ge=1)
    keep_every_images: int | None = None
    """Interval, in images, between milestone checkpoints, which are never removed; None keeps no milestones."""
    held_out: HeldOutConfig = HeldOutConfig()
    empty_mask_patience: int = Field(5, ge=1)
    """Consecutive reports with an empty mask after which the run stops with an error."""

    @model_validator(mode="after")
    def _arithmetic(self) -> TrainingConfig:
        if self.loss.mask_dilation % 2 == 0:
            raise ValueError(f"loss.mask_dilation must be odd, found {self.loss.mask_dilation}")
        return self

    def split_batch(self, world_size: int) -> int:
        """Pairs of one accumulation round in one process.

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
"""Settings that may not change when a run is resumed; every other change is allowed, printed and logged."""


def unknown_name(where: str, name: str, known: Iterable[str]) -> str:
    """The error message for an unknown name, with the most similar known ones."""
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
    """The settings that a resumed run changes: one sentence each.

    Args:
        run: its folder.
        saved: the configuration of its newest checkpoint, dumped.
        now: the configuration to resume with, dumped.
        fixed: sections that may not change.

    Raises:
        TrainingError: a section of `fixed` changed.
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
    """Sets a dotted path; every part of it must exist, except a new loss term."""
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
