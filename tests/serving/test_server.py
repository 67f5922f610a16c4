"""`python -m pyro_rationale.serve` from the outside: ports, signals, and runs that cannot be served."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.serve import serve
from pyro_rationale.errors import ConfigError
from pyro_rationale.serving.server import address_of, open_socket
from tests.support.served import ask
from tests.support.small_fit import refusal, whole
from tests.support.untrained_pairs import untrained_run

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_all_is_answered(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    with open_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    run, answers = whole(guide="chain"), []

    def visit() -> None:
        for _ in range(2400):  # until it listens
            try:
                answers.append(ask(f"http://127.0.0.1:{port}", "The head looked great."))
                break
            except OSError:
                time.sleep(0.05)
        os.kill(os.getpid(), number)

    visitor = threading.Thread(target=visit)
    visitor.start()
    with pytest.raises(SystemExit) as end:
        run_command(serve, ["--run", str(run), "--port", str(port), "--samples", "5"])
    visitor.join()
    out, err = capfd.readouterr()
    assert not end.value.code
    assert err == ""
    assert re.fullmatch(rf"\S+ is served on http://127\.0\.0\.1:{port} \(Ctrl-C ends it\)\nended\n", out)
    assert answers[0].status == 200
    assert answers[0].json["targets"][0]["name"] == "appearance"


def test_a_port_in_use_is_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        line = refusal(capfd, serve, "--run", tmp_path, "--port", port)
    assert line == f"--port {port}: in use; name another one, or 0 for any that is free"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.9", "a" * 70])
def test_a_host_that_is_not_this_machine_is_one_line(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--host {host}: .*; take 127\.0\.0\.1, or 0\.0\.0\.0 for all$"):
        open_socket(host, 0)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_addresses_are_as_a_browser_takes_them() -> None:
    with open_socket("127.0.0.1", 0) as opened:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address_of(opened))
    try:
        with open_socket("::1", 0) as opened:
            assert re.fullmatch(r"http://\[::1\]:\d+", address_of(opened))
    except ConfigError:
        pytest.skip("no IPv6 here")


def test_runs_that_cannot_be_served_are_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "ranks texts" in refusal(capfd, serve, "--run", untrained_run(), "--port", 0)
    assert "no such run folder" in refusal(capfd, serve, "--run", tmp_path / "none", "--port", 0)
