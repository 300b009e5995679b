from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hififace.errors import DataError, OptionError
from hififace.evaluation.photos import Photo, PhotoSet
from hififace.evaluation.protocol import build_protocol
from hififace.faces.shape import load_shape_basis, rotation_matrix
from tests.support.evaluation_doubles import description

FRONTAL = 60 * load_shape_basis().mean + np.array([100.0, 100.0, 0.0])


def photo(key: str, identity: str | None = None) -> Photo:
    return Photo(key, identity, Path("shard.tar"), 0, 1, f"hash-{key}")


@pytest.fixture(scope="module")
def photos():
    people = [photo(f"{n:02d}_{i}", str(n)) for n in range(15) for i in range(2 + n % 3)]
    return PhotoSet(tuple(people), tuple(photo(f"p{n}") for n in range(40)))


@pytest.fixture(scope="module")
def known(photos):
    return {p.sha256: description(FRONTAL) for p in photos.all()}


def test_it_is_the_same_every_time(photos, known):
    first, second = build_protocol("open", photos, known), build_protocol("open", photos, known)
    assert first == second
    assert first.sha256 == second.sha256
    # A literal, made by printing it: whoever changes the choice of pairs makes older reports incomparable.
    assert first.sha256[:12] == "5304337ff2db"


def test_sources_and_targets_come_equally_often(photos, known):
    protocol = build_protocol("open", photos, known, num_pairs=120)
    swaps = protocol.parts["swap"]
    assert len(swaps) == 120
    assert set(Counter(pair.source.key for pair in swaps).values()) == {8}
    assert set(Counter(pair.target.key for pair in swaps).values()) == {3}
    assert all(protocol.gallery[pair.person] is pair.source for pair in swaps)
    # A prefix is fair too: the first 15 pairs show 15 people.
    assert len({pair.source.key for pair in protocol.first(15).parts["swap"]}) == 15


def test_pairs_of_one_person_are_two_photos_of_one(photos, known):
    protocol = build_protocol("open", photos, known, num_pairs=30)
    pairs = protocol.parts["same_person"]
    assert all(p.source.identity == p.target.identity and p.source is not p.target for p in pairs)
    assert len({(p.source.key, p.target.key) for p in pairs}) == 30
    assert max(Counter(p.source.identity for p in pairs).values()) == 2


def test_the_other_gallery_shows_the_same_people_in_other_photos(photos, known):
    protocol = build_protocol("open", photos, known)
    for first, second in zip(protocol.gallery, protocol.other_gallery, strict=True):
        assert first.identity == second.identity
        assert first.key != second.key
    assert len(protocol.gallery) == 15


def test_reconstruction_takes_each_portrait_once(photos, known):
    pairs = build_protocol("open", photos, known).parts["reconstruction"]
    assert sorted(pair.source.key for pair in pairs) == sorted(p.key for p in photos.portraits)
    assert all(pair.source is pair.target for pair in pairs)


def test_unusable_photos_are_left_out_and_named(photos, known):
    turned = FRONTAL @ rotation_matrix(np.radians([0.0, 70.0, 0.0])).T
    changed = known | {
        "hash-p0": None,
        "hash-p1": description(FRONTAL, size_px=30.0),
        "hash-00_0": description(turned),
    }
    protocol = build_protocol("open", photos, changed)
    assert protocol.left_out == {
        "p0": "no face was found in its middle",
        "p1": "its face is 30 px large",
        "00_0": "its face is turned away by 70 degrees",
    }
    assert len(protocol.gallery) == 14  # the first person has one photo left
    assert not {"p0", "p1"} & {pair.target.key for pair in protocol.parts["swap"]}


def test_a_prefix_is_named_by_its_own_hash(photos, known):
    protocol = build_protocol("open", photos, known)
    assert protocol.first(None) is protocol
    assert protocol.only([]) is protocol
    assert list(protocol.only(["reconstruction", "swap"]).parts) == ["reconstruction", "swap"]
    assert protocol.only(["swap"]).parts["swap"] == protocol.parts["swap"]
    with pytest.raises(
        OptionError, match="has no part 'dim'; choose among swap, same_person, reconstruction"
    ):
        protocol.only(["dim"])
    assert protocol.first(10).sha256 != protocol.sha256
    assert protocol.first(10).parts["swap"] == protocol.parts["swap"][:10]


def test_the_hash_goes_by_the_photos_content(photos, known):
    other = replace(photos, portraits=(*photos.portraits[:-1], replace(photos.portraits[-1], sha256="else")))
    changed = known | {"else": description(FRONTAL)}
    assert build_protocol("open", other, changed).sha256 != build_protocol("open", photos, known).sha256


def test_too_little_is_refused(photos, known):
    with pytest.raises(DataError, match="needs two people and a portrait"):
        build_protocol("open", PhotoSet(photos.people[:2], photos.portraits), known)
    with pytest.raises(OptionError, match="no protocol 'closed'"):
        build_protocol("closed", photos, known)
