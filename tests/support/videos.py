"""Makes tiny videos for tests: known images, known sound, every odd property on request.

Images: a soft background that drifts, and a face (scikit-image's astronaut, public domain).
Sound: silence with one-millisecond clicks at known times; a white flash in the image can mark the same time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hififace.media.video_colour import ColourFacts, from_rgb

NTSC = Fraction(30000, 1001)


@dataclass
class Sound:
    """One sound stream: clicks at `click_times_s`, silence elsewhere."""

    click_times_s: tuple[float, ...] = (0.5, 1.0)
    codec: str = "aac"
    rate: int = 48000
    bit_rate: int | None = None
    language: str = "eng"


@dataclass
class Recipe:
    """A video to make; the defaults give one second of 96 x 64 H.264."""

    seconds: float = 1.0
    size: tuple[int, int] = (96, 64)
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    time_base: Fraction | None = None
    stamps: list[int] | None = None
    """Time stamps in `time_base`, for variable frame rate; None for even ones."""
    matrix: int = 1
    full_range: bool | None = False
    transfer: int = 1
    primaries: int = 1
    sounds: tuple[Sound, ...] = ()
    subtitles: str | None = None
    chapters: tuple[tuple[float, float, str], ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=lambda: {"crf": "12", "preset": "ultrafast"})
    gop_size: int = 12
    container_options: dict[str, str] = field(default_factory=dict)
    draw: Callable[[int, float, tuple[int, int]], np.ndarray] | None = None
    """(frame number, seconds, (width, height)) -> RGB."""


def drifting(number: int, seconds: float, size: tuple[int, int]) -> np.ndarray:
    """A smooth coloured image that moves; no two frames are alike."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    phase = 0.35 * number
    red = 128 + 70 * np.sin(0.11 * x + phase)
    green = 128 + 60 * np.sin(0.13 * y - phase)
    blue = 128 + 50 * np.sin(0.07 * (x + y) + phase)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def flashing(*times_s: float) -> Callable[[int, float, tuple[int, int]], np.ndarray]:
    """Dark frames, and a white one for each frame that begins within 5 ms of one of the times."""

    def draw(number: int, seconds: float, size: tuple[int, int]) -> np.ndarray:
        lit = any(abs(seconds - t) < 0.005 for t in times_s)
        return np.full((size[1], size[0], 3), 235 if lit else 30, dtype=np.uint8)

    return draw


def make_video(path: Path, recipe: Recipe | None = None) -> Path:
    """Write the video and return its path."""
    recipe = recipe or Recipe()
    with av.open(str(path), "w", options=dict(recipe.container_options)) as video:
        video.metadata.update(recipe.metadata)
        picture_stream = _add_video(video, recipe)
        sounds = [(_add_sound(video, sound), sound) for sound in recipe.sounds]
        subtitle = video.add_mux_stream(recipe.subtitles) if recipe.subtitles else None
        if recipe.chapters:
            video.set_chapters(
                [
                    {
                        "id": i,
                        "start": round(a * 1000),
                        "end": round(b * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for i, (a, b, title) in enumerate(recipe.chapters)
                ]
            )
        for stream, sound in sounds:
            _encode_sound(video, stream, sound, recipe.seconds)
        if subtitle is not None:
            _write_subtitle(video, subtitle, recipe.subtitles or "")
        _encode_pictures(video, picture_stream, recipe)
    return path


def _add_video(video: Any, recipe: Recipe) -> Any:
    picture_stream = video.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.options))
    picture_stream.width, picture_stream.height = recipe.size
    picture_stream.pix_fmt = recipe.pixel_format
    context = picture_stream.codec_context
    context.time_base = recipe.time_base or 1 / recipe.rate
    picture_stream.time_base = context.time_base
    context.gop_size = recipe.gop_size
    context.colorspace, context.color_trc, context.color_primaries = (
        recipe.matrix,
        recipe.transfer,
        recipe.primaries,
    )
    context.color_range = {None: 0, False: 1, True: 2}[recipe.full_range]
    return picture_stream


def _encode_pictures(video: Any, picture_stream: Any, recipe: Recipe) -> None:
    base = recipe.time_base or 1 / recipe.rate
    count = round(recipe.seconds * recipe.rate)
    step = 1 / recipe.rate / base
    stamps = recipe.stamps or [int(i * step) for i in range(count)]
    assumed = 6 if recipe.matrix == 2 else recipe.matrix
    facts = ColourFacts(recipe.matrix, recipe.primaries, recipe.transfer, bool(recipe.full_range), assumed)
    draw = recipe.draw or drifting
    for number, pts in enumerate(stamps):
        image = draw(number, float(pts * base), recipe.size)
        frame = from_rgb(image, recipe.pixel_format, facts)
        frame.pts, frame.time_base = pts, base
        video.mux(picture_stream.encode(frame))
    video.mux(picture_stream.encode(None))


def _add_sound(video: Any, sound: Sound) -> Any:
    stream = video.add_stream(sound.codec, rate=sound.rate)
    stream.layout = "mono"
    if sound.bit_rate is not None:
        stream.bit_rate = sound.bit_rate
    stream.metadata["language"] = sound.language
    return stream


def click_track(times_s: Iterable[float], rate: int, seconds: float) -> np.ndarray:
    """(samples,) float32: a 3 kHz burst of one millisecond at each time."""
    samples = np.zeros(round(seconds * rate), dtype=np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 3000 * np.arange(rate // 1000) / rate)
    for time_s in times_s:
        at = round(time_s * rate)
        part = samples[at : at + len(burst)]
        part += burst[: len(part)]
    return samples


def _encode_sound(video: Any, stream: Any, sound: Sound, seconds: float) -> None:
    context = stream.codec_context
    samples = click_track(sound.click_times_s, sound.rate, seconds)
    resampler = av.AudioResampler(format=context.format, layout="mono", rate=sound.rate)
    for at in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, at, Fraction(1, sound.rate)
        for converted in resampler.resample(frame):
            video.mux(stream.encode(converted))
    video.mux(stream.encode(None))


def _write_subtitle(video: Any, stream: Any, codec: str) -> None:
    text = b"0,0,Default,,0,0,0,,hello" if codec == "ass" else b"hello"
    if codec == "mov_text":
        text = struct.pack(">H", len(text)) + text
    packet = av.Packet(text)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts, packet.dts, packet.duration = 200, 200, 500
    video.mux(packet)


def set_rotation(path: Path, clockwise_deg: int) -> Path:
    """Patch the display matrix of every video track of an MP4, as a phone held upright writes it."""
    unit = 0x10000
    a, b, c, d = {
        0: (unit, 0, 0, unit),
        90: (0, unit, -unit, 0),
        180: (-unit, 0, 0, -unit),
        270: (0, -unit, unit, 0),
    }[clockwise_deg]
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd")
    # version and flags 4, then (version 0) 5 x 4, reserved 8, layer..reserved 8, matrix 36.
    start = at + 4 + 4 + 20 + 8 + 8
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(bytes(data))
    return path


def decoded(path: Path) -> list[Any]:
    """All decoded video frames."""
    with av.open(str(path)) as video:
        return list(video.decode(video=0))


def stamps_of(path: Path) -> list[Fraction]:
    """Time stamps of all video frames in seconds, exact."""
    with av.open(str(path)) as video:
        base = video.streams.video[0].time_base
        return [frame.pts * base for frame in video.decode(video=0)]


def heard_clicks(path: Path, stream: int = 0) -> list[float]:
    """Times in seconds at which the clicks of a sound stream are heard, on the video's clock."""
    times: list[float] = []
    with av.open(str(path)) as video:
        audio = video.streams.audio[stream]
        rate = audio.rate
        chunks, starts = [], []
        for frame in video.decode(audio):
            chunks.append(np.asarray(frame.to_ndarray(), dtype=np.float64).reshape(-1))
            starts.append(float(frame.pts * frame.time_base))
        scale = max(np.abs(c).max() for c in chunks)
    pattern = np.sin(2 * np.pi * 3000 * np.arange(rate // 1000) / rate)
    samples = np.concatenate(chunks) / scale
    clock = np.concatenate([s + np.arange(len(c)) / rate for s, c in zip(starts, chunks, strict=True)])
    likeness = np.abs(np.correlate(samples, pattern, mode="valid"))
    while likeness.max() > 0.4 * np.sum(pattern**2):
        at = int(likeness.argmax())
        times.append(float(clock[at]))
        likeness[max(at - rate // 50, 0) : at + rate // 50] = 0
    return sorted(times)


def seen_flashes(path: Path) -> list[float]:
    """Times in seconds of the frames that are white."""
    with av.open(str(path)) as video:
        base = video.streams.video[0].time_base
        return [
            float(frame.pts * base)
            for frame in video.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 160
        ]


def latin_1_video(path: Path, recipe: Recipe | None = None) -> Path:
    """A Matroska video whose title is not UTF-8, as old cameras and editors wrote it."""
    titled = replace(recipe or Recipe(), metadata={"title": "Café au lait"})
    data = make_video(path, titled).read_bytes()
    broken = data.replace("Café".encode(), b"Caf\xe9\xe9")
    assert broken != data
    path.write_bytes(broken)
    return path


def captioned_video(path: Path, recipe: Recipe | None = None) -> Path:
    """An MPEG-2 transport stream whose every frame carries a pair of closed-caption bytes (ATSC A/53)."""
    plain = make_video(path.with_name(f"plain-{path.name}"), recipe or Recipe(codec="mpeg2video", options={}))
    with av.open(str(plain)) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size:
                pair = bytes([0xFC, 0x94, number & 0x7F])
                user = b"\x00\x00\x01\xb2GA94\x03\xc1\xff" + pair + b"\xff"
                data = bytes(packet)
                slices = data.index(b"\x00\x00\x01\x01")
                copy = av.Packet(data[:slices] + user + data[slices:])
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                target.mux(copy)
    return path


def captions_of(path: Path) -> list[bytes]:
    """The closed-caption bytes of every frame, empty where it has none."""
    found = [frame.side_data.get("A53_CC") for frame in decoded(path)]
    return [b"" if one is None else bytes(one) for one in found]


def make_spherical(path: Path) -> Path:
    """Say in an MP4 that it is a 360-degree video, as cameras do (Spherical Video V1)."""
    words = (
        b'<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">'
        b"<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>"
        b"<GSpherical:StitchingSoftware>camera</GSpherical:StitchingSoftware>"
        b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>"
    )
    body = b"uuid" + bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + words
    box = struct.pack(">I", len(body) + 4) + body
    data = path.read_bytes()
    moov, track = data.rindex(b"moov") - 4, data.index(b"trak") - 4
    end = track + int.from_bytes(data[track : track + 4], "big")
    for at in (moov, track):
        size = int.from_bytes(data[at : at + 4], "big") + len(box)
        data = data[:at] + struct.pack(">I", size) + data[at + 4 :]
    path.write_bytes(data[:end] + box + data[end:])
    return path
