"""A callback that counts the steps of a fit."""

from __future__ import annotations

from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import StepRecord
from pyro_rationale.training.run import TrainingRun


class StepCounter(Callback):
    """Writes the number of steps into the run folder when the fit ends."""

    steps = 0

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """Count the step."""
        self.steps += 1

    def on_fit_end(self, run: TrainingRun) -> None:
        """Write the count."""
        (run.folder / "steps.txt").write_text(f"{self.steps}\n")
