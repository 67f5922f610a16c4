"""A server in a thread of this process, and requests to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.serving.app import make_app
from pyro_rationale.serving.limits import Application
from pyro_rationale.serving.options import ServeOptions
from pyro_rationale.serving.server import address_of, make_server, open_socket
from tests.support import PATIENCE

FEW = ExplainOptions(samples=20)
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its headers by lower-case names, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def send(
    address: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = JSON, method: str | None = None
) -> Reply:
    """Send a request: GET without a body, POST with one, unless told otherwise."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers))
        reply = connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def ask(address: str, text: str, struck: tuple[int, ...] = ()) -> Reply:
    """Ask for the prediction of a text without some of its words."""
    return send(address, "/api/predict", json.dumps({"text": text, "struck": struck}).encode())


@contextmanager
def served(
    fitted: FittedModel, limits: ServeOptions | None = None, options: ExplainOptions = FEW, doubt: str = ""
) -> Iterator[str]:
    """The address of a server of a model, to the end of the block."""
    with serving(make_app(fitted, options, limits, doubt)) as address:
        yield address


@contextmanager
def serving(application: Application) -> Iterator[str]:
    """The address of a server of an application, to the end of the block."""
    ready = threading.Event()
    with open_socket("127.0.0.1", 0) as opened:
        server = make_server(application, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            assert ready.wait(60)
            yield address_of(opened)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
