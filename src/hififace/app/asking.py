"""What a visitor asks for with one click: the settings of the page, and the statement that goes with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hififace.errors import OptionError
from hififace.hosting.consent import CONSENT
from hififace.swap.options import OutputOptions, SwapOptions


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """The settings of the page at the moment of the click; ranges are those of `SwapOptions`.

    Raises:
        OptionError: a value of another kind.
    """

    model: str | None
    consent: bool = False
    average: bool = False
    """All source photos show one person: their identities are averaged."""
    shape_rate: float = 1.0
    id_rate: float = 1.0
    passes: int = 1
    mask_erosion: int = SwapOptions().mask_erosion
    mask_feather_px: float = 0.0
    match_colour: bool = SwapOptions().match_colour
    detail: float = SwapOptions().detail

    def __post_init__(self) -> None:
        for name in ("shape_rate", "id_rate", "passes", "mask_erosion", "mask_feather_px", "detail"):
            value = getattr(self, name)  # programs send what they like
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise OptionError(f"{name} is {value!r:.80}; a number was expected.")
        if self.model is not None and not isinstance(self.model, str):
            raise OptionError(f"model is {self.model!r:.80}; the name of a model was expected.")

    def options(self) -> SwapOptions:
        """As the library takes them.

        Raises:
            OptionError: the use of the faces was not confirmed, or a value is out of its range.
        """
        self._require_consent()
        return SwapOptions(
            shape_rate=self.shape_rate,
            id_rate=self.id_rate,
            passes=self.passes,
            mask_erosion=self.mask_erosion,
            mask_feather_px=self.mask_feather_px,
            match_colour=self.match_colour,
            detail=self.detail,
        )

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
