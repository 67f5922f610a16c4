"""Limits of a server, without the modules that answer its requests: help and mistyped flags come at once."""

from __future__ import annotations

from dataclasses import dataclass

from pyro_rationale.options import check_fields, option


@dataclass(frozen=True)
class ServeOptions:
    """Limits of the requests that a server accepts."""

    max_characters: int = option(20_000, "longest text; longer ones are refused", least=1, most=1_000_000, common=True)
    max_per_minute: int = option(600, "requests of one client, a fifth of them at once; 0: no limit", least=0,
                                 most=1_000_000, common=True)
    allow_host: tuple[str, ...] = option((), "name of this server in the requests of others, behind a proxy or on a "
                                         "network; repeatable", common=True, metavar="NAME")

    def __post_init__(self) -> None:
        check_fields(self)
