"""What a person confirms before anything is swapped for them."""

from __future__ import annotations

from typing import Final

CONSENT: Final = "I have the right to use both faces: the people shown agreed to this swap."
"""What a person confirms before anything is swapped; these words go into the file's mark."""
