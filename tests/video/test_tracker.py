"""Who is where and who becomes whom, with made-up detector, mesh and recogniser: everything is known exactly."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.faces.templates import find_template
from hififace.media.frames import Frame, FrameFacts
from hififace.media.video_colour import ColourFacts, from_rgb
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import ReferencePerson, Source, SourceMap
from hififace.types import Detection, Face, Landmarks
from hififace.video.options import VideoOptions
from hififace.video.shot_detection import CutDetector
from hififace.video.track import mesh_points5
from hififace.video.tracker import VideoFaces

SHAPE = np.random.default_rng(0).uniform(-1, 1, (468, 3))
# The points that matter for alignment, at a face's proportions.
for index, place in {33: (-0.6, -0.4), 133: (-0.2, -0.4), 362: (0.2, -0.4), 263: (0.6, -0.4)}.items():
    SHAPE[index, :2] = place
SHAPE[4, :2], SHAPE[61, :2], SHAPE[291, :2] = (0, 0.1), (-0.35, 0.5), (0.35, 0.5)
COLOUR = ColourFacts(1, 1, 1, False, 1)


def person(number):
    identity = np.zeros(128, np.float32)
    identity[number] = 1.0
    return identity


def source(name):
    return Source(name, {}, person(100))


class World:
    """People by number: where each one is at frame n, (x, y, size) or None; and what each part sees of it."""

    def __init__(self, path, hidden=lambda n: (), noise=0.0):
        self.path, self.hidden, self.noise, self.now = path, hidden, noise, 0
        self.num_detections = self.num_embeddings = 0
        self.looked = []  # frames that the detector was shown
        self.meshed = []  # (frame, person) of every mesh
        self.doubted = ()  # frames in which the mesh network is not sure

    def places(self):
        return {who: at for who, at in self.path(self.now).items() if at is not None}

    def mesh(self, at):
        x, y, size = at
        points = SHAPE * size / 2 + (x, y, 0)
        rng = np.random.default_rng(self.now)
        return (points + rng.normal(0, self.noise, points.shape)).astype(np.float32)

    def find_faces(self, image):
        self.num_detections += 1
        self.looked.append(self.now)
        seen = [at for who, at in self.places().items() if who not in self.hidden(self.now)]
        return [
            Face(
                i,
                Detection(
                    np.array([x - s / 2, y - s / 2, x + s / 2, y + s / 2], np.float32),
                    0.9,
                    self.five(x, y, s),
                ),
            )
            for i, (x, y, s) in enumerate(sorted(seen))
        ]

    def five(self, x, y, size):
        # The detector's points lie a little beside the mesh's, as they really do.
        return (mesh_points5(SHAPE * size / 2 + (x, y, 0)) + 0.02 * size).astype(np.float32)

    def nearest(self, x, y):
        return min(self.places().items(), key=lambda one: (one[1][0] - x) ** 2 + (one[1][1] - y) ** 2)

    def embed(self, image, face):
        self.num_embeddings += 1
        centre = face.detection.points.mean(axis=0)
        return person(self.nearest(*centre)[0]), 24.0

    def locate_many(self, image, detections):
        near = [self.nearest(*one.points.mean(axis=0)) for one in detections]
        self.meshed += [(self.now, who) for who, _ in near]
        return [Landmarks(self.mesh(at), 0.95) for _, at in near]

    def follow(self, image, previous):
        found = []
        for points in previous:
            centre = points[:, :2].mean(axis=0)
            places = self.places()
            near = self.nearest(*centre)[1] if places else None
            gone = near is None or np.hypot(near[0] - centre[0], near[1] - centre[1]) > near[2] / 2
            who = None if gone else self.nearest(*centre)[0]
            self.meshed.append((self.now, who))
            hidden = who in self.hidden(self.now)
            score = 0.7 if self.now in self.doubted else 0.95
            found.append(Landmarks(points, 0.1) if gone or hidden else Landmarks(self.mesh(near), score))
        return found


def faces_of(world, options=None, video_options=None, source_map=None, reference=None):
    return VideoFaces(
        world.find_faces,
        world.embed,
        SimpleNamespace(locate_many=world.locate_many, follow=world.follow),
        find_template("mini_128"),
        options or SwapOptions(),
        video_options or VideoOptions(),
        source_map or SourceMap(default=source("me")),
        reference,
    )


def frame(number, shot=0):
    image = np.zeros((48, 64, 3), np.uint8)
    rng = np.random.default_rng(shot)
    for _ in range(12):
        x, y = rng.integers(0, 56), rng.integers(0, 40)
        image[y : y + 10, x : x + 10] = rng.integers(40, 220)
    # As large as the world, and with fine texture everywhere: no part of it is out of focus.
    image = image.repeat(5, axis=0).repeat(5, axis=1)
    image += (np.indices(image.shape[:2]).sum(axis=0) // 4 % 2 * 8).astype(np.uint8)[..., None]
    raw = from_rgb(image, "yuv420p", COLOUR)
    return Frame(raw, FrameFacts(COLOUR, 0), index=number, pts=number, time_base=Fraction(1, 25), duration=1)


def run(faces, world, numbers, shots=lambda n: 0):
    results = []
    for number in numbers:
        world.now = number
        results.append(faces.decide(faces.take(frame(number, shots(number)))))
    return results


def indices(result):
    return [one.face.index for one in result.faces]


def swapped(result):
    return {
        one.face.index: s.name for one, s in zip(result.faces, result.sources, strict=True) if s is not None
    }


def test_a_face_is_followed_between_detections_and_stays_one_track():
    world = World(lambda n: {0: (100 + 3 * n, 100, 80)})
    results = run(faces_of(world, video_options=VideoOptions(detect_every=4)), world, range(20))
    assert [indices(r) for r in results] == [[0]] * 20
    assert world.num_detections == 5
    # Who it is was asked while the person was new, not for every frame.
    assert world.num_embeddings <= 7


def test_the_place_does_not_hop_with_the_rhythm_of_detection():
    # The detector's five points lie 1.6 px beside the mesh's: alternating between the two would show.
    world = World(lambda n: {0: (100, 100, 80)})
    results = run(faces_of(world, video_options=VideoOptions(detect_every=2, smooth=False)), world, range(20))
    matrices = np.stack([r.faces[0].matrix for r in results])
    np.testing.assert_allclose(matrices, np.broadcast_to(matrices[0], matrices.shape), atol=1e-6)
    points = results[3].faces[0].face.detection.points
    np.testing.assert_allclose(points, world.five(100, 100, 80), atol=0.01)


def test_smoothing_steadies_and_can_be_switched_off():
    def shake(smooth):
        world = World(lambda n: {0: (100, 100, 80)}, noise=0.4)
        results = run(faces_of(world, video_options=VideoOptions(smooth=smooth)), world, range(50))
        return np.diff([r.faces[0].face.landmarks.points for r in results[10:]], axis=0).std()

    assert shake(True) < 0.4 * shake(False)


def test_a_frame_without_faces_is_not_even_converted():
    world = World(lambda n: {})
    # Another shot in each frame: no two images are alike.
    results = run(faces_of(world, video_options=VideoOptions(detect_every=4)), world, range(8), lambda n: n)
    assert [r.faces for r in results] == [()] * 8
    looked = [n % 4 == 0 or results[n].is_cut for n in range(8)]
    assert [r.frame._rgb is not None for r in results] == looked
    assert world.num_detections == sum(looked)


def test_a_picture_that_stays_empty_is_not_looked_at_again():
    world = World(lambda n: {})
    run(faces_of(world), world, range(20))
    assert world.num_detections == 1


def test_a_face_lost_for_a_moment_is_bridged_and_comes_back_as_the_same():
    world = World(lambda n: {0: (100 + n, 100, 80)}, hidden=lambda n: (0,) if 10 <= n < 14 else ())
    results = run(faces_of(world), world, range(24))
    assert [indices(r) for r in results] == [[0]] * 24
    assert [r.faces[0].bridged for r in results] == [10 <= n < 14 for n in range(24)]
    box = results[12].faces[0].face.detection.box
    assert abs((box[0] + box[2]) / 2 - 112) < 4


def test_a_face_that_is_gone_is_given_up():
    world = World(lambda n: {0: (100, 100, 80)} if n < 10 else {})
    results = run(faces_of(world), world, range(30))
    assert indices(results[12]) == [0]
    assert all(r.faces == () for r in results[18:])


def test_people_who_cross_keep_their_numbers_and_their_sources():
    # They pass at the same height; in the middle only the one in front is seen.
    def path(n):
        return {0: (60 + 8 * n, 100, 80), 1: (380 - 8 * n, 100, 70)}

    world = World(path, hidden=lambda n: (1,) if 17 <= n <= 23 else ())
    source_map = SourceMap(
        people=(ReferencePerson("a", person(0), source("A")), ReferencePerson("b", person(1), source("B")))
    )
    results = run(faces_of(world, source_map=source_map), world, range(41))
    assert swapped(results[0]) == swapped(results[40]) == {0: "A", 1: "B"}
    last = {one.face.index: one.face.detection.points.mean(axis=0)[0] for one in results[40].faces}
    assert last[0] > 300
    assert last[1] < 150


def test_a_cut_brings_known_people_back_under_their_numbers():
    def path(n):
        return {0: (80, 100, 80), 1: (220, 100, 80)} if n < 10 else {1: (90, 110, 90), 0: (230, 90, 70)}

    world = World(path)
    results = run(faces_of(world), world, range(20), shots=lambda n: n // 10)
    assert [n for n, r in enumerate(results) if r.is_cut] == [10]
    places = {one.face.index: one.face.detection.points.mean(axis=0)[0] for one in results[10].faces}
    assert places[1] < 120
    assert places[0] > 200
    # Nothing of the old place is mixed in.
    assert abs(places[1] - 90) < 4


@pytest.mark.parametrize("detect_every", [1, 3])
def test_the_largest_face_stays_chosen_while_it_is_there(detect_every):
    # Two faces take turns at being the larger one by a little.
    def path(n):
        return {0: (80, 100, 80 + 4 * (n % 2)), 1: (220, 100, 82)} if n < 30 else {1: (220, 100, 82)}

    world = World(path)
    options = VideoOptions(detect_every=detect_every)
    results = run(faces_of(world, SwapOptions(select="largest"), options), world, range(70))
    first = swapped(results[0])
    assert len(first) == 1
    assert all(swapped(r) == first for r in results[:30])
    # Once the chosen one has been gone for a second, the other one is.
    chosen = next(iter(first))
    if chosen == 0:
        assert list(swapped(results[69])) == [1]


def test_numbers_references_and_maps_choose_tracks():
    def path(n):
        return {0: (80, 100, 80), 1: (220, 100, 80)}

    def third(options=None, **more):
        world = World(path)
        return swapped(run(faces_of(world, options, **more), world, range(3))[-1])

    assert third(SwapOptions(select=[1])) == {1: "me"}
    assert third(source_map=SourceMap(by_index={0: source("B")})) == {0: "B"}
    photo = SwapOptions(select=np.zeros((8, 8, 3), np.uint8))
    assert third(photo, reference=person(1) * (SAME_PERSON_COSINE + 0.1)) == {1: "me"}


def test_somebody_small_in_the_background_is_left_out_until_they_come_near_and_then_stays_in():
    def path(n):
        return {0: (80, 100, 100), 1: (220, 100, 60 if 10 <= n < 20 else 30)}

    def run_with(**more):
        world = World(path)
        return run(faces_of(world, **more), world, range(30))

    results = run_with()
    assert [set(swapped(results[n])) for n in (5, 19, 29)] == [{0}, {0, 1}, {0, 1}]
    assert set(swapped(run_with(options=SwapOptions(select="all"))[5])) == {0, 1}
    # Somebody known by a photo is swapped however small they are.
    named = SourceMap(default=source("me"), people=(ReferencePerson("B", person(1), source("B")),))
    assert swapped(run_with(source_map=named)[5]) == {0: "me", 1: "B"}


def test_small_faces_stay_as_they_are():
    world = World(lambda n: {0: (100, 100, 60)})
    results = run(faces_of(world, SwapOptions(smallest_face_px=100)), world, range(3))
    assert indices(results[-1]) == [0]
    assert swapped(results[-1]) == {}


class CutsUnseen(CutDetector):
    """An image that differs somewhat from frame 30 on, too little for a cut."""

    def __init__(self, difference):
        super().__init__()
        self.num, self.then = -1, difference

    def update(self, thumbnail):
        self.num += 1
        self.difference = self.then if self.num == 30 else 0.0
        return False


@pytest.mark.parametrize(
    ("difference", "place", "is_cut"),
    [(0.3, (170, 120, 140), True), (0.1, (170, 120, 140), False), (0.3, (163, 111, 102), False)],
)
def test_a_cut_between_images_alike_is_seen_by_the_faces_that_jump(difference, place, is_cut):
    world = World(lambda n: {0: (160, 110, 100)} if n < 30 else {1: place})
    faces = faces_of(world)
    faces._cuts = CutsUnseen(difference)
    results = run(faces, world, range(50))
    assert [n for n, one in enumerate(results) if one.is_cut] == ([30] if is_cut else [])
    assert {index for one in results[30:] for index in indices(one)} == ({1} if is_cut else {0})
    assert all(indices(one) == [0] for one in results[:30])


def test_who_is_recognised_late_after_a_cut_has_the_right_number_from_the_first_frame_of_the_shot_on():
    world = World(lambda n: {0: (100, 100, 80)})
    plain = world.embed

    def embed(image, face):
        identity, length = plain(image, face)
        # The first look after the cut, at frame 10, shows a profile that is like nobody.
        return (person(50) * 0.9 + identity * 0.2 if world.now == 10 else identity), length

    world.embed = embed
    faces = faces_of(world)
    taken = []
    for number in range(20):
        world.now = number
        taken.append(faces.take(frame(number, int(number >= 10))))
    assert indices(taken[10]) == [1]
    decided = [faces.decide(one) for one in taken]
    assert [indices(one) for one in decided] == [[0]] * 20
    assert all(swapped(one) == {0: "me"} for one in decided)


RESTING = range(30, 60)
"""Long after everybody is known, and what was decided counts."""


def two_of_whom_one(path, numbers=range(60), **more):
    """The world and the results where the person with number 0 alone is swapped."""
    world = World(path)
    me = SourceMap(by_index={0: source("me")})
    return world, run(faces_of(world, SwapOptions(select=(0,)), source_map=me, **more), world, numbers)


def test_people_who_are_not_swapped_are_seldom_meshed_and_keep_their_numbers_and_places():
    def path(n):
        return {0: (80, 100, 100), 1: (200 + n, 100, 60)}

    world, results = two_of_whom_one(path)
    assert [indices(r) for r in results] == [[0, 1]] * 60
    meshed = [who for frame, who in world.meshed if frame in RESTING]
    assert meshed.count(0) == 30
    assert meshed.count(1) <= 4
    # The detector looks four times a second; between, they are where it last saw them.
    for result in results[30:]:
        x = result.faces[1].face.landmarks.points[:, 0].mean() - world.mesh((0, 0, 60))[:, 0].mean()
        assert abs(x - (200 + result.frame.index)) < 6.5


def test_where_everybody_is_without_doubt_the_detector_only_looks_for_new_faces():
    world = World(lambda n: {0: (80, 100, 100), **({1: (220, 100, 60)} if n >= 61 else {})})
    world.doubted = (45, 46)
    results = run(faces_of(world), world, range(70))
    # Every other frame until they are known to be swapped, and wherever the mesh is in doubt.
    assert [n for n in world.looked if n < 30] == [*range(0, 16, 2), 20, 26]
    assert [n for n in world.looked if 30 <= n < 62] == [32, 38, 44, 46, 52, 58]
    # Who comes is found within 0.3 s, and then the usual rhythm is back.
    first = next(n for n in range(70) if indices(results[n]) == [0, 1])
    assert 61 <= first <= 68
    assert [n for n in world.looked if n >= first] == [*range(first, 70, 2)]


def test_two_who_come_near_each_other_are_looked_at_in_the_usual_rhythm():
    world = World(lambda n: {0: (90, 100, 100), 1: (220 - max(n - 50, 0) * 3, 100, 90)})
    run(faces_of(world), world, range(70))
    # From frame 65 on their boxes overlap.
    assert [n for n in world.looked if 30 <= n < 60] == [32, 38, 44, 50, 56]
    assert [n for n in world.looked if n >= 62] == [62, 66, 68]


def test_who_is_large_enough_for_the_detector_may_rest_however_narrow_the_mesh():
    # Their box has 36 px, the root mean square of their points 29 px; the detector surely shows 32 px.
    _, results = two_of_whom_one(lambda n: {0: (80, 100, 100), 1: (220, 100, 36)})
    assert [one.is_resting for one in results[40].faces] == [False, True]


def test_who_rests_and_is_wanted_after_all_is_swapped_at_once():
    world = World(lambda n: {0: (80, 100, 100), 1: (220, 100, 60)})
    faces = faces_of(world, SwapOptions(select=(0,)), source_map=SourceMap(by_index={0: source("me")}))
    run(faces, world, range(40))
    # As a selection does when whoever was chosen has gone.
    faces._selection._source_map = SourceMap(by_index={0: source("me"), 1: source("you")})
    before = len(world.meshed)
    result = run(faces, world, [40])[0]
    assert swapped(result) == {0: "me", 1: "you"}
    assert (40, 1) in world.meshed[before:]
    np.testing.assert_allclose(result.faces[1].face.landmarks.points, world.mesh((220, 100, 60)), atol=0.01)
    assert not result.faces[1].is_resting
    later = run(faces, world, range(41, 80))
    assert all(swapped(one) == {0: "me", 1: "you"} for one in later)
    assert sum(who == 1 and frame > 60 for frame, who in world.meshed) == 19


def test_who_rests_and_goes_away_is_gone_and_comes_back_under_the_same_number():
    def path(n):
        return {0: (80, 100, 100), 1: (220, 100, 60) if not 36 <= n < 50 else None}

    _, results = two_of_whom_one(path)
    assert indices(results[49]) == [0]
    assert indices(results[59]) == [0, 1]


def test_going_on_from_a_state_is_never_having_stopped_for_those_who_rest():
    def path(n):
        return {0: (80, 100, 100), 1: (200 + n, 100, 60)}

    def make(world):
        return faces_of(
            world,
            SwapOptions(select=(0,)),
            VideoOptions(segment_frames=4),
            SourceMap(by_index={0: source("me")}),
        )

    first = World(path)
    whole = run(make(first), first, range(60))
    state = json.loads(json.dumps(whole[35].state))
    world = World(path)
    faces = make(world)
    faces.restore(state)
    rest = run(faces, world, range(36, 60))
    assert world.looked == [n for n in first.looked if n >= 36]
    for one, other in zip(rest, whole[36:], strict=True):
        assert indices(one) == indices(other)
        assert [f.is_resting for f in one.faces] == [f.is_resting for f in other.faces] == [False, True]
        for here, there in zip(one.faces, other.faces, strict=True):
            np.testing.assert_array_equal(here.face.landmarks.points, there.face.landmarks.points)


def test_going_on_from_a_state_is_never_having_stopped():
    def path(n):
        return {0: (60 + 5 * n, 100, 80), 1: (300 - 5 * n, 120, 70)}

    options = VideoOptions(segment_frames=12, detect_every=3)

    def hidden(n):
        return (1,) if 10 <= n <= 13 else ()

    first = World(path, hidden, noise=0.5)
    whole = run(faces_of(first, video_options=options), first, range(36), shots=lambda n: n // 20)
    assert [r.state is not None for r in whole] == [(n + 1) % 12 == 0 for n in range(36)]
    for stop in (12, 24):
        world = World(path, hidden, noise=0.5)
        faces = faces_of(world, video_options=options)
        faces.restore(json.loads(json.dumps(whole[stop - 1].state)))
        rest = run(faces, world, range(stop, 36), shots=lambda n: n // 20)
        for a, b in zip(rest, whole[stop:], strict=True):
            assert indices(a) == indices(b)
            for x, y in zip(a.faces, b.faces, strict=True):
                np.testing.assert_array_equal(x.matrix, y.matrix)
                np.testing.assert_array_equal(x.face.landmarks.points, y.face.landmarks.points)
