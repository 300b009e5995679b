"""The total: every term by name, every weight in one frozen table.

The training step computes the terms it needs (`LossWeights.needs`) and hands them over by name; nothing is
summed anywhere else.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from hififace.errors import OptionError


class LossWeights(BaseModel):
    """Weight of each term of the generator's loss; 0 means that the term need not be computed.

    The paper's L_sid = 0.5 L_shape + 5 L_id and L_real = L_adv + 100 L_seg + 20 L_rec + L_cyc + 5 L_lpips are
    added up with weight 1 each, so one flat table says the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    identity: float = Field(default=0.0, ge=0, description="1 - cosine to the source, result and low result")
    identity_leak: float = Field(
        default=0.0, ge=0, description="cosine to the target beyond that of strangers"
    )
    shape: float = Field(
        default=0.0, ge=0, description="landmarks of the fused coefficients against the result's"
    )
    adversarial: float = Field(default=0.0, ge=0, description="the generator's side of the GAN loss")
    segmentation: float = Field(default=0.0, ge=0, description="both masks against the dilated face region")
    reconstruction: float = Field(default=0.0, ge=0, description="L1 to the target, pairs of one person")
    cycle: float = Field(default=0.0, ge=0, description="L1 of the target swapped back, all pairs")
    perceptual: float = Field(default=0.0, ge=0, description="LPIPS or feature L1, pairs of one person")
    feature_matching: float = Field(
        default=0.0, ge=0, description="last layers of the discriminator, all pairs"
    )
    eye_heatmap: float = Field(default=0.0, ge=0, description="HRNet channels 96:98 against the target's")
    mouth_heatmap: float = Field(default=0.0, ge=0, description="HRNet channels 76:96 against the target's")
    gaze: float = Field(default=0.0, ge=0, description="iris within the eye, against the target's")
    eyelids: float = Field(default=0.0, ge=0, description="eyelid opening, against the target's")
    lips: float = Field(default=0.0, ge=0, description="lip opening and shape, against the target's")
    colour: float = Field(default=0.0, ge=0, description="average colour of blocks, against the target's")

    def needs(self, name: str) -> bool:
        """Whether the term must be computed: its weight is not 0.

        Raises:
            ValueError: no term has this name.
        """
        if name not in TERMS:
            raise ValueError(_unknown("loss term", [name]))
        return bool(getattr(self, name) > 0)

    def as_dict(self) -> dict[str, float]:
        """Every weight by name, zeros included, in the order of the table."""
        return {name: float(getattr(self, name)) for name in TERMS}


TERMS: tuple[str, ...] = tuple(LossWeights.model_fields)
"""Names of all terms, in the order of the table and of the log."""


class TotalLoss(NamedTuple):
    """What `combine` returns."""

    total: Tensor
    """Scalar with its graph: the weighted sum."""
    terms: dict[str, Tensor]
    """Every term that was handed over, unweighted and detached: for the log."""


def combine(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float] | LossWeights,
) -> TotalLoss:
    """The weighted sum of named terms.

        L = sum_k weight_k * term_k

    Terms of weight 0 may be left out; if handed over they are reported and not added. No number is looked at: a term
    that is not finite makes a total that is not.

    Args:
        terms: scalars by name, already computed.
        weights: by name; a mapping may leave out terms of weight 0 (for example during a warm-up).

    Returns:
        The total with its graph, and the unweighted terms.

    Raises:
        OptionError: a weight has an unknown name, is negative or is not finite.
        ValueError: a term has an unknown name, is no scalar, or has a weight but was not computed; or nothing
            is left to add.
    """
    table = weights.as_dict() if isinstance(weights, LossWeights) else dict(weights)
    _check_weights(table)
    _check_terms(terms, table)
    weighted = [table[name] * terms[name] for name in TERMS if table.get(name, 0.0) > 0]
    if not weighted:
        raise ValueError("every weight is 0: there is nothing to minimise")
    total = torch.stack(weighted).sum()
    return TotalLoss(total, {name: terms[name].detach() for name in TERMS if name in terms})


def paper_weights() -> LossWeights:
    """The paper's, section 3.3: shape 0.5, identity 5, the realism terms 1, 100, 20, 1 and 5."""
    return LossWeights(
        shape=0.5,
        identity=5.0,
        adversarial=1.0,
        segmentation=100.0,
        reconstruction=20.0,
        cycle=1.0,
        perceptual=5.0,
    )


def reference_weights(*, heatmaps: bool = True) -> LossWeights:
    """The reference's: the paper's, and with `heatmaps` its eye and mouth options at 10,000 each.

    The reference leaves both options off by default; its published `with_gaze_and_mouth` model has them, and
    its author reports that they keep gaze and mouth at a marked cost in similarity.
    """
    strength = 10_000.0 if heatmaps else 0.0
    return paper_weights().model_copy(update={"eye_heatmap": strength, "mouth_heatmap": strength})


def _check_weights(table: Mapping[str, float]) -> None:
    unknown = [name for name in table if name not in TERMS]
    if unknown:
        raise OptionError(_unknown("loss weight", unknown))
    wrong = [
        f"{name} = {value}" for name, value in table.items() if not (math.isfinite(value) and value >= 0)
    ]
    if wrong:
        raise OptionError(f"Loss weights must be finite and not negative; found {', '.join(wrong)}.")


def _check_terms(terms: Mapping[str, Tensor], table: Mapping[str, float]) -> None:
    unknown = [name for name in terms if name not in TERMS]
    if unknown:
        raise ValueError(_unknown("loss term", unknown))
    missing = [name for name, value in table.items() if value > 0 and name not in terms]
    if missing:
        raise ValueError(f"these terms have a weight but were not computed: {', '.join(missing)}")
    shaped = [f"{name} {tuple(term.shape)}" for name, term in terms.items() if term.ndim != 0]
    if shaped:
        raise ValueError(f"loss terms must be scalars, got {', '.join(shaped)}")


def _unknown(kind: str, names: Iterable[str]) -> str:
    parts = []
    for name in names:
        near = difflib.get_close_matches(name, TERMS, n=1)
        parts.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return f"Unknown {kind}: {', '.join(parts)}. Known: {', '.join(TERMS)}."
