"""Published figures of methods under a protocol, with their sources.

All were read in the source named. Only rows of the same source are comparable: networks, crops and pairs differ between
sources, and the same method under the same protocol name differs by up to 25 points of retrieval (SimSwap and DiffSwap
in the two FFHQ tables below).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

COLUMNS: Final = ("retrieval", "cosine", "pose", "shape", "expression", "fid")


class Source(NamedTuple):
    """One table of one publication."""

    title: str
    protocol: str
    how: str
    """Networks and crops of its measures, as far as stated."""
    rows: Mapping[str, tuple[float | None, ...]]
    """Method -> values in the order of `COLUMNS`; None where not given."""


FIGURES: Final = (
    Source(
        "HifiFace, arXiv 2106.09965 (read in the leaderboard of paperswithcode)",
        "ff++",
        "CosFace retrieval, Hopenet pose, shape by a reconstructor other than in training (its column was not readable "
        "there)",
        {"HifiFace-256": (98.48, None, 2.63, None, None, None)},
    ),
    Source(
        "FaceDancer, model zoo of github.com/felixrosberg/FaceDancer",
        "ff++",
        "CosFace retrieval, Hopenet pose, expression by an embedder (scale 2 to 12)",
        {
            "FaceDancer A (without IFSR)": (98.14, None, 3.61, None, 9.82, None),
            "FaceDancer B": (96.96, None, 2.48, None, 8.25, None),
            "FaceDancer C": (98.57, None, 2.27, None, 7.98, None),
            "FaceDancer D": (97.53, None, 2.04, None, 7.76, None),
            "FaceDancer E": (97.38, None, 2.07, None, 5.73, None),
        },
    ),
    Source(
        "AlphaFace, arXiv 2601.16429 (its table, read second hand)",
        "ff++",
        "expression by coefficients; the rows marked * seem to be copied from papers with other scales",
        {
            "FSGAN": (61.07, None, 3.31, None, 3.02, 15.36),
            "SimSwap": (93.01, None, 1.53, None, 2.84, 7.48),
            "BlendFace": (97.02, None, 3.07, None, 2.14, 3.84),
            "HifiFace": (98.01, None, 2.84, None, 2.51, 10.25),
            "FaceDancer*": (98.84, None, 2.04, None, 7.97, 16.30),
            "DiffSwap*": (98.54, None, 2.45, None, 5.35, 2.16),
            "AlphaFace": (98.77, None, 1.24, None, 2.03, 2.71),
        },
    ),
    Source(
        "CASIA FaceSwapping, arXiv 2605.00883, pairs `normal` of its own videos",
        "ff++",
        "not FaceForensics++: 14 methods run again by one laboratory with the same networks (CosFace sphere20, "
        "Hopenet, Deep3D-style expression), so the order is worth more than the values",
        {
            "HifiFace": (93.37, 0.62, 3.59, None, 3.12, 20.40),
            "InsightFace (inswapper)": (96.92, 0.73, 2.84, None, 2.64, 30.50),
            "FaceAdapter": (95.49, 0.66, 4.38, None, 2.95, 23.83),
            "SimSwap": (90.00, 0.61, 2.14, None, 2.43, 21.75),
            "CSCS": (88.75, 0.63, 3.81, None, 3.41, 33.28),
            "RAFSwap": (87.77, 0.54, 3.69, None, 3.28, 45.61),
            "RGISwap": (80.84, 0.53, 4.00, None, 3.41, 18.77),
            "MegaFS": (73.70, 0.50, 5.09, None, 2.96, 23.69),
            "BlendFace": (73.35, 0.48, 3.28, None, 3.08, 93.20),
            "FaceDancer": (72.81, 0.49, 3.42, None, 3.15, 19.14),
            "FaceShifter": (66.41, 0.44, 5.26, None, 3.64, 169.1),
            "FSGAN": (65.08, 0.50, 3.34, None, 2.35, 56.23),
            "DiffSwap": (15.64, 0.32, 3.67, None, 2.88, 96.55),
            "FSLSD": (15.52, 0.25, 5.63, None, 3.44, 28.64),
        },
    ),
    Source(
        "DreamID",
        "ffhq",
        "1,000 sources and 1,000 targets of FFHQ; ArcFace, Hopenet, Deep3D expression, FID with FFHQ",
        {
            "InsightFace (inswapper)": (99.2, 0.65, 2.74, None, 1.51, 8.03),
            "SimSwap": (95.24, 0.55, 3.21, None, 1.742, 19.77),
            "CSCS": (99.1, 0.68, 3.81, None, 1.493, 10.17),
            "FaceDancer": (92.7, 0.48, 2.32, None, 0.854, 4.91),
            "DiffFace": (93.4, 0.51, 3.78, None, 1.28, 8.66),
            "DiffSwap": (66.5, 0.32, 2.84, None, 1.084, 8.65),
            "FaceAdapter": (93.5, 0.52, 4.15, None, 1.188, 9.39),
            "REFace": (96.5, 0.57, 3.77, None, 1.04, 5.58),
            "DreamID": (99.9, 0.71, 2.20, None, 0.789, 4.69),
        },
    ),
    Source(
        "APPLE (CVPR 2026)",
        "ffhq",
        "1,000 sources and 1,000 targets of FFHQ",
        {
            "SimSwap": (94.1, 0.55, 3.11, None, 1.73, 18.54),
            "FaceDancer": (89.7, 0.51, 2.23, None, 0.74, 3.80),
            "DiffSwap": (41.9, 0.34, 2.63, None, 1.20, 6.84),
            "FaceAdapter": (87.0, 0.52, 5.12, None, 1.38, 13.03),
            "REFace": (97.6, 0.60, 3.67, None, 1.08, 7.22),
            "CSCS": (99.0, 0.65, 3.64, None, 1.44, 11.0),
            "APPLE, before distillation": (90.4, 0.54, 2.07, None, 0.70, 3.68),
            "APPLE": (90.5, 0.54, 1.85, None, 0.64, 2.18),
        },
    ),
)


def figures_of(protocol: str) -> tuple[Source, ...]:
    """The published tables of a protocol; there are none for `celeba-hq` yet."""
    return tuple(source for source in FIGURES if source.protocol == protocol)
