"""Encoders in hardware: the best that works is taken, and what is said where none does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from tests.support.videos import Recipe, make_video

from hififace.errors import OptionError
from hififace.media import hardware
from hififace.media.encoding import EncodeSettings, choose_settings
from hififace.media.hardware import in_hardware
from hififace.media.video import VideoReader


@pytest.fixture
def settings(tmp_path: Any) -> EncodeSettings:
    reader = VideoReader(make_video(tmp_path / "a.mp4", Recipe(seconds=0.2, size=(320, 240))))
    return choose_settings(reader, tmp_path / "out.mp4", crf=21)


def pretend(
    monkeypatch: pytest.MonkeyPatch, formats: dict[str, tuple[str, ...]], working: Collection[str]
) -> None:
    """A machine whose FFmpeg knows some encoders, of which some work."""

    def opened(tried: EncodeSettings) -> None:
        if tried.encoder not in working:
            try:
                raise OSError(1, "No device")
            except OSError as error:
                raise OptionError("refused") from error

    monkeypatch.setattr(hardware, "encoder_formats", formats.get)
    monkeypatch.setattr(hardware, "open_encoder", opened)


BOTH = {"h264_nvenc": ("yuv420p", "nv12"), "h264_qsv": ("nv12",), "h264_amf": ("nv12", "yuv420p")}


def test_the_first_that_works_is_taken_and_said(
    monkeypatch: pytest.MonkeyPatch, settings: EncodeSettings
) -> None:
    pretend(monkeypatch, BOTH, {"h264_nvenc", "h264_amf"})
    found = in_hardware(settings)
    assert (found.encoder, found.pixel_format, found.options["cq"]) == ("h264_nvenc", "yuv420p", "21")
    assert found.notes[-1] == "Encoded in hardware, by h264_nvenc (NVENC of NVIDIA)."
    pretend(monkeypatch, BOTH, {"h264_qsv"})
    found = in_hardware(settings)
    assert (found.encoder, found.pixel_format, found.options) == (
        "h264_qsv",
        "nv12",
        {"global_quality": "21"},
    )


def test_where_none_works_the_encoder_in_software_stays(
    monkeypatch: pytest.MonkeyPatch, settings: EncodeSettings
) -> None:
    pretend(monkeypatch, {**BOTH, "h264_nvenc": ("yuv444p",)}, ())
    found = in_hardware(settings)
    assert (found.encoder, found.options) == ("libx264", settings.options)
    assert found.notes[-1] == (
        "No encoder in hardware works here (h264_nvenc knows no yuv420p; h264_qsv: No device; h264_amf: No device); "
        "libx264 is used."
    )
    pretend(monkeypatch, {}, ())
    assert "none is built into this FFmpeg" in in_hardware(settings).notes[-1]


def test_a_codec_without_hardware_is_said(settings: EncodeSettings) -> None:
    other = hardware.replace(settings, encoder="libvpx-vp9")
    assert in_hardware(other).notes[-1] == "There is no encoder in hardware for libvpx-vp9, which is used."


def test_ffmpeg_of_this_machine_is_asked(settings: EncodeSettings) -> None:
    found = in_hardware(settings)
    assert found.encoder.startswith(("libx264", "h264_"))
    assert "hardware" in found.notes[-1]
