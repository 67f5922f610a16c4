"""The hooks of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.training.history import EpochRecord, StepRecord

if TYPE_CHECKING:
    from pyro_rationale.training.run import TrainingRun


class Callback:
    """Hooks that a fit calls; each does nothing unless a subclass overrides it.

    A callback that sets `run.should_stop` ends training after the epoch. Under `--devices` each process has callbacks
    of its own, and they must agree on that; `run.group.main` is true in the process that prints and writes.
    """

    def on_corpus_progress(self, source: str, done: int, total: int | None) -> None:
        """`done` texts of `source`, of `total` if that is known, have been cut into words for `--cache`."""

    def on_reader_progress(self, done: int, total: int) -> None:
        """`done` of `total` steps of the full-text reader are done, see `--judge`; only in the main process."""

    def on_member_start(self, number: int, count: int, seconds: float) -> None:
        """Member `number`, from 0, of an ensemble of `count` is fitted next; those before it took `seconds`."""

    def on_fit_start(self, run: TrainingRun) -> None:
        """Everything is built or resumed; training starts."""

    def on_features_progress(self, run: TrainingRun, done: int, total: int) -> None:
        """`done` words of `total` have been read by a frozen transformer, once for the whole fit."""

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """A step is done; `run.trainer` has the epoch and the position in it."""

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """An epoch is done and evaluated on the development texts."""

    def on_checkpoint(self, run: TrainingRun) -> None:
        """A checkpoint has been written; only in the main process."""

    def on_fit_end(self, run: TrainingRun) -> None:
        """The best weights are chosen and saved; only in the main process."""
