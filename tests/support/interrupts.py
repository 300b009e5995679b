"""Programs that tests start and stop with Ctrl-C, or by closing their terminal."""

import signal


def hear_interrupts() -> None:
    """For a child before it begins (`preexec_fn`): tests that a shell runs in the background ignore Ctrl-C, and under
    nohup a closed terminal. A child would do the same, and its test wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
