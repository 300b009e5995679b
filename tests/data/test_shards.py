import io
import pickle
import tarfile

import numpy as np
import pytest
from set_doubles import make_set, photo_members

from hififace.data.index import PreparedSet
from hififace.data.shards import (
    MEMBERS,
    ShardReader,
    TarWriter,
    iterate_members,
    pack_arrays,
    unpack_arrays,
)
from hififace.errors import DataError


def test_equal_photos_give_equal_bytes_and_tarfile_reads_them(tmp_path):
    for name in ("a.tar", "b.tar"):
        with TarWriter(tmp_path / name) as writer:
            for number in range(3):
                writer.add_photo(f"{number:08d}", photo_members(number, "x"))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()
        assert names == [f"{n:08d}.{ending}" for n in range(3) for ending in MEMBERS]
        assert archive.extractfile(names[4]).read() == photo_members(1, "x")["jpg"]
        assert {info.mtime for info in archive.getmembers()} == {0}


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    writer = TarWriter(tmp_path / "a.tar")
    writer.add("x.jpg", b"1")
    with pytest.raises(KeyError), writer:
        raise KeyError("stop")
    assert list(tmp_path.iterdir()) == []


def test_keys_that_webdataset_would_cut_are_refused(tmp_path):
    with TarWriter(tmp_path / "a.tar") as writer, pytest.raises(ValueError, match="dot"):
        writer.add_photo("a.b", photo_members(0, None))


def test_webdataset_streams_the_shards(tmp_path):
    wds = pytest.importorskip("webdataset")
    make_set(tmp_path / "set", ["a", "a", None])
    samples = list(wds.WebDataset(str(tmp_path / "set" / "shard-00000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{n:08d}" for n in range(3)]
    assert set(MEMBERS) <= set(samples[0])
    arrays = np.load(io.BytesIO(samples[1]["npz"]))
    assert arrays["coefficients"][0] == 1


def test_places_name_the_content(tmp_path):
    with TarWriter(tmp_path / "a.tar") as writer:
        place = writer.add("hello.txt", b"hello")
        writer.add("empty.txt", b"")
    data = (tmp_path / "a.tar").read_bytes()
    assert data[place.offset : place.offset + place.size] == b"hello"
    assert list(iterate_members(tmp_path / "a.tar")) == [("hello.txt", place), ("empty.txt", (1536, 0))]


def test_a_tar_cut_short_is_named(tmp_path):
    path = tmp_path / "a.tar"
    with TarWriter(path) as writer:
        writer.add("big.bin", b"x" * 5000)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"a\.tar is (cut short|not a readable)"):
        list(iterate_members(path))


def test_what_is_no_tar_is_named(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"not a tar at all" * 100)
    with pytest.raises(DataError, match="not a readable tar"):
        list(iterate_members(path))


def test_a_missing_shard_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"shard-00007\.tar cannot be opened"):
        ShardReader(tmp_path).read(7, 0, 10)


def test_a_reader_survives_pickling(tmp_path):
    prepared = PreparedSet.open(make_set(tmp_path / "set", ["a", "b"]))
    prepared.member(0, "json")
    again = pickle.loads(pickle.dumps(prepared.reader))
    place = int(prepared.columns["json_offset"][1]), int(prepared.columns["json_size"][1])
    assert again.read(0, *place) == prepared.member(1, "json")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 5), np.float32),
        np.float32(3.5).reshape(()),
        np.array([1, 2], np.uint64),
    ],
)
def test_arrays_come_back(array):
    packed = pack_arrays({"one": array, "two": array[..., None]})
    assert packed == pack_arrays({"one": array.copy(), "two": array[..., None]})
    back = unpack_arrays(packed)
    loaded = np.load(io.BytesIO(packed))
    assert list(back) == list(loaded.files) == ["one", "two"]
    for name in back:
        np.testing.assert_array_equal(back[name], loaded[name])
        assert back[name].dtype == loaded[name].dtype


def test_damaged_arrays_are_a_sentence():
    packed = pack_arrays({"one": np.arange(100.0)})
    with pytest.raises(DataError, match="damaged"):
        unpack_arrays(packed[:300])
