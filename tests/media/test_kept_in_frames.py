"""What lies in frames or beside them and is no colour: transparency, captions, projection."""

from __future__ import annotations

import av
import numpy as np
import pytest
from tests.media.test_writing import rewrite
from tests.support.videos import Recipe, captioned_video, captions_of, make_spherical, make_video, stamps_of

from hififace.media.encoding import choose_settings
from hififace.media.probe import decoder_of, probe
from hififace.media.video import VideoReader

SIZE = (96, 64)


def transparent(path, encoder, pixel_format, options):
    """A video whose left half is transparent."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixel_format
        for number in range(6):
            rgba = np.full((SIZE[1], SIZE[0], 4), 255, np.uint8)
            rgba[..., :3] = 40 + 20 * number
            rgba[:, : SIZE[0] // 2, 3] = 0
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixel_format)
            frame.pts = number
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return path


def alpha_of(path):
    """(frames, height, width) 0..255."""
    frames = []
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        decoder = decoder_of(stream)
        for packet in video.demux(stream):
            for frame in decoder.decode(packet):
                frames.append(frame.reformat(format="rgba").to_ndarray()[..., 3])
    return np.stack(frames)


KINDS = {
    "webm": ("libvpx-vp9", "yuva420p", {"crf": "20", "b": "0", "auto-alt-ref": "0", "cpu-used": "8"}),
    "mov": ("prores_ks", "yuva444p10le", {}),
}


def brightened(frame):
    image = frame.rgb().copy()
    image[10:30, 60:80] = 250
    return frame.with_rgb(image)


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_stays(tmp_path, kind):
    source = transparent(tmp_path / f"a.{kind}", *KINDS[kind])
    output = tmp_path / f"out.{kind}"
    _, notes = rewrite(source, output, edit=brightened, frames_per_segment=4)
    before, after = alpha_of(source), alpha_of(output)
    assert before[:, :, :40].max() < 10 < 240 < before[:, :, 56:].min()
    assert np.abs(before.astype(int) - after).max() <= 6
    assert not any("ransparency" in note for note in notes)
    shown = next(iter(VideoReader(output))).rgb()
    assert np.abs(shown[14:26, 64:76].astype(int) - 250).max() < 12


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_that_cannot_stay_is_told_and_no_tag_claims_it(tmp_path, kind):
    source = transparent(tmp_path / f"a.{kind}", *KINDS[kind])
    output = tmp_path / "out.mkv"
    _, notes = rewrite(source, output, settings={"codec": "h264"})
    assert any(note.startswith("Its transparency was left out") for note in notes)
    with av.open(str(output)) as video:
        assert "alpha_mode" not in {name.lower() for name in video.streams.video[0].metadata}
    assert len(stamps_of(output)) == 6


def test_captions_inside_frames_stay_also_where_the_image_changes(tmp_path):
    source = captioned_video(tmp_path / "a.ts")
    before = captions_of(source)
    assert all(before)
    output = tmp_path / "out.mp4"

    def every_other(frame):
        return brightened(frame) if frame.index % 2 else frame

    _, notes = rewrite(source, output, edit=every_other, settings={"codec": "h264"})
    assert captions_of(output) == before
    assert not any("aptions" in note for note in notes)
    told = choose_settings(VideoReader(source), tmp_path / "out.webm", codec="vp9").notes
    assert "The captions inside its frames were left out." in told


def test_a_360_degree_video_is_told_about(tmp_path):
    source = make_spherical(make_video(tmp_path / "a.mp4", Recipe(seconds=0.2)))
    assert probe(source).projection == "360-degree"
    _, notes = rewrite(source, tmp_path / "out.mp4")
    assert sum("360-degree" in note for note in notes) == 1
    assert probe(make_video(tmp_path / "b.mp4", Recipe(seconds=0.2))).projection is None
