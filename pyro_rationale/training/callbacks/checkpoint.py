"""Checkpoints: one after each epoch, and within an epoch every 20 seconds."""

from __future__ import annotations

import time

from pyro_rationale.training.callbacks._base import Callback
from pyro_rationale.training.history import EpochRecord, StepRecord
from pyro_rationale.training.run import TrainingRun

SAVE_SECONDS = 20.0  # between checkpoints within an epoch: a crash loses less than this, an interrupt only a step


class Checkpoint(Callback):
    """Saves the run as it goes; on an interrupt the run saves itself."""

    def on_fit_start(self, run: TrainingRun) -> None:
        """Start the clock."""
        self.saved = time.monotonic()

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """Save if the last checkpoint is old."""
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self._save(run)

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Save."""
        self._save(run)

    def _save(self, run: TrainingRun) -> None:
        run.save()
        self.saved = time.monotonic()


REGISTERED = Checkpoint
