"""Commands as programs: how they end."""

from __future__ import annotations

import os
import signal
import time

import click
import pytest

from pyro_rationale.cli.common import run_command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_python_ignores_comes_again(number: signal.Signals) -> None:
    class Deaf:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    @click.command()
    def endless() -> None:
        Deaf()
        for _ in range(600):  # in pieces: a signal just before a sleep would be heard at its end
            time.sleep(0.1)

    before, started = signal.getsignal(number), time.monotonic()
    with pytest.raises(SystemExit) as end:
        run_command(endless, [])
    assert end.value.code == 130
    assert time.monotonic() - started < 30
    signal.signal(number, before)
