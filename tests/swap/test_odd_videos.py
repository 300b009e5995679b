"""Videos as they come: every odd property goes through a whole swap and comes out as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from hififace.faces.alignment import transform_points
from hififace.faces.detection import YuNetDetector
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.templates import find_template
from hififace.media.frames import Frame, FrameFacts
from hififace.media.probe import probe
from hififace.media.video import VideoReader
from hififace.media.video_colour import ColourFacts, from_rgb
from hififace.provenance.verify import check_file
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import SourceMap
from hififace.types import Face
from hififace.video.options import VideoOptions
from hififace.video.tracker import VideoFaces
from tests.support.face_videos import SIZE, face_video, head, put, room
from tests.support.interrupts import hear_interrupts
from tests.support.videos import (
    NTSC,
    Recipe,
    Sound,
    heard_clicks,
    latin_1_video,
    make_video,
    set_rotation,
    stamps_of,
)

COLOUR = ColourFacts(1, 1, 1, False, 1)
NUM = 8
QUICK = {"crf": "14", "preset": "ultrafast"}


def drawn(number, _seconds, size):
    """A head that moves, in an image of any size."""
    image = put(room(), head(), 130 + 4 * number, 120)
    return image if size == SIZE else np.ascontiguousarray(cv2.resize(image, size))


def lying(number, seconds, size):
    """What a phone's sensor sees that is held upright: the upright scene on its side."""
    return np.ascontiguousarray(np.rot90(drawn(number, seconds, size[::-1]), 1))


def recipe(**more):
    return Recipe(**{"seconds": NUM / 25, "size": SIZE, "draw": drawn, "options": QUICK, **more})


UNEVEN = [0, 3000, 7000, 9000, 15000, 16000, 30000, 33600]
ODD = {
    "ntsc.mp4": recipe(seconds=NUM / NTSC, rate=NTSC, time_base=Fraction(1, 30000), sounds=(Sound((0.1,)),)),
    "uneven.mp4": recipe(time_base=Fraction(1, 90000), stamps=UNEVEN, sounds=(Sound((0.1,)),)),
    "uneven.mkv": recipe(time_base=Fraction(1, 1000), stamps=[s // 90 for s in UNEVEN]),
    "deep.mp4": recipe(pixel_format="yuv420p10le"),
    "rich.mov": recipe(pixel_format="yuv422p", full_range=True, matrix=6, primaries=6, transfer=6),
    "odd.webm": recipe(
        size=(321, 241), codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}
    ),
    "two-sounds.mp4": recipe(sounds=(Sound((0.1,)), Sound((0.2,), language="deu"))),
    "silent-subtitled.mkv": recipe(subtitles="subrip", chapters=((0.0, 0.2, "one"), (0.2, 0.32, "two"))),
}


@pytest.mark.parametrize("name", ODD)
def test_only_the_faces_change(name, swapper, tmp_path):
    video = make_video(tmp_path / name, ODD[name])
    output = tmp_path / f"out-{name}"
    report = swapper.swap_video(video, output)
    assert report.tally.num_frames == NUM
    assert report.tally.num_changed >= NUM - 1
    before, after = probe(video), probe(output)
    for fact in ("width", "height", "pixel_format", "codec", "rate", "variable_rate", "colour"):
        assert getattr(after, fact) == getattr(before, fact), fact
    assert stamps_of(output) == stamps_of(video)
    kinds = ("audio", "subtitle")
    streams = [
        [(s.kind, s.codec, s.language) for kind in kinds for s in i.of_kind(kind)] for i in (before, after)
    ]
    assert streams[0] == streams[1]
    assert [c.title for c in after.chapters] == [c.title for c in before.chapters]
    for number, sound in enumerate(ODD[name].sounds):
        np.testing.assert_allclose(heard_clicks(output, number), sound.click_times_s, atol=0.001)
        assert sound_bytes(output, number) == sound_bytes(video, number)
    assert_far_from_faces_nothing_changed(video, output)


def sound_bytes(path, number):
    with av.open(str(path)) as video:
        return b"".join(bytes(packet) for packet in video.demux(audio=number) if packet.size)


def assert_far_from_faces_nothing_changed(video, output):
    for a, b in zip(VideoReader(video), VideoReader(output), strict=True):
        difference = np.abs(a.rgb().astype(int) - b.rgb())
        assert difference[:, :30].mean() < 3
        assert difference[:, -40:].mean() < 3


@pytest.mark.parametrize("clockwise", [90, 270])
def test_a_phone_held_upright_gives_an_upright_video_with_the_face_swapped(clockwise, swapper, tmp_path):
    def seen(number, seconds, size):
        image = lying(number, seconds, size)
        return image if clockwise == 90 else np.ascontiguousarray(np.rot90(image, 2))

    upright = (SIZE[1], SIZE[0])
    video = set_rotation(make_video(tmp_path / "phone.mp4", recipe(size=upright, draw=seen)), clockwise)
    report = swapper.swap_video(video, tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.rotation_deg) == (*SIZE, 0)
    assert report.tally.num_changed >= NUM - 1
    assert_far_from_faces_nothing_changed(video, tmp_path / "out.mp4")


def test_a_stretch_keeps_its_sound_to_the_millisecond(swapper, tmp_path):
    video = make_video(tmp_path / "video.mp4", recipe(seconds=0.8, sounds=(Sound((0.25, 0.55)),)))
    output = tmp_path / "out.mp4"
    report = swapper.swap_video(video, output, video_options=VideoOptions(start_s=0.2, end_s=0.6))
    assert report.tally.num_frames == 10
    np.testing.assert_allclose(heard_clicks(output), (0.05, 0.35), atol=0.001)
    assert [frame.time_s for frame in VideoReader(output)] == [Fraction(n, 25) for n in range(10)]


def test_a_broken_middle_is_survived_and_told(swapper, tmp_path):
    video = make_video(tmp_path / "video.mp4", recipe(seconds=1.0, gop_size=5))
    with av.open(str(video)) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(video=0) if p.size]
    data = bytearray(video.read_bytes())
    for at, size in packets[10:13]:
        data[at : at + size] = b"\xff" * size
    video.write_bytes(bytes(data))
    report = swapper.swap_video(video, tmp_path / "out.mp4")
    assert report.tally.num_frames >= 20
    assert any("damaged" in note for note in report.notes)
    assert report.tally.num_changed >= 15


def test_a_face_that_turns_and_one_that_leaves_the_picture(swapper, tmp_path):
    def draw(number):
        turned = put(room(), head(), 90, 120, turn_deg=-5.0 * number)
        return put(turned, head(mirrored=True), 220 + 8 * number, 120, scale=0.7)

    video = face_video(tmp_path / "video.mp4", draw, 16)
    report = swapper.swap_video(video, tmp_path / "out.mp4")
    turning, leaving = (report.tally.tracks[index] for index in (0, 1))
    assert turning.num_swapped == 16
    # At the tenth frame its middle is 20 px from the edge; nothing breaks, and it is one person to the end.
    assert leaving.num_swapped >= 10
    assert set(report.tally.tracks) == {0, 1}


def test_an_hdr_video_becomes_sdr_with_a_note_or_is_refused_if_asked(swapper, tmp_path):
    hdr = recipe(
        seconds=0.16, codec="libx265", pixel_format="yuv420p10le", matrix=9, primaries=9, transfer=16,
        options={"preset": "ultrafast", "x265-params": "log-level=error"},
    )  # fmt: skip
    video = make_video(tmp_path / "hdr.mp4", hdr)
    with pytest.raises(Exception, match="--no-tone-map"):
        swapper.swap_video(video, tmp_path / "out.mp4", video_options=VideoOptions(tone_map=False))
    assert [p.name for p in tmp_path.iterdir()] == ["hdr.mp4"]
    report = swapper.swap_video(video, tmp_path / "out.mp4")
    assert "HDR was converted to SDR (BT.709)." in report.notes
    assert probe(tmp_path / "out.mp4").hdr is None
    assert report.tally.num_frames == 4


def test_a_fast_face_is_followed_as_exactly_as_it_is_found_in_each_frame():
    """Up to half a face's size per frame, turning and growing; the truth is known from how it is drawn."""
    detector, landmarker = YuNetDetector(threads=1), FaceMeshLandmarker(threads=1)

    def matrix(number):
        phase = 2 * np.pi * number / 25
        drawn_by = cv2.getRotationMatrix2D((115, 115), 12 * np.sin(phase), 1.2 + 0.2 * np.sin(1.3 * phase))
        drawn_by[:, 2] += (480 - 115 + 150 * np.sin(phase), 270 - 115 + 30 * np.cos(phase))
        return drawn_by

    def frame(number):
        grain = np.random.default_rng(number).normal(0, 4, (540, 960, 1))
        picture = cv2.warpAffine(
            head(), matrix(number), (960, 540), flags=cv2.INTER_CUBIC, borderValue=(90, 90, 90)
        )
        raw = from_rgb(np.clip(picture + grain, 0, 255).astype(np.uint8), "yuv420p", COLOUR)
        facts = FrameFacts(COLOUR, 0)
        return Frame(raw, facts, index=number, pts=number, time_base=Fraction(1, 25), duration=1)

    def located(image):
        (found,) = detector.detect(image)
        return landmarker.locate(image, found).points

    def off(points, number):
        true = transform_points(matrix(number), shape)
        eyes = np.linalg.norm(true[33] - true[263])
        return float(np.linalg.norm(points[:, :2] - true, axis=1).mean() / eyes)

    still, settled = frame(0).rgb(), located(frame(0).rgb())
    for _ in range(3):
        settled = landmarker.follow(still, [settled])[0].points
    shape = transform_points(cv2.invertAffineTransform(matrix(0)), settled[:, :2])
    faces = VideoFaces(
        find_faces=lambda image: [Face(i, found) for i, found in enumerate(detector.detect(image))],
        embed=lambda image, face: (np.eye(1, 128, dtype=np.float32)[0], 24.0),
        landmarker=landmarker,
        template=find_template("mini_128"),
        options=SwapOptions(),
        video_options=VideoOptions(smooth=False),
        source_map=SourceMap(),
    )
    errors = []
    for number in range(14):
        (one,) = faces.take(frame(number)).faces
        assert not one.bridged
        assert one.face.index == 0
        errors.append(off(one.face.landmarks.points, number))
    found = [off(located(frame(number).rgb()), number) for number in range(1, 14, 3)]
    assert np.mean(errors) < np.mean(found) + 0.002
    assert np.max(errors) < 0.015


CHILD = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from hififace.swapper import FaceSwapper
from tests.support.face_videos import head
from tests.swap.test_odd_videos import STOPPABLE
swapper = FaceSwapper.load(Path({bundle!r}), threads=1)
swapper.set_source(head())
swapper.swap_video({video!r}, {output!r}, video_options=STOPPABLE)
"""
STOPPABLE = VideoOptions(segment_frames=4)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_says_what_is_safe_and_the_same_call_goes_on(swapper, mesh_bundle, tmp_path):
    video = make_video(tmp_path / "video.mp4", recipe(seconds=2.0))
    output = tmp_path / "out.mp4"
    root = str(Path(__file__).parents[2])
    code = CHILD.format(root=root, bundle=str(mesh_bundle), video=str(video), output=str(output))
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".*.unfinished/segment-*.hfseg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=120)
    assert child.returncode != 0
    assert "The same command resumes there" in told
    assert not output.exists()
    assert not list(tmp_path.glob(".*.unfinished/.*.part*"))
    report = swapper.swap_video(video, output, video_options=STOPPABLE)
    assert report.num_resumed >= 4
    assert report.tally.num_frames == 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "video.mp4"]


WEIGH = """
import resource, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from hififace.swapper import FaceSwapper
from tests.support.face_videos import head
from tests.swap.test_odd_videos import SHORT_SEGMENTS
swapper = FaceSwapper.load(Path({bundle!r}), threads=1)
swapper.set_source(head())
report = swapper.swap_video({video!r}, {output!r}, video_options=SHORT_SEGMENTS)
assert report.tally.num_changed > 50
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
SHORT_SEGMENTS = VideoOptions(segment_frames=20)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="peak memory is asked the POSIX way")
def test_a_video_ten_times_as_long_needs_no_more_memory(mesh_bundle, tmp_path):
    peaks = []
    for num_frames in (60, 600):
        video = face_video(
            tmp_path / f"{num_frames}.mp4",
            lambda n: put(room(), head(), 130 + 40 * np.sin(n / 9), 120),
            num_frames,
        )
        code = WEIGH.format(
            root=str(Path(__file__).parents[2]),
            bundle=str(mesh_bundle),
            video=str(video),
            output=str(tmp_path / f"out-{num_frames}.mp4"),
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10))
    # A frame is 0.2 MiB as RGB and the state of a segment as much: 540 frames or 27 states kept would show.
    assert peaks[1] - peaks[0] < 5.0


def test_a_video_whose_tags_are_no_text_is_swapped_and_marked(swapper, tmp_path):
    output = tmp_path / "out.mkv"
    recipe = Recipe(seconds=0.2, size=SIZE, draw=drawn)
    swapper.swap_video(latin_1_video(tmp_path / "video.mkv", recipe), output)
    assert probe(output).metadata["title"].endswith(" au lait")
    assert check_file(output).claim is not None
