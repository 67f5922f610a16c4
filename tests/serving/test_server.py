"""`python -m pyro_rationale.serve` from the outside: ports, signals, and runs that cannot be served."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from queue import Queue

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
def test_a_signal_ends_it_when_all_is_answered(
    number: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, answers = whole(guide="chain"), []
    ports: Queue[int] = Queue()

    def opened(host: str, port: int) -> socket.socket:
        """Keeps the port from the moment at which it is chosen: no other process may take it."""
        found = open_socket(host, port)
        ports.put(found.getsockname()[1])
        return found

    def visit() -> None:
        address = f"http://127.0.0.1:{ports.get()}"
        for _ in range(2400):  # until it listens
            try:
                answers.append(ask(address, "The head looked great."))
                break
            except OSError:
                time.sleep(0.05)
        os.kill(os.getpid(), number)

    monkeypatch.setattr("pyro_rationale.serving.server.open_socket", opened)

    visitor = threading.Thread(target=visit)
    visitor.start()
    with pytest.raises(SystemExit) as end:
        run_command(serve, ["--run", str(run), "--port", "0", "--samples", "5"])
    visitor.join()
    out, err = capfd.readouterr()
    assert not end.value.code
    assert err == ""
    assert re.fullmatch(r"\S+ is served on http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)\nended\n", out)
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
