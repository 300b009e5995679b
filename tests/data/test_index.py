import json

import numpy as np
import pytest
from set_doubles import make_card, make_set

from hififace.data.index import PreparedSet
from hififace.errors import DataError


def test_a_set_opens_and_its_members_are_found(tmp_path):
    prepared = PreparedSet.open(make_set(tmp_path / "set", ["b", None, "a", "b", None, "b"]))
    assert len(prepared) == 6
    assert prepared.card.num_shards == 2
    for row in range(6):
        assert json.loads(prepared.member(row, "json"))["key"] == f"{row:08d}"
    np.testing.assert_array_equal(prepared.identity_codes, [1, -1, 0, 1, -1, 1])
    np.testing.assert_array_equal(prepared.pose_deg[:, 1], np.arange(6))


def test_a_span_holds_every_member(tmp_path):
    prepared = PreparedSet.open(make_set(tmp_path / "set", ["a"] * 5))
    shard, stretch, places = prepared.span(4)
    data = prepared.reader.read(shard, *stretch)
    assert data[places[0].offset : places[0].offset + places[0].size] == prepared.member(4, "jpg")
    assert data[places[2].offset : places[2].offset + places[2].size] == prepared.member(4, "npz")


def test_coefficient_slices():
    card = make_card(["a"], 1)
    assert card.coefficient_size == 12
    assert card.coefficient_slice("pose") == slice(5, 8)
    with pytest.raises(KeyError, match="texture"):
        card.coefficient_slice("texture")


def test_a_set_made_before_parts_were_noted_still_opens(tmp_path):
    folder = make_set(tmp_path / "set", ["a", "b"])
    fields = json.loads((folder / "set.json").read_text())
    del fields["parts"]
    (folder / "set.json").write_text(json.dumps(fields))
    assert PreparedSet.open(folder).card.parts == {}


def test_a_set_made_before_the_real_resolution_was_measured_still_opens(tmp_path):
    import pyarrow.parquet as parquet

    folder = make_set(tmp_path / "set", ["a", "b"])
    table = parquet.read_table(folder / "index.parquet").drop(["native_px", "gender", "group"])
    parquet.write_table(table, folder / "index.parquet")
    prepared = PreparedSet.open(folder)
    assert np.isnan(prepared.native_px).all()
    assert prepared.native_px.shape == (2,)
    assert list(prepared.columns["gender"]) == list(prepared.columns["group"]) == [None, None]


def _drop(folder, name):
    (folder / name).unlink()


def _change(folder, **fields):
    path = folder / "set.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _truncate(folder):
    path = folder / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: _drop(f, "set.json"), r"holds no set\.json.*run the same command again"),
        (lambda f: _drop(f, "index.parquet"), r"holds no index\.parquet"),
        (lambda f: _drop(f, "shard-00000.tar"), r"shard-00000\.tar is missing"),
        (_truncate, r"shard-00001\.tar is cut short"),
        (lambda f: _change(f, schema_version=99), "layout 99"),
        (lambda f: _change(f, num_photos=7), "7 photos.*lists 6"),
        (lambda f: _change(f, colour="blue"), "damaged"),
        (lambda f: (f / "set.json").write_text("{"), "damaged"),
        (lambda f: (f / "index.parquet").write_bytes(b"zz"), "cannot be read"),
    ],
)
def test_every_damage_is_a_sentence(tmp_path, damage, sentence):
    folder = make_set(tmp_path / "set", ["a", "b", "a", "b", "a", "b"])
    damage(folder)
    with pytest.raises(DataError, match=sentence):
        PreparedSet.open(folder)


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        PreparedSet.open(tmp_path / "nowhere")
