from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from hififace import OptionError
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions
from hififace.app.visits import Visits, spoken

TAB, OTHER = "0123456789abcdef" * 2, "f" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(Limits(), root=tmp_path)


@pytest.fixture
def visits(sessions: Sessions, clock: Clock) -> Visits:
    return Visits(sessions, 100, clock=clock)


def folder(sessions: Sessions, key: str) -> Path:
    with sessions.visit(key) as session:
        return session.folder


def test_a_reloaded_page_finds_its_files_and_a_closed_one_takes_them_along(
    visits: Visits, sessions: Sessions, clock: Clock
):
    key = visits.arrive("page-1", TAB)
    kept = folder(sessions, visits.key("page-1"))
    visits.leave("page-1")
    clock.now = 99.0
    visits.sweep()
    assert visits.arrive("page-2", TAB) == key
    clock.now = 500.0
    visits.sweep()
    assert folder(sessions, visits.key("page-2")) == kept
    visits.leave("page-2")
    clock.now = 600.0
    visits.sweep()
    assert not kept.exists()
    assert len(sessions) == 0


def test_one_of_two_pages_of_a_tab_may_be_closed(visits: Visits, sessions: Sessions, clock: Clock):
    visits.arrive("page-1", TAB)
    visits.arrive("page-2", TAB)
    kept = folder(sessions, visits.key("page-1"))
    visits.leave("page-1")
    clock.now = 1000.0
    visits.sweep()
    assert kept.exists()


def test_what_a_closed_page_still_asks_for_is_forgotten_too(visits: Visits, sessions: Sessions, clock: Clock):
    for page in ("program", "page-1"):
        if page != "program":
            visits.arrive(page, TAB)
        visits.leave(page)
        clock.now += 200.0
        visits.sweep()
        late = folder(sessions, visits.key(page))
        assert late.exists()
        clock.now += 200.0
        visits.sweep()
        assert not late.exists()


def test_a_program_without_a_tab_is_forgotten_too(visits: Visits, sessions: Sessions, clock: Clock):
    gone = folder(sessions, visits.key("program"))
    visits.leave("program")
    clock.now = 100.0
    visits.sweep()
    assert not gone.exists()


def test_tabs_and_users_are_told_apart(visits: Visits):
    keys = {visits.arrive("a", TAB), visits.arrive("b", OTHER), visits.arrive("c", TAB, "anna")}
    assert len(keys) == 3


@pytest.mark.parametrize("guess", ["", "1234", TAB[:-1], TAB.upper(), TAB + "0", "page-1"])
def test_what_is_no_secret_of_a_tab_opens_nothing(visits: Visits, guess: str):
    visits.arrive("page-1", TAB)
    assert visits.arrive("page-2", guess) == "page-2"


def test_errors_are_spoken_without_a_trace():
    @spoken
    def handler() -> None:
        raise OptionError("This is a sentence.")

    with pytest.raises(gr.Error) as told:
        handler()
    assert str(told.value.message) == "This is a sentence."
    assert told.value.print_exception is False
