from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from hififace.errors import OptionError
from hififace.video.options import VideoOptions


def test_a_preview_ends_early_but_never_late():
    assert VideoOptions().last_s is None
    assert VideoOptions(preview_s=10).last_s == 10
    assert VideoOptions(start_s=5, preview_s=10).last_s == 15
    assert VideoOptions(start_s=5, end_s=8, preview_s=10).last_s == 8
    assert VideoOptions(end_s=8).last_s == 8


def test_what_decides_the_result_is_all_but_where_the_work_lies():
    plain = VideoOptions().decisive()
    assert VideoOptions(work_folder=Path("elsewhere")).decisive() == plain
    for other in (VideoOptions(crf=20), VideoOptions(fps=Fraction(24)), VideoOptions(smooth=False)):
        assert other.decisive() != plain


@pytest.mark.parametrize(
    "wrong",
    [
        {"preview_s": 0},
        {"fps": Fraction(-1)},
        {"crf": float("nan")},
        {"detect_every": 0},
        {"segment_frames": 10},
    ],
)
def test_options_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        VideoOptions(**wrong)
