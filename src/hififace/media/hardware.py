"""Encoders in hardware: which of them works here, and how fine it encodes.

Whether one works is known only when it is opened: FFmpeg has the names built in on every machine, drivers and chips are
found out then. Their bytes may differ from run to run, so they are taken only when asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, TypeAlias

from hififace.errors import OptionError
from hififace.media.encoding import EncodeSettings, encoder_formats, open_encoder

EncoderChoice: TypeAlias = Literal["software", "auto"]

KINDS: Final = {
    "nvenc": "NVENC of NVIDIA",
    "videotoolbox": "VideoToolbox of Apple",
    "qsv": "Quick Sync of Intel",
    "amf": "AMF of AMD",
}
"""Endings of FFmpeg's names, best first, and what they are."""

_CODECS: Final = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1"}
"""Encoders in software that hardware can stand in for."""

_OTHER_FORMATS: Final = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
"""The same numbers with both colour differences in one plane, as some chips want them."""


def in_hardware(settings: EncodeSettings) -> EncodeSettings:
    """The settings with an encoder in hardware if one works, and a note that says which, or why none.

    Args:
        settings: with an encoder in software.
    """
    codec = _CODECS.get(settings.encoder)
    if codec is None:
        return _with_note(settings, f"There is no encoder in hardware for {settings.encoder}, which is used.")
    reasons = []
    for kind, name in KINDS.items():
        encoder = f"{codec}_{kind}"
        formats = encoder_formats(encoder)
        if formats is None:
            continue
        wanted = [settings.pixel_format, _OTHER_FORMATS.get(settings.pixel_format, "")]
        usable = [one for one in wanted if one in formats]
        if not usable:
            reasons.append(f"{encoder} knows no {settings.pixel_format}")
            continue
        tried = replace(
            settings,
            encoder=encoder,
            pixel_format=usable[0],
            options=_options(kind, float(settings.options.get("crf", 20))),
        )
        try:
            open_encoder(tried)
        except OptionError as error:
            reasons.append(f"{encoder}: {_why(error)}")
            continue
        return _with_note(tried, f"Encoded in hardware, by {encoder} ({name}).")
    told = "; ".join(reasons) or "none is built into this FFmpeg"
    return _with_note(settings, f"No encoder in hardware works here ({told}); {settings.encoder} is used.")


def _options(kind: str, crf: float) -> dict[str, str]:
    """Constant quality, about as fine as that of the encoder in software."""
    level = str(round(crf))
    if kind == "nvenc":
        return {"rc": "vbr", "cq": level, "b": "0", "preset": "p5"}
    if kind == "videotoolbox":
        # From 1, coarse, to 100.
        return {"q": str(max(100 - 2 * round(crf), 1)), "allow_sw": "0"}
    if kind == "qsv":
        return {"global_quality": level}
    return {"rc": "cqp", "qp_i": level, "qp_p": level}


def _why(error: OptionError) -> str:
    """What FFmpeg said."""
    cause = error.__cause__
    return str(getattr(cause, "strerror", None) or cause or error)


def _with_note(settings: EncodeSettings, note: str) -> EncodeSettings:
    return replace(settings, notes=(*settings.notes, note))
