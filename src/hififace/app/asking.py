"""What a visitor asks for with one click: the settings of the page, and the statement that goes with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hififace.errors import OptionError
from hififace.hosting.consent import CONSENT
from hififace.swap.options import OutputOptions, SwapOptions


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

    def __post_init__(self) -> None:
        if self.model is not None and not isinstance(self.model, str):  # programs send what they like
            raise OptionError(f"model is {self.model!r:.80}; the name of a model was expected.")

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
