"""The measuring program: its own arithmetic, on numbers that can be checked by hand."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from hififace.errors import DataError
from hififace.evaluation.detection import (
    best_verification,
    count_false_faces,
    images_of_things,
    measure_recall,
    measure_verification,
    portrait_face,
    read_photos,
    recall_by_size,
)
from hififace.types import Detection

IMAGE = np.zeros((100, 80, 3), np.uint8)


def found(x0, y0, x1, y1):
    return Detection(np.array([x0, y0, x1, y1], np.float32), 0.9, np.zeros((5, 2), np.float32))


class Finder:
    """Finds what the top left pixel's red says: so many faces in the middle."""

    def detect(self, image, *, rotated=False):
        return [found(20 + i, 20, 60, 80) for i in range(int(image[0, 0, 0]))]


def test_the_face_of_a_portrait_covers_its_middle():
    aside, small, large = found(0, 0, 20, 20), found(35, 45, 45, 55), found(10, 10, 70, 90)
    assert portrait_face(IMAGE, [aside, small, large]) is large
    assert portrait_face(IMAGE, [aside]) is None


def test_recall_counts_and_names_the_missed():
    photos = [(f"p{n}", np.full((100, 80, 3), n, np.uint8)) for n in (1, 0, 2)]
    recall, faces = measure_recall(iter(photos), Finder())
    assert (recall.num_photos, recall.num_found, recall.missed) == (3, 2, ("p0",))
    assert recall.share == pytest.approx(2 / 3)
    assert set(faces) == {"p1", "p2"}


def test_recall_by_size_shrinks_the_face_to_the_size_asked_for():
    class FindsFrom20Px:
        """Sees the bright square on the dark ground, if it is 20 px or larger."""

        def detect(self, image, *, rotated=False):
            rows, columns = np.nonzero(image[..., 0] > 250)
            face = found(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
            return [face] if face is not None and face.size_px >= 19.5 else []

    image = np.zeros((200, 200, 3), np.uint8)
    image[50:150, 50:150] = 255
    shares = recall_by_size(
        iter([("a", image)]), {"a": found(50, 50, 150, 150)}, FindsFrom20Px(), (10, 20, 40)
    )
    assert shares == {10: 0.0, 20: 1.0, 40: 1.0}


def test_false_faces_are_counted_by_picture():
    assert count_false_faces(iter([("a", IMAGE), ("b", IMAGE + 2)]), Finder()) == {"a": 0, "b": 2}


def test_people_apart_are_verified_without_error():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    verified = best_verification(vectors, list("aaabbbcccddd"))
    assert verified.num_pairs == 12
    assert verified.accuracy == 1.0
    assert (verified.mean_same, verified.mean_different) == (1.0, 0.0)


def test_vectors_that_say_nothing_are_at_chance():
    vectors = np.tile(np.array([[1.0, 0.0]], np.float32), (12, 1))
    assert best_verification(vectors, list("aaabbbcccddd")).accuracy == 0.5


def test_one_photo_a_person_cannot_be_verified():
    with pytest.raises(DataError, match="0 pairs of one person"):
        best_verification(np.eye(3, dtype=np.float32), list("abc"))


def test_verification_leaves_out_who_was_not_found():
    class Namer:
        size = 2

        def embed(self, image, points):
            return np.eye(2, dtype=np.float32)[int(image[0, 0, 0])]

    photos = [(f"{who}_{n}", np.full((9, 9, 3), "ab".index(who), np.uint8)) for who in "ab" for n in range(3)]
    faces = {key: found(0, 0, 1, 1) for key, _ in photos[1:]}
    verified = measure_verification(iter(photos), faces, Namer())
    assert verified.num_pairs == 1 + 3
    assert verified.accuracy == 1.0


def test_shards_are_read_in_order(tmp_path):
    stored = io.BytesIO()
    Image.fromarray(IMAGE + 50).save(stored, "JPEG")
    with tarfile.open(tmp_path / "photos-val-000.tar", "w") as tar:
        for name, data in (("k1.jpg", stored.getvalue()), ("k1.json", b"{}")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ((key, image),) = read_photos(tmp_path, "photos-val-*.tar")
    assert key == "k1"
    assert image.shape == IMAGE.shape
    with pytest.raises(DataError, match=r"No shard identities-val-\*\.tar"):
        next(read_photos(tmp_path, "identities-val-*.tar"))


def test_images_of_things_show_nobody_and_are_many():
    names = [name for name, _ in images_of_things()]
    assert len(names) >= 60
    assert not any(name.startswith(("astronaut", "camera")) for name in names)
