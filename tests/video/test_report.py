from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from hififace.swap.source_map import Source
from hififace.types import Detection, Face
from hififace.video.report import VideoProgress, VideoReport, VideoTally

ME = Source("me", {}, np.zeros(4, np.float32))


def frame_with(time_s, *faces, is_cut=False):
    """Faces as (index, size, bridged, source)."""
    steady = [
        SimpleNamespace(
            face=Face(i, Detection(np.float32([0, 0, size, size]), 0.9, np.zeros((5, 2), np.float32))),
            bridged=b,
        )
        for i, size, b, _ in faces
    ]
    return SimpleNamespace(
        frame=SimpleNamespace(time_s=time_s),
        faces=steady,
        sources=[s for *_, s in faces],
        reasons=["" if s else "it was not selected" for *_, s in faces],
        is_cut=is_cut,
    )


def counted():
    tally = VideoTally()
    tally.add(frame_with(0.0), set(), {})
    tally.add(frame_with(0.04, (0, 50, False, ME), (1, 80, False, None)), {0}, {})
    tally.add(frame_with(0.08, (0, 70, True, ME), is_cut=True), {0}, {})
    # Chosen, but turned too far away: not generated.
    tally.add(frame_with(0.12, (0, 60, False, ME)), set(), {0: "it is turned away by 80 degrees"})
    return tally


def test_frames_and_tracks_are_counted():
    tally = counted()
    assert (tally.num_frames, tally.num_without_faces, tally.num_changed, tally.num_cuts) == (4, 1, 2, 1)
    first, second = tally.tracks[0], tally.tracks[1]
    assert (first.num_frames, first.num_swapped, first.num_bridged, first.source) == (3, 2, 1, "me")
    assert (first.first_s, first.last_s, first.mean_size_px) == (0.04, 0.12, 60.0)
    assert (second.num_frames, second.num_swapped, second.source) == (1, 0, None)
    assert [track.reason for track in (first, second)] == [
        "it is turned away by 80 degrees",
        "it was not selected",
    ]


def test_reasons_are_told_of_faces_that_were_never_swapped():
    tally = counted()
    assert tally.reasons(most=3) == ["face 1: it was not selected"]
    for index in (2, 3):
        tally.add(frame_with(0.16, (index, 50, False, None)), set(), {})
    assert tally.reasons(most=2) == [
        "face 1: it was not selected",
        "face 2: it was not selected",
        "and 1 more",
    ]


def test_a_tally_goes_through_json_and_counts_on():
    tally = counted()
    again = VideoTally.restored(json.loads(json.dumps(tally.state())))
    assert again == tally
    for one in (tally, again):
        one.add(frame_with(0.16, (0, 60, False, ME)), {0}, {})
    assert again == tally


def test_progress_knows_what_is_left_where_it_can():
    assert VideoProgress(25, 100, 5.0, {}).left_s == 15.0
    assert VideoProgress(25, None, 5.0, {}).left_s is None
    assert VideoProgress(0, 100, 0.0, {}).left_s is None


def test_the_report_counts_only_this_runs_frames_as_speed():
    report = VideoReport(Path("a.mp4"), Path("b.mp4"), counted(), "mini", "cpu", 2.0, 2, {"swap": 1.23456})
    assert report.fps == 1.0
    told = json.loads(json.dumps(report.to_json()))
    assert told["busy_s"] == {"swap": 1.235}
    assert [t["index"] for t in told["tracks"]] == [0, 1]
    assert told["tracks"][1]["reason"] == "it was not selected"
