"""Quality checks for training photos: on single photos, then on the whole set.

Every rejection has a reason and a sentence. The checks on the whole set (sharpness relative to the median, same person
as the rest of the folder, near-duplicates) use only stored features, in the order of the photos' numbers, so their
results do not depend on the number of workers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Annotated, Final, NamedTuple

import cv2
import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from hififace.option_fields import check
from hififace.types import FloatArray, RGBImage


class Reason(str, Enum):
    """Why a photo is left out; the value appears in reports and `rejected.csv`."""

    UNREADABLE = "unreadable"
    UNDER_AGE = "under the declared age"
    NO_FACE = "no face"
    SEVERAL_FACES = "several faces"
    TOO_SMALL = "too small"
    CUT_OFF = "face cut off"
    NOT_A_FACE = "mesh disagrees"
    EXTREME_POSE = "extreme pose"
    BLURRED = "blurred"
    OTHER_PERSON = "not the same person"
    NEAR_DUPLICATE = "near-duplicate"


class Rejection(NamedTuple):
    """A photo that is left out."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class QualityOptions:
    """Thresholds. The defaults suit portraits and snapshots alike."""

    max_magnification: Annotated[float, Interval(gt=0)] = 3.0
    """Largest factor by which a photo may be enlarged to fill its crop; beyond it all detail is invented."""
    max_source_magnification: Annotated[float, Interval(gt=0)] = 6.0
    """The same for a photo of a person with two photos or more. It says who the person is as well as any other:
    a source. Its `native_px` says that it shows no detail, so that training can leave it out where detail counts."""
    min_valid_share: Annotated[float, Interval(ge=0, le=1)] = 0.75
    """Smallest share of the face region that must lie inside the photo."""
    min_mesh_score: Annotated[float, Interval(ge=0, le=1)] = 0.5
    """Smallest confidence of the mesh network that it sees a face."""
    max_yaw_deg: Annotated[float, Interval(gt=0)] = 65.0
    """Maximum yaw of the head (turned aside), in degrees."""
    max_pitch_deg: Annotated[float, Interval(gt=0)] = 45.0
    """Maximum pitch of the head (turned up or down), in degrees."""
    max_rival: Annotated[float, Interval(ge=0, le=1)] = 0.7
    """A second face more than this as prominent as the first means that no face dominates."""
    min_relative_sharpness: Annotated[float, Interval(ge=0, le=1)] = 0.12
    """Minimum sharpness, as a share of the set's median."""
    min_person_cosine: float | None = None
    """Smallest cosine to the mean of the person's other photos; None asks the embedder's own threshold."""
    duplicate_bits: int = 4
    """Largest Hamming distance of perceptual hashes (64 bits) of near-duplicates."""
    duplicate_cosine: float = 0.9
    """Smallest cosine of identity vectors of near-duplicates."""

    def __post_init__(self) -> None:
        check(self)


class Measured(NamedTuple):
    """Features of all photos for the second pass, in the order of the photos."""

    sharpness: FloatArray
    """(N,)"""
    magnification: FloatArray
    """(N,)"""
    identities: Sequence[str | None]
    vectors: FloatArray
    """(N, D) unit length."""
    hashes: NDArray[np.uint64]
    """(N,)"""
    sources: Sequence[str]


def sharpness(crop: RGBImage, mask: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian over variance of the grey levels, both within the face region.

    The ratio is independent of exposure and contrast, so that a dark photo does not count as blurred. Smoothing first
    prevents sensor noise from counting as detail.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (3, 3), 0.8)
    inside = mask > 127
    if not inside.any():
        return 0.0
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_32F))
    # 4 grey levels squared, so that a uniform patch counts as blurred.
    return float(laplacian[inside].var() / (grey[inside].var() + 4.0))


def perceptual_hash(crop: RGBImage) -> int:
    """Perceptual hash of 64 bits, similar for near-duplicates, as in the pHash family.

    The 8 x 8 lowest DCT coefficients of a 32 x 32 grey thumbnail, without the first row and column, are compared with
    their median.
    """
    grey = cv2.cvtColor(cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    low = np.asarray(cv2.dct(grey.astype(np.float32)))[1:9, 1:9].reshape(-1)
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def check_photo(
    options: QualityOptions,
    *,
    magnification: float,
    named: bool = False,
    mesh_score: float,
    valid_share: float,
    pose_deg: FloatArray,
) -> Rejection | None:
    """The checks on a single photo.

    Args:
        options: thresholds.
        magnification: factor by which the photo was enlarged to fill the crop.
        named: whether the person is labelled, and may have other photos.
        mesh_score: confidence of the mesh network, 0 to 1.
        valid_share: share of the face region inside the photo.
        pose_deg: (3,) pitch, yaw, roll.
    """
    small = too_small(magnification, options, named=named)
    if small is not None:
        return small
    if mesh_score < options.min_mesh_score:
        return Rejection(
            Reason.NOT_A_FACE, f"the mesh network gives it {mesh_score:.2f}, below {options.min_mesh_score:g}"
        )
    if valid_share < options.min_valid_share:
        return Rejection(
            Reason.CUT_OFF,
            f"{valid_share:.0%} of the face is inside the photo, less than {options.min_valid_share:.0%}",
        )
    pitch, yaw = abs(float(pose_deg[0])), abs(float(pose_deg[1]))
    if yaw > options.max_yaw_deg or pitch > options.max_pitch_deg:
        return Rejection(Reason.EXTREME_POSE, f"yaw {pose_deg[1]:.0f}, pitch {pose_deg[0]:.0f} degrees")
    return None


def too_small(magnification: float, options: QualityOptions, *, named: bool) -> Rejection | None:
    """The rejection of a photo that would be enlarged too much; checked before expensive computations."""
    limit = options.max_magnification
    if named:
        limit = max(limit, options.max_source_magnification)
    if magnification <= limit:
        return None
    return Rejection(
        Reason.TOO_SMALL, f"the face would be enlarged {magnification:.1f} times, more than {limit:g}"
    )


def check_set(measured: Measured, options: QualityOptions, person_cosine: float) -> dict[int, Rejection]:
    """The checks on the whole set: rows to leave out, with reasons.

    Blurred photos are removed first, then photos of other people, then near-duplicates among the rest, and last small
    photos that are the only ones left of their person.

    Args:
        measured: features of all photos.
        options: thresholds.
        person_cosine: the embedder's threshold for the mean of a person's photos.
    """
    rejected = blurred(measured, options)
    threshold = person_cosine if options.min_person_cosine is None else options.min_person_cosine
    rejected |= strangers(measured, threshold, set(rejected))
    rejected |= near_duplicates(measured, options, set(rejected))
    rejected |= lonely_and_small(measured, options, set(rejected))
    return rejected


def blurred(measured: Measured, options: QualityOptions) -> dict[int, Rejection]:
    """Rows whose sharpness is far below the median of the set.

    Photos enlarged beyond `max_magnification` are unsharp for lack of pixels; they are kept as sources, and neither
    checked here nor part of the median.
    """
    judged = np.flatnonzero(measured.magnification <= options.max_magnification)
    if not len(judged):
        return {}
    median = float(np.median(measured.sharpness[judged]))
    limit = options.min_relative_sharpness * median
    return {
        int(row): Rejection(
            Reason.BLURRED, f"sharpness {measured.sharpness[row] / median:.2f} of the set's median"
        )
        for row in judged[measured.sharpness[judged] < limit]
    }


def lonely_and_small(measured: Measured, options: QualityOptions, skip: set[int]) -> dict[int, Rejection]:
    """Rows enlarged beyond `max_magnification` whose person has no other photo, so that they are useless as sources."""
    left = [row for row in range(len(measured.identities)) if row not in skip]
    photos = Counter(measured.identities[row] for row in left)
    rejected = {}
    for row in left:
        size, person = float(measured.magnification[row]), measured.identities[row]
        if size > options.max_magnification and (person is None or photos[person] < 2):
            rejected[row] = Rejection(
                Reason.TOO_SMALL,
                f"the face would be enlarged {size:.1f} times, more than {options.max_magnification:g}, and the person "
                f"has no other photo",
            )
    return rejected


def strangers(measured: Measured, threshold: float, skip: set[int]) -> dict[int, Rejection]:
    """Rows whose identity differs from the other photos of their person.

    The worst photo is removed and the means are computed again until all pass, since a wrong photo in the mean could
    cause the rejection of a right one. Of two photos that differ, the later one is removed, since it is unknown which
    is wrong.
    """
    people: dict[str, list[int]] = defaultdict(list)
    for row, identity in enumerate(measured.identities):
        if identity is not None and row not in skip:
            people[identity].append(row)
    rejected: dict[int, Rejection] = {}
    for rows in people.values():
        left = list(rows)
        while len(left) > 1:
            vectors = measured.vectors[left].astype(np.float64)
            others = vectors.sum(axis=0) - vectors
            norms = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
            cosines = (vectors * others).sum(axis=1) / norms
            worst = len(left) - 1 - int(np.argmin(cosines[::-1]))
            if cosines[worst] >= threshold:
                break
            rejected[left.pop(worst)] = Rejection(
                Reason.OTHER_PERSON,
                f"cosine {cosines[worst]:.2f} to the person's other photos, below {threshold:g}",
            )
    return rejected


_BANDS: Final = 8
_BAND_BITS: Final = 8


def near_duplicates(measured: Measured, options: QualityOptions, skip: set[int]) -> dict[int, Rejection]:
    """Rows that are near-duplicates of another photo; of each group the photo with the most pixels is kept.

    Two hashes that differ in at most b bits are equal in at least 8 − b of their 8 bytes, so sorting by every choice of
    that many bytes makes them neighbours (b up to 4): near-linear in the number of photos.
    """
    rows = np.array([row for row in range(len(measured.hashes)) if row not in skip], dtype=np.int64)
    if len(rows) < 2:
        return {}
    # The best photo comes first and is therefore kept.
    rows = rows[np.argsort(measured.magnification[rows], kind="stable")]
    pairs = _close_pairs(measured.hashes[rows], min(options.duplicate_bits, 4))
    if not len(pairs):
        return {}
    vectors = measured.vectors
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    cosines = np.einsum("nd,nd->n", vectors[first], vectors[second])
    rejected: dict[int, Rejection] = {}
    for keep, drop, cosine in zip(first.tolist(), second.tolist(), cosines.tolist(), strict=True):
        if cosine >= options.duplicate_cosine and keep not in rejected and drop not in rejected:
            rejected[drop] = Rejection(Reason.NEAR_DUPLICATE, f"repeats {measured.sources[keep]}")
    return rejected


def _close_pairs(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """(M, 2) sorted pairs i < j of hashes with a Hamming distance of at most `bits`."""
    found: set[tuple[int, int]] = set()
    parts = hashes.astype(">u8").view(np.uint8).reshape(-1, _BANDS)
    for bands in combinations(range(_BANDS), _BANDS - bits):
        keys = np.zeros(len(hashes), dtype=np.uint64)
        for band in bands:
            keys = (keys << np.uint64(_BAND_BITS)) | parts[:, band].astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        # Compare neighbours at increasing distance until none at that distance have equal keys.
        distance = 1
        while distance < len(order):
            equal = np.flatnonzero(ordered[:-distance] == ordered[distance:])
            if not len(equal):
                break
            one, two = order[equal], order[equal + distance]
            near = _popcount(hashes[one] ^ hashes[two]) <= bits
            found.update(zip(one[near].tolist(), two[near].tolist(), strict=True))
            distance += 1
    return np.array(sorted((min(p), max(p)) for p in found), dtype=np.int64).reshape(-1, 2)


def _popcount(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1)
    return np.asarray(bits.sum(axis=1), dtype=np.int64)
