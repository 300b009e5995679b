"""What was decided about a group of frames counts a fixed number of groups later, also after an interruption."""

from __future__ import annotations

import json

from hififace.video.options import FRAMES_PER_GROUP
from hififace.video.resting import BEHIND_GROUPS, RestOrders

LATER = BEHIND_GROUPS * FRAMES_PER_GROUP


def test_decisions_count_later_and_being_swapped_once_in_a_group_counts():
    orders = RestOrders()
    orders.note(0, 0, {3: (50.0, True), 4: (60.0, False)})
    orders.note(0, 1, {3: (52.0, False), 4: (61.0, False)})
    assert orders.due(0, LATER) == {3: (52.0, True), 4: (61.0, False)}
    assert orders.due(0, LATER - FRAMES_PER_GROUP) == orders.due(0, LATER + FRAMES_PER_GROUP) == {}


def test_nothing_of_an_earlier_shot_counts():
    orders = RestOrders()
    orders.note(0, 0, {3: (50.0, False)})
    assert orders.due(1, LATER) == {}


def test_what_counts_no_more_is_forgotten_and_the_rest_is_kept_over_an_interruption():
    orders = RestOrders()
    for frame in range(0, 10 * FRAMES_PER_GROUP):
        orders.note(0, frame, {0: (float(frame), False)})
    gone_on = RestOrders()
    gone_on.restore(json.loads(json.dumps(orders.state())))
    assert len(orders.state()) == BEHIND_GROUPS
    following = 10 * FRAMES_PER_GROUP
    for frame in range(following, following + LATER, FRAMES_PER_GROUP):
        assert gone_on.due(0, frame) == orders.due(0, frame) != {}
