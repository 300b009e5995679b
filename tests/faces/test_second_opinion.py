"""Dogs are no people, and people are."""

from __future__ import annotations

import pytest

from hififace.faces.second_opinion import looks_human

# Detector, mesh, length of the embedding, as measured.
ANIMALS = {
    "bull mastiff": (0.776, 0.925, 11.7),
    "bull mastiff, half as large": (0.799, 0.666, 14.6),
    "dalmatian": (0.714, 0.491, 19.6),
    "dalmatian, mirrored": (0.743, 0.006, 10.6),
    "cheetah": (0.454, 0.020, 11.9),
    "a figure with a face of bark, half as large": (0.64, 0.96, 15.0),
    "the same, doubled": (0.66, 0.92, 13.9),
}
PEOPLE = {
    "portrait": (0.934, 1.0, 24.2),
    "the weakest of 155 portraits": (0.907, 0.999, 17.1),
    "the weakest of 155 portraits at 28 px": (0.779, 1.0, 16.2),
    "52 px, out of the middle of a photo": (0.81, 1.0, 13.0),
    "a hand before the face": (0.91, 1.0, 18.0),
}


@pytest.mark.parametrize("animal", ANIMALS)
def test_animals_are_no_people(animal):
    assert not looks_human(*ANIMALS[animal])


@pytest.mark.parametrize("person", PEOPLE)
def test_people_are_people(person):
    assert looks_human(*PEOPLE[person])
