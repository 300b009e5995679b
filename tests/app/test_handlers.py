from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hififace import FaceSwapper, HififaceError, ImageError, NoFaceFoundError, OptionError, SwapOptions
from hififace.app.asking import SwapRequest
from hififace.app.handlers import MOST_KEPT, Kept, Studio
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions
from hififace.cli.main import main
from hififace.hosting.bundles import Bundles
from hififace.hosting.consent import CONSENT
from hififace.hosting.meter import LimitError
from hififace.media.image import read_image
from hififace.provenance.verify import check_file
from hififace.swap.options import OutputOptions

ASKED = SwapRequest(model="double", consent=True)


def ready(studio: Studio, upload: Callable[[str], Path], source: str = "me.png", target: str = "target.jpg"):
    studio.add_source("v", upload(source), source, "double")
    studio.set_target("v", upload(target), target, "double")


def test_the_page_the_command_and_python_give_identical_pixels(
    studio: Studio, upload: Callable[[str], Path], album: Path, bundle: Path, tmp_path: Path
):
    ready(studio, upload)
    made = studio.swap(
        "v",
        SwapRequest(
            "double", True, False, SwapOptions(shape_rate=0.6, id_rate=0.8, passes=2, match_colour=False)
        ),
    )
    swapper = FaceSwapper.load(bundle, threads=1)
    swapper.set_source(album / "me.png")
    options = SwapOptions(shape_rate=0.6, id_rate=0.8, passes=2, match_colour=False)
    swapper.swap(album / "target.jpg", options).save(tmp_path / "python.jpg")
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("swap", str(album / "me.png"), str(album / "target.jpg"), "-o", str(tmp_path / "cli.jpg")),
                *("-m", str(bundle), "--threads", "1", "--shape-rate", "0.6", "--id-rate", "0.8"),
                *("--passes", "2", "--no-match-colour"),
            ]
        )
    assert not left.value.code
    page = read_image(made.file).pixels
    np.testing.assert_array_equal(page, read_image(tmp_path / "python.jpg").pixels)
    np.testing.assert_array_equal(page, read_image(tmp_path / "cli.jpg").pixels)
    assert (page != read_image(album / "target.jpg").pixels).any()


def test_the_file_says_that_consent_was_confirmed(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    made = studio.swap("v", ASKED)
    assert made.file.name == "target-swapped.jpg"
    claim = check_file(made.file).claim
    assert claim is not None
    assert claim.consent_confirmed is True
    assert claim.consent_statement == CONSENT


def test_without_consent_nothing_is_swapped(
    studio: Studio, upload: Callable[[str], Path], sessions: Sessions
):
    ready(studio, upload)
    with pytest.raises(OptionError, match="not confirmed"):
        studio.swap("v", SwapRequest("double"))
    assert not list(sessions.root.rglob("*swapped*"))


def test_the_report_measures_likeness_and_stages(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    report = studio.swap("v", ASKED).report
    assert report["faces"][0]["similarity_source"] is not None
    assert {"detect", "generate", "paste", "similarity", "total"} <= set(report["timings_ms"])


def test_figures_follow_the_image_and_are_those_of_one_swap(
    studio: Studio, upload: Callable[[str], Path], album: Path, bundle: Path
):
    ready(studio, upload)
    made = studio.swap_unmeasured("v", ASKED)
    assert made.report["faces"][0]["similarity_source"] is None
    assert "similarity" not in made.report["timings_ms"]
    assert studio.mask("v") is None
    measured = studio.measure("v")
    assert measured is not None
    assert measured.file == made.file
    swapper = FaceSwapper.load(bundle, threads=1)
    swapper.set_source(album / "me.png")
    (face,) = swapper.swap(album / "target.jpg", output_options=OutputOptions(similarity=True)).to_json()[
        "faces"
    ]
    told = measured.report["faces"][0]
    assert told["similarity_source"] == pytest.approx(face["similarity_source"], abs=1e-3)
    assert told["similarity_target"] == pytest.approx(face["similarity_target"], abs=1e-3)
    assert studio.mask("v") is not None
    assert studio.look("v").unmeasured is None


def test_the_main_face_is_chosen_until_somebody_clicks(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="two.png")
    main = studio.look("v").target.main_face
    assert studio.who("v") == [f"Face {main + 1} of the target becomes me.png."]
    other = 1 - main
    studio.assign("v", other)
    assert len(studio.who("v")) == 2
    studio.assign("v", main)
    assert studio.who("v") == [f"Face {other + 1} of the target becomes me.png."]
    swapped = {face["index"]: face["swapped"] for face in studio.swap("v", ASKED).report["faces"]}
    assert swapped == {main: False, other: True}
    studio.assign("v", other)
    assert studio.who("v") == ["Click the face of the target that shall be replaced."]
    with pytest.raises(OptionError, match="No face of the target is chosen"):
        studio.swap("v", ASKED)


def test_everybody_becomes_the_chosen_one(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="two.png")
    studio.choose_everybody("v")
    assert studio.who("v") == ["Every face of the target becomes me.png."]
    assert [face["swapped"] for face in studio.swap("v", ASKED).report["faces"]] == [True, True]
    studio.choose_everybody("v")
    assert len(studio.who("v")) == 1


def test_another_source_face_takes_the_place_of_the_one_nobody_clicked(
    studio: Studio, upload: Callable[[str], Path]
):
    ready(studio, upload)
    studio.add_source("v", upload("target.bmp"), "other.bmp", "double")
    studio.choose_source("v", 1)
    assert studio.who("v") == ["The target's face becomes other.bmp."]


def test_two_faces_become_two_people(studio: Studio, upload: Callable[[str], Path], album: Path):
    ready(studio, upload, target="two.png")
    studio.add_source("v", upload("target.jpg"), "other.jpg", "double")
    main = studio.look("v").target.main_face
    if main == 0:
        studio.assign("v", 1)
        studio.assign("v", 1)  # touched, and as it was
    else:
        studio.assign("v", 0)
        studio.assign("v", 1)
    studio.choose_source("v", 1)
    studio.assign("v", 1)
    assert studio.who("v") == [
        "Face 1 of the target becomes me.png.",
        "Face 2 of the target becomes other.jpg.",
    ]
    assert [face["source"] for face in studio.swap("v", ASKED).report["faces"]] == ["me.png", "other.jpg"]


def test_a_photo_with_two_faces_gives_two_thumbnails(studio: Studio, upload: Callable[[str], Path]):
    studio.add_source("v", upload("two.png"), "two.png", "double")
    people = studio.look("v").people
    assert [face for _, face in people.faces] == [0, 1]
    assert {thumbnail.shape for thumbnail in people.photos[0].thumbnails} == {(128, 128, 3)}
    studio.choose_source("v", 1)
    studio.set_target("v", upload("target.jpg"), "t.jpg", "double")
    assert studio.who("v") == ["The target's face becomes face 2 of two.png."]


def test_one_source_photo_is_removed_from_the_list_and_the_disk(
    studio: Studio, upload: Callable[[str], Path]
):
    ready(studio, upload)
    studio.add_source("v", upload("two.png"), "two.png", "double")
    studio.add_source("v", upload("target.bmp"), "other.bmp", "double")
    studio.choose_source("v", 3)
    gone = studio.look("v").people.photos[1].path
    studio.remove_source("v", 1)
    people = studio.look("v").people
    assert [photo.name for photo in people.photos] == ["me.png", "other.bmp"]
    assert people.called(people.chosen) == "other.bmp"
    assert not gone.exists()
    studio.remove_source("v", 1)
    assert people.called(people.chosen) == "me.png"
    with pytest.raises(OptionError, match="no source photo 8"):
        studio.remove_source("v", 7)
    studio.remove_source("v", 0)
    assert studio.who("v") == ["Add a photo of the source face."]


def test_a_result_is_out_of_date_as_soon_as_anything_else_is_asked(
    studio: Studio, upload: Callable[[str], Path]
):
    ready(studio, upload)
    studio.swap("v", ASKED)
    state = studio.look("v")
    assert state.is_current(ASKED)
    assert not state.is_current(replace(ASKED, swap=SwapOptions(shape_rate=0.5)))
    studio.add_source("v", upload("target.bmp"), "other.bmp", "double")
    studio.choose_source("v", 1)
    assert not state.is_current(ASKED)
    studio.remove_source("v", 1)
    assert state.is_current(ASKED)
    studio.set_target("v", upload("two.png"), "two.png", "double")
    assert state.made is None


def test_a_preview_changes_the_face_that_the_swap_changes_and_no_other(
    studio: Studio, upload: Callable[[str], Path]
):
    ready(studio, upload, target="two.png")
    state = studio.look("v")
    main = state.target.main_face
    (patch,) = studio.preview("v", ASKED)
    made = studio.swap("v", ASKED)
    before, after = (read_image(file).pixels for file in (state.target.path, made.file))
    changed = np.argwhere((before != after).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    np.testing.assert_allclose(patch.box, (left, top, right, bottom), atol=12)
    x0, y0, x1, y1 = (round(v) for v in patch.box)
    shown = read_image(patch.jpeg).pixels
    assert shown.shape == (y1 - y0, x1 - x0, 3)
    assert np.abs(shown.astype(int) - after[y0:y1, x0:x1]).mean() < 4
    box = state.target.faces[main].detection.box
    assert x0 < (box[0] + box[2]) / 2 < x1


def test_a_preview_is_marked_waits_for_consent_and_is_kept(
    studio: Studio, upload: Callable[[str], Path], tmp_path: Path
):
    ready(studio, upload)
    with pytest.raises(OptionError, match="not confirmed"):
        studio.preview("v", SwapRequest("double"))
    first = studio.preview("v", ASKED)
    (tmp_path / "patch.jpg").write_bytes(first[0].jpeg)
    claim = check_file(tmp_path / "patch.jpg").claim
    assert claim is not None
    assert claim.consent_statement == CONSENT
    assert studio.preview("v", ASKED) is first
    assert studio.preview("v", replace(ASKED, swap=SwapOptions(shape_rate=0.0))) is not first
    studio.clear_target("v")
    assert studio.preview("v", ASKED) == []


def test_results_of_the_visit_stay_and_come_in_one_archive(studio: Studio, upload: Callable[[str], Path]):
    assert studio.pack("v") is None
    ready(studio, upload)
    first = studio.swap("v", ASKED).file
    second = studio.swap("v", replace(ASKED, swap=SwapOptions(shape_rate=0.5))).file
    studio.set_target("v", upload("two.png"), "two.png", "double")
    assert [kept.file for kept in studio.look("v").kept] == [second, first]
    packed = studio.pack("v")
    assert packed is not None
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["01-target-swapped.jpg", "02-target-swapped.jpg"]
        assert archive.read("01-target-swapped.jpg") == first.read_bytes()
    for number in range(MOST_KEPT):
        studio.keep("v", Kept(first.with_name(f"{number}.png"), ""))
    assert not second.exists()
    assert len(studio.look("v").kept) == MOST_KEPT


@pytest.mark.parametrize(("format", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("same", ".png")])
def test_the_file_is_of_the_format_that_was_asked_for(
    studio: Studio, upload: Callable[[str], Path], format: str, suffix: str
):
    ready(studio, upload, target="two.png")
    made = studio.swap("v", replace(ASKED, format=format))
    assert made.file.suffix == suffix
    assert check_file(made.file).claim is not None


def test_a_lower_quality_makes_a_smaller_jpeg(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    sizes = [
        studio.swap("v", replace(ASKED, format="jpeg", quality=quality)).file.stat().st_size
        for quality in (60, 98)
    ]
    assert sizes[0] < 0.8 * sizes[1]


def test_photos_of_one_person_are_averaged(
    studio: Studio, upload: Callable[[str], Path], album: Path, bundle: Path
):
    ready(studio, upload)
    studio.add_source("v", upload("target.bmp"), "target.bmp", "double")
    made = studio.swap("v", SwapRequest("double", consent=True, average=True))
    swapper = FaceSwapper.load(bundle, threads=1)
    swapper.set_source([album / "me.png", album / "target.bmp"])
    expected = swapper.swap(album / "target.jpg").to_bytes()
    np.testing.assert_array_equal(read_image(made.file).pixels, read_image(expected).pixels)


def test_the_mask_covers_the_face_alone(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    assert studio.mask("v") is None
    studio.swap("v", ASKED)
    mask = studio.mask("v")
    assert mask is not None
    assert mask.shape == (230, 230)
    assert mask.max() > 200
    assert mask[0].max() == mask[-1].max() == 0
    studio.clear_target("v")
    assert studio.mask("v") is None


def test_a_format_that_browsers_do_not_show_is_shown_as_png(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="target.bmp")
    made = studio.swap("v", ASKED)
    assert (made.file.suffix, made.shown.name) == (".png", "shown.png")
    assert check_file(made.shown).claim is not None


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("empty.png", NoFaceFoundError, r"^No face was found in empty\.png"),
        ("broken.jpg", ImageError, r"^broken\.jpg is not an image"),
    ],
)
def test_a_refused_file_is_a_sentence_and_is_removed(
    studio: Studio,
    sessions: Sessions,
    upload: Callable[[str], Path],
    name: str,
    kind: type[HififaceError],
    words: str,
):
    with pytest.raises(kind, match=words) as told:
        studio.set_target("v", upload(name), name, "double")
    assert str(sessions.root) not in str(told.value)
    with sessions.visit("v") as session:
        assert not [path for path in session.folder.rglob("*") if path.is_file()]


def test_limits_are_sentences(bundles: Bundles, sessions: Sessions, upload: Callable[[str], Path]):
    small = Studio(bundles, sessions, Limits(megapixels=0.01, photos=1, requests_per_minute=2))
    with pytest.raises(ImageError, match=r"me\.png announces 230 x 230 pixels"):
        small.add_source("v", upload("me.png"), "me.png", "double", "1.2.3.4")
    few = Studio(bundles, sessions, Limits(photos=1, requests_per_minute=2))
    few.add_source("v", upload("me.png"), "me.png", "double", "1.2.3.4")
    with pytest.raises(LimitError, match="as many as this page takes"):
        few.add_source("v", upload("me.png"), "me.png", "double", "1.2.3.4")
    with pytest.raises(LimitError, match="2 requests a minute"):
        few.set_target("v", upload("me.png"), "me.png", "double", "1.2.3.4")


def test_visitors_do_not_see_each_other(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    assert studio.look("other").people.photos == []
    with pytest.raises(OptionError, match="no target"):
        studio.swap("other", ASKED)


def test_removed_photos_are_removed_from_the_disk(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload)
    state = studio.look("v")
    paths = [state.people.photos[0].path, state.target.path]
    assert all(path.exists() for path in paths)
    studio.clear_sources("v")
    studio.clear_target("v")
    assert not any(path.exists() for path in paths)
    assert studio.who("v") == ["Add a photo of the source face."]


def test_another_model_finds_the_faces_again(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="two.png")
    studio.assign("v", 0)
    studio.assign("v", 1)
    studio.choose_model("v", "double")
    assert len(studio.who("v")) == 1  # the main face again
    with pytest.raises(OptionError, match="no model 'nonsense'"):
        studio.choose_model("v", "nonsense")


def test_choices_that_do_not_exist_are_sentences(studio: Studio, upload: Callable[[str], Path]):
    with pytest.raises(OptionError, match="no source face 1"):
        studio.choose_source("v", 0)
    studio.set_target("v", upload("target.jpg"), "t.jpg", "double")
    with pytest.raises(OptionError, match="Add a source"):
        studio.assign("v", 0)
    with pytest.raises(OptionError, match="no face 8"):
        studio.assign("v", 7)
