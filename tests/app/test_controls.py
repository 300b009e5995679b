from __future__ import annotations

import gradio as gr
import pytest

from hififace import OptionError, SwapOptions
from hififace.app.controls import controls, made_of
from hififace.app.ui_people import SETTINGS
from hififace.option_fields import options_of

MOST = 30
"""Characters of a label that fit on one line of the rail."""


def test_controls_are_those_of_the_options():
    for name, control in zip(SETTINGS, controls(SwapOptions, SETTINGS), strict=True):
        option = options_of(SwapOptions)[name]
        told = control.label + (f": {control.info}" if control.info else ".")
        assert told.lower() == option.help.lower()
        assert len(control.label) <= MOST
        assert control.value == option.default
        if option.kind is bool:
            assert isinstance(control, gr.Checkbox)
        else:
            assert option.interval is not None
            assert (control.minimum, control.maximum) == (option.interval.ge, option.interval.le)
            assert (control.step == 1) == (option.kind is int)


def test_what_controls_hold_makes_the_options():
    values = [control.value for control in controls(SwapOptions, SETTINGS)]
    assert made_of(SwapOptions, SETTINGS, values) == SwapOptions()
    assert made_of(SwapOptions, ("passes", "detail"), (2.0, 1)) == SwapOptions(passes=2, detail=1)
    with pytest.raises(OptionError, match=r"passes is 2\.5"):
        made_of(SwapOptions, ("passes",), (2.5,))
