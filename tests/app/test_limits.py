from __future__ import annotations

import pytest

from hififace import OptionError
from hififace.app.limits import Limits, check_address, parse_auth
from hififace.hosting.meter import LimitError, RequestMeter
from hififace.hosting.strangers import is_loopback


def test_a_client_may_ask_again_after_a_minute_and_others_at_once():
    now = [0.0]
    meter = RequestMeter(2, clock=lambda: now[0])
    meter.count("a")
    now[0] = 20.0
    meter.count("a")
    with pytest.raises(LimitError, match="Try again in 40 seconds"):
        meter.count("a")
    meter.count("b")
    now[0] = 60.0
    meter.count("a")
    with pytest.raises(LimitError):
        meter.count("a")


def test_clients_are_forgotten():
    now = [0.0]
    meter = RequestMeter(2, clock=lambda: now[0])
    for number in range(50):
        meter.count(str(number))
    assert meter.num_clients == 50
    now[0] = 61.0
    assert meter.num_clients == 0


@pytest.mark.parametrize("field", list(Limits.__dataclass_fields__))
def test_limits_are_above_nought(field: str):
    with pytest.raises(OptionError, match=field):
        Limits(**{field: 0})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_needs_no_password(host: str):
    assert is_loopback(host)
    check_address(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_other_machines_need_one(host: str):
    with pytest.raises(OptionError, match="--auth"):
        check_address(host, None)
    check_address(host, ("anna", "secret"))


def test_a_password_may_hold_colons():
    assert parse_auth("anna:a:b") == ("anna", "a:b")
    assert parse_auth(None) is None


@pytest.mark.parametrize("text", ["anna", "anna:", ":secret", ""])
def test_half_a_password_is_a_sentence(text: str):
    with pytest.raises(OptionError, match="USER:PASSWORD"):
        parse_auth(text)
