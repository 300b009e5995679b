"""What a step on one device minimises, and how: every number of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RecogniserName = Literal["mobilefacenet", "faceres"]
"""Recognisers that may be asked beside SFace."""
EMBEDDER_SIZE_PX = 112
REDUCED_PX = 128
"""Side at which recognisers, colours and the whole-face discriminator look: what they need, and no more work."""


@dataclass(frozen=True)
class StepSettings:
    """What a step minimises; weights are those of `losses/total.py`, measured choices are in the lab book."""

    segmentation: float = 20.0
    reconstruction: float = 60.0
    perceptual: float = 4.0
    identity: float = 14.0
    leak: float = 12.0
    outline: float = 40.0
    """The oval of the mesh against where the source's shape moves it."""
    inside: float = 10.0
    """All other points, likewise."""
    eyelids: float = 10.0
    lips: float = 10.0
    gaze: float = 10.0
    colour: float = 20.0
    adversarial: float = 1.5
    feature_matching: float = 4.0
    enough: Mapping[str, float] = field(
        default_factory=lambda: {"sface": 0.72, "mobilefacenet": 0.64, "faceres": 0.78}
    )
    """Cosine from which on each recogniser is silent: two photos of one person, and a little more."""
    leak_margin: Mapping[str, float] = field(
        default_factory=lambda: {"sface": 0.2, "mobilefacenet": 0.05, "faceres": 0.42}
    )
    """What two strangers have in common for each recogniser."""
    identity_in_eyes_and_mouth: float = 0.4
    """Share of identity's gradient that reaches the pixels of eyes and mouth, whose own terms alone count there."""
    mask_dilation: int = 11
    identity_jitter: float = 1.0
    mesh_jitter: float = 0.0
    """How much results are moved before the mesh network sees them, like `identity_jitter`: one fixed view can
    be told of another outline by a pattern on the cheek."""
    shape_strength: float = 1.0
    """How far pairs of two people go from the target's shape to the source's, in the vector and in what is asked for;
    beyond 1 exaggerates. Swapping may do so (`strength` in a bundle's manifest), and a network is best where it was
    trained."""
    r1_gamma: tuple[float, float] = (0.1, 0.02)
    """Of the 256 px and the 128 px discriminator; 0 for those that need no penalty."""
    r1_every: int = 16
    warp: tuple[float, float] = (0.12, 0.06)
    """Largest change of the jaw's width and the chin's length in self pairs, shares."""
    occluded: float = 0.15
    dimmed: float = 0.2
    darkest: float = 0.4
    learning_rate: float = 3e-4
    discriminator_rate: float = 4e-4
    pasted: bool = False
    """Likeness, shape and the discriminators see results as swapping pastes them: faded toward the border of the crop
    (`faces.masks.border_fade`). Otherwise likeness hides in what the fade takes away again."""
    discriminator_every: int = 1
    """Generator steps for each step of the discriminators, which cost a third of the work."""
    gradient_clip: float = 100.0
    average_half_life: float = 400.0
    """Of the moving average, steps."""
    window_px: int = 224
    """The 256 px discriminator sees a window of this side at a random place: few sharp photos are soon known by
    heart."""
