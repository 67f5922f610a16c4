"""Requests that are refused before their text is read."""

from __future__ import annotations

import pytest

from pyro_rationale.serving import limits
from pyro_rationale.serving.limits import RateLimit, is_known_host


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("localhost:8000", True), ("LOCALHOST", True), ("me.localhost", True), ("127.0.0.1:8000", True),
        ("[::1]:8000", True), ("192.168.0.7", True), ("page.example:80", True), ("page.example.", True),
        ("evil.example", False), ("", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
        ("[::1", True), ("[evil]", False), ("page.example@evil.example", False),
    ],
)  # fmt: skip
def test_only_names_of_this_server_are_known(header: str, known: bool) -> None:
    assert is_known_host(header, {"page.example"}) == known


def test_a_fifth_of_a_minute_may_come_at_once_and_the_rest_in_time() -> None:
    rate = RateLimit(60)
    assert [rate.wait("a", 0.0) for _ in range(12)] == [0.0] * 12
    assert rate.wait("a", 0.0) == pytest.approx(1.0)
    assert rate.wait("b", 0.0) == 0.0
    assert rate.wait("a", 0.5) == pytest.approx(0.5)
    assert rate.wait("a", 1.0) == 0.0
    assert rate.wait("a", 1.0) > 0.0
    assert [RateLimit(0).wait("a", 0.0) for _ in range(1000)] == [0.0] * 1000


def test_clients_that_asked_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS", 3)
    rate = RateLimit(60)
    for client in "abcd":
        rate.wait(client, 0.0)
    assert list(rate._clients) == ["b", "c", "d"]
