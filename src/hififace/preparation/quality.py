"""Which photos are fit for training: checks on one photo, then checks that need the whole set.

Every rejection carries a reason and a sentence. The checks of the second kind (blur against the set's
median, the same person as the rest of the folder, near-duplicates) look at descriptions only, in the order
of the photos' numbers, so they give the same answer however the first pass was spread over workers.
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
    """Why a photo is left out; the value is what reports and `rejected.csv` say."""

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
    """What the second pass knows of each photo, in the order of the photos."""

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

    The ratio does not change with exposure or contrast, so a dark photo is not taken for a blurred one.
    The smoothing beforehand keeps sensor noise from passing for detail.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (3, 3), 0.8)
    inside = mask > 127
    if not inside.any():
        return 0.0
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_32F))
    # 4 grey levels squared: a flat patch is blurred, not infinitely sharp.
    return float(laplacian[inside].var() / (grey[inside].var() + 4.0))


def perceptual_hash(crop: RGBImage) -> int:
    """64 bits that near-duplicates share: signs of the low frequencies against their median.

    Of a 32 x 32 grey thumbnail the 8 x 8 lowest cosine coefficients beyond the mean rows are compared with
    their median, as in the pHash family.
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
    """The checks that need one photo only.

    Args:
        options: thresholds.
        magnification: how much the photo was enlarged to fill the crop.
        named: whether the person is known, and may have other photos.
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
    """The rejection of a photo that would be enlarged too much; known before anything costly is computed."""
    limit = options.max_magnification
    if named:
        limit = max(limit, options.max_source_magnification)
    if magnification <= limit:
        return None
    return Rejection(
        Reason.TOO_SMALL, f"the face would be enlarged {magnification:.1f} times, more than {limit:g}"
    )


def check_set(measured: Measured, options: QualityOptions, person_cosine: float) -> dict[int, Rejection]:
    """The checks that compare photos with each other: rows to leave out, with reasons.

    Blurred photos go first, then strangers, and near-duplicates are sought among the rest. Last go small photos that
    turn out to be their person's only one.

    Args:
        measured: what is known of each photo.
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

    Photos that were enlarged beyond `max_magnification` are soft for want of pixels: they are kept as sources, neither
    judged here nor part of the median.
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
    """Rows enlarged beyond `max_magnification` whose person has no other photo: a source must teach by comparison."""
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
    """Rows that do not look like the other photos of their person.

    The worst photo goes and the rest is judged again, until all pass: one stranger must not drag the mean
    and cost a good photo. Of two photos that disagree the later one goes, since nothing tells which is wrong.
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
    """Rows that repeat another photo; of each set of repeats the one with the most pixels stays.

    Two hashes that differ in at most b bits agree in at least 8 − b of their 8 bytes, so sorting by every
    choice of that many bytes brings them together (b up to 4): near-linear in the number of photos.
    """
    rows = np.array([row for row in range(len(measured.hashes)) if row not in skip], dtype=np.int64)
    if len(rows) < 2:
        return {}
    # The best photo comes first and is therefore the one that stays.
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
    """(M, 2) places i < j of hashes at most `bits` apart, sorted."""
    found: set[tuple[int, int]] = set()
    parts = hashes.astype(">u8").view(np.uint8).reshape(-1, _BANDS)
    for bands in combinations(range(_BANDS), _BANDS - bits):
        keys = np.zeros(len(hashes), dtype=np.uint64)
        for band in bands:
            keys = (keys << np.uint64(_BAND_BITS)) | parts[:, band].astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        # Compare neighbours at growing distance until no two of that distance share the key.
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
