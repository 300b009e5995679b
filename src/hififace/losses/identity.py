"""Identity: the result carries the source's face, as one or several face recognisers see it.

Letters: B samples, D numbers of an embedding, K embedders.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from hififace.losses.averaging import batch_mean, expect_same_shape, full_precision


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of each row, (B, D) x (B, D) -> (B,); the vectors need not be of unit length.

    Raises:
        ValueError: the shapes differ or are not (B, D).
    """
    expect_same_shape(a, b, "the two embeddings")
    if a.ndim != 2:
        raise ValueError(f"embeddings must be (B, D), got {tuple(a.shape)}")
    return functional.cosine_similarity(full_precision(a), full_precision(b), dim=1)


def identity_loss(
    source: Tensor,
    result: Tensor,
    result_low: Tensor | None = None,
    *,
    enough: float = 1.0,
    weight: Tensor | None = None,
    normalise: bool = False,
) -> Tensor:
    """Distance of the results' identity from the source's: L_id of the paper, section 3.3, weight 5.

        L_id = (1 - cos(v(I_s), v(I_r))) + (1 - cos(v(I_s), v(up(I_low)))),   mean over the batch.

    The reference writes |1 - cos|: the same number, since no cosine exceeds 1. With `enough` below 1 (ours) each
    1 becomes `enough`, and what is beyond is no gain: max(0, enough - cos). Two photos of one person have a cosine of
    about 0.66 for SFace; whoever asks for 1 gets a caricature.

    Args:
        source: (B, D) embeddings of the sources, computed once in preparation; no gradient is meant for them.
        result: (B, D) embeddings of I_r; the gradient passes through the frozen embedder to the image.
        result_low: (B, D) embeddings of the enlarged I_low, or None to leave its term out.
        enough: cosine from which on the term is silent.
        weight: (B,) of each pair (for example 1 - same: only pairs of different people), or None for ones.
        normalise: divide by the sum of the weights instead of by B.

    Returns:
        Scalar in 0..4.

    Raises:
        ValueError: shapes that do not fit.
    """
    values = (enough - cosine(source, result)).clamp_min(0.0)
    if result_low is not None:
        values = values + (enough - cosine(source, result_low)).clamp_min(0.0)
    return batch_mean(values, weight, normalise=normalise)


def several_identity_loss(
    sources: Sequence[Tensor],
    results: Sequence[Tensor],
    results_low: Sequence[Tensor] | None = None,
    *,
    embedder_weights: Sequence[float],
    enough: float = 1.0,
    weight: Tensor | None = None,
    normalise: bool = False,
) -> Tensor:
    """Identity by several embedders, so that no single network is merely fooled.

        L = sum_k w_k L_id,k

    Args:
        sources: K tensors (B, D_k), one per embedder.
        results: K tensors (B, D_k).
        results_low: K tensors (B, D_k), or None.
        embedder_weights: K numbers >= 0; with a sum of 1 the loss keeps the scale of one embedder.
        enough: cosine from which on an embedder's term is silent, see `identity_loss`.
        weight: (B,) of each pair, or None for ones.
        normalise: divide by the sum of the pair weights instead of by B.

    Returns:
        Scalar.

    Raises:
        ValueError: the lists differ in length or are empty.
    """
    lows: Sequence[Tensor | None] = [None] * len(results) if results_low is None else results_low
    counts = {len(sources), len(results), len(lows), len(embedder_weights)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            "sources, results, results_low and embedder_weights need one entry per embedder, got "
            f"{len(sources)}, {len(results)}, {len(lows)} and {len(embedder_weights)}"
        )
    total = sources[0].new_zeros(())
    for source, result, low, share in zip(sources, results, lows, embedder_weights, strict=True):
        loss = identity_loss(source, result, low, enough=enough, weight=weight, normalise=normalise)
        total = total + share * loss
    return total


def identity_leak_loss(
    target: Tensor,
    result: Tensor,
    *,
    margin: float = 0.2,
    weight: Tensor | None = None,
    normalise: bool = False,
) -> Tensor:
    """What is left of the target's own identity beyond the likeness of strangers. Ours, not the paper's.

        L = max(0, cos(v(I_t), v(I_r)) - margin),   mean over the batch.

    The margin is what two random people have in common for the embedder (about 0.17 for SFace on our photos):
    below it the gradient is zero, so the result is not pushed to look like the target's opposite.

    Args:
        target: (B, D) embeddings of the targets; no gradient is meant for them.
        result: (B, D) embeddings of I_r; receives the gradient.
        margin: cosine that is left alone.
        weight: (B,) 0 for pairs of one person, for whom this term would fight the identity term.
        normalise: divide by the sum of the weights instead of by B.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    return batch_mean(functional.relu(cosine(target, result) - margin), weight, normalise=normalise)
