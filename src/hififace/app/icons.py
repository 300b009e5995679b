"""Icons of the page: lines on a grid of 24, in the colour of the text beside them."""

from __future__ import annotations

from typing import Final

_LINES: Final = {
    "add": "M12 5v14M5 12h14",
    "camera": "M4 8h3l2-3h6l2 3h3v11H4zM12 17a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
    "paste": "M9 4h6v3H9zM9 5H6v15h12V5h-3",
    "close": "M6 6l12 12M18 6L6 18",
    "photo": "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
    "video": "M3 6h12v12H3zM15 10l6-3v10l-6-3z",
    "live": "M12 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7.8 16.2a6 6 0 0 1 0-8.4M16.2 7.8a6 6 0 0 1 0 8.4M4.9 19.1a10 10 0 0 1 0-14.2"
    "M19.1 4.9a10 10 0 0 1 0 14.2",
    "fit": "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
    "plus": "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4 4M11 8v6M8 11h6",
    "minus": "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4 4M8 11h6",
    "whole": "M3 12h18M7 8l-4 4 4 4M17 8l4 4-4 4",
    "play": "M8 5l11 7-11 7z",
    "pause": "M8 5v14M16 5v14",
    "sound": "M4 9.5v5h3.500l5 4v-13l-5 4zM16 9.500a4 4 0 0 1 0 5M18.500 7a7.500 7.500 0 0 1 0 10",
    "muted": "M4 9.5v5h3.500l5 4v-13l-5 4zM16.500 10l4 4M20.500 10l-4 4",
    "theme": "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
    "lock": "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
    "down": "M12 4v11M7 11l5 5 5-5M5 20h14",
    "swap": "M4 8h13l-3-3M20 16H7l3 3",
    "face": "M12 21a8 9 0 1 0 0-18 8 9 0 0 0 0 18zM9 10h.01M15 10h.01M9 15c1.8 1.6 4.2 1.6 6 0",
    "everybody": "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19c0-4 2.5-6 6-6s6 2 6 6M16 5.5a3 3 0 0 1 0 5.5M17.5 13.5c2.2.8 3.5 2.6 3.5 5.5",
}


def icon(name: str, *, side_px: int = 20) -> str:
    """SVG that screen readers pass over: what is beside it says the same."""
    return (
        f'<svg class="hf-icon" width="{side_px}" height="{side_px}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{_LINES[name]}"/></svg>'
    )


LOGO: Final = (
    '<svg class="hf-logo" width="30" height="30" viewBox="0 0 32 32" aria-hidden="true"><path d="M16 2.5c-7 0-11 5-11 '
    '12.500 0 8 5.500 14.500 11 14.500z" fill="currentColor"/><path d="M16 2.500c7 0 11 5 11 12.500 0 8-5.500 14.500-11 14.500" '
    'fill="none" stroke="currentColor" stroke-width="2"/><circle cx="11.500" cy="13.500" r="1.500" fill="var(--hf-bg)"/>'
    '<circle cx="20.500" cy="13.500" r="1.500" fill="currentColor"/></svg>'
)
"""Half a face that is filled, half one that is drawn."""
