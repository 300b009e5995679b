from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hififace.app.handlers import Kept
from hififace.app.video_jobs import Standing
from hififace.app.words import (
    card_html,
    counted_from_1,
    figures,
    for_visitors,
    history_html,
    listed,
    progress_html,
    sentence,
    video_figures,
)
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.hosting.bundles import Bundles, Offer
from hififace.video.report import TrackReport, VideoProgress, VideoReport, VideoTally

NASTY = "<script>|[x](y)`*.png"


def report(**changes: object) -> VideoReport:
    tracks = {
        0: TrackReport(0, 0.0, 2.0, NASTY, "it is turned away", 50, 48),
        1: TrackReport(1, 0.0, 1.0, None, "it is small", 25, 0),
    }
    tally = VideoTally(num_frames=50, tracks=tracks)
    values = {"seconds": 5.0, "num_resumed": 0, "busy_s": {"follow": 2.0, "swap": 4.25}, **changes}
    return VideoReport(Path("a.mp4"), Path("b.mp4"), tally, "double", "CPU", **values)  # type: ignore[arg-type]


class Texts(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_figures_say_what_became_of_each_face_and_where_the_time_went():
    faces = [
        {
            "index": 0,
            "swapped": True,
            "reason": None,
            "source": NASTY,
            "similarity_source": 0.5,
            "similarity_target": 0,
            "warning": "the generated face looks like neither of the two",
        },
        {
            "index": 1,
            "swapped": False,
            "reason": "it was not selected",
            "source": None,
            "similarity_source": None,
        }
        | {"similarity_target": None, "warning": None},
    ]
    times = {"detect": 3.4, "paint": 61.0, "total": 70.2}
    notes = {"notes": ["its 16 bits per channel became 8"], "source_notes": [f"the eyes in {NASTY} are shut"]}
    told = Texts(figures({"faces": faces, "timings_ms": times, **notes}))
    assert "script" not in told.tags
    for text in (
        f"Face 1 became {NASTY}",
        "0.50",
        "0.00",
        "Face 2 left unchanged: it was not selected",
        "61 ms",
        "70 ms",
    ):
        assert text in told.texts
    line = Texts(sentence({"faces": faces, "timings_ms": times, "num_swapped": 1, **notes}))
    assert line.texts == [
        "1 of 2 faces swapped in 0.07 s.",
        "Face 1: the generated face looks like neither of the two.",
        f"The eyes in {NASTY} are shut.",
        "Its 16 bits per channel became 8.",
    ]


def test_the_bars_have_the_length_of_the_cosine_and_a_mark_where_people_differ():
    face = {
        "index": 0,
        "swapped": True,
        "source": "me.png",
        "similarity_source": 0.61,
        "similarity_target": -0.2,
    }
    html = figures({"faces": [face], "timings_ms": {"total": 1.0}})
    assert re.findall(r"<i style=\"width:(\d+)%", html) == ["61", "0"]
    assert html.count(f"left:{round(100 * SAME_PERSON_COSINE)}%") == 2


def test_faces_in_sentences_of_the_library_count_from_1():
    told = "a.png shows 2 faces, none of which was swapped (face 0: it is small; face 11: it is turned away)."
    assert counted_from_1(told) == (
        "a.png shows 2 faces, none of which was swapped (face 1: it is small; face 12: it is turned away)."
    )
    assert counted_from_1("The surface 3 and faces 0") == "The surface 3 and faces 0"


def test_a_card_is_words_and_bars_not_a_dictionary():
    offer = next(iter(Bundles().offers.values()))
    html = card_html(offer)
    told = Texts(html)
    assert {"mini", "Trained on", "Licence"} <= set(told.texts)
    assert "{" not in "".join(told.texts)
    same = offer.bundle.metrics["swap"]["dlib_same"]
    assert re.search(rf"width:{same:.0f}%", html)
    broken = Texts(card_html(Offer("<torn>", "torn", None, "It was <altered>.")))
    assert "script" not in broken.tags
    assert "<torn>" in broken.texts


def test_the_history_offers_each_file_and_all_of_them():
    assert history_html([]) == ""
    one = Kept(Path("/v/a b.png"), "data:image/jpeg;base64,AA")
    assert "data-do" not in history_html([one])
    html = history_html([one, Kept(Path("/v/c.mp4"), "")], packed="x.zip")
    assert re.findall(r'href="([^"]+)"', html) == [
        "gradio_api/file=/v/a%20b.png",
        "gradio_api/file=/v/c.mp4",
        "x.zip",
    ]
    assert 'data-do="all"' in html


def test_figures_of_a_video():
    told = Texts(
        video_figures(
            report(num_resumed=7, notes=("A note <b>.",), source_notes=("the eyes are shut",)).to_json()
        )
    )
    assert not told.tags & {"script", "b"}
    for text in (
        f"became {NASTY}; in some frames left as it is: it is turned away",
        "left as it is: it is small",
        "48 of 50",
        "0.0 to 2.0 s",
        "4.2 s",
        "5.0 s",
    ):
        assert text in told.texts
    assert told.texts[-3:] == ["7 frames were there from before.", "The eyes are shut.", "A note <b>."]


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing("waiting", before=2), "The video waits: 2 before it."),
        (Standing("waiting"), "The video waits: the next one."),
        (Standing("working"), "Swapping the video ..."),
        (Standing("working", stopping=True), "Cancelling the video ..."),
        (
            Standing("working", progress=VideoProgress(30, 120, 12.0, {})),
            "25%, 30 of 120 frames, 12.0 frames per second, 0:08",
        ),
        (
            Standing("working", progress=VideoProgress(30, None, 12.0, {})),
            "30 frames, 12.0 frames per second",
        ),
        (Standing("done", report=report()), "The video is done: 50 frames in 0:05."),
        (Standing("cancelled", problem="Cancelled after 5 frames."), "Cancelled after 5 frames."),
        (Standing("failed", problem=f"{NASTY} is broken."), f"{NASTY} is broken."),
    ],
)
def test_every_standing_is_said(standing: Standing, words: str):
    told = Texts(progress_html(standing, is_preview=False))
    assert words in " ".join(told.texts)
    assert "script" not in told.tags


def test_the_bar_is_one_that_screen_readers_know():
    bar = progress_html(Standing("working", progress=VideoProgress(90, 120, 2.0, {})), is_preview=True)
    assert re.search(r'role="progressbar".*aria-valuenow="75"', bar)
    assert "width:75%" in bar
    assert "0:15 left" in bar
    long = Standing("working", progress=VideoProgress(1, 7201, 1.0, {}))
    assert "2:00:00 left" in progress_html(long, is_preview=True)


def test_sentences_are_shown_as_they_are_and_nothing_of_a_name_is_html():
    told = Texts(listed(["Face 1 becomes my_photo.jpg.", f"Face 2 becomes {NASTY}"]))
    assert told.texts == ["Face 1 becomes my_photo.jpg.", f"Face 2 becomes {NASTY}"]
    assert told.tags == {"p"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "a.txt is not an image that can be read here. JPEG and BMP are, and HEIC with `pip install '.[heic]'`.",
            "a.txt is not an image that can be read here. JPEG and BMP are.",
        ),
        (
            "HEIC cannot be written here. Run `pip install '.[heic]'` or choose .jpg.",
            "HEIC cannot be written here.",
        ),
        ("It is not installed. Run: pip install '.[app]'", "It is not installed."),
        ("`pip install '.[cpu]'` adds it, or '.[gpu]' for CUDA.", "This page cannot do that."),
        ("face 0 is too small, and face 1 too.", "face 1 is too small, and face 2 too."),
    ],
)
def test_nobody_is_told_to_install_something(said: str, told: str):
    assert for_visitors(said) == told
