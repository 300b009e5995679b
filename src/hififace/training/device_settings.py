"""Settings of a step on one device: loss weights and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RecogniserName = Literal["mobilefacenet", "faceres"]
"""Recognisers that can be used beside SFace."""
EMBEDDER_SIZE_PX = 112
REDUCED_PX = 128
"""Side of the images given to recognisers, colour terms and the whole-face discriminator, which need no more."""


@dataclass(frozen=True)
class StepSettings:
    """Loss weights (names of `losses/total.py`) and thresholds of a step; docs/lab-book.md has the measurements."""

    segmentation: float = 20.0
    reconstruction: float = 60.0
    perceptual: float = 4.0
    identity: float = 14.0
    leak: float = 12.0
    outline: float = 40.0
    """Weight of the face oval of the mesh against its positions with the source's shape."""
    inside: float = 10.0
    """Weight of all other points, likewise."""
    eyelids: float = 10.0
    lips: float = 10.0
    gaze: float = 10.0
    colour: float = 20.0
    adversarial: float = 1.5
    feature_matching: float = 4.0
    enough: Mapping[str, float] = field(
        default_factory=lambda: {"sface": 0.72, "mobilefacenet": 0.64, "faceres": 0.78}
    )
    """Cosine above which each recogniser's identity term is 0: slightly above that of two photos of one person."""
    leak_margin: Mapping[str, float] = field(
        default_factory=lambda: {"sface": 0.2, "mobilefacenet": 0.05, "faceres": 0.42}
    )
    """Cosine of two different people, for each recogniser."""
    identity_in_eyes_and_mouth: float = 1.0
    """Share of the identity gradient that reaches the pixels of eyes and mouth, which have terms of their own. Less of
    it keeps gaze and lids at the price of likeness (docs/concepts/gaze-and-identity.md)."""
    mask_dilation: int = 11
    identity_jitter: float = 1.0
    mesh_jitter: float = 0.0
    """Strength of the random transforms of results before the mesh network, like `identity_jitter`: with one fixed
    view, a pattern on the cheek can change the outline that the network finds."""
    shape_strength: float = 1.0
    """Interpolation from the target's shape (0) to the source's (1) in pairs of two people, in the identity vector and
    in the label; above 1 it exaggerates. Swapping may exaggerate too (`strength` in a bundle's manifest), and a network
    works best with the values it was trained with."""
    feedback: float = 0.7
    """Ask for up to this share of what a first result lacks of the source's identity in addition, as swapping does
    (`feedback` in a bundle's manifest); costs one more forward pass. 0 disables it."""
    r1_gamma: tuple[float, float] = (0.1, 0.02)
    """R1 weights of the 256 px and the 128 px discriminator; 0 disables the penalty."""
    r1_every: int = 16
    warp: tuple[float, float] = (0.12, 0.06)
    """Maximum relative change of the jaw's width and the chin's length in pairs of the same photo."""
    occluded: float = 0.15
    dimmed: float = 0.2
    darkest: float = 0.4
    learning_rate: float = 3e-4
    discriminator_rate: float = 4e-4
    pasted: bool = False
    """Compute the identity and shape terms and the discriminators on results as swapping pastes them, faded toward the
    border of the crop (`faces.masks.border_fade`). Otherwise identity is learned partly in pixels that fading
    removes."""
    discriminator_every: int = 1
    """Generator steps per discriminator step; a discriminator step is a third of the work."""
    gradient_clip: float = 100.0
    average_half_life: float = 400.0
    """Half-life of the moving average, in steps."""
    window_px: int = 224
    """Side of the random window that the 256 px discriminator is given, so that it does not memorise the few sharp
    photos."""
