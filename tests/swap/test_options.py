from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from hififace.errors import OptionError
from hififace.swap.options import OutputOptions, SwapOptions, parse_selection, with_changes
from hififace.video.options import VideoOptions

PHOTO = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape_rate", 1.01),
        ("shape_rate", float("nan")),
        ("id_rate", -0.1),
        ("passes", 0),
        ("passes", 1.5),
        ("mask_erosion", -1),
        ("mask_feather_px", -1.0),
        ("detail", 2.0),
        ("detection_threshold", 1.0),
        ("same_person", 1.5),
        ("largest_turn_deg", 181.0),
        ("batch_size", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float):
    with pytest.raises(OptionError, match=name):
        SwapOptions(**{name: value})


@pytest.mark.parametrize(
    "value", ["", [], [-1], [True], ["x"], "biggest", "Largest", 1.5, np.zeros((4, 4, 3)), None]
)
def test_a_selection_that_means_nothing_is_refused(value: object):
    with pytest.raises(OptionError, match="select is"):
        SwapOptions(select=value)  # type: ignore[arg-type]


def test_selections_become_one_of_four_kinds():
    assert SwapOptions(select="largest").select == "largest"
    assert SwapOptions(select=[2, 0]).indices == (2, 0)
    assert SwapOptions(select=1).indices == (1,)  # type: ignore[arg-type]
    assert SwapOptions(select="anna.jpg").reference == Path("anna.jpg")
    assert SwapOptions(select="people/anna").reference == Path("people/anna")
    assert SwapOptions(select=PHOTO).reference is PHOTO
    assert SwapOptions().indices is None
    assert SwapOptions().reference is None


def test_typed_selections():
    assert parse_selection("all") == "all"
    assert parse_selection("0, 2") == (0, 2)
    assert parse_selection("anna.jpg") == Path("anna.jpg")


def test_options_do_not_change_and_copies_are_checked():
    options = SwapOptions()
    with pytest.raises(FrozenInstanceError):
        options.passes = 3  # type: ignore[misc]
    assert replace(options, passes=3).passes == 3
    with pytest.raises(OptionError, match="passes"):
        replace(options, passes=0)


@pytest.mark.parametrize(
    ("confirmed", "statement"), [(None, "yes"), (False, "yes"), (True, ""), (True, "x" * 1001)]
)
def test_a_statement_is_kept_only_where_it_was_confirmed(confirmed: bool | None, statement: str):
    assert OutputOptions(consent_confirmed=True, consent_statement="They agreed.").consent_statement
    with pytest.raises(OptionError, match="consent_statement"):
        OutputOptions(consent_confirmed=confirmed, consent_statement=statement)


def test_equal_options_are_equal_and_share_a_hash():
    assert SwapOptions() == SwapOptions()
    assert SwapOptions(select=PHOTO) == SwapOptions(select=PHOTO.copy())
    assert SwapOptions(select=PHOTO) != SwapOptions(select=PHOTO + 1)
    assert SwapOptions(select=PHOTO) != SwapOptions()
    assert SwapOptions(passes=2) != SwapOptions()
    assert SwapOptions() != "all"
    same = {
        SwapOptions(),
        SwapOptions(select="main"),
        SwapOptions(select=PHOTO),
        SwapOptions(select=PHOTO.copy()),
    }
    assert len(same) == 2


def test_changes_by_name_go_to_the_options_that_have_them():
    swap, video = with_changes({"passes": 2, "crf": 20}, SwapOptions(), VideoOptions(smooth=False))
    assert (swap, video) == (SwapOptions(passes=2), VideoOptions(smooth=False, crf=20))
    with pytest.raises(OptionError, match=r"no option 'crf'\."):
        with_changes({"crf": 20}, SwapOptions())
    with pytest.raises(OptionError, match="passes is 0"):
        with_changes({"passes": 0}, SwapOptions())
