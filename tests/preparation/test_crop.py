import io

import cv2
import numpy as np
from PIL import Image

from hififace.faces.templates import TEMPLATES
from hififace.preparation.crop import cut, encode_crop, encode_mask, find_face
from hififace.preparation.quality import Reason
from hififace.types import Detection

TEMPLATE = TEMPLATES["mini_128"]
POINTS = np.array([[38, 35], [62, 35], [50, 49], [41, 61], [59, 61]], np.float32)


class Finds:
    """A detector that finds the given boxes in images at least as large as `needs`."""

    def __init__(self, *boxes, needs=0):
        self.boxes = boxes
        self.needs = needs

    def detect(self, image):
        if image.shape[0] < self.needs:
            return []
        return [Detection(np.array(box, np.float32), 0.9, POINTS + box[0]) for box in self.boxes]


PHOTO = np.zeros((100, 100, 3), np.uint8)


def test_the_larger_and_more_central_face_dominates():
    face = find_face(Finds((0, 0, 20, 20), (30, 30, 70, 70)), PHOTO, None, 0.7)
    assert face.box[0] == 30


def test_equal_faces_are_several():
    rejection = find_face(Finds((10, 30, 40, 60), (60, 30, 90, 60)), PHOTO, None, 0.7)
    assert rejection.reason is Reason.SEVERAL_FACES


def test_no_face():
    assert find_face(Finds(), PHOTO, None, 0.7).reason is Reason.NO_FACE


def test_a_face_that_fills_the_picture_is_found_with_a_border_and_mapped_back():
    face = find_face(Finds((35, 35, 125, 125), needs=110), PHOTO, None, 0.7)
    np.testing.assert_array_equal(face.box, [5, 5, 95, 95])  # the border is 30 px
    np.testing.assert_array_equal(face.points, POINTS + 35 - 30)


def test_given_points_are_taken_as_they_are():
    face = find_face(Finds(), PHOTO, POINTS.reshape(-1), 0.7)
    np.testing.assert_array_equal(face.points, POINTS)
    assert face.box[0] < POINTS[:, 0].min()
    assert face.box[3] > POINTS[:, 1].max()


def test_the_crop_puts_the_points_on_the_template():
    photo = np.zeros((200, 200, 3), np.uint8)
    angle = np.deg2rad(20)
    turn = 1.3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((TEMPLATE.points - 64) @ turn.T + 100).astype(np.float32)
    for x, y in points[:2]:
        cv2.circle(photo, (round(float(x)), round(float(y))), 3, (255, 255, 255), -1)
    crop = cut(photo, points, TEMPLATE)
    assert abs(crop.magnification - 1 / 1.3) < 1e-3
    for x, y in TEMPLATE.points[:2]:
        assert crop.image[round(float(y)), round(float(x))].min() > 200
    np.testing.assert_allclose(points @ crop.matrix[:, :2].T + crop.matrix[:, 2], TEMPLATE.points, atol=1e-2)


def test_a_large_photo_is_averaged_and_not_sampled():
    # Columns of alternating black and white: sampled, they alias to stripes; averaged, they are grey.
    photo = np.zeros((1024, 1024, 3), np.uint8)
    photo[:, ::2] = 255
    crop = cut(photo, (TEMPLATE.points * 8 + 3.5).astype(np.float32), TEMPLATE)
    assert crop.image[8:-8, 8:-8].std() < 3
    assert abs(crop.image.mean() - 127.5) < 3


def test_shrinking_first_moves_nothing():
    random = np.random.default_rng(0)
    small = cv2.GaussianBlur(random.integers(0, 256, (128, 128, 3), dtype=np.uint8), (0, 0), 4)
    photo = cv2.resize(small, (768, 768), interpolation=cv2.INTER_LINEAR)
    # Pixel centres: x of the photo = 6 (x + 1/2) - 1/2.
    crop = cut(photo, (TEMPLATE.points * 6 + 2.5).astype(np.float32), TEMPLATE)
    difference = np.abs(crop.image.astype(int) - small)[4:-4, 4:-4]
    assert difference.mean() < 1.0


def test_files_keep_the_pixels():
    random = np.random.default_rng(0)
    image = cv2.GaussianBlur(random.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 3)
    back = Image.open(io.BytesIO(encode_crop(image)))
    assert back.layer[0][1:3] == (1, 1)  # 4:4:4
    assert np.abs(np.asarray(back).astype(int) - image).mean() < 2
    mask = np.where(random.random((64, 64)) > 0.5, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_mask(mask)))), mask)
