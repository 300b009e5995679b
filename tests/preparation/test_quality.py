import cv2
import numpy as np
import pytest
from preparation_doubles import make_image

from hififace.preparation.quality import (
    Measured,
    QualityOptions,
    Reason,
    blurred,
    check_photo,
    check_set,
    near_duplicates,
    perceptual_hash,
    sharpness,
    strangers,
)

OPTIONS = QualityOptions()
FULL = np.full((96, 96), 255, np.uint8)
GOOD = {"magnification": 1.0, "mesh_score": 0.9, "valid_share": 1.0, "pose_deg": np.zeros(3, np.float32)}


def measured(vectors, identities=None, hashes=None, sharp=None, magnification=None):
    vectors = np.asarray(vectors, np.float32)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(vectors)
    return Measured(
        sharpness=np.ones(count, np.float32) if sharp is None else np.asarray(sharp, np.float32),
        magnification=np.ones(count, np.float32)
        if magnification is None
        else np.asarray(magnification, np.float32),
        identities=identities or [None] * count,
        vectors=vectors,
        hashes=np.arange(count, dtype=np.uint64) * np.uint64(0x0123456789ABCDEF)
        if hashes is None
        else hashes,
        sources=[f"photo {n}" for n in range(count)],
    )


def test_a_good_photo_passes():
    assert check_photo(OPTIONS, **GOOD) is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"magnification": 3.5}, Reason.TOO_SMALL),
        ({"mesh_score": 0.3}, Reason.NOT_A_FACE),
        ({"valid_share": 0.5}, Reason.CUT_OFF),
        ({"pose_deg": np.array([0, -70, 0])}, Reason.EXTREME_POSE),
        ({"pose_deg": np.array([50, 0, 0])}, Reason.EXTREME_POSE),
    ],
)
def test_each_fault_has_its_reason(fault, reason):
    rejection = check_photo(OPTIONS, **(GOOD | fault))
    assert rejection.reason is reason
    assert rejection.detail


def test_a_small_photo_of_a_known_person_may_be_a_source():
    assert check_photo(OPTIONS, **(GOOD | {"magnification": 3.5, "named": True})) is None
    assert check_photo(OPTIONS, **(GOOD | {"magnification": 6.5, "named": True})).reason is Reason.TOO_SMALL


def test_small_photos_need_another_photo_of_their_person():
    found = check_set(
        measured(np.eye(6)[[0, 0, 1, 2, 3, 4]], ["a", "a", "b", None, "c", "c"],
                 magnification=[1, 4, 4, 4, 4, 5], sharp=[1, 0.01, 0.01, 0.01, 0.01, 0.01]),
        OPTIONS, 0.3,
    )  # fmt: skip
    # The two of c do not look alike, so one goes as a stranger and the other is alone then.
    assert {row: rejection.reason for row, rejection in found.items()} == {
        2: Reason.TOO_SMALL, 3: Reason.TOO_SMALL, 4: Reason.TOO_SMALL, 5: Reason.OTHER_PERSON,
    }  # fmt: skip


def test_roll_does_not_matter():
    assert check_photo(OPTIONS, **(GOOD | {"pose_deg": np.array([0, 0, 170])})) is None


def test_sharpness_falls_with_blur_and_not_with_exposure():
    image = make_image(1, 2)
    dark = (image * 0.4 + 20).astype(np.uint8)
    soft = cv2.GaussianBlur(image, (0, 0), 2.5)
    plain = sharpness(image, FULL)
    assert sharpness(soft, FULL) < 0.2 * plain
    assert abs(sharpness(dark, FULL) / plain - 1) < 0.15
    assert sharpness(np.full_like(image, 90), FULL) == 0
    assert sharpness(image, np.zeros_like(FULL)) == 0


def test_hashes_of_copies_agree_and_of_others_do_not():
    image = make_image(1, 2)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    copy = cv2.imdecode(data, cv2.IMREAD_COLOR)
    other = perceptual_hash(make_image(3, 4))
    assert (perceptual_hash(image) ^ perceptual_hash(copy)).bit_count() <= 4
    assert (perceptual_hash(image) ^ other).bit_count() > 8


def test_blur_is_judged_against_the_median():
    found = blurred(measured(np.eye(5), sharp=[1.0, 1.1, 0.9, 0.05, 1.2]), OPTIONS)
    assert list(found) == [3]
    assert blurred(measured(np.eye(5), sharp=[0.01] * 5), OPTIONS) == {}


def test_one_stranger_goes_and_costs_no_good_photo():
    vectors = [[1, 0.1, 0], [1, 0, 0.1], [1, -0.1, 0], [0, 0, 1]]
    assert list(strangers(measured(vectors, ["p"] * 4), 0.3, set())) == [3]


def test_of_two_that_disagree_the_later_goes():
    assert list(strangers(measured([[1, 0], [0, 1]], ["p", "p"]), 0.3, set())) == [1]


def test_photos_without_a_name_and_skipped_ones_are_no_strangers():
    found = strangers(measured([[1, 0], [0, 1], [0, 1]], [None, None, "p"]), 0.3, set())
    assert found == {}
    assert strangers(measured([[1, 0], [0, 1]], ["p", "p"]), 0.3, {0}) == {}


def test_of_near_duplicates_the_largest_stays():
    hashes = np.array(
        [0xFF00FF00FF00FF00, 0xFF00FF00FF00FF01, 0x0F0F0F0F00000000, 0xFF00FF00FF80FF01], np.uint64
    )
    same = [[1, 0], [1, 0.01], [1, 0], [1, 0.02]]
    found = near_duplicates(measured(same, hashes=hashes, magnification=[1.5, 0.7, 1, 0.9]), OPTIONS, set())
    assert sorted(found) == [0, 3]
    assert found[0].detail == "repeats photo 1"


def test_equal_hashes_of_different_faces_are_no_duplicates():
    hashes = np.zeros(3, np.uint64)
    found = near_duplicates(measured([[1, 0], [0, 1], [1, 0]], hashes=hashes), OPTIONS, set())
    assert list(found) == [2]


def test_every_pair_within_the_distance_is_found():
    random = np.random.default_rng(0)
    base = random.integers(0, 2**63, 300, dtype=np.uint64)
    flips = np.zeros(300, np.uint64)
    for _ in range(4):
        flips |= np.uint64(1) << random.integers(0, 64, 300).astype(np.uint64)
    hashes = np.concatenate([base, base ^ flips])
    vectors = np.concatenate([random.normal(size=(300, 16))] * 2)
    found = near_duplicates(measured(vectors, hashes=hashes), OPTIONS, set())
    assert sorted(found) == list(range(300, 600))


def test_blurred_photos_do_not_count_as_the_original():
    hashes = np.zeros(2, np.uint64)
    both = measured([[1, 0], [1, 0]], hashes=hashes, sharp=[0.0, 1.0], magnification=[0.5, 1.0])
    found = check_set(both._replace(sharpness=np.array([0.01, 1.0], np.float32)), OPTIONS, 0.3)
    assert {row: r.reason for row, r in found.items()} == {0: Reason.BLURRED}


def test_an_empty_set_is_no_error():
    empty = Measured(
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        [],
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.uint64),
        [],
    )
    assert check_set(empty, OPTIONS, 0.3) == {}
