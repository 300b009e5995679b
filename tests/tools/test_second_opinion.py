"""The second opinion on the animals, the figure of wood and the coins that other packages ship, and on a man."""

from __future__ import annotations

from pathlib import Path

import gradio
import skimage.data

ANIMALS = Path(gradio.__file__).parent / "media_assets" / "images"
IMAGES = Path(skimage.data.__file__).parent


def test_no_detection_on_animals_and_works_of_art_is_taken_for_a_person(tool):
    paths = [ANIMALS / name for name in ("cheetah.jpg", "cheetah1.jpg", "lion.jpg", "groot.jpeg")]
    paths += [IMAGES / name for name in ("chelsea.png", "coins.png", "horse.png")]
    found = tool("measure_second_opinion").measure(paths, 0.4)
    assert found
    assert all(refused for _, refused in found)


def test_a_man_with_a_camera_is_not_refused(tool):
    found = tool("measure_second_opinion").measure([IMAGES / "camera.png"], 0.4)
    assert len(found) == 4
    assert not any(refused for _, refused in found)
