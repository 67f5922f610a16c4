"""A socket, and a server on it that ends when it is asked to."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import END_SIGNALS, ConfigError
from pyro_rationale.serving.limits import Application

if TYPE_CHECKING:
    from uvicorn import Server

PATIENCE = 10  # seconds that requests under way have to be answered in at the end


def open_socket(host: str, port: int) -> socket.socket:
    """A socket bound to an address, before anything slow is done.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.

    Raises:
        ConfigError: the address is not to be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"--host {host}: no address of this machine; take 127.0.0.1, or 0.0.0.0 for all") from None
    family, kind, _, _, address = found[0]
    opened = socket.socket(family, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left a moment ago
        opened.bind(address)
        opened.listen(1)  # or a second server could bind it too until the first one listens
    except OSError as problem:
        opened.close()
        if problem.errno == errno.EADDRINUSE:
            raise ConfigError(f"--port {port}: in use; name another one, or 0 for any that is free") from None
        if problem.errno == errno.EACCES:
            raise ConfigError(f"--port {port}: not allowed; take one above 1023") from None
        raise ConfigError(f"--host {host}: {problem.strerror}; take 127.0.0.1, or 0.0.0.0 for all") from None
    return opened


def address_of(opened: socket.socket) -> str:
    """The address of a server's page."""
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def make_server(application: Application, started: Callable[[], None] = lambda: None) -> Server:
    """A server of an application; `run(sockets=[...])` answers requests until a signal, or `should_exit`, ends it.

    Requests under way are answered first. In another thread than the main one it handles no signals.

    Args:
        application: ASGI.
        started: called once requests are answered.
    """
    import uvicorn

    class QuietServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Handles the signals; unlike uvicorn's own it does not raise them again, for this end is a good one."""
            numbers = END_SIGNALS if threading.current_thread() is threading.main_thread() else ()
            before: dict[int, Any] = {number: signal.signal(number, self.handle_exit) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return QuietServer(
        uvicorn.Config(
            application,
            log_level="warning",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=PATIENCE,
            ws="none",
        )
    )
