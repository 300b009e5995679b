"""Which encoder a result gets, and with which settings: the video's own kind wherever that is possible."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from hififace.errors import OptionError, VideoError
from hififace.media.planes import bit_depth, has_alpha, upright_format
from hififace.media.probe import VideoInfo
from hififace.media.video import VideoReader
from hififace.media.video_colour import ColourFacts, result_colour

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
}
"""Endings of results, and FFmpeg's muxer for each."""

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "mjpeg": "mjpeg",
    "mpeg4": "mpeg4",
}
"""Codec of the video -> encoder of the result. Other codecs become H.264 (VP9 in WebM)."""

_CRF = {"libx264": 17, "libx265": 19, "libvpx-vp9": 20, "libvpx": 10, "libsvtav1": 20}
"""Constant quality that side by side cannot be told from the original; lower is better and larger."""

_WITH_ALPHA = ("libvpx", "libvpx-vp9", "prores_ks", "ffv1")
"""Encoders that keep transparency."""

_WITH_CAPTIONS = ("libx264", "libx265")
"""Encoders that write the captions (CEA-608 and 708) that come with a frame."""

_GLOBAL_HEADER = 0x0040
"""FFmpeg's AVFMT_GLOBALHEADER: the container stores the codec's headers once, not in the stream."""


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """Everything that decides the bytes of the result's video: equal settings give equal bytes."""

    encoder: str
    container: str
    pixel_format: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    colour: ColourFacts
    pixel_aspect: Fraction = Fraction(1)
    gop_size: int = 250
    options: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    global_header: bool = True
    notes: tuple[str, ...] = ()
    """Sentences about what could not stay as it was."""

    def fingerprint(self) -> dict[str, str]:
        """The settings as plain strings: written into each segment, compared before going on."""
        return {name: str(value) for name, value in asdict(self).items() if name != "notes"}


@cache
def encoder_formats(encoder: str) -> tuple[str, ...] | None:
    """Pixel formats that an encoder of this FFmpeg takes; None if it is not built in."""
    try:
        codec = av.codec.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return None
    formats = tuple(f.name for f in codec.video_formats or ())
    return formats


def container_of(path: str | os.PathLike[str]) -> str:
    """The muxer for a result's name.

    Raises:
        OptionError: an ending that is not one of `CONTAINERS`.
    """
    ending = Path(path).suffix.lower()
    if ending not in CONTAINERS:
        raise OptionError(
            f'"{Path(path).name}" does not end like a video; expected one of {", ".join(sorted(CONTAINERS))}.'
        )
    return CONTAINERS[ending]


def choose_settings(
    reader: VideoReader,
    output: str | os.PathLike[str],
    *,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    threads: int = 0,
) -> EncodeSettings:
    """Settings that keep the video's codec, pixel format, range, tags, size and clock.

    Where one of them cannot stay, a note says what became of it: a codec without encoder becomes H.264 (VP9
    in WebM); a pixel format that the encoder lacks becomes the nearest that loses least.

    Args:
        reader: the video.
        output: name of the result; its ending chooses the container.
        codec: "h264", "hevc", "vp9", "av1", ... instead of the video's.
        crf: constant quality instead of the visually lossless default.
        preset: the encoder's own speed preset.
        threads: of the encoder, 0 for as many as there are cores.

    Raises:
        OptionError: an unknown ending, or an encoder that is not there or does not fit the container.
        VideoError: nothing that fits the container is built in.
    """
    info = reader.info
    container = container_of(output)
    wanted = upright_format(info.pixel_format, info.rotation_deg)
    notes: list[str] = []
    if info.hdr is not None:
        wanted = wanted.split("10le")[0].split("12le")[0]
        notes.append("HDR was converted to SDR (BT.709).")
    if info.interlaced:
        notes.append(
            "The video is interlaced; its frames are treated as whole images and written progressive."
        )
    encoder, pixel_format = _choose_encoder(info.codec, codec, container, wanted, (info.width, info.height))
    if codec is None and encoder != _ENCODERS.get(info.codec):
        notes.append(
            f"The video is {info.codec}, for which there is no encoder here; it becomes {_codec_of(encoder)}."
        )
    notes += _not_kept(info, encoder, pixel_format)
    if has_alpha(wanted) and not has_alpha(pixel_format):
        wanted = wanted.replace("yuva", "yuv").replace("gbrap", "gbrp")
    if pixel_format != wanted:
        notes.append(f"{wanted} is not possible with {encoder}; the result is {pixel_format}.")
    return EncodeSettings(
        encoder=encoder,
        container=container,
        pixel_format=pixel_format,
        width=info.width,
        height=info.height,
        time_base=reader.time_base,
        rate=reader.rate,
        colour=result_colour(info.colour, pixel_format),
        pixel_aspect=1 / info.pixel_aspect if info.rotation_deg % 180 else info.pixel_aspect,
        options=_options(encoder, crf, preset)
        | _for_alpha(encoder, pixel_format)
        | _for_container(encoder, container),
        # x264 with more than 8 bits and several threads gives other bytes at each run (it does not with one, nor
        # with 8 bits; measured with libx264 of FFmpeg 8): then a resumed run would not equal a whole one.
        threads=1 if encoder == "libx264" and bit_depth(pixel_format) > 8 else threads,
        global_header=bool(_flags(container) & _GLOBAL_HEADER),
        notes=tuple(notes),
    )


def _not_kept(info: VideoInfo, encoder: str, pixel_format: str) -> list[str]:
    """Sentences about what lies in the frames or beside them and cannot be in the result."""
    notes = []
    if info.has_alpha and not has_alpha(pixel_format):
        notes.append(
            f"Its transparency was left out: the result is {_codec_of(encoder)}, {pixel_format}. ProRes 4444 in .mov "
            "and VP9 in .webm keep it."
        )
    if info.projection is not None:
        notes.append(f"The note that it is a {info.projection} video cannot be carried over; set it again.")
    changed = bool(info.rotation_deg) or info.hdr is not None
    if info.has_captions and (encoder not in _WITH_CAPTIONS or changed):
        notes.append("The captions inside its frames were left out.")
    return notes


def _for_alpha(encoder: str, pixel_format: str) -> dict[str, str]:
    """VP8 and VP9 code transparency beside the image, which their invisible frames would get out of step with."""
    return {"auto-alt-ref": "0"} if encoder.startswith("libvpx") and has_alpha(pixel_format) else {}


def _for_container(encoder: str, container: str) -> dict[str, str]:
    """AVI stores no times of display, so frames are coded in the order in which they are shown."""
    reorders = encoder in ("libx264", "libx265", "mpeg4")
    return {"bf": "0"} if container == "avi" and reorders else {}


def _codec_of(encoder: str) -> str:
    return next((codec for codec, name in _ENCODERS.items() if name == encoder), encoder)


def _flags(container: str) -> int:
    return int(av.ContainerFormat(container, "w").flags)


def holds(container: str, codec: str) -> bool:
    """Whether a container can hold a codec (canonical name, or the name of a decoder)."""
    if container == "mpegts":
        # FFmpeg's table for transport streams is empty: it is a programme of known streams.
        return codec in {
            "h264",
            "hevc",
            "mpeg4",
            "mpeg2video",
            "aac",
            "mp3",
            "mp2",
            "ac3",
            "eac3",
            "opus",
            "dts",
        }
    return codec in _held(container)


@cache
def _held(container: str) -> frozenset[str]:
    with av.open(os.devnull, "w", format=container) as probe_container:
        names = set(probe_container.supported_codecs)
    canonical = set()
    for name in names:
        for mode in ("r", "w"):
            try:
                canonical.add(av.codec.Codec(name, cast(Any, mode)).canonical_name)
            except av.codec.codec.UnknownCodecError:
                continue
    return frozenset(names | canonical)


def _choose_encoder(
    own: str, asked: str | None, container: str, wanted: str, size: tuple[int, int]
) -> tuple[str, str]:
    """The asked codec, else the first that fits container and pixel format exactly."""
    if asked is not None:
        encoder = _ENCODERS.get(asked, asked)
        formats = encoder_formats(encoder)
        if formats is None:
            known = ", ".join(sorted(c for c, e in _ENCODERS.items() if encoder_formats(e) is not None))
            raise OptionError(f'There is no encoder for "{asked}" here; expected one of {known}.')
        if not holds(container, _codec_of(encoder)):
            raise OptionError(
                f"A .{container} video cannot hold {asked}; choose another codec or another ending."
            )
        return encoder, _nearest(wanted, _sized(formats, size, encoder, has_alpha(wanted)))
    if own in _ENCODERS and not holds(container, own):
        raise VideoError(
            f"The video is {own}, which a {container} file cannot hold. Choose an ending that can "
            "(.mkv takes all), or ask for another codec (--codec)."
        )
    fallbacks = ["vp9", "av1"] if container == "webm" else ["h264", "hevc", "av1"]
    candidates = [own, *fallbacks] if own in _ENCODERS else fallbacks
    usable = [
        (_ENCODERS[c], _sized(formats, size, _ENCODERS[c], has_alpha(wanted)))
        for c in candidates
        if holds(container, c) and (formats := encoder_formats(_ENCODERS[c])) is not None
    ]
    usable = [(encoder, formats) for encoder, formats in usable if formats]
    if not usable:
        raise VideoError(
            f"No encoder for a {container} video is built into this FFmpeg; install PyAV's own wheel."
        )
    for encoder, formats in usable:
        if wanted in formats:
            return encoder, wanted
    encoder, formats = usable[0]
    return encoder, _nearest(wanted, formats)


def _sized(
    formats: Iterable[str], size: tuple[int, int], encoder: str, alpha: bool = False
) -> tuple[str, ...]:
    """Formats in which an image of this size can be coded: H.264 and HEVC know no odd 4:2:0 sizes.

    The size never changes; an odd image gets a format without halved chroma along the odd side instead.
    """
    left_out = ("yuvj", "nv") if alpha and encoder in _WITH_ALPHA else ("yuvj", "nv", "yuva")
    kept = tuple(f for f in formats if not f.startswith(left_out))
    if encoder not in ("libx264", "libx265", "libsvtav1"):
        return kept
    odd_x, odd_y = size[0] % 2, size[1] % 2

    def fits(name: str) -> bool:
        chroma_x = "420" in name or "422" in name
        return not (odd_x and chroma_x) and not (odd_y and "420" in name)

    return tuple(f for f in kept if fits(f))


def _nearest(wanted: str, formats: tuple[str, ...]) -> str:
    """The format that loses least: enough bits, then enough chroma, then not more of either than needed."""
    if wanted in formats:
        return wanted
    if not formats:
        raise OptionError("The encoder takes none of the usual pixel formats; choose another codec.")

    def chroma(name: str) -> int:
        return 0 if "gray" in name else 1 if "420" in name else 2 if ("422" in name or "440" in name) else 3

    def loss(name: str) -> tuple[int, ...]:
        bits, colour = bit_depth(name) - bit_depth(wanted), chroma(name) - chroma(wanted)
        other_model = int(name.startswith("gbr") != wanted.startswith("gbr"))
        alpha = int(has_alpha(name) != has_alpha(wanted))
        return alpha, max(-colour, 0), max(-bits, 0), other_model, max(bits, 0), max(colour, 0)

    return min(formats, key=loss)


def _options(encoder: str, crf: float | None, preset: str | None) -> dict[str, str]:
    """The encoder's private options; chosen for quality that is not seen to be lost at a bearable speed."""
    options: dict[str, str] = {}
    if encoder in _CRF:
        options["crf"] = f"{crf if crf is not None else _CRF[encoder]:g}"
    if encoder == "libx264":
        # Half the time of "veryfast" for the same image quality (49.4 dB at CRF 17) in a file half as large again.
        options["preset"] = preset or "superfast"
    elif encoder == "libx265":
        options["preset"] = preset or "veryfast"
    elif encoder in ("libvpx-vp9", "libvpx"):
        options.update(
            {"b": "0" if encoder == "libvpx-vp9" else "40M", "deadline": "good", "cpu-used": preset or "5"}
        )
        if encoder == "libvpx-vp9":
            options["row-mt"] = "1"
        else:
            # VP8's invisible frames would be packets without an image.
            options["auto-alt-ref"] = "0"
    elif encoder == "libsvtav1":
        options["preset"] = preset or "8"
    elif encoder in ("mjpeg", "mpeg4"):
        options.update({"qmin": "1", "qmax": "3"})
    if encoder == "libx265":
        options["x265-params"] = "log-level=error:open-gop=0"
    return options


def open_encoder(settings: EncodeSettings) -> av.VideoCodecContext:
    """A fresh encoder: it starts with a key frame that nothing before it is needed for.

    Raises:
        OptionError: it refuses the settings, such as a preset that it does not know.
    """
    context = cast(av.VideoCodecContext, av.CodecContext.create(cast(Any, settings.encoder), "w"))
    apply_settings(context, settings)
    # Not among the settings: work begun on one processor may go on on another.
    context.options = dict(settings.options) | _repeatable(settings.encoder, has_avx512())
    try:
        context.open()
    except av.FFmpegError as error:
        told = ", ".join(f"{name} {value}" for name, value in settings.options.items())
        raise OptionError(
            f"{settings.encoder} refuses its settings ({told}): {error.strerror or error}. "
            "Choose another preset, crf or codec."
        ) from error
    return context


def _repeatable(encoder: str, avx512: bool) -> dict[str, str]:
    """Options that make an encoder give the same bytes again.

    The AVX-512 routines of x264 (that of PyAV 18.1's wheel) read memory that nobody wrote: with the preset "veryfast",
    13 of 40 encodings of a video of 96 x 64 px differed from the rest, with one thread as with several; without these
    routines none of 160 did. Encoding takes as long without them.
    """
    if encoder != "libx264" or not avx512:
        return {}
    # Every processor with AVX-512 has all of these.
    return {"x264-params": "asm=MMXEXT,SSE2Fast,LZCNT,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"}


@cache
def has_avx512() -> bool:
    """Whether this processor has AVX-512, as NumPy found out when it chose its own routines."""
    said = cast(dict[str, Any], np.show_config(mode="dicts")).get("SIMD Extensions", {})
    names = [*said.get("baseline", []), *said.get("found", [])]
    return any(name.startswith("AVX512") or name == "X86_V4" for name in names)


def apply_settings(context: Any, settings: EncodeSettings) -> None:
    """Give an encoder (or the stream that only borrows its header) the settings."""
    context.width, context.height = settings.width, settings.height
    context.pix_fmt = settings.pixel_format
    context.time_base = settings.time_base
    context.framerate = settings.rate
    context.sample_aspect_ratio = settings.pixel_aspect
    context.gop_size = settings.gop_size
    context.thread_count = settings.threads
    colour = settings.colour
    context.colorspace, context.color_primaries, context.color_trc = (
        colour.matrix,
        colour.primaries,
        colour.transfer,
    )
    context.color_range = 0 if colour.full_range is None else 2 if colour.full_range else 1
    context.options = dict(settings.options)
    if settings.global_header:
        context.flags |= int(av.codec.context.Flags.global_header)
