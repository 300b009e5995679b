from __future__ import annotations

from hififace.app.drop_zone import DropZone, Filled
from hififace.app.examples import SOURCES, TARGETS, VIDEOS, example_thumbnail, find_example

ZONE = DropZone("z", "Add photos", "image/*", 50.0, many=True, camera=True, examples=SOURCES)


def test_an_empty_box_offers_every_way_and_the_examples():
    html = ZONE.value()
    for way in ("choose", "camera", "paste"):
        assert f'data-do="{way}"' in html
    assert html.count('data-do="example"') == len(SOURCES)
    assert "multiple hidden" in html
    assert 'data-most="50"' in html


def test_a_filled_box_names_its_file_and_can_be_emptied():
    html = ZONE.value(Filled("a<b.png", "10 x 10"))
    assert "a&lt;b.png" in html
    assert 'data-do="clear"' in html
    assert "data-name" not in html


def test_refusals_are_sentences_in_the_box():
    assert "data-bad>No &lt;face&gt;" in ZONE.value(problems=["No <face>"])


def test_examples_are_there_small_and_known_by_name():
    for example in (*SOURCES, *TARGETS, *VIDEOS):
        assert find_example(example.name) is example
        assert 500 < len(example_thumbnail(example.name)) < 20_000
    assert find_example("../../etc/passwd") is None


def test_the_same_file_again_draws_the_box_anew_and_so_ends_its_waiting():
    filled = Filled("a.png", "10 x 10")
    assert ZONE.value(filled) != ZONE.value(filled)
    assert ZONE.value(problems=["No face."]) != ZONE.value(problems=["No face."])
