from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from hififace import FaceSwapper, OutputOptions, SwapOptions, SwapResult
from hififace.errors import BundleError, FaceError, ImageError, NoFaceFoundError, OptionError
from hififace.swap.engine import Target, generate_faces, paste_faces, swap_faces
from hififace.swap.identity_vector import identity_vectors, target_needs
from hififace.swap.source_map import SourceMap
from hififace.types import Detection, RGBImage
from tests.support.bundle_doubles import AS_GENERATED, colour_weights


@pytest.fixture(autouse=True)
def cast_kept(swapper: FaceSwapper) -> Iterator[None]:
    """The swapper is shared; whatever a test maps is forgotten after it."""
    kept = swapper.source_map
    yield
    swapper.source_map = kept


@pytest.fixture(scope="module")
def pair(astronaut: RGBImage) -> RGBImage:
    """(230, 460, 3): the face on the left, and its mirror image in other light on the right."""
    right = np.clip(astronaut[:, ::-1] * 0.8 + 20, 0, 255).astype(np.uint8)
    return np.concatenate([astronaut, right], axis=1)


def colour_of(result: SwapResult, place: int = 0) -> np.ndarray:
    """(3,) the colour that the double mixed in, 0..1."""
    outcome = result.faces[place]
    assert outcome.crop is not None
    assert outcome.target_crop is not None
    middle = slice(24, 40)
    generated, target = (c[middle, middle].astype(float) for c in (outcome.crop, outcome.target_crop))
    return (2 * generated - target).mean(axis=(0, 1)) / 255.0


def expected_colour(swapper: FaceSwapper, image: RGBImage, options: SwapOptions) -> np.ndarray:
    needs = target_needs(swapper.bundle.vector, options.shape_rate, options.id_rate)
    (target,) = swapper.engine.encode(image, swapper.find_faces(image), needs)
    source = swapper.source_map.default
    assert source is not None
    (vector,) = identity_vectors(
        swapper.bundle.vector,
        [source.features],
        [target.features],
        shape_rate=options.shape_rate,
        id_rate=options.id_rate,
        unit_identity=swapper.bundle.family == "mesh",
    )
    return 1.0 / (1.0 + np.exp(-(vector @ colour_weights(len(vector)))))


@pytest.mark.parametrize(
    "options", [AS_GENERATED, replace(AS_GENERATED, shape_rate=0.2, id_rate=0.4)], ids=["full", "mixed"]
)
@pytest.mark.parametrize("family", ["swapper", "basel_swapper"])
def test_the_vector_reaches_the_generator(
    family: str, options: SwapOptions, astronaut: RGBImage, request: pytest.FixtureRequest
):
    swapper: FaceSwapper = request.getfixturevalue(family)
    target = np.ascontiguousarray(np.clip(astronaut[:, ::-1] * 0.7, 0, 255).astype(np.uint8))
    result = swapper.swap(target, options)
    np.testing.assert_allclose(colour_of(result), expected_colour(swapper, target, options), atol=0.01)


def test_only_the_face_changes(swapper: FaceSwapper, astronaut: RGBImage):
    result = swapper.swap(astronaut, AS_GENERATED)
    assert result.pixels.shape == astronaut.shape
    changed = (result.pixels != astronaut).any(axis=2)
    x0, y0, x1, y1 = result.faces[0].face.detection.box.astype(int)
    assert changed[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20].mean() > 0.9
    away = np.ones_like(changed)
    away[max(y0 - 25, 0) : y1 + 25, max(x0 - 25, 0) : x1 + 25] = False
    assert not changed[away].any()
    assert (result.mask() > 0.5)[changed].mean() > 0.8
    assert result.num_swapped == 1


def test_the_same_question_gives_the_same_pixels(swapper: FaceSwapper, astronaut: RGBImage):
    first, second = (swapper.swap(astronaut, SwapOptions(passes=2)) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_selected_faces_are_swapped_and_others_say_why(swapper: FaceSwapper, pair: RGBImage):
    everybody = swapper.swap(pair)
    assert [outcome.swapped for outcome in everybody.faces] == [True, True]
    one = swapper.swap(pair, SwapOptions(select=[1]))
    assert [(o.swapped, o.reason) for o in one.faces] == [(False, "it was not selected"), (True, "")]
    np.testing.assert_array_equal(one.pixels[:, :200], pair[:, :200])
    with pytest.raises(FaceError, match="no face 5"):
        swapper.swap(pair, SwapOptions(select=[5]))


def test_a_reference_photo_selects_a_person(swapper: FaceSwapper, pair: RGBImage, astronaut: RGBImage):
    options = SwapOptions(select=astronaut)
    assert [o.swapped for o in swapper.swap(pair, options).faces] == [True, False]
    darker = (pair * 0.9).astype(np.uint8)
    with pytest.raises(FaceError, match="None of the 2 faces"):
        swapper.swap(darker, replace(options, same_person=1.0))


def test_different_people_get_different_sources(swapper: FaceSwapper, pair: RGBImage, astronaut: RGBImage):
    plain = swapper.swap(pair, AS_GENERATED)
    other = swapper.read_source(np.ascontiguousarray(astronaut[:, ::-1] // 2))
    swapper.map_source(1, other)
    mapped = swapper.swap(pair, AS_GENERATED)
    np.testing.assert_allclose(colour_of(mapped, 0), colour_of(plain, 0), atol=1e-6)
    assert np.abs(colour_of(mapped, 1) - colour_of(plain, 1)).max() > 0.01


def test_a_map_alone_leaves_strangers_as_they_are(swapper: FaceSwapper, astronaut: RGBImage):
    swapper.source_map = SourceMap()
    person = swapper.map_source(astronaut, astronaut)
    assert person is not None
    assert swapper.swap(astronaut).num_swapped == 1
    with pytest.raises(FaceError, match="no source was given for this person"):
        swapper.swap(np.ascontiguousarray(astronaut[:, ::-1] // 2), SwapOptions(same_person=0.9999))


def test_a_cast_of_ones_own_leaves_the_common_one_alone(swapper: FaceSwapper, astronaut: RGBImage):
    own = SourceMap(swapper.read_source(np.ascontiguousarray(astronaut // 2)))
    kept = swapper.source_map
    assert not np.array_equal(swapper.swap(astronaut, sources=own).pixels, swapper.swap(astronaut).pixels)
    assert swapper.source_map is kept


def test_nobody_to_put_in_is_told(swapper: FaceSwapper, astronaut: RGBImage):
    swapper.source_map = SourceMap()
    with pytest.raises(OptionError, match="set_source"):
        swapper.swap(astronaut)


def test_pictures_that_cannot_be_swapped_are_told(swapper: FaceSwapper, astronaut: RGBImage):
    with pytest.raises(NoFaceFoundError, match="No face was found in the image"):
        swapper.swap(np.full((90, 120, 3), 200, np.uint8))
    with pytest.raises(FaceError, match="face 0: it is turned away by"):
        swapper.swap(astronaut, SwapOptions(largest_turn_deg=0.0))
    with pytest.raises(FaceError, match="below the limit of 300 px"):
        swapper.swap(astronaut, SwapOptions(smallest_face_px=300.0))
    with pytest.raises(NoFaceFoundError):
        swapper.swap(astronaut, SwapOptions(detection_threshold=0.999))


def test_a_face_that_lies_is_found_if_asked(swapper: FaceSwapper, astronaut: RGBImage):
    upside_down = np.ascontiguousarray(astronaut[::-1, ::-1])
    result = swapper.swap(upside_down, SwapOptions(rotated=True))
    upright = swapper.swap(astronaut)
    difference = np.abs(result.pixels[::-1, ::-1].astype(int) - upright.pixels)
    assert difference.mean() < 2.0


def test_similarities_and_timings(swapper: FaceSwapper, astronaut: RGBImage):
    result = swapper.swap(astronaut, output_options=OutputOptions(similarity=True))
    (outcome,) = result.faces
    assert outcome.similarity_source is not None
    assert 0.3 < outcome.similarity_source < 1.0
    # Source and target are one photo here.
    assert outcome.similarity_source == pytest.approx(outcome.similarity_target, abs=1e-3)
    stages = result.timings_ms
    assert list(stages)[-1] == "total"
    assert {"read", "detect", "align", "encode", "generate", "paste", "similarity"} < set(stages)
    assert sum(stages.values()) - stages["total"] <= stages["total"]
    assert swapper.swap(astronaut).faces[0].similarity_source is None


def test_frames_of_a_video_give_the_pixels_of_an_image(swapper: FaceSwapper, pair: RGBImage):
    """The steps that a video takes one by one, batched over two frames, and all at once."""
    options, engine = SwapOptions(passes=2, batch_size=3), swapper.engine
    source = swapper.source_map.default
    assert source is not None
    frames = [pair, np.ascontiguousarray(pair[:, ::-1])]
    expected = [swapper.swap(frame, options).pixels for frame in frames]
    found = [swapper.find_faces(frame) for frame in frames]
    targets = [
        Target(frame, faces, [source] * len(faces)) for frame, faces in zip(frames, found, strict=True)
    ]
    for made, wanted in zip(generate_faces(engine, targets, options), expected, strict=True):
        assert len(made.faces) == 2
        np.testing.assert_array_equal(paste_faces(engine, made.image, made.faces, options)[0], wanted)
    once = swap_faces(engine, pair, found[0], [source, source], options)
    np.testing.assert_array_equal(once.pixels, expected[0])
    matrices = [pasted.generated.target.matrix for pasted in once.faces]
    again = swap_faces(engine, pair, found[0], [source, source], options, matrices=matrices)
    np.testing.assert_array_equal(again.pixels, expected[0])


def test_on_the_cpu_each_face_is_generated_alone(
    swapper: FaceSwapper, pair: RGBImage, monkeypatch: pytest.MonkeyPatch
):
    session, sizes = swapper.engine._generator.session, []
    run = session.run
    monkeypatch.setattr(session, "run", lambda feeds: sizes.append(len(feeds["target"])) or run(feeds))
    swapper.swap(pair, SwapOptions(batch_size=8))
    assert sizes == [1, 1]
    sizes.clear()
    monkeypatch.setattr(session, "provider", "CUDAExecutionProvider")
    swapper.swap(pair, SwapOptions(batch_size=8))
    assert sizes == [2]


def test_an_image_in_which_nobody_is_swapped_comes_back_as_it_was(swapper: FaceSwapper, pair: RGBImage):
    engine, faces = swapper.engine, swapper.find_faces(pair)
    assert swap_faces(engine, pair, faces, [None, None]).pixels is pair
    assert swap_faces(engine, pair, [], []).pixels is pair
    source = swapper.source_map.default
    refused = swap_faces(engine, pair, faces, [source, None], SwapOptions(largest_turn_deg=0.0))
    assert refused.pixels is pair
    assert list(refused.refused) == [0]


def test_threads_share_a_swapper(swapper: FaceSwapper, pair: RGBImage):
    expected = swapper.swap(pair).pixels
    found: list[RGBImage] = []

    def work() -> None:
        found.append(swapper.swap(pair).pixels)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3
    for image in found:
        np.testing.assert_array_equal(image, expected)


def test_large_faces_come_back_sharp_where_nothing_was_painted(swapper: FaceSwapper, astronaut: RGBImage):
    large = cv2.resize(astronaut, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    result = swapper.swap(large)
    np.testing.assert_array_equal(result.pixels[:40], large[:40])  # above what the warp of the shape reaches
    assert (result.pixels != large).any()


def test_a_bundle_that_is_not_there_is_a_sentence():
    with pytest.raises(BundleError, match="No bundle 'no-such-model'"):
        FaceSwapper.load("no-such-model")
    with pytest.raises(BundleError, match="Did you mean mini"):
        FaceSwapper.load("minni")


def test_an_altered_bundle_is_refused(mesh_bundle: Path, tmp_path: Path):
    for file in mesh_bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "generator.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match="was altered"):
        FaceSwapper.load(tmp_path)


def test_options_by_name_are_those_of_the_object(swapper: FaceSwapper, pair: RGBImage):
    by_name = swapper.swap(pair, SwapOptions(detail=0.0), select=[1], match_colour=False)
    by_object = swapper.swap(pair, replace(AS_GENERATED, select=[1]))
    np.testing.assert_array_equal(by_name.pixels, by_object.pixels)
    with pytest.raises(OptionError, match=r"no option 'selekt'\. Did you mean select\?"):
        swapper.swap(pair, selekt="all")


def test_many_images_give_what_one_by_one_gives(swapper: FaceSwapper, pair: RGBImage, astronaut: RGBImage):
    images = [astronaut, pair, astronaut[:, ::-1]]
    results = list(swapper.swap_many(iter(images), batch_size=2))
    for image, result in zip(images, results, strict=True):
        assert isinstance(result, SwapResult)
        np.testing.assert_array_equal(result.pixels, swapper.swap(image).pixels)


def test_a_list_gives_a_list(swapper: FaceSwapper, pair: RGBImage, astronaut: RGBImage):
    results = swapper.swap([pair, astronaut], select="largest")
    assert [result.num_swapped for result in results] == [1, 1]
    np.testing.assert_array_equal(results[1].pixels, swapper.swap(astronaut, select="largest").pixels)
    assert swapper.swap([]) == []
    with pytest.raises(ImageError):
        swapper.swap([pair, "nobody.jpg"])
    with pytest.raises(OptionError, match="faces belong to one image"):
        swapper.swap([pair], faces=swapper.find_faces(pair))


def test_an_image_of_many_that_fails_is_raised_or_given(swapper: FaceSwapper, astronaut: RGBImage):
    wall = np.full((90, 120, 3), 200, np.uint8)
    first, second, third = swapper.swap_many([astronaut, wall, astronaut], return_errors=True)
    assert isinstance(first, SwapResult)
    assert isinstance(second, NoFaceFoundError)
    assert isinstance(third, SwapResult)
    with pytest.raises(NoFaceFoundError):
        list(swapper.swap_many([astronaut, wall]))


def test_faces_that_were_found_are_not_looked_for_again(swapper: FaceSwapper, pair: RGBImage):
    faces = swapper.find_faces(pair)
    result = swapper.swap(pair, faces=faces[1:])
    assert [outcome.face.index for outcome in result.faces] == [1]
    np.testing.assert_array_equal(result.pixels, swapper.swap(pair, select=[1]).pixels)
    with pytest.raises(NoFaceFoundError):
        swapper.swap(pair, faces=[])


def test_a_detector_of_ones_own(mesh_bundle: Path, swapper: FaceSwapper, pair: RGBImage):
    found = [face.detection for face in swapper.find_faces(pair)]

    class Rightmost:
        def detect(self, image: RGBImage, *, rotated: bool = False) -> list[Detection]:
            return found[1:]

    own = FaceSwapper.load(mesh_bundle, threads=1, detector=Rightmost())
    source = swapper.source_map.default
    assert source is not None
    result = own.swap(pair, sources=source)
    np.testing.assert_array_equal(result.pixels, swapper.swap(pair, select=[1]).pixels)
    with pytest.raises(OptionError, match="Rightmost, has no score_threshold"):
        own.swap(pair, sources=source, detection_threshold=0.5)


def test_crops_are_what_the_generator_sees(swapper: FaceSwapper, astronaut: RGBImage):
    (crop,) = swapper.crops(astronaut)
    (outcome,) = swapper.swap(astronaut).faces
    np.testing.assert_array_equal(crop.crop, outcome.target_crop)
    np.testing.assert_array_equal(crop.matrix, outcome.matrix)


def test_crops_of_ones_own_are_swapped_as_in_their_image(swapper: FaceSwapper, astronaut: RGBImage):
    (target,) = swapper.crops(astronaut)
    (generated,) = swapper.swap_crops([target.crop])
    (outcome,) = swapper.swap(astronaut, AS_GENERATED).faces
    assert outcome.crop is not None
    # The mesh is found in the crop instead of in the photo, so its coefficients differ a little.
    assert np.abs(generated.image.astype(int) - outcome.crop).mean() < 8
    with pytest.raises(OptionError, match=r"\(64, 64, 3\) uint8 was expected"):
        swapper.swap_crops([astronaut])


def test_an_array_whose_faces_are_blue_is_probably_bgr(swapper: FaceSwapper, astronaut: RGBImage):
    with pytest.warns(UserWarning, match=r"hand in array\[..., ::-1\]"):
        swapper.swap(astronaut[..., ::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        swapper.swap(astronaut)
        swapper.swap(Image.fromarray(np.ascontiguousarray(astronaut[..., ::-1])))


def test_arguments_of_another_kind_are_refused_in_a_sentence(
    swapper: FaceSwapper, astronaut: RGBImage, mesh_bundle: Path
):
    faces: Any = [face.detection for face in swapper.find_faces(astronaut)]
    wrong: Any = "largest"
    with pytest.raises(OptionError, match="str was given where SwapOptions was expected"):
        swapper.swap(astronaut, wrong)
    with pytest.raises(OptionError, match="OutputOptions was given where SwapOptions"):
        swapper.swap(astronaut, OutputOptions())  # type: ignore[call-overload]
    with pytest.raises(OptionError, match=r"sources is a str; a Source or a SourceMap.*read_source"):
        swapper.swap(astronaut, sources=wrong)
    with pytest.raises(OptionError, match=r"faces holds other things than Face objects"):
        swapper.swap(astronaut, faces=faces)
    with pytest.raises(OptionError, match="There is no face -1"):
        swapper.map_source(-1, astronaut)
    with pytest.raises(OptionError, match=r"providers is 'cpu'; a list was expected, such as \['cpu'\]"):
        FaceSwapper.load(mesh_bundle, providers="cpu")
    with pytest.raises(OptionError, match="an object with a method `detect` was expected"):
        FaceSwapper.load(mesh_bundle, detector=wrong)


def test_a_format_is_named_as_people_do(swapper: FaceSwapper, astronaut: RGBImage):
    result = swapper.swap(astronaut)
    assert result.to_bytes("jpg").startswith(b"\xff\xd8")
    assert result.to_bytes(".png").startswith(b"\x89PNG")
    with pytest.raises(
        ImageError, match="There is no image format 'xyz' that can be written; use one of: AVIF"
    ):
        result.to_bytes("xyz")


def test_the_check_of_results_can_be_left_out(swapper: FaceSwapper, astronaut: RGBImage):
    assert "similarity" in swapper.swap(astronaut).timings_ms
    assert "similarity" not in swapper.swap(astronaut, check=False).timings_ms
    assert "similarity" not in swapper.swap(astronaut, id_rate=0.5).timings_ms  # never warned of
    assert swapper.swap(astronaut, check=False, similarity=True).faces[0].similarity_source is not None


def test_device_and_providers_exclude_each_other(mesh_bundle: Path):
    assert FaceSwapper.load(mesh_bundle, device="cpu", threads=1).provider == "CPUExecutionProvider"
    with pytest.raises(OptionError, match="choose one"):
        FaceSwapper.load(mesh_bundle, device="cpu", providers=["cpu"])


def test_it_says_in_one_line_what_it_is(swapper: FaceSwapper, astronaut: RGBImage):
    assert repr(swapper) == "FaceSwapper('double' 1, 64 px, on CPUExecutionProvider)"
    told = repr(swapper.swap(astronaut))
    assert told.startswith("SwapResult(230 x 230 px, 1 of 1 faces swapped, ")
    assert "\n" not in told


def test_a_swapper_made_of_a_name_says_what_to_call():
    with pytest.raises(TypeError, match=r"Engine, and this is str\. Use FaceSwapper\.load\(\)"):
        FaceSwapper("mini")  # type: ignore[arg-type]
