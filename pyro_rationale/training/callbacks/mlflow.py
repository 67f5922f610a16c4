"""MLflow. Its own variables say where, `MLFLOW_TRACKING_URI`, and under which experiment, `MLFLOW_EXPERIMENT_NAME`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_rationale.optional import optional
from pyro_rationale.training.callbacks._tracker import FAILED, FINISHED, INTERRUPTED, Tracker

LONGEST = 500  # characters of a parameter: what all of MLflow's stores take
STATES = {FINISHED: "FINISHED", FAILED: "FAILED", INTERRUPTED: "KILLED"}
_OTHERS = re.compile(r"[^\w\-. /]")  # characters that names of metrics may not have


class MLflow(Tracker):
    """Writes the figures of a fit to an MLflow store, without touching MLflow's active run.

    Args:
        tracking_uri: of the store; default: MLflow's own, see `MLFLOW_TRACKING_URI`.
        experiment: its name; default: `MLFLOW_EXPERIMENT_NAME`, or pyro_rationale.
    """

    NAME, OPENED = "mlflow", ("client", "id")

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        super().__init__()
        self.tracking_uri, self.experiment = tracking_uri, experiment
        optional("mlflow", "--log mlflow needs", "mlflow")

    @property
    def title(self) -> str:
        """Name of the experiment."""
        return self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "pyro_rationale")

    def check(self) -> None:
        """Ask the store for the experiment, which need not be there yet."""
        from mlflow import MlflowClient

        MlflowClient(self.tracking_uri).get_experiment_by_name(self.title)

    def open(self, name: str, options: Mapping[str, Any], folder: Path, known: str | None, step: int) -> str:
        """Start a run with the options as its parameters, or go on with that of an earlier session."""
        from mlflow import MlflowClient

        self.client: Any = MlflowClient(self.tracking_uri)
        if known is not None:
            self.client.update_run(known, status="RUNNING")
            self.id = known
            return known
        experiment = self.client.get_experiment_by_name(self.title)
        number = self.client.create_experiment(self.title) if experiment is None else experiment.experiment_id
        self.id = self.client.create_run(number, run_name=name).info.run_id
        from mlflow.entities import Param

        parameters = [Param(_OTHERS.sub("_", option), str(value)[:LONGEST]) for option, value in options.items()]
        for first in range(0, len(parameters), 100):  # as many as a batch takes
            self.client.log_batch(self.id, params=parameters[first : first + 100])
        return str(self.id)

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Log the figures at the step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        made = [Metric(_OTHERS.sub("_", name), value, now, step) for name, value in figures.items()]
        for first in range(0, len(made), 1000):  # as many as a batch takes
            self.client.log_batch(self.id, metrics=made[first : first + 1000])

    def close(self, state: str) -> None:
        """End the run."""
        self.client.set_terminated(self.id, STATES[state])


REGISTERED = MLflow
