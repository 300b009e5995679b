"""Pairs and frames as the literature's sets name them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.errors import DataError, OptionError
from hififace.evaluation.papers.clips import Clip, evenly
from hififace.evaluation.papers.pairs import method_clips, read_protocol


def originals(root: Path, *names: str, compression: str = "c23") -> Path:
    folder = root / "original_sequences" / "youtube" / compression / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(b"")
    return root


def test_frames_lie_at_even_distances_and_the_first_is_among_them():
    assert evenly(500, 10) == [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]
    assert evenly(13, 10) == [0, 1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert evenly(4, 10) == [0, 1, 2, 3]


def test_the_splits_name_each_pair_both_ways(tmp_path):
    originals(tmp_path, "000", "003", "071")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.json").write_text('[["000", "003"], ["071", "054"]]')
    protocol = read_protocol("ff++", tmp_path)
    assert [pair.name for pair in protocol.pairs] == ["000_003", "003_000"]
    assert protocol.pairs[0].target.path.name == "000.mp4"
    assert protocol.pairs[0].source.path.name == "003.mp4"
    assert sorted(protocol.left_out) == ["054_071", "071_054"]
    assert "054" in protocol.left_out["071_054"]
    assert protocol.num_frames == 10
    assert not protocol.whole_images


def test_names_of_results_serve_where_there_are_no_splits_and_a_list_wins(tmp_path):
    originals(tmp_path, "000", "003", "071", compression="raw")
    below = tmp_path / "manipulated_sequences" / "FaceSwap" / "raw" / "videos"
    below.mkdir(parents=True)
    (below / "000_003.mp4").write_bytes(b"")
    (below / "notes.txt").write_bytes(b"")
    assert [pair.name for pair in read_protocol("ff++", tmp_path).pairs] == ["000_003"]
    listed = tmp_path / "c23.txt"
    listed.write_text("071_000.mp4\n\n003_071\n003_071\n")
    chosen = read_protocol("ff++", tmp_path, listed)
    assert [pair.name for pair in chosen.pairs] == ["071_000", "003_071"]
    assert chosen.where == "original_sequences/youtube/raw/videos"


def test_unpacked_frames_serve_as_videos_in_the_order_of_their_numbers(tmp_path):
    for name in ("000", "003"):
        folder = tmp_path / "original_sequences" / "youtube" / "c23" / "images" / name
        folder.mkdir(parents=True)
        for number in (2, 10, 1):
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(folder / f"{number}.png")
    listed = tmp_path / "pairs.txt"
    listed.write_text("000_003")
    (pair,) = read_protocol("ff++", tmp_path, listed).pairs
    assert [int(frame[0, 0, 0]) for frame in pair.target.frames(10)] == [1, 2, 10]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("000-003\n", "Line 1 of .* is '000-003'"),
        ("", "is empty"),
    ],
)
def test_lists_of_another_form_are_refused(tmp_path, content, sentence):
    originals(tmp_path, "000")
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(DataError, match=sentence):
        read_protocol("ff++", tmp_path, tmp_path / "list.txt")


def test_json_of_another_form_is_refused(tmp_path):
    originals(tmp_path, "000")
    (tmp_path / "list.json").write_text(json.dumps({"000": "003"}))
    with pytest.raises(DataError, match="no list of pairs"):
        read_protocol("ff++", tmp_path, tmp_path / "list.json")


def test_folders_that_are_not_the_set_are_told(tmp_path):
    with pytest.raises(DataError, match="is not FaceForensics"):
        read_protocol("ff++", tmp_path)
    originals(tmp_path, "000", "003")
    with pytest.raises(DataError, match=r"splits/train\.json"):
        read_protocol("ff++", tmp_path)
    (tmp_path / "list.txt").write_text("100_200")
    with pytest.raises(DataError, match="None of the 1 pairs"):
        read_protocol("ff++", tmp_path, tmp_path / "list.txt")


def test_results_of_others_are_found_by_the_names_of_methods(tmp_path):
    originals(tmp_path, "000", "003")
    below = tmp_path / "manipulated_sequences" / "FaceShifter" / "c23" / "videos"
    below.mkdir(parents=True)
    (below / "000_003.mp4").write_bytes(b"")
    protocol = read_protocol("ff++", tmp_path)
    clips = method_clips(Path("FaceShifter"), "FaceShifter", protocol, tmp_path)
    assert clips == {"000_003": Clip("000_003", below / "000_003.mp4")}
    assert method_clips(below, "own", protocol, tmp_path) == clips
    with pytest.raises(DataError, match=r"No result of 'own' .* 000_003\.mp4"):
        method_clips(tmp_path / "elsewhere", "own", protocol, tmp_path)


def test_photo_pairs_follow_from_names_alone(tmp_path):
    """The same pairs whether CelebA-HQ's photos are called 7.jpg or 00007.png; nobody is in two."""
    for folder, ending, digits in (("a", "jpg", 0), ("b", "png", 5)):
        (tmp_path / folder).mkdir()
        for number in range(9):
            (tmp_path / folder / f"{number:0{digits}d}.{ending}").write_bytes(b"")
    first, second = (read_protocol("celeba-hq", tmp_path / folder) for folder in "ab")
    pairs = [[(int(p.target.name), int(p.source.name)) for p in one.pairs] for one in (first, second)]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 4
    assert len({number for pair in pairs[0] for number in pair}) == 8
    assert first.whole_images
    assert first.num_frames == 1
    assert first.sha256 != read_protocol("ffhq", tmp_path / "a").sha256


def test_photos_that_are_there_twice_or_not_at_all_are_told(tmp_path):
    for folder in ("images1024x1024", "thumbnails128x128"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "00000.png").write_bytes(b"")
    with pytest.raises(DataError, match="holds the photos twice"):
        read_protocol("ffhq", tmp_path)
    with pytest.raises(DataError, match="holds 1 photos"):
        read_protocol("ffhq", tmp_path / "images1024x1024")
    with pytest.raises(OptionError, match="--pair-list is for ff"):
        read_protocol("ffhq", tmp_path, tmp_path / "list.txt")
