"""Who is meant in a video: by the frames of a track together, never by one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hififace.swap.bystanders import NOT_HUMAN
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import ReferencePerson, Source, SourceMap
from hififace.types import Detection, Face
from hififace.video.selection import MOST_VIEWS, UNSEEN, ShotViews, TrackSelection, TrackViews, View

ME = Source("me", {}, np.eye(1, 4, dtype=np.float32)[0])
CLEAR = View(
    0.0, size_px=100.0, blur=0.5, turn_deg=5.0, disagreement=0.03, mesh_score=1.0, score=0.93, strength=24.0
)
DOG = replace(CLEAR, mesh_score=0.5, score=0.75, strength=12.0)


def track(*views, step_s=0.08):
    """The views of one track, one after the other."""
    found = TrackViews()
    for number, view in enumerate(views):
        found.add(replace(view, time_s=number * step_s))
    return found


def faces(*sizes, identity=None, bridged=()):
    return [
        SimpleNamespace(
            face=Face(
                i, Detection(np.array([0, 0, size, size], np.float32), 0.9, np.zeros((5, 2), np.float32))
            ),
            bridged=i in bridged,
            identity=identity,
        )
        for i, size in enumerate(sizes)
    ]


def decided(views, options=None, source_map=None, steady=None, **more):
    selection = TrackSelection(options or SwapOptions(), source_map or SourceMap(default=ME), **more)
    steady = steady or faces(*(one.appearance.size_px for one in views))
    sources, reasons = selection.decide(steady, dict(enumerate(views)), 0.0)
    assert [source is None for source in sources] == [bool(reason) for reason in reasons]
    return reasons


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ({"size_px": 30.0}, "it is small: 30 px beside 100 px"),
        ({"blur": 0.9}, "it is blurred"),
        ({"turn_deg": 80.0}, "it is seen from the side"),
        ({"mesh_score": 0.3}, "it is not seen clearly"),
        ({"disagreement": 0.3}, "it is not seen clearly"),
    ],
)
def test_the_rules_of_images_hold_for_most_views_of_a_track_and_not_for_few(shown, why):
    poor, clear = replace(CLEAR, **shown), track(*[CLEAR] * 7)
    assert decided([clear, track(*[poor] * 5, CLEAR, CLEAR)])[1].startswith(why)
    assert decided([clear, track(*[CLEAR] * 5, poor, poor)]) == ("", "")
    assert decided([clear, track(*[poor] * 7)], SwapOptions(select="all")) == ("", "")
    assert decided([clear, track(*[poor] * 7)], SwapOptions(select=[1])) == ("it was not selected", "")
    # Alone it is the main face.
    assert decided([track(*[poor] * 7)]) == ("",)


@pytest.mark.parametrize("select", ["main", "all", "largest"])
def test_what_is_no_human_face_in_most_views_is_left_alone(select):
    options = SwapOptions(select=select)
    assert decided([track(DOG, CLEAR, DOG, DOG, CLEAR)], options) == (NOT_HUMAN,)
    assert decided([track(CLEAR, DOG, CLEAR)], options) == ("",)
    # A weak detection is still a person where mesh and recogniser say so, and where it is only out of focus.
    assert decided([track(*[replace(CLEAR, score=0.7)] * 3)], options) == ("",)
    assert decided([track(*[replace(DOG, blur=0.9)] * 3)], options) == ("",)
    assert decided([track(DOG)], SwapOptions(select=[0])) == ("",)


def test_the_largest_face_is_the_largest_human_one_and_stays_it_for_a_second():
    selection = TrackSelection(SwapOptions(select="largest"), SourceMap(default=ME))
    views = {0: track(DOG), 1: track(CLEAR), 2: track(CLEAR)}

    def chosen(time_s, *sizes, bridged=()):
        sources, _ = selection.decide(faces(*sizes, bridged=bridged), views, time_s)
        return [index for index, source in enumerate(sources) if source]

    assert chosen(0.0, 200, 80, 70) == [1]
    assert chosen(0.5, 200, 80, 90) == [1]
    assert chosen(1.4, 200, 80, 90, bridged=(1,)) == [1]
    assert chosen(1.6, 200, 80, 90, bridged=(1,)) == [2]


def test_who_was_meant_once_stays_so_until_the_next_cut():
    selection = TrackSelection(SwapOptions(), SourceMap(default=ME))
    near, far = track(*[CLEAR] * 7), track(*[replace(CLEAR, size_px=20.0)] * 7)
    steady = faces(100, 60)
    assert selection.decide(steady, {0: near, 1: near}, 0.0)[1] == ("", "")
    again = TrackSelection(SwapOptions(), SourceMap(default=ME))
    again.restore(json.loads(json.dumps(selection.state())))
    for one in (selection, again):
        assert one.decide(steady, {0: near, 1: far}, 0.0)[1] == ("", "")
        one.cut()
        assert one.decide(steady, {0: near, 1: far}, 0.0)[1][1].startswith("it is small")


def test_a_track_that_the_detector_never_saw_is_left_alone_unless_it_is_chosen():
    selection = TrackSelection(SwapOptions(select="all"), SourceMap(default=ME))
    assert selection.decide(faces(80), {}, 0.0)[1] == (UNSEEN,)
    assert decided([], SwapOptions(select=[0]), steady=faces(80)) == ("",)


def test_people_of_the_map_are_swapped_however_they_are_shown():
    anna = np.eye(1, 4, 1, dtype=np.float32)[0]
    known = SourceMap(people=(ReferencePerson("anna", anna, ME),))
    assert decided([track(DOG)], source_map=known, steady=faces(80, identity=anna)) == ("",)
    told = decided([track(CLEAR)], source_map=known, steady=faces(80, identity=ME.identity))
    assert told == ("no source was given for this person",)


def test_a_reference_photo_selects_nobody_who_is_no_person():
    anna = np.eye(1, 4, 1, dtype=np.float32)[0]
    steady, options = faces(80, identity=anna), SwapOptions(select=np.zeros((8, 8, 3), np.uint8))
    assert decided([track(CLEAR)], options, steady=steady, reference=anna) == ("",)
    assert decided([track(DOG)], options, steady=steady, reference=anna) == (NOT_HUMAN,)
    assert decided([track(CLEAR)], options, steady=steady, reference=ME.identity) == ("it was not selected",)


def test_the_limit_of_size_is_said():
    told = decided([track(CLEAR)], SwapOptions(smallest_face_px=150.0))
    assert told == ("it is 100 px large, below the limit of 150 px",)


def test_what_comes_near_is_judged_by_the_last_views():
    far, near = replace(CLEAR, size_px=20.0), replace(CLEAR, size_px=90.0)
    assert track(*[far] * 50, *[near] * 9).appearance.size_px == 90.0
    assert track(far, far, near, step_s=5.0).appearance.size_px == 20.0  # three at least, however old


def test_a_long_track_keeps_views_of_all_its_length_and_no_more_than_a_bound():
    dog_first = track(*[DOG] * 300, *[CLEAR] * 200)
    assert not dog_first.is_human
    assert track(*[DOG] * 200, *[CLEAR] * 300).is_human
    assert len(dog_first.state()["all"]["views"]) <= MOST_VIEWS


def test_views_go_through_json_and_old_shots_are_forgotten():
    views = ShotViews()
    views._tracks = {(0, 0): track(DOG), (1, 0): track(*[CLEAR] * 3)}
    again = ShotViews()
    again.restore(json.loads(json.dumps(views.state())))
    assert again.state() == views.state()
    again.forget_before(1)
    assert again.of(0) == {}
    assert again.of(1)[0].appearance == views.of(1)[0].appearance
