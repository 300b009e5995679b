from __future__ import annotations

from typing import Any

import pytest

from hififace import OptionError, OutputOptions, SwapOptions
from hififace.app.asking import SwapRequest
from hififace.app.controls import made_of
from hififace.provenance.claim import Claim


def test_true_is_consent():
    assert SwapRequest("mini", consent=True).output_options().consent_confirmed is True


@pytest.mark.parametrize(
    "value", [False, None, 1, 1.0, "true", "yes", "false", [False], {"consent": True}, 0]
)
def test_nothing_else_is(value: Any):
    with pytest.raises(OptionError, match="not confirmed"):
        SwapRequest("mini", consent=value).options()
    with pytest.raises(OptionError, match="not confirmed"):
        SwapRequest("mini", consent=value).output_options()


@pytest.mark.parametrize("value", [1, "yes", [True]])
def test_nor_from_python_or_in_a_mark(value: Any):
    with pytest.raises(OptionError, match="consent_confirmed"):
        OutputOptions(consent_confirmed=value)
    with pytest.raises(ValueError, match="consent_confirmed"):
        Claim(model="mini", model_version="1", consent_confirmed=value)


@pytest.mark.parametrize(
    "fields",
    [
        {"shape_rate": "1"}, {"shape_rate": float("nan")}, {"id_rate": float("inf")}, {"passes": True},
        {"passes": None}, {"detail": [1]}, {"model": ["mini"]}, {"model": 5},
    ],
)  # fmt: skip
def test_programs_may_send_anything_and_get_a_sentence(fields: dict[str, Any]):
    with pytest.raises(OptionError, match=next(iter(fields))):
        _asked(fields)


def _asked(values: dict[str, Any]) -> SwapRequest:
    settings = {name: value for name, value in values.items() if name != "model"}
    swap = made_of(SwapOptions, tuple(settings), tuple(settings.values()))
    return SwapRequest(values.get("model", "mini"), swap=swap)
