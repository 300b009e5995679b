"""What a visitor asks for with one click: the settings of the page, and the statement that goes with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hififace.errors import OptionError
from hififace.hosting.consent import CONSENT
from hififace.swap.options import OutputOptions, SwapOptions

FORMATS: Final = {"same": "", "png": ".png", "jpeg": ".jpg"}
"""What a result's file may be, and its ending."""


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """The settings of the page at the moment of the click.

    Raises:
        OptionError: a value of another kind.
    """

    model: str | None
    consent: bool = False
    average: bool = False
    """All source photos show one person: their identities are averaged."""
    swap: SwapOptions = field(default_factory=SwapOptions)
    format: str = "same"
    """Of an image: one of `FORMATS`."""
    quality: int = 95
    """Of a JPEG, 1 to 100."""

    def __post_init__(self) -> None:
        if self.model is not None and not isinstance(self.model, str):  # programs send what they like
            raise OptionError(f"model is {self.model!r:.80}; the name of a model was expected.")

        if self.format not in FORMATS:
            raise OptionError(f"format is {self.format!r:.80}; {', '.join(FORMATS)} was expected.")
        if (
            isinstance(self.quality, bool)
            or not isinstance(self.quality, int)
            or not 1 <= self.quality <= 100
        ):
            raise OptionError(f"quality is {self.quality!r:.80}; a whole number from 1 to 100 was expected.")

    @property
    def suffix(self) -> str:
        """Ending of the result's file; empty keeps the target's."""
        return FORMATS[self.format]

    def options(self) -> SwapOptions:
        """How to swap.

        Raises:
            OptionError: the use of the faces was not confirmed.
        """
        self._require_consent()
        return self.swap

    def output_options(self) -> OutputOptions:
        """What the result tells, and the statement for its mark.

        Raises:
            OptionError: the use of the faces was not confirmed.
        """
        self._require_consent()
        return OutputOptions(similarity=True, consent_confirmed=True, consent_statement=CONSENT)

    def _require_consent(self) -> None:
        if self.consent is not True:  # a program may send 1, "yes" or ["false"]: none of them is a statement
            raise OptionError(
                "The use of both faces is not confirmed yet. Tick the statement above the button first."
            )
