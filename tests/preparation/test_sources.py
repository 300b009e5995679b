import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from preparation_doubles import make_image, png, save

from hififace.data.shards import TarWriter
from hififace.errors import DataError, OptionError
from hififace.preparation.landmark_list import LandmarkList, arrange
from hififace.preparation.sources import BLOCK_SIZE, iterate_blocks, open_inputs

PICTURE = png(make_image(size=16))


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PICTURE)


def refs(inputs, **options):
    return [photo for block in iterate_blocks(open_inputs(inputs, **options)) for photo in block.photos]


def found(inputs, **options):
    return [(photo.source, photo.identity) for photo in refs(inputs, **options)]


def test_one_folder_per_person(tmp_path):
    for name in ("n2/1.jpg", "n2/0.PNG", "n1/0.jpg", "n1/notes.txt", "n1/.hidden.jpg"):
        touch(tmp_path / "vgg" / name)
    assert found([tmp_path / "vgg"]) == [
        ("vgg/n1/0.jpg", "vgg/n1"),
        ("vgg/n2/0.PNG", "vgg/n2"),
        ("vgg/n2/1.jpg", "vgg/n2"),
    ]
    assert open_inputs([tmp_path / "vgg"])[0].count() == 3


def test_a_flat_folder_has_no_people(tmp_path):
    for name in ("b.jpg", "a.jpg"):
        touch(tmp_path / "flat" / name)
    assert found([tmp_path / "flat"]) == [("flat/a.jpg", None), ("flat/b.jpg", None)]


@pytest.mark.parametrize("names", [("a.jpg", "n1/b.jpg", "n2/b.jpg"), ("images/a.jpg", "images/b.jpg")])
def test_an_ambiguous_folder_asks(tmp_path, names):
    for name in names:
        touch(tmp_path / "x" / name)
    with pytest.raises(OptionError, match="--layout people or --layout flat"):
        found([tmp_path / "x"])
    assert {identity for _, identity in found([tmp_path / "x"], layout="flat")} == {None}
    assert None not in {i for s, i in found([tmp_path / "x"], layout="people") if s.count("/") > 1}


def test_shards_of_one_data_set_share_their_people_and_others_do_not(tmp_path):
    for name in ("a/ids-000.tar", "a/ids-001.tar", "b/ids-000.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with TarWriter(tmp_path / name) as writer:
            writer.add("k.jpg", PICTURE)
            writer.add("k.json", json.dumps({"identity": 5, "age": 30}).encode())
    photos = refs([tmp_path / "a", tmp_path / "b"])
    assert [photo.identity for photo in photos] == ["ids/5", "ids/5", "ids#2/5"]
    assert photos[0].age == 30
    assert photos[2].read() == PICTURE


def test_a_plain_tar_of_folders_names_people_by_folder(tmp_path):
    with TarWriter(tmp_path / "photos.tar") as writer:
        writer.add("n1/a.jpg", PICTURE)
        writer.add("n2/a.jpg", PICTURE)
    assert [identity for _, identity in found([tmp_path / "photos.tar"])] == ["photos/n1", "photos/n2"]


def make_archive(path, names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(PICTURE)
            archive.addfile(info, io.BytesIO(PICTURE))


LINE = "30 40 70 41 50 60 35 80 66 81"


def test_the_archive_with_its_landmark_list(tmp_path):
    make_archive(
        tmp_path / "celebrity.tar.gz", ["celebrity/7/b.jpg", "celebrity/7/a.jpg", "celebrity/9/x.jpg"]
    )
    (tmp_path / "lmk.txt").write_text(f"7/a.jpg 12 {LINE}\n7/b.jpg 12 {LINE}\n")
    photos = refs([tmp_path / "celebrity.tar.gz", tmp_path / "lmk.txt"])
    # In the order of the archive; the image that the list does not name is left out.
    assert [photo.source for photo in photos] == [
        "celebrity.tar.gz/celebrity/7/b.jpg",
        "celebrity.tar.gz/celebrity/7/a.jpg",
    ]
    assert photos[0].identity == "celebrity/12"
    assert photos[0].points == tuple(float(v) for v in LINE.split())
    assert photos[1].read() == PICTURE


def test_an_archive_without_a_list_names_people_by_folder(tmp_path):
    make_archive(tmp_path / "x.tgz", ["n1/a.jpg", "n2/a.jpg"])
    assert [identity for _, identity in found([tmp_path / "x.tgz"])] == ["x/n1", "x/n2"]


def test_a_damaged_archive_is_a_sentence(tmp_path):
    make_archive(tmp_path / "x.tar.gz", [f"n/{n}.jpg" for n in range(50)])
    data = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"x\.tar\.gz is damaged or cut short"):
        found([tmp_path / "x.tar.gz"])
    (tmp_path / "y.tar.gz").write_bytes(gzip.compress(b"no tar"))
    with pytest.raises(DataError, match="damaged"):
        found([tmp_path / "y.tar.gz"])


@pytest.mark.parametrize("text", ["7/a.jpg 12 1 2 3\n", "a b c d e f g h i j k l\n", "\n"])
def test_a_wrong_landmark_list_is_a_sentence(tmp_path, text):
    (tmp_path / "lmk.txt").write_text(text)
    with pytest.raises(DataError, match=r"landmark list|Line 1"):
        LandmarkList.read(tmp_path / "lmk.txt")


def test_both_orders_of_the_ten_numbers_are_understood():
    pairs = np.array([[float(v) for v in LINE.split()]] * 3, np.float32)
    planes = pairs.reshape(3, 5, 2).transpose(0, 2, 1).reshape(3, 10)
    np.testing.assert_array_equal(arrange(pairs), arrange(planes))
    np.testing.assert_array_equal(arrange(pairs)[0, 1], [70, 41])


def test_blocks_are_fixed_stretches_and_keys_are_numbers(tmp_path):
    for number in range(BLOCK_SIZE + 3):
        touch(tmp_path / "flat" / f"{number:04d}.jpg")
    touch(tmp_path / "other" / "a.jpg")
    blocks = list(iterate_blocks(open_inputs([tmp_path / "flat", tmp_path / "other"])))
    assert [len(block.photos) for block in blocks] == [BLOCK_SIZE, 4]
    assert blocks[1].key(3) == f"{BLOCK_SIZE + 3:08d}"
    assert blocks[1].photos[3].source == "other/a.jpg"
    assert blocks[0].fingerprint() != blocks[1].fingerprint()


def test_wrong_inputs_are_sentences(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_inputs([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        open_inputs([tmp_path / "empty"])
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(OptionError, match="neither a folder nor an archive"):
        open_inputs([tmp_path / "a.zip"])
    with pytest.raises(OptionError, match="No photographs were given"):
        open_inputs([])
    save(tmp_path / "flat" / "a.png", make_image())
    with pytest.raises(DataError, match="cannot be read"):
        open_inputs([tmp_path / "flat", tmp_path / "missing.txt"])
