"""`Program`: a `PyroModule` that can leave Pyro's parameter store alone, and a scoped store.

A `PyroModule` registers a child network, parameter by parameter, each time that the program touches it:
`pyro.infer.SVI` finds its parameters that way. A trainer that holds them in a torch optimiser pays for that and has
no benefit from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import pyro
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

from pyro_rationale.data.batch import Batch

_silent = ContextVar("_silent", default=False)


@contextmanager
def unregistered() -> Iterator[None]:
    """Inside, programs run without telling Pyro of their parameters."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


@contextmanager
def local_parameters() -> Iterator[None]:
    """Inside, Pyro's global parameter store is empty: our optimiser holds the parameters, and fits never meet."""
    with pyro.get_param_store().scope():
        yield


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, the module's parameters take no gradients, which half of a step's time goes into."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def weighted(batch: Batch) -> AbstractContextManager[Any]:
    """Context in which log probabilities of documents are multiplied by their weights, of which a batch may have none.

    A document of weight 2 counts as two of its kind: target, prior and guide are weighted alike, and so is the ELBO.
    """
    return nullcontext() if batch.weights is None else poutine.scale(scale=batch.weights)


class Program(PyroModule):
    """A `PyroModule` whose networks are ordinary modules, and which minds `unregistered`."""

    def __getattr__(self, name: str) -> Any:
        if _silent.get():
            return nn.Module.__getattr__(self, name)
        return super().__getattr__(name)
