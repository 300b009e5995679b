"""Programs that tests start and stop with Ctrl-C."""

import signal


def hear_interrupts() -> None:
    """For a child before it begins: a test run in the background of a shell ignores Ctrl-C, and so would the child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def hang_up_as_usual() -> None:
    """For `preexec_fn`: under nohup SIGHUP is ignored by every child, and a test that sends it would wait for ever."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
