"""Weights & Biases. Project, entity, mode and folder are those of its own variables: `WANDB_PROJECT`, `WANDB_MODE`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_rationale.optional import optional
from pyro_rationale.training.callbacks._tracker import FINISHED, Tracker


class WandB(Tracker):
    """Writes the figures of a fit to Weights & Biases.

    Args:
        settings: arguments of `wandb.init` besides, such as `project`, `entity`, `mode` and `tags`.
    """

    NAME, OPENED = "wandb", ("run",)

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings
        optional("wandb", "--log wandb needs", "wandb")

    def check(self) -> None:
        """Log in, unless it writes to the disk alone: there must be a key, which the server knows."""
        import wandb

        more = self.settings.get("settings")  # a mapping, or an object of wandb's
        own = more.get("mode") if isinstance(more, Mapping) else getattr(more, "mode", None)
        mode = self.settings.get("mode") or own or os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and wandb.run is None:
            wandb.login(verify=True)

    def open(self, name: str, options: Mapping[str, Any], folder: Path, known: str | None, step: int) -> str:
        """Start a run, or go on with that of an earlier session."""
        import wandb

        project = os.environ.get("WANDB_PROJECT", "pyro_rationale")
        own = {"project": project, "name": name, "config": dict(options), "id": known, "reinit": "create_new"}
        self.run: Any = wandb.init(**(own | {"resume": "allow" if known else None} | self.settings))
        return str(self.run.id)

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Log the figures at the step."""
        self.run.log(dict(figures), step=step)

    def close(self, state: str) -> None:
        """Finish the run; one that was interrupted or failed counts as crashed."""
        self.run.finish(exit_code=0 if state == FINISHED else 1)


REGISTERED = WandB
