"""Callbacks of a fit, by name: each public module registers a :class:`Callback` under its own name.

`early-stopping` and `checkpoint` are part of every fit; `--callback NAME` adds others, from another package's entry
point in the group `pyro_rationale.callbacks`. The names are listed without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.training.callbacks._base import Callback

CALLBACKS: Registry[type[Callback]] = Registry("callbacks", __name__, "--callback", ("early-stopping", "checkpoint"))
ALWAYS = ("early-stopping", "checkpoint")  # in every fit, in this order

__all__ = ["ALWAYS", "CALLBACKS", "Callback"]

__getattr__ = lazy_names(__name__, {"_base": "Callback"})
