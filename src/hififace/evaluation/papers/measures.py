"""The literature's measures, from the outputs of its networks for results, targets and sources.

For each network NAME:

- `retrieval.NAME`: % of results whose nearest face among all sources' frames (cosine) is of the right source; `top5`:
  among the five nearest sources. A tie counts as wrong.
- `cosine.NAME`: mean cosine of result and source.
- `pose.NAME`: Euclidean distance of (yaw, pitch, roll) in degrees, result and target.
- `shape.NAME`: Euclidean distance of identity coefficients, result and source.
- `expression.NAME`: Euclidean distance of expression coefficients, result and target.
- `fid`: Fréchet Inception distance of all results and all real images of the protocol.

Standard errors are computed over pairs, since frames of one video are strongly correlated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.measure import Summary, mean_of
from hififace.evaluation.metrics import frechet_distance
from hififace.evaluation.papers.facts import ClipFacts
from hififace.evaluation.papers.networks import Facts
from hififace.types import FloatArray

DEPTHS: Final = {"retrieval": 1, "top5": 5}
FEATURES: Final = "features.inception"


class PairFacts(NamedTuple):
    """Facts of one pair after its swap."""

    source: str
    """Name of the source clip."""
    source_facts: Mapping[str, FloatArray]
    """(D,) of the source frame."""
    target: Facts
    """(N, D)."""
    result: Facts
    """(N, D); rows of refused frames are NaN."""


class Gallery(NamedTuple):
    """Embeddings of all sources' faces by one recogniser."""

    names: tuple[str, ...]
    """Names of the clips."""
    vectors: FloatArray
    """(G, D) unit length, clip by clip."""
    starts: NDArray[np.intp]
    """First row of each clip."""

    @classmethod
    def of(cls, clips: Mapping[str, ClipFacts], fact: str) -> Gallery:
        """Collect the frames that show a face."""
        rows = {name: clip.facts[fact][clip.found] for name, clip in clips.items() if clip.found.any()}
        counts = [len(one) for one in rows.values()]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        return cls(tuple(rows), np.concatenate(list(rows.values())), starts)

    def ranks(self, vectors: FloatArray, right: str, *, leave_out: Sequence[int] = ()) -> NDArray[np.intp]:
        """(N,) number of other sources that are at least as near as the right one.

        Args:
            vectors: (N, D) unit length.
            right: name of the right clip.
            leave_out: for each vector, its own row in the gallery, if it is in there.
        """
        cosines = vectors @ self.vectors.T
        for row, column in enumerate(leave_out):
            cosines[row, column] = -2.0
        best = np.maximum.reduceat(cosines, self.starts, axis=1)
        own = best[:, self.names.index(right)][:, None]
        return np.asarray((best >= own).sum(axis=1) - 1)


def summarise(
    pairs: Sequence[PairFacts], sources: Mapping[str, ClipFacts], real: Mapping[str, ClipFacts]
) -> dict[str, Summary]:
    """All measures of one method.

    Args:
        pairs: facts of all pairs after their swaps.
        sources: the gallery: clip -> facts.
        real: facts of the real images for the Fréchet distance.
    """
    found: dict[str, Summary] = {}
    facts = list(dict.fromkeys(name for pair in pairs for name in pair.result))
    for fact in facts:
        kind, _, network = fact.partition(".")
        if kind == "identity":
            gallery = Gallery.of(sources, fact)
            ranks = [gallery.ranks(_told(pair.result[fact]), pair.source) for pair in pairs]
            for label, depth in DEPTHS.items():
                found[f"{label}.{network}"] = _over_pairs([100.0 * (rank < depth) for rank in ranks])
            cosines = [_told(pair.result[fact]) @ pair.source_facts[fact] for pair in pairs]
            found[f"cosine.{network}"] = _over_pairs(cosines)
        elif kind in {"pose", "expression", "shape"}:
            apart = [_distances(pair, fact, to_source=kind == "shape") for pair in pairs]
            found[f"{kind}.{network}"] = _over_pairs(apart)
    if FEATURES in facts:
        results = np.concatenate([_told(pair.result[FEATURES]) for pair in pairs])
        images = np.concatenate(
            [clip.facts[FEATURES][clip.found] for clip in real.values() if clip.found.any()]
        )
        if len(results):
            found["fid"] = Summary(frechet_distance(results, images), None, len(results))
    return found


def told_apart(sources: Mapping[str, ClipFacts], fact: str) -> float | None:
    """% of the sources' own frames whose nearest other frame is of the same source, the upper bound for swaps.

    None if each source has one frame.
    """
    gallery = Gallery.of(sources, fact)
    ends = [*gallery.starts[1:], len(gallery.vectors)]
    hits = []
    for name, start, end in zip(gallery.names, gallery.starts, ends, strict=True):
        if end - start > 1:
            own = range(int(start), int(end))
            hits.append(gallery.ranks(gallery.vectors[start:end], name, leave_out=own) == 0)
    return 100.0 * float(np.concatenate(hits).mean()) if hits else None


def _told(rows: FloatArray) -> FloatArray:
    return rows[~np.isnan(rows).any(axis=1)]


def _distances(pair: PairFacts, fact: str, *, to_source: bool) -> FloatArray:
    other = pair.source_facts[fact][None] if to_source else pair.target[fact]
    apart = np.linalg.norm(pair.result[fact] - other, axis=1)
    return np.asarray(apart[~np.isnan(apart)], np.float32)


def _over_pairs(values: Sequence[NDArray[np.floating]]) -> Summary:
    """Mean over all frames, its standard error from the means of the pairs, and the number of frames."""
    told = [np.asarray(one, np.float64) for one in values if len(one)]
    if not told:
        return Summary(float("nan"), None, 0)
    means = mean_of(np.array([one.mean() for one in told]))
    return Summary(float(np.concatenate(told).mean()), means.standard_error, sum(len(one) for one in told))
