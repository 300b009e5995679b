"""Whole videos through a swapper whose generator tints faces green: slow parts are shared between tests."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from hififace.errors import (
    FaceError,
    InterruptedByUserError,
    NoFaceFoundError,
    OptionError,
    ProvenanceError,
    VideoError,
)
from hififace.faces import appearance
from hififace.media.containers import comment_of
from hififace.media.image import read_image
from hififace.media.probe import probe
from hififace.media.video import VideoReader
from hififace.provenance.claim import claim_in_text
from hififace.swap.image import claim_of
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.source_map import SourceMap
from hififace.swapper import FaceSwapper
from hififace.video import selection
from hififace.video.job import work_folder
from hififace.video.options import VideoOptions
from hififace.video.pasting import paste_into
from tests.support.bundle_doubles import AS_GENERATED, write_mesh_bundle
from tests.support.face_videos import SIZE, face_video, head, put, room
from tests.support.videos import Recipe, heard_clicks, make_video

SHORT = VideoOptions(segment_frames=8)


def walk(number: int) -> np.ndarray:
    """Nobody, then a face that crosses the room, then nobody."""
    return put(room(), head(), 100 + 5 * number, 120) if 3 <= number < 17 else room()


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return face_video(tmp_path_factory.mktemp("video") / "video.mp4", walk, 20, sound=True)


@pytest.fixture(scope="module")
def whole(video, swapper, tmp_path_factory):
    """The uninterrupted run: its result, report, and what was told on the way."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    told = []
    report = swapper.swap_video(video, output, AS_GENERATED, video_options=SHORT, progress=told.append)
    return output, report, told


def changed_share(before: Path, after: Path) -> list[float]:
    """For each frame the share of pixels that differ clearly."""
    pairs = zip(VideoReader(before), VideoReader(after), strict=True)
    return [float((np.abs(a.rgb().astype(int) - b.rgb()).max(axis=2) > 40).mean()) for a, b in pairs]


def test_the_face_is_swapped_where_it_is_and_nothing_else(video, whole):
    output, report, _ = whole
    share = changed_share(video, output)
    assert all(s == 0 for s in share[:3] + share[17:])
    # A new face may be found one frame late, where the video is looked at in every second frame.
    assert all(s > 0.005 for s in share[4:17])
    frames = list(VideoReader(output))
    middle = frames[10].rgb().astype(int)
    # The doubles' generator mixes in a colour of its own; away from the face the room is the room.
    assert np.abs(middle[:, :60] - room()[:, :60]).mean() < 3
    assert report.tally.num_frames == 20


def test_sound_stays_and_time_stamps_too(video, whole):
    output, _, _ = whole
    np.testing.assert_allclose(heard_clicks(output), heard_clicks(video), atol=0.001)
    assert [f.pts for f in VideoReader(output)] == [f.pts for f in VideoReader(video)]


def test_the_result_is_marked(whole, swapper):
    output, _, _ = whole
    claim = claim_in_text(probe(output).metadata.get("comment", ""))
    assert claim is not None
    assert claim.model == swapper.bundle.name


def test_the_report_tells_who_was_there_and_where_the_time_went(whole):
    _, report, _ = whole
    told = report.to_json()
    assert told["num_frames"] == 20
    assert 6 <= told["num_frames_without_faces"] <= 7
    assert [t["index"] for t in told["tracks"]] == [0]
    (track,) = told["tracks"]
    assert track["num_swapped"] == track["num_frames"] == told["num_frames_changed"] >= 13
    assert 0.12 <= track["first_s"] <= 0.16
    assert track["last_s"] >= 0.64
    assert set(told["busy_s"]) == {"decode", "follow", "generate", "paste", "encode", "join"}
    assert told["num_frames_resumed"] == 0


def test_progress_is_told_after_each_frame(whole):
    _, _, told = whole
    assert [p.done for p in told] == list(range(1, 21))
    assert {p.expected for p in told} == {20}
    assert told[-1].left_s == 0


def test_nothing_is_left_beside_the_result(whole):
    output, _, _ = whole
    assert [p.name for p in output.parent.iterdir()] == ["out.mp4"]


def test_stopped_and_gone_on_it_is_byte_for_byte_the_same(video, whole, swapper, tmp_path):
    output = tmp_path / "out.mp4"
    count = iter(range(1000))
    with pytest.raises(InterruptedByUserError, match="same command"):
        swapper.swap_video(
            video, output, AS_GENERATED, video_options=SHORT, should_stop=lambda: next(count) >= 13
        )
    assert not output.exists()
    neighbour = tmp_path / ".out.123-456.part.mp4"
    neighbour.write_bytes(b"of another program, at work on the same name")
    (work,) = tmp_path.glob(".out.mp4.*.unfinished")
    (work / "signed.mp4").write_bytes(b"left by a run that was killed while it signed")
    report = swapper.swap_video(video, output, AS_GENERATED, video_options=SHORT)
    assert report.num_resumed == 8
    assert report.tally == whole[1].tally
    assert frames_of(output) == frames_of(whole[0])
    assert nothing_written(tmp_path, "out.mp4", neighbour.name)


def test_what_is_known_of_identities_goes_on_as_well(video, tmp_path):
    """Measured on every eighth frame, followed over time: the state has to be that of the frame, not of its group."""
    swapper = FaceSwapper.load(write_mesh_bundle(tmp_path / "bundle", refined=True).folder, threads=1)
    swapper.set_source(head())
    parts = VideoOptions(segment_frames=12)
    whole, output, plain = tmp_path / "whole.mp4", tmp_path / "out.mp4", tmp_path / "plain.mp4"
    swapper.swap_video(video, whole, AS_GENERATED, video_options=parts)
    count = iter(range(1000))
    with pytest.raises(InterruptedByUserError):
        swapper.swap_video(
            video, output, AS_GENERATED, video_options=parts, should_stop=lambda: next(count) >= 14
        )
    assert swapper.swap_video(video, output, AS_GENERATED, video_options=parts).num_resumed == 12
    assert frames_of(output) == frames_of(whole)
    swapper.swap_video(video, plain, replace(AS_GENERATED, refine=False), video_options=parts)
    assert frames_of(plain) != frames_of(whole)


def frames_of(path: Path) -> list[bytes]:
    return [frame.rgb().tobytes() for frame in VideoReader(path)]


CHILD = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from hififace.swapper import FaceSwapper
from tests.support.bundle_doubles import AS_GENERATED
from tests.support.face_videos import head
from tests.video.test_job import SHORT
swapper = FaceSwapper.load(Path({bundle!r}), threads=1)
swapper.set_source(head())
swapper.swap_video({video!r}, {output!r}, AS_GENERATED, video_options=SHORT)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_killed_by_the_system_the_same_command_goes_on(video, whole, swapper, mesh_bundle, tmp_path):
    output = tmp_path / "out.mp4"
    root = str(Path(__file__).parents[2])
    code = CHILD.format(root=root, bundle=str(mesh_bundle), video=str(video), output=str(output))
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while (
        not list(tmp_path.glob(".*.unfinished/segment-*.hfseg"))
        and child.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not output.exists()
    report = swapper.swap_video(video, output, AS_GENERATED, video_options=SHORT)
    assert report.num_resumed >= 8
    assert frames_of(output) == frames_of(whole[0])


def test_only_the_same_question_finds_unfinished_work(swapper, video, tmp_path):
    def folder(options=None, video_options=SHORT, source_map=None, output="out.mp4", consent=None):
        return work_folder(
            swapper.engine,
            video,
            tmp_path / output,
            options or SwapOptions(),
            video_options,
            OutputOptions(consent_confirmed=consent),
            source_map or swapper.source_map,
        )

    assert folder() == folder()
    assert folder().parent == tmp_path
    others = {
        folder(SwapOptions(shape_rate=0.5)),
        folder(SwapOptions(select=np.zeros((4, 4, 3), np.uint8))),
        folder(video_options=replace(SHORT, crf=30)),
        folder(source_map=SourceMap(by_index={1: swapper.source_map.default})),
        folder(output="other.mp4"),
        folder(consent=True),
        folder(),
    }
    assert len(others) == 7
    assert folder(video_options=replace(SHORT, work_folder=tmp_path / "w")).parent == tmp_path / "w"


def test_work_begun_in_another_precision_is_not_taken_up(swapper, video, tmp_path):
    def folder(measured):
        engine, chosen = copy.copy(swapper.engine), copy.copy(swapper.engine)
        chosen.precision = measured
        engine._others = {"auto": chosen}
        options = SwapOptions(), SHORT, OutputOptions(), swapper.source_map
        return work_folder(engine, video, tmp_path / "out.mp4", *options)

    assert folder("int8") == folder("int8") != folder("float32")


def test_a_preview_at_another_rate_is_short_and_even(video, swapper, tmp_path):
    options = replace(SHORT, preview_s=0.3, fps=Fraction(10))
    report = swapper.swap_video(video, tmp_path / "out.mp4", video_options=options)
    assert report.tally.num_frames == 3
    assert [f.time_s for f in VideoReader(tmp_path / "out.mp4")] == [Fraction(k, 10) for k in range(3)]


def test_the_report_says_which_encoder_in_hardware_was_taken_or_why_none(video, swapper, tmp_path):
    options = replace(SHORT, preview_s=0.3, encoder="auto")
    report = swapper.swap_video(video, tmp_path / "out.mp4", video_options=options)
    assert any("hardware" in note for note in report.notes)


def test_blas_has_one_thread_while_a_video_is_swapped_and_its_own_again_after_it(video, swapper, tmp_path):
    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    found: list[set[int]] = []
    with threadpool_limits(2, user_api="blas"):
        options = replace(SHORT, preview_s=0.2)
        swapper.swap_video(
            video, tmp_path / "out.mp4", video_options=options, progress=lambda _: found.append(threads())
        )
        after = threads()
    assert len(found) > 1
    assert all(one == {1} for one in found)
    assert after == {min(2, os.cpu_count() or 1)}


def nothing_written(folder: Path, *kept: str) -> bool:
    return {path.name for path in folder.iterdir()} == set(kept)


def test_a_video_in_which_nobody_was_swapped_is_an_error_not_a_marked_copy(swapper, tmp_path):
    plain = face_video(tmp_path / "plain.mp4", lambda number: room(90 + number), 6)
    with pytest.raises(NoFaceFoundError, match=r"No face was found in .*plain\.mp4; nothing was written"):
        swapper.swap_video(plain, tmp_path / "out.mp4", video_options=SHORT)
    assert nothing_written(tmp_path, "plain.mp4")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Somebody sharp, and somebody out of focus but for frames 6 and 7."""
    portrait = read_image(Path(__file__).parents[1] / "portraits" / "024_smiling.jpg").pixels
    other = cv2.resize(portrait[100:1250, 100:1250], (230, 230), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(other, (0, 0), 7)

    def draw(number: int) -> np.ndarray:
        behind = other if number in {6, 7} else blurred
        return put(put(room(), head(), 80, 120, 0.6), behind, 235, 120, 0.6)

    return face_video(tmp_path_factory.mktemp("two") / "two.mp4", draw, 20)


def test_a_bystander_of_most_frames_is_left_alone_in_all_of_them_and_told_about(two, swapper, tmp_path):
    output = tmp_path / "out.mp4"
    report = swapper.swap_video(two, output, AS_GENERATED, SHORT)
    main, bystander = report.to_json()["tracks"]
    assert (main["num_swapped"], bystander["num_swapped"]) == (20, 0)
    assert bystander["reason"].startswith("it is blurred, and another face is sharp")
    for before, after in zip(VideoReader(two), VideoReader(output), strict=True):
        assert np.abs(before.rgb().astype(int) - after.rgb())[:, 180:].mean() < 2
    whole = frames_of(output)
    for stop in (9, 18):
        again = tmp_path / f"again-{stop}.mp4"
        counted = iter([False] * stop + [True])
        with pytest.raises(InterruptedByUserError):
            swapper.swap_video(two, again, AS_GENERATED, SHORT, should_stop=counted.__next__)
        swapper.swap_video(two, again, AS_GENERATED, SHORT)
        assert frames_of(again) == whole
    everyone = swapper.swap_video(two, output, AS_GENERATED, SHORT, select="all")
    assert [track.num_swapped for track in everyone.tally.tracks.values()] == [20, 20]


def test_a_video_of_what_is_no_human_face_says_so(two, swapper, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "SURE_SCORE", 2.0)
    monkeypatch.setattr(selection, "HUMAN", 99.0)
    monkeypatch.setattr(appearance, "BLURRED", 2.0)
    with pytest.raises(FaceError, match=r"face 0: it does not look like a human face.*; face 1: it does not"):
        swapper.swap_video(two, tmp_path / "out.mp4", AS_GENERATED, SHORT)


def test_a_number_that_no_face_ever_had_is_an_error(swapper, video, tmp_path):
    everyone = SourceMap(swapper.source_map.default, by_index={7: swapper.source_map.default})
    for options, source_map in ((AS_GENERATED, everyone), (replace(AS_GENERATED, select=(7,)), None)):
        with pytest.raises(FaceError, match="has no face 7: it shows 1"):
            swapper.swap_video(video, tmp_path / "out.mp4", options, SHORT, sources=source_map)
        assert nothing_written(tmp_path)


def test_a_result_can_be_swapped_again_and_says_so_once(swapper, whole, tmp_path):
    output, _, _ = whole
    again = tmp_path / "again.mp4"
    swapper.swap_video(output, again, AS_GENERATED, video_options=SHORT)
    comment = comment_of(again)
    assert comment.count("hififace-claim:") == 1
    assert claim_in_text(comment) == claim_of(swapper.engine, OutputOptions()).model_copy(
        update={"made_at": claim_in_text(comment).made_at}
    )


def test_a_strangers_comment_with_our_label_stays_and_is_not_taken_for_ours(swapper, tmp_path):
    said = 'mine hififace-claim:{"model":"theirs"} and hififace-claim:{"model": oops'
    recipe = Recipe(seconds=0.24, size=SIZE, draw=lambda n, _s, _z: walk(n + 3), metadata={"comment": said})
    swapper.swap_video(make_video(tmp_path / "a.mp4", recipe), tmp_path / "out.mp4", AS_GENERATED)
    comment = comment_of(tmp_path / "out.mp4")
    assert claim_in_text(comment).model == swapper.bundle.name
    assert "oops" in comment


def test_the_target_is_not_overwritten(swapper, video):
    before = video.read_bytes()
    with pytest.raises(OptionError, match="would be overwritten"):
        swapper.swap_video(video, video, AS_GENERATED)
    assert video.read_bytes() == before


def test_a_container_that_drops_the_mark_is_told_before_the_first_frame(
    swapper, video, tmp_path, monkeypatch
):
    monkeypatch.setattr("hififace.provenance.verify.comment_of", lambda path: "")
    told = []
    with pytest.raises(ProvenanceError, match=r"A \.mp4 video does not keep the mark"):
        swapper.swap_video(video, tmp_path / "out.mp4", AS_GENERATED, progress=told.append)
    assert told == []
    assert nothing_written(tmp_path)


def test_a_long_name_is_swapped_and_neighbours_temporary_files_stay(swapper, video, tmp_path):
    output = tmp_path / ("n" * 250 + ".mp4")
    other = tmp_path / ("." + "n" * 250 + ".1-2.part.mp4")[:255]
    other.write_bytes(b"of somebody else")
    report = swapper.swap_video(video, output, AS_GENERATED, replace(SHORT, preview_s=0.3))
    assert report.tally.num_changed > 0
    assert nothing_written(tmp_path, output.name, other.name)


def test_what_cannot_be_is_refused_before_anything_runs(swapper, video, tmp_path):
    with pytest.raises(OptionError, match="No source was given"):
        swapper.swap_video(video, tmp_path / "out.mp4", sources=SourceMap())
    with pytest.raises(OptionError, match="side by side"):
        swapper.swap_video(video, tmp_path / "out.mp4", output_options=OutputOptions(compare=True))
    with pytest.raises(OptionError, match="does not end like a video"):
        swapper.swap_video(video, tmp_path / "out.jpg")
    with pytest.raises(VideoError, match="does not exist"):
        swapper.swap_video(tmp_path / "none.mp4", tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_a_stage_arrives_and_keeps_what_is_safe(swapper, video, tmp_path, monkeypatch):
    calls = iter(range(1000))

    def failing(*arguments, **more):
        if next(calls) == 8:
            raise MemoryError("out of memory")
        return paste_into(*arguments, **more)

    monkeypatch.setattr("hififace.video.job.paste_into", failing)
    with pytest.raises(MemoryError):
        swapper.swap_video(video, tmp_path / "out.mp4", video_options=SHORT)
    assert len(list(tmp_path.glob(".*.unfinished/segment-*.hfseg"))) == 1


def test_the_same_swap_twice_at_once_is_refused_and_the_first_goes_on(swapper, video, whole, tmp_path):
    output, refused = tmp_path / "out.mp4", []

    def once_more(_progress):
        if not refused:
            with pytest.raises(VideoError, match="another run of the same swap") as caught:
                swapper.swap_video(video, output, AS_GENERATED, video_options=SHORT)
            refused.append(caught.value)

    swapper.swap_video(video, output, AS_GENERATED, video_options=SHORT, progress=once_more)
    assert len(refused) == 1
    assert frames_of(output) == frames_of(whole[0])
    assert nothing_written(tmp_path, "out.mp4")


def test_a_damaged_video_is_swapped_as_far_as_it_goes_and_the_report_says_where(swapper, tmp_path):
    whole_video = face_video(tmp_path / "whole.mkv", lambda number: walk(number + 3), 14, rate=5)
    data = whole_video.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    report = swapper.swap_video(cut, tmp_path / "out.mkv", AS_GENERATED, video_options=SHORT)
    assert 0 < report.tally.num_frames < 14
    assert any("cut short" in note for note in report.notes)
