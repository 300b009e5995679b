import numpy as np
import pytest

from hififace.data.slots import Slots, SlotSampler
from hififace.errors import DataError

CODES = np.array([0, 0, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1], np.int32)
NATIVE = np.array([60, 60, 60, 60, 60, 100, 100, 100, 240, 240, 240, 240], np.float32)


@pytest.fixture
def sampler():
    return SlotSampler(CODES, NATIVE, sharp_px=200, clear_px=90, seed=7)


def test_every_slot_holds_what_its_place_promises(sampler):
    slots = Slots(16)
    table = sampler.table(0, 200, slots)
    n, sharp, own = slots.half, slots.sharp, slots.self_pairs
    assert (NATIVE[table.target[:, :sharp]] == 240).all()
    assert (NATIVE[table.target[:, sharp:n]] == 100).all()
    assert (NATIVE[table.target[:, n : n + sharp]] == 240).all()
    assert (NATIVE[table.target[:, n + sharp : own.stop]] == 100).all()
    assert (table.source[:, own] == table.target[:, own]).all()
    two, one = table.target[:, own.stop :], table.source[:, own.stop :]
    assert (CODES[two] == CODES[one]).all()
    assert (CODES[two] >= 0).all()
    assert (two != one).all()


def test_two_people_are_two_people(sampler):
    slots = Slots(16)
    table = sampler.table(0, 400, slots)
    source, target = table.source[:, : slots.half], table.target[:, : slots.half]
    assert (source != target).all()
    known = CODES[target] >= 0
    assert (CODES[source][known] != CODES[target][known]).all()
    assert (table.stranger != table.target[:, list(slots.strangers)]).all()
    assert set(np.unique(source)) == set(range(len(CODES)))  # all photos serve as sources


def test_a_step_is_a_function_of_seed_and_number(sampler):
    slots = Slots(8)
    whole, late = sampler.table(0, 10, slots).packed(), sampler.table(6, 4, slots).packed()
    np.testing.assert_array_equal(whole[6:], late)
    other = SlotSampler(CODES, NATIVE, sharp_px=200, clear_px=90, seed=8).table(0, 10, slots).packed()
    assert (other != whole).any()


def test_the_strangers_are_two_of_three_self_pairs():
    slots = Slots(64)
    assert len(slots.strangers) == 16
    assert all(slots.self_pairs.start <= slot < slots.self_pairs.stop for slot in slots.strangers)


@pytest.mark.parametrize(("sharp", "clear", "found"), [(300, 90, "sharp"), (240, 150, "clear")])
def test_a_set_without_photos_of_a_kind_is_refused(sharp, clear, found):
    with pytest.raises(DataError, match=found):
        SlotSampler(CODES, NATIVE, sharp_px=sharp, clear_px=clear, seed=0)


def test_a_set_without_second_photos_is_refused():
    with pytest.raises(DataError, match="two photos"):
        SlotSampler(np.full(12, -1, np.int32), NATIVE, sharp_px=200, clear_px=90, seed=0)


def test_favoured_photos_are_sources_of_their_share_and_others_stay_where_they_were(sampler):
    favoured = SlotSampler(
        CODES, NATIVE, sharp_px=200, clear_px=90, seed=7, favoured=np.array([2, 3]), favoured_share=0.75
    )
    slots = Slots(16)
    before, table = sampler.table(0, 500, slots), favoured.table(0, 500, slots)
    n = slots.half
    chosen = np.isin(table.source[:, :n], [2, 3])
    assert 0.72 < chosen.mean() < 0.85  # three of four, and by chance
    assert (table.source[:, :n][~chosen] == before.source[:, :n][~chosen]).all()
    assert (table.target == before.target).all()
    assert (table.source[:, n:] == before.source[:, n:]).all()
    known = CODES[table.target[:, :n]] >= 0
    assert (CODES[table.source[:, :n]][known] != CODES[table.target[:, :n]][known]).all()


def test_a_favoured_photo_is_never_put_onto_its_own_person():
    native = np.where(np.arange(12) < 5, 240.0, NATIVE).astype(np.float32)
    everything = SlotSampler(
        CODES, native, sharp_px=200, clear_px=90, seed=7, favoured=np.array([2, 3]), favoured_share=1.0
    )
    slots = Slots(16)
    table = everything.table(0, 300, slots)
    source, target = table.source[:, : slots.half], table.target[:, : slots.half]
    own = CODES[target] == CODES[2]
    assert own.any()
    assert np.isin(source[~own], [2, 3]).all()
    assert (CODES[source[own]] != CODES[2]).all()
