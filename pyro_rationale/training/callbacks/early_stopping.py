"""Early stopping: `--patience` epochs at the target rate without a better dev cost."""

from __future__ import annotations

from pyro_rationale.training.callbacks._base import Callback
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun


class EarlyStopping(Callback):
    """Ends training when patience has run out; also in a resumed run whose patience had."""

    def on_fit_start(self, run: TrainingRun) -> None:
        """Look at the last epoch of a resumed run."""
        run.should_stop |= run.exhausted

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Look at the epoch."""
        run.should_stop |= run.exhausted


REGISTERED = EarlyStopping
