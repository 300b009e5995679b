from __future__ import annotations

import pytest

from hififace.errors import DataError
from hififace.evaluation.photos import read_photo_set
from tests.support.evaluation_doubles import portrait, write_validation_shards


def test_photos_are_read_by_their_place(tmp_path):
    photos = read_photo_set(write_validation_shards(tmp_path))
    assert [(p.key, p.identity) for p in photos.people] == [
        ("00_00", "a"),
        ("00_01", "a"),
        ("01_00", "b"),
        ("01_01", "b"),
    ]
    assert [(p.key, p.identity) for p in photos.portraits] == [("p0", None), ("p1", None), ("p2", None)]
    difference = photos.people[0].pixels().astype(int) - portrait()
    assert abs(difference).mean() < 3  # of JPEG alone
    assert len({p.sha256 for p in photos.all()}) == 7


def test_a_folder_without_shards_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"No shard identities-val-\*\.tar"):
        read_photo_set(tmp_path)


def test_a_photo_of_nobody_is_refused(tmp_path):
    write_validation_shards(tmp_path)
    (tmp_path / "identities-val-000.tar").write_bytes((tmp_path / "photos-val-000.tar").read_bytes())
    with pytest.raises(DataError, match="does not say who it shows"):
        read_photo_set(tmp_path)


def test_a_shard_that_has_changed_is_noticed(tmp_path):
    photo = read_photo_set(write_validation_shards(tmp_path)).portraits[-1]
    photo.shard.write_bytes(photo.shard.read_bytes()[: photo.offset + 10])
    with pytest.raises(DataError, match="ends in the middle"):
        photo.data()
