import hashlib
import io
import json
import shutil
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
from PIL import Image
from set_doubles import LAYOUT, MIRROR, SIZE, make_set

from hififace.data.face_region import OUTLINE_PX, MaskOutline, draw_polygon, face_polygons, widen
from hififace.data.index import PreparedSet
from hififace.data.pack_file import compress_head, decompress_head, from_codes, to_codes
from hififace.data.packed import PackedSet
from hififace.data.shards import unpack_arrays
from hififace.errors import DataError
from hififace.faces.landmarks import point_groups
from hififace.faces.masks import CHIN, FOREHEAD_RISE, face_polygon, region_mask
from hififace.preparation.pack import PackOptions, pack_set

IDENTITIES = ["a", "a", "b", None, "c", "c", "c", None, "d", "b", None, None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("sets") / "set", IDENTITIES)


@pytest.fixture(scope="module")
def packed_file(folder, tmp_path_factory):
    return pack_set(folder, tmp_path_factory.mktemp("packs") / "one.hfpack").paths[0]


@pytest.fixture(scope="module")
def parts(folder, tmp_path_factory):
    paths = pack_set(
        folder, tmp_path_factory.mktemp("parts") / "some.hfpack", PackOptions(part_mb=0.0056)
    ).paths
    assert len(paths) > 1
    return paths


def decoded(prepared, row):
    return np.asarray(Image.open(io.BytesIO(prepared.member(row, "jpg"))).convert("RGB"))


def test_a_pack_says_what_the_set_says(folder, packed_file):
    prepared, packed = PreparedSet.open(folder), PackedSet.open(packed_file)
    assert len(packed) == len(prepared) == 12
    assert packed.card == prepared.card
    np.testing.assert_array_equal(packed.keys, prepared.columns["key"])
    np.testing.assert_array_equal(packed.identity_codes, prepared.identity_codes)
    np.testing.assert_array_equal(packed.labels["identity"], prepared.columns["identity"])
    assert set(packed.labels["source"]) == {"photos"}
    assert set(packed.labels["gender"]) == {None}
    for row in range(12):
        facts = unpack_arrays(prepared.member(row, "npz"))
        np.testing.assert_allclose(packed.identity[row].astype(np.float32), facts["identity"], atol=5e-4)
        # Steps of (largest - smallest) / 65535: the first coefficient runs from 0 to 11.
        np.testing.assert_allclose(packed.coefficients[row], facts["coefficients"], atol=1e-4)
        np.testing.assert_allclose(
            packed.coefficients_mirrored[row], facts["coefficients_mirrored"], atol=1e-4
        )
        np.testing.assert_allclose(packed.landmarks([row])[0], facts["landmarks"], atol=0.02)
        np.testing.assert_array_equal(packed.matrix[row], facts["matrix"])
        np.testing.assert_array_equal(packed.photo_size[row], facts["photo_size"])
        error = np.abs(packed.image(row).astype(int) - decoded(prepared, row)).mean()
        assert error < 3, row
    assert packed.landmarks().shape == (12, len(MIRROR), 3)
    assert packed.coefficients.shape[1] == sum(size for _, size in LAYOUT)


def test_rows_are_chosen_and_threads_change_nothing(packed_file):
    packed = PackedSet.open(packed_file)
    everything = packed.images()
    assert everything.shape == (12, SIZE, SIZE, 3)
    assert everything.dtype == np.uint8
    np.testing.assert_array_equal(packed.images([7, 0, 7], workers=3), everything[[7, 0, 7]])
    np.testing.assert_allclose(packed.landmarks(np.array([5, 2])), packed.landmarks()[[5, 2]], atol=1e-4)
    assert packed.images([]).shape == (0, SIZE, SIZE, 3)


def test_landmarks_follow_from_the_numbers_and_the_basis(packed_file):
    packed = PackedSet.open(packed_file)
    flat = packed.landmark_numbers @ packed.landmark_basis + packed.landmark_mean
    np.testing.assert_allclose(flat.reshape(packed.landmarks().shape), packed.landmarks(), atol=1e-4)


def test_parts_together_are_the_whole_in_any_order(packed_file, parts):
    whole = PackedSet.open(packed_file)
    for given in (parts, parts[::-1], parts[0].parent):
        together = PackedSet.open(given)
        for name in ("keys", "identity_codes", "identity", "coefficients", "coefficients_mirrored", "matrix",
                     "photo_size", "native_px", "image_px", "landmark_numbers"):  # fmt: skip
            np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), err_msg=name)
        np.testing.assert_array_equal(together.images(), whole.images())
        np.testing.assert_allclose(together.landmarks(), whole.landmarks(), atol=1e-4)
        assert together.card == whole.card


def test_each_part_is_usable_alone_and_holds_whole_people(parts):
    whole = PackedSet.open(parts)
    people = []
    for path in parts:
        alone = PackedSet.open(path)
        assert alone.card.num_photos == len(alone) < len(whole)
        assert alone.card.num_identities == len(set(alone.labels["identity"]) - {None})
        assert alone.identity_codes.max() == alone.card.num_identities - 1
        people += sorted(set(alone.labels["identity"]) - {None})
        rows = [list(whole.keys).index(key) for key in alone.keys]
        np.testing.assert_array_equal(alone.images(), whole.images(rows))
        np.testing.assert_array_equal(alone.coefficients, whole.coefficients[rows])
    assert sorted(people) == ["a", "b", "c", "d"]


def test_people_of_two_sets_are_kept_apart(packed_file, tmp_path):
    other = make_set(tmp_path / "other", ["a", "b", None])
    second = pack_set(other, tmp_path / "other.hfpack").paths[0]
    both = PackedSet.open([packed_file, second])
    assert len(both) == 15
    assert both.card.num_identities == 4 + 2
    assert both.identity_codes[0] != both.identity_codes[12]
    np.testing.assert_allclose(both.landmarks([14])[0], PackedSet.open(second).landmarks([2])[0])
    with pytest.raises(DataError, match="landmark basis of its own"):
        _ = both.landmark_basis


# ---- What must not pass.


def rewrite(source, target, header=None, drop=None, arrays=None, **changes):
    """A copy of a pack with other header fields or arrays, hashes made right again."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    fields = json.loads(members.pop("pack.json")) | changes
    for name, array in (arrays or {}).items():
        members[f"{name}.bin"] = array.tobytes()
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        fields["arrays"][name] = {"dtype": array.dtype.str, "shape": array.shape, "sha256": digest}
    if header:
        header(fields)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("pack.json", json.dumps(fields))
        for name, data in members.items():
            if name != drop:
                archive.writestr(name, data)
    return target


def array_of(path, name):
    with zipfile.ZipFile(path) as archive:
        stored = json.loads(archive.read("pack.json"))["arrays"][name]
        return np.frombuffer(archive.read(f"{name}.bin"), stored["dtype"]).reshape(stored["shape"]).copy()


def _claims(name, **claim):
    def change(fields):
        fields["arrays"][name] |= claim

    return change


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"layout": 99}, "layout 99; this version of hififace reads layout 1"),
        ({"layout": "new"}, "no packed set of layout 1"),
        ({"colour": "blue"}, "damaged"),
        ({"num_photos": 13}, "counts 13 photos and names 12"),
        ({"num_photos": 0, "keys": []}, "counts 0 photos"),
        ({"part": 3, "num_parts": 2}, "part 3 of 2"),
        ({"image_head": "xyz"}, "damaged"),
        ({"labels": {}}, "its labels are"),
        ({"drop": "identity.bin"}, r"lacks identity\.bin"),
        ({"header": _claims("identity", sha256="0" * 64)}, "SHA-256 differs"),
        ({"header": _claims("identity", dtype="|O")}, "is of type"),
        ({"header": _claims("identity", shape=[12, -8])}, "is of type"),
        ({"header": _claims("identity", shape=[12, 1 << 40])}, "would have"),
        ({"header": _claims("images", shape=[1 << 40])}, "would have"),
        ({"header": _claims("identity", shape=[6, 8])}, r"identity\.bin has 192 bytes, 96 were expected"),
        ({"header": lambda fields: fields["arrays"].pop("matrix")}, "it lacks matrix"),
    ],
)
def test_a_hostile_header_is_a_sentence(packed_file, tmp_path, changes, sentence):
    path = rewrite(packed_file, tmp_path / "bad.hfpack", **changes)
    with pytest.raises(DataError, match=sentence):
        PackedSet.open(path)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("identity", lambda a: np.full_like(a, np.nan), "not finite"),
        ("identity", lambda a: a.astype("<f4"), r"identity is float32 .* float16"),
        ("matrix", lambda a: a[:, :1].copy(), "matrix is"),
        ("identity_code", lambda a: a + 100, "unknown identity"),
        ("image_px", lambda a: a + 1000, "larger than the crops"),
        ("image_px", lambda a: a * 0, "larger than the crops"),
        ("image_bytes", lambda a: a + 1, "images are cut short"),
        ("rows", lambda a: a * 0, "there twice"),
    ],
)
def test_facts_that_cannot_be_are_a_sentence(packed_file, tmp_path, name, change, sentence):
    path = rewrite(packed_file, tmp_path / "bad.hfpack", arrays={name: change(array_of(packed_file, name))})
    with pytest.raises(DataError, match=sentence):
        PackedSet.open(path)


def test_images_that_cannot_be_decoded_are_a_sentence(packed_file, tmp_path):
    images = array_of(packed_file, "images")
    images[40:] = 0
    path = rewrite(packed_file, tmp_path / "bad.hfpack", arrays={"images": images})
    packed = PackedSet.open(path)
    with pytest.raises(DataError, match=r"Photo 0000000\d of .*bad\.hfpack cannot be decoded"):
        packed.images(workers=2)


def test_an_image_of_another_size_is_not_unfolded(packed_file, tmp_path):
    """Its header is read before its pixels are, so a giant is refused without the memory that it asks for."""
    sides = array_of(packed_file, "image_px")
    path = rewrite(packed_file, tmp_path / "bad.hfpack", arrays={"image_px": np.full_like(sides, 9)})
    with pytest.raises(DataError, match="instead of 9 x 9"):
        PackedSet.open(path).image(0)


def test_files_that_are_no_packs_are_a_sentence(packed_file, tmp_path):
    cut, text, empty = tmp_path / "cut.hfpack", tmp_path / "text.hfpack", tmp_path / "folder"
    cut.write_bytes(packed_file.read_bytes()[:-100])
    text.write_text("hello")
    empty.mkdir()
    with zipfile.ZipFile(tmp_path / "other.hfpack", "w") as archive:
        archive.writestr("a", "b")
    for path, sentence in [
        (cut, "cannot be read as a packed set"),
        (text, "cannot be read as a packed set"),
        (tmp_path / "none.hfpack", "cannot be read as a packed set.*No such file"),
        (tmp_path / "other.hfpack", r"holds no pack\.json"),
        (empty, "holds no packed set"),
    ]:
        with pytest.raises(DataError, match=sentence):
            PackedSet.open(path)


def test_parts_that_do_not_belong_together_are_a_sentence(packed_file, parts, tmp_path):
    with pytest.raises(DataError, match="hold the same photos"):
        PackedSet.open([parts[0], parts[0]])
    with pytest.raises(DataError, match="Use the parts of one packing"):
        PackedSet.open([packed_file, parts[1]])
    other = make_set(tmp_path / "other", ["a", "b"], size=48)
    second = pack_set(other, tmp_path / "other.hfpack").paths[0]
    with pytest.raises(DataError, match="differ in resolution"):
        PackedSet.open([packed_file, second])


def test_random_damage_is_a_sentence_or_harmless(packed_file, tmp_path):
    data, path = packed_file.read_bytes(), tmp_path / "bad.hfpack"
    whole = PackedSet.open(packed_file)
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            packed = PackedSet.open(path)
        except DataError:
            continue
        # A zip archive has a few bytes that nobody reads; whatever opens must be the whole truth.
        np.testing.assert_array_equal(packed.images(), whole.images())
        np.testing.assert_array_equal(packed.coefficients, whole.coefficients)


def test_reading_needs_no_opencv_pyarrow_torch_or_onnxruntime(packed_file):
    program = f"""
    import sys
    for name in ("cv2", "pyarrow", "torch", "onnxruntime", "scipy", "typer", "av"):
        sys.modules[name] = None
    from hififace.data.packed import PackedSet
    packed = PackedSet.open({str(packed_file)!r})
    print(packed.images(workers=2).shape, packed.card.resolution, packed.landmarks().shape)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"(12, {SIZE}, {SIZE}, 3) {SIZE} (12, 6, 3)", done.stderr


# ---- The pieces.


def test_codes_keep_numbers_to_half_a_step():
    random = np.random.default_rng(0)
    values = random.normal(0, [1, 100, 0, 1e-6], (500, 4)).astype(np.float32)
    codes, spans = to_codes(values)
    steps = (spans[1] - spans[0]) / 65535
    assert (np.abs(from_codes(codes, spans) - values) <= 0.51 * steps + 1e-5).all()
    np.testing.assert_array_equal(from_codes(codes, spans)[:, 2], values[:, 2])


def test_heads_are_folded_and_unfolded_exactly():
    files = []
    for level in (10, 200):
        data = io.BytesIO()
        Image.fromarray(np.full((64, 64, 3), level, np.uint8)).save(data, "AVIF", quality=60)
        files.append(data.getvalue())
    typical = files[0][: files[0].find(b"mdat") + 4]
    for data in [*files, b"no picture", b"mdat", b""]:
        folded = compress_head(data, typical)
        assert decompress_head(folded, typical) == data
    assert len(compress_head(files[1], typical)) < len(files[1]) - len(typical) + 40


def test_masks_are_the_region_that_preparation_stores():
    groups = point_groups()
    outline = MaskOutline(
        oval=groups["face_oval"],
        image_left_eye=groups["image_left_eye"],
        image_right_eye=groups["image_right_eye"],
        chin=CHIN,
        forehead_rise=FOREHEAD_RISE,
    )
    random = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, len(groups["face_oval"]), endpoint=False)
    points = random.uniform(50, 78, (3, 468, 3)).astype(np.float32)
    oval = np.stack([64 + 45 * np.sin(angles), 70 - 55 * np.cos(angles)], axis=1)
    points[:, list(groups["face_oval"]), :2] = oval + random.normal(0, 1, (3, 1, 2))
    points[0, list(groups["image_left_eye"]), :2] = (44, 52)
    points[0, list(groups["image_right_eye"]), :2] = (84, 50)
    for eyes in ("image_left_eye", "image_right_eye"):  # profile: the eyes meet
        points[1, list(groups[eyes]), :2] = (60, 50)
    polygons = face_polygons(points, outline)
    for face in range(3):
        np.testing.assert_allclose(polygons[face], face_polygon(points[face]), atol=1e-3)
        stored = region_mask(points[face], (128, 128), dilate_px=0, feather_px=0) > 0.5
        drawn = draw_polygon(widen(polygons, OUTLINE_PX)[face], 128) > 0
        assert (drawn & stored).sum() / (drawn | stored).sum() > 0.99


def test_a_polygon_covers_the_pixel_centres_within():
    square = np.array([[1.5, 2.5], [5.5, 2.5], [5.5, 6.5], [1.5, 6.5]], np.float32)
    drawn = draw_polygon(square, 8)
    expected = np.zeros((8, 8), np.uint8)
    expected[3:7, 2:6] = 255
    np.testing.assert_array_equal(drawn, expected)
    # Corners beyond the picture are cut off at its border.
    np.testing.assert_array_equal(
        draw_polygon(square * 10 - 20, 8), np.pad(np.full((3, 8), 255, np.uint8), ((5, 0), (0, 0)))
    )


def test_masks_of_other_landmarks_are_refused(packed_file):
    with pytest.raises(DataError, match="no face mesh"):
        PackedSet.open(packed_file).masks([0])


def test_a_pack_may_be_moved(packed_file, tmp_path):
    moved = tmp_path / "renamed.bin"
    shutil.copy(packed_file, moved)
    assert len(PackedSet.open(str(moved))) == 12
