from __future__ import annotations

from pathlib import Path

import pytest

from hififace.errors import ImageError, OptionError
from hififace.media.encoding import container_of
from hififace.swap.jobs import VIDEO_SUFFIXES, Job, plan_jobs


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for name in ("b.jpg", "a.PNG", "c.bmp", "video.MP4", "notes.txt", ".hidden.jpg", "deep/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_one_file_becomes_the_file_named(album: Path, tmp_path: Path):
    assert plan_jobs([album / "b.jpg"], tmp_path / "x.png") == [Job(album / "b.jpg", tmp_path / "x.png")]


def test_one_file_goes_into_a_folder_that_is_there_or_is_meant(album: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    assert plan_jobs([album / "b.jpg"], tmp_path / "out")[0].output == tmp_path / "out" / "b.jpg"
    assert plan_jobs([album / "b.jpg"], f"{tmp_path}/new/")[0].output == tmp_path / "new" / "b.jpg"


def test_a_folder_is_its_own_pictures_and_videos_in_order(album: Path, tmp_path: Path):
    jobs = plan_jobs([album], tmp_path / "out")
    assert [(job.target.name, job.output.name, job.kind) for job in jobs] == [
        ("a.PNG", "a.PNG", "image"),
        ("b.jpg", "b.jpg", "image"),
        ("c.bmp", "c.png", "image"),
        ("video.MP4", "video.MP4", "video"),
    ]


def test_a_pattern_keeps_sub_folders(album: Path, tmp_path: Path):
    jobs = plan_jobs([f"{album}/**/*.jpg"], tmp_path / "out")
    assert [job.output.relative_to(tmp_path).as_posix() for job in jobs] == ["out/b.jpg", "out/deep/d.jpg"]


def test_results_of_an_earlier_run_are_no_targets(album: Path):
    (album / "out").mkdir()
    (album / "out" / "b.jpg").write_bytes(b"x")
    jobs = plan_jobs([f"{album}/**/*.jpg"], album / "out")
    assert [job.target.relative_to(album).as_posix() for job in jobs] == ["b.jpg", "deep/d.jpg"]


def test_a_missing_file_among_several_is_left_to_its_reading(album: Path, tmp_path: Path):
    jobs = plan_jobs([album / "b.jpg", album / "missing.jpg"], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["b.jpg", "missing.jpg"]


def test_targets_are_never_overwritten(album: Path):
    with pytest.raises(OptionError, match="read by this very command"):
        plan_jobs([album / "b.jpg"], album / "b.jpg")
    with pytest.raises(OptionError, match="read by this very command"):
        plan_jobs([album], album)


def test_two_results_of_one_name_are_refused(album: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(b"x")
    with pytest.raises(OptionError, match="both become"):
        plan_jobs([album / "b.jpg", other / "b.jpg"], tmp_path / "out")


def test_several_targets_need_a_folder(album: Path, tmp_path: Path):
    (tmp_path / "out.jpg").write_bytes(b"x")
    with pytest.raises(OptionError, match="a folder was expected"):
        plan_jobs([album / "b.jpg", album / "a.PNG"], tmp_path / "out.jpg")


def test_an_empty_folder_or_pattern_is_told(tmp_path: Path):
    for target in (tmp_path, f"{tmp_path}/*.jpg"):
        with pytest.raises(ImageError, match="no image or video"):
            plan_jobs([target], tmp_path / "out")


def test_an_ending_that_cannot_be_written_is_told_before_any_work(album: Path, tmp_path: Path):
    with pytest.raises(ImageError, match="no image format that can be written"):
        plan_jobs([album / "b.jpg"], tmp_path / "out.xyz")


def test_videos_that_are_read_but_not_written_get_an_ending_that_is(tmp_path):
    for name in ("a.mpg", "b.3gp", "c.mp4", "d.wmv"):
        (tmp_path / name).write_bytes(b"video")
    jobs = plan_jobs([tmp_path], tmp_path / "out")
    assert [(job.target.name, job.output.name, job.kind) for job in jobs] == [
        ("a.mpg", "a.mkv", "video"),
        ("b.3gp", "b.mp4", "video"),
        ("c.mp4", "c.mp4", "video"),
        ("d.wmv", "d.mkv", "video"),
    ]
    written = {container_of(job.output) for job in jobs}
    assert written == {"matroska", "mp4"}


def test_every_video_that_is_read_can_become_a_result(tmp_path):
    for suffix in VIDEO_SUFFIXES:
        (tmp_path / f"video-{suffix[1:]}{suffix}").write_bytes(b"video")
    for job in plan_jobs([tmp_path], tmp_path / "out"):
        assert container_of(job.output)


def test_nothing_that_is_read_is_overwritten_and_no_device_replaced(album: Path, tmp_path: Path):
    target = next(path for path in album.iterdir() if path.suffix == ".jpg")
    source = tmp_path / "me.jpg"
    source.write_bytes(b"me")
    with pytest.raises(OptionError, match="read by this very command"):
        plan_jobs([target], source, [source])
    with pytest.raises(OptionError, match="read by this very command"):
        plan_jobs([album], tmp_path, [tmp_path / target.name])
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / target.name).symlink_to(source)
    with pytest.raises(OptionError, match="read by this very command"):
        plan_jobs([album], tmp_path / "links", [source])
    with pytest.raises(OptionError, match="is an address"):
        plan_jobs(["https://example.org/a.mp4"], tmp_path / "out.mp4")
