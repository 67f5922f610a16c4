"""Refusals of a server before anything is read: of foreign hosts, large bodies, and too many requests.

A refusal is one line, `{"detail": "..."}`. Pages of other sites can neither call the endpoint (no CORS, and a body must
say that it is JSON, which browsers ask about first) nor reach it under a name of theirs (DNS rebinding): a request must
name this machine, by an address or by a name that it is known by.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CLIENTS = 10_000  # addresses whose requests are counted
DRAINED = 16 << 20  # bytes of a body that is too large that are read, so that its sender hears why
SLOWEST = 30.0  # seconds in which a body must have come
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class RateLimit:
    """A bucket of tokens for each client: so many requests a minute, and as many as a fifth of them at once.

    Args:
        per_minute: requests of one client; 0 for no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_second, self.most = per_minute / 60.0, max(1.0, per_minute / 5.0)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when that was

    def wait(self, client: str, now: float | None = None) -> float:
        """Take a token.

        Args:
            client: its address.
            now: the time in seconds.

        Returns:
            Seconds until the client may ask again; 0 where it may now.
        """
        if not self.per_second:
            return 0.0
        now = time.monotonic() if now is None else now
        left, then = self._clients.pop(client, (self.most, now))
        left = min(self.most, left + (now - then) * self.per_second)
        allowed = left >= 1.0
        self._clients[client] = (left - allowed, now)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)  # who has not asked for longest
        return 0.0 if allowed else (1.0 - left) / self.per_second


class Guard:
    """An application behind the limits, whose answers carry the headers that keep a page to itself.

    Args:
        application: ASGI.
        hosts: names, besides addresses, that requests may call this machine by.
        most_bytes: of a body.
        rate: of requests with a body.
    """

    def __init__(self, application: Application, hosts: Collection[str], most_bytes: int, rate: RateLimit) -> None:
        self.application, self.hosts = application, {host.lower() for host in hosts}
        self.most_bytes, self.rate = most_bytes, rate

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not is_known_host(host, self.hosts):
            line = f"Host {host[:100]!r}: not a name of this server; its owner can add it with --allow-host"
            await refuse(with_headers, 421, line)
        elif scope["method"] in ("GET", "HEAD"):
            await self.application(scope, receive, with_headers)
        else:
            await self._with_body(scope, receive, with_headers, headers)

    async def _with_body(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, headers: dict[bytes, str]
    ) -> None:
        client = scope["client"][0] if scope.get("client") else ""
        seconds = self.rate.wait(client)
        try:
            async with asyncio.timeout(SLOWEST):
                body, size = await read_body(receive, self.most_bytes)
        except TimeoutError:
            await refuse(send, 408, f"the body did not come within {SLOWEST:g} seconds")
            return
        if body is None and size < 0:  # the client is gone
            return
        if seconds:
            retry = str(int(seconds) + 1)
            await refuse(send, 429, f"too many requests; try again in {retry} s", {"retry-after": retry})
        elif body is None:
            line = f"the request has more than {self.most_bytes:,} bytes; send a shorter text"
            await refuse(send, 413, line, {"connection": "close"})
        elif headers.get(b"content-type", "").partition(";")[0].strip().lower() != "application/json":
            await refuse(send, 415, "expected JSON: send the header Content-Type: application/json")
        else:
            await self.application(scope, _replayed(body, receive), send)


async def read_body(receive: Receive, most: int) -> tuple[bytes | None, int]:
    """The body of a request, and its size.

    Args:
        receive: gives its parts.
        most: bytes to keep; a larger body is read on and thrown away, up to a limit.

    Returns:
        `None` for a body that is too large, with the size as far as it was read, or -1 where the client has gone.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None, -1
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        if not message.get("more_body") or size > DRAINED:
            return (b"".join(parts) if size <= most else None), size


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A function like `receive` that hands over a body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(send: Send, status: int, line: str, headers: dict[str, str] | None = None) -> None:
    """Answer with one line of JSON."""
    body = json.dumps({"detail": line}).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body))} | (headers or {})
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def is_known_host(header: str, names: Collection[str]) -> bool:
    """Whether a Host header names this server: by any address, by localhost, or by one of some lower-case names.

    An address cannot be rebound: only names are looked up.
    """
    name = header.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    name = name.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
