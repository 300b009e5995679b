from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hififace import FaceSwapper, HififaceError, ImageError, NoFaceFoundError, OptionError, SwapOptions
from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions
from hififace.cli.main import main
from hififace.hosting.bundles import Bundles
from hififace.hosting.consent import CONSENT
from hififace.hosting.meter import LimitError
from hififace.media.image import read_image
from hififace.provenance.verify import check_file

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
    assert {"detect", "generate", "paste", "total"} <= set(report["timings_ms"])


def test_a_click_says_which_face_becomes_whom(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="two.png")
    assert studio.who("v") == ["Every face of the target becomes me.png."]
    studio.assign("v", 1)
    assert studio.who("v") == ["Face 1 of the target becomes me.png."]
    swapped = [face["swapped"] for face in studio.swap("v", ASKED).report["faces"]]
    assert swapped == [False, True]
    studio.assign("v", 1)
    assert studio.who("v") == ["Every face of the target becomes me.png."]


def test_two_faces_become_two_people(studio: Studio, upload: Callable[[str], Path], album: Path):
    ready(studio, upload, target="two.png")
    studio.add_source("v", upload("target.jpg"), "other.jpg", "double")
    studio.assign("v", 0)
    studio.choose_source("v", 1)
    studio.assign("v", 1)
    assert studio.who("v") == [
        "Face 0 of the target becomes me.png.",
        "Face 1 of the target becomes other.jpg.",
    ]
    assert [face["source"] for face in studio.swap("v", ASKED).report["faces"]] == ["me.png", "other.jpg"]


def test_a_photo_with_two_faces_gives_two_thumbnails(studio: Studio, upload: Callable[[str], Path]):
    studio.add_source("v", upload("two.png"), "two.png", "double")
    people = studio.look("v").people
    assert [face for _, face in people.faces] == [0, 1]
    assert {thumbnail.shape for thumbnail in people.photos[0].thumbnails} == {(128, 128, 3)}
    studio.choose_source("v", 1)
    studio.set_target("v", upload("target.jpg"), "t.jpg", "double")
    assert studio.who("v") == ["Every face of the target becomes face 1 of two.png."]


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
    studio.add_source("v", upload("me.png"), "again.png", "double")
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
    assert studio.who("v") == ["Add a photo of the person to put in."]


def test_another_model_finds_the_faces_again(studio: Studio, upload: Callable[[str], Path]):
    ready(studio, upload, target="two.png")
    studio.assign("v", 1)
    studio.choose_model("v", "double")
    assert studio.who("v") == ["Every face of the target becomes me.png."]
    with pytest.raises(OptionError, match="no model 'nonsense'"):
        studio.choose_model("v", "nonsense")


def test_choices_that_do_not_exist_are_sentences(studio: Studio, upload: Callable[[str], Path]):
    with pytest.raises(OptionError, match="no source face 0"):
        studio.choose_source("v", 0)
    studio.set_target("v", upload("target.jpg"), "t.jpg", "double")
    with pytest.raises(OptionError, match="Add a source"):
        studio.assign("v", 0)
    with pytest.raises(OptionError, match="no face 7"):
        studio.assign("v", 7)
