"""Callbacks of a fit, by name: each public module registers a :class:`Callback` under its own name.

`early-stopping` and `checkpoint` are part of every fit; `--log NAME` adds those that write to an experiment tracker,
`LOGGERS`, and `--callback NAME` any, also from another package's entry point in the group `pyro_rationale.callbacks`.
The names are listed without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.training.callbacks._base import Callback
    from pyro_rationale.training.callbacks.mlflow import MLflow
    from pyro_rationale.training.callbacks.tensorboard import TensorBoard
    from pyro_rationale.training.callbacks.wandb import WandB

CALLBACKS: Registry[type[Callback]] = Registry("callbacks", __name__, "--callback", ("early-stopping", "checkpoint"))
ALWAYS = ("early-stopping", "checkpoint")  # in every fit, in this order
LOGGERS = ("tensorboard", "wandb", "mlflow")  # of `--log`

__all__ = ["ALWAYS", "CALLBACKS", "LOGGERS", "Callback", "MLflow", "TensorBoard", "WandB"]

__getattr__ = lazy_names(
    __name__, {"_base": "Callback", "mlflow": "MLflow", "tensorboard": "TensorBoard", "wandb": "WandB"}
)
