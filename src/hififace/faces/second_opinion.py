"""Whether what a detector took for a face is a human one: a second opinion before anything is generated.

A frontal dog scores 0.8 with the detector. Two other networks know better: the mesh is not confident that it lies on a
face, and the recogniser's embedding, before it is brought to unit length, is short: it is long for the human faces that
it was trained to tell apart. How often both are wrong: `docs/model-card.md`, "Parts"; measured by
`tools/measure_second_opinion.py`.
"""

from __future__ import annotations

from typing import Final

SURE_SCORE: Final = 0.9
"""Detections from here on are not asked about: of 155 portraits all score higher, of animals none."""

STRONG: Final = 20.0
"""Length of an SFace embedding (crop and mirror image added up) that counts fully: the median of faces is 24."""

HUMAN: Final = 2.4
"""Least sum of the detector's score, the mesh's score and the embedding's strength."""


def looks_human(score: float, mesh_score: float, length: float) -> bool:
    """Whether three networks together take a face for a human one.

    Args:
        score: of the detector, 0 to 1.
        mesh_score: of the mesh, 0 to 1.
        length: of the SFace embedding before it is brought to unit length.
    """
    return score >= SURE_SCORE or score + mesh_score + length / STRONG >= HUMAN
