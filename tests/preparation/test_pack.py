import io

import cv2
import numpy as np
import pytest
from PIL import Image
from set_doubles import make_card, make_set, photo_members

from hififace.data.index import PreparedSet
from hififace.data.packed import PackedSet
from hififace.errors import DataError, OptionError
from hififace.preparation.pack import PackOptions, encode_avif, pack_set, stored_side
from hififace.preparation.pack_facts import fit_landmarks, landmark_error
from hififace.preparation.pack_parts import spread_units


def picture(pixels, size=256, seed=0):
    random = np.random.default_rng(seed)
    small = cv2.GaussianBlur(random.normal(128, 120, (pixels, pixels, 3)), (0, 0), 0.7)
    enlarged = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(np.clip(enlarged, 0, 255).astype(np.uint8))


def textured_set(folder, monkeypatch):
    """Three photos, with the pixels of 32, 54 and 256 in crops of 256."""
    import set_doubles

    def members(number, identity, size):
        files = photo_members(number, identity, size)
        data = io.BytesIO()
        picture((32, 54, 256)[number], size, number).save(data, "JPEG", quality=95, subsampling=0)
        return files | {"jpg": data.getvalue()}

    monkeypatch.setattr(set_doubles, "photo_members", members)
    return make_set(folder, ["a", "a", None], size=256)


def test_an_image_is_stored_at_the_side_it_deserves(tmp_path, monkeypatch):
    folder = textured_set(tmp_path / "set", monkeypatch)
    report = pack_set(folder, tmp_path / "x.hfpack")
    packed, prepared = PackedSet.open(report.paths[0]), PreparedSet.open(folder)
    assert packed.image_px.tolist() == [96, 128, 256]
    assert packed.native_px[0] < packed.native_px[1] < packed.native_px[2]
    for row in range(3):
        crop = np.asarray(Image.open(io.BytesIO(prepared.member(row, "jpg"))).convert("RGB"), np.float64)
        error = np.square(crop - packed.image(row)).mean()
        assert 10 * np.log10(255**2 / error) > 30, row  # colour noise of one pixel is the hardest there is


def test_what_the_set_knows_of_its_photos_is_not_measured_again(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    from set_doubles import index_row

    from hififace.data.index import write_index

    prepared = PreparedSet.open(folder)
    rows = [
        index_row(row, "ab"[row])
        | {
            "places": _places(prepared, row),
            "shard": 0,
            "native_px": 20.0 + row,
            "gender": "female",
            "group": None,
        }
        for row in range(2)
    ]
    write_index(folder / "index.parquet", rows)
    packed = PackedSet.open(pack_set(folder, tmp_path / "x.hfpack").paths[0])
    assert packed.native_px.tolist() == [20.0, 21.0]
    assert packed.labels["gender"].tolist() == ["female", "female"]
    assert packed.labels["group"].tolist() == [None, None]


def _places(prepared, row):
    from hififace.data.shards import Place

    return [
        Place(int(prepared.columns[f"{name}_offset"][row]), int(prepared.columns[f"{name}_size"][row]))
        for name in ("jpg", "mask", "npz", "json")
    ]


def test_workers_change_no_byte(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b", "a", None] * 2)
    one = pack_set(folder, tmp_path / "one.hfpack").paths[0]
    two = pack_set(folder, tmp_path / "two.hfpack", workers=2).paths[0]
    assert one.read_bytes() == two.read_bytes()


def test_parts_are_no_larger_than_asked_for(tmp_path):
    folder = make_set(tmp_path / "set", [None] * 24)
    report = pack_set(folder, tmp_path / "x.hfpack", PackOptions(part_mb=0.0062))
    assert len(report.paths) > 1
    assert all(
        path.stat().st_size == size <= 6200 for path, size in zip(report.paths, report.num_bytes, strict=True)
    )
    assert sorted(path.name for path in tmp_path.glob("*.hfpack*")) == [path.name for path in report.paths]
    with pytest.raises(DataError, match="do not even hold one person"):
        pack_set(folder, tmp_path / "y.hfpack", PackOptions(part_mb=0.001))
    assert not list(tmp_path.glob("y*"))


def test_nothing_is_written_over(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    (tmp_path / "x-000.hfpack").write_text("mine")
    with pytest.raises(DataError, match=r"x-000\.hfpack exists already"):
        pack_set(folder, tmp_path / "x.hfpack")
    assert (tmp_path / "x-000.hfpack").read_text() == "mine"


def test_a_damaged_photo_is_a_sentence_and_leaves_nothing(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    place = int(PreparedSet.open(folder).columns["jpg_offset"][0])
    data = bytearray((folder / "shard-00000.tar").read_bytes())
    data[place : place + 200] = b"\0" * 200
    (folder / "shard-00000.tar").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"00000000 of .* cannot be decoded"):
        pack_set(folder, tmp_path / "packs" / "x.hfpack")
    assert not list((tmp_path / "packs").iterdir())


def test_a_family_whose_masks_are_no_function_of_landmarks_is_refused(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    (folder / "set.json").write_text(
        make_card(["a", "b"], 1).model_copy(update={"family": "basel"}).model_dump_json()
    )
    with pytest.raises(DataError, match="would lose them"):
        pack_set(folder, tmp_path / "x.hfpack")


@pytest.mark.parametrize("options", [{"quality": 0}, {"landmark_numbers": 0}, {"same_db": 0}, {"part_mb": 0}])
def test_options_out_of_range_are_a_sentence(options):
    with pytest.raises(OptionError, match="expected"):
        PackOptions(**options)


def test_every_input_is_spread_evenly_and_nobody_is_cut_in_two():
    units = [("big", [row]) for row in range(60)] + [
        ("small", [60 + 3 * n + k for k in range(3)]) for n in range(4)
    ]
    shares = spread_units(units, np.full(72, 10), 4)
    assert sorted(np.concatenate(shares).tolist()) == list(range(72))
    for rows in shares:
        assert (rows < 60).sum() == 15
        small = rows[rows >= 60]
        assert len(small) == 3
        assert len({(row - 60) // 3 for row in small}) == 1


def test_landmarks_of_few_directions_are_kept_exactly():
    random = np.random.default_rng(0)
    mean, directions = random.uniform(0, 256, 90), random.normal(0, 1, (7, 90))
    flat = mean + random.normal(0, 5, (200, 7)) @ directions
    landmarks = flat.reshape(200, 30, 3).astype(np.float32)
    fitted = fit_landmarks(landmarks, 80)
    assert fitted["landmark_basis"].shape == (7, 90)
    rms, largest = landmark_error(landmarks, fitted)
    assert rms < 0.01
    assert largest < 0.03
    coarse = landmark_error(landmarks, fit_landmarks(landmarks, 6))
    assert coarse[0] > 0.1


def test_stored_side():
    assert stored_side(picture(40), 32.0, 44.0) == 96
    assert stored_side(picture(40), 100.0, 44.0) == 128  # never below what was measured
    assert stored_side(picture(256), 32.0, 44.0) == 256


def test_colour_is_kept_at_full_resolution():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = (200, 60, 60)
    stripes[:, 1::2] = (60, 60, 200)
    decoded = np.asarray(
        Image.open(io.BytesIO(encode_avif(Image.fromarray(stripes), 88))).convert("RGB"), int
    )
    assert np.abs(decoded - stripes).mean() < 8
