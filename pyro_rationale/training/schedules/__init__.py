"""How the target share of words comes down: each public module registers one shape of the descent under its own name.

A shape is a function `(start, final, progress) -> target` with `progress` from 0 to 1: it begins at `start`, ends at
`final`, and never rises. The names are listed without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable

from pyro_rationale.registry import Registry

RateSchedule = Callable[[float, float, float], float]

SCHEDULES: Registry[RateSchedule] = Registry("schedules", __name__, "--schedule", ("geometric", "linear", "cosine"))
