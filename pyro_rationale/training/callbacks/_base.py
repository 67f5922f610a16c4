"""The base class of callbacks: hooks that a fit calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import ConfigError
from pyro_rationale.training.history import EpochRecord, StepRecord

if TYPE_CHECKING:
    from pyro_rationale.training.run import TrainingRun


class Callback:
    """Hooks that a fit calls; each does nothing unless a subclass overrides it.

    A callback that sets `run.should_stop` ends training after the epoch. An exception in a hook ends the fit as Ctrl-C
    does, with a checkpoint to go on from; a note says which callback it came from. Under `--devices` each process has
    callbacks of its own, and they must agree on `run.should_stop`; `run.group.main` is true in the process that prints
    and writes.
    """

    def on_check(self) -> None:
        """Called before a fit begins; only in the main process.

        What raises here costs nothing: no text is read yet, and the run that `--force` replaces is still there.
        """

    def on_preparation(self, what: str) -> None:
        """Called when a part of the fit before its first step begins: `what`, such as "reading the texts"."""

    def on_corpus_progress(self, source: str, done: int, total: int | None) -> None:
        """Called when `done` texts of `source` (of `total`, if known) have been cut into words for `--cache`."""

    def on_reader_progress(self, done: int, total: int) -> None:
        """Called after `done` of `total` steps of the full-text reader, see `--judge`; only in the main process."""

    def on_member_start(self, number: int, count: int, seconds: float) -> None:
        """Called before member `number`, from 0, of an ensemble of `count` is fitted; earlier ones took `seconds`."""

    def on_fit_start(self, run: TrainingRun) -> None:
        """Called when everything is built or resumed, before training starts."""

    def on_features_progress(self, run: TrainingRun, done: int, total: int) -> None:
        """Called when a frozen transformer has read `done` words of `total`, once for the whole fit."""

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """Called after each step; `run.trainer` has the epoch and the position in it."""

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Called after each epoch, once it is evaluated on the development texts."""

    def on_checkpoint(self, run: TrainingRun) -> None:
        """Called after a checkpoint has been written; only in the main process."""

    def on_fit_end(self, run: TrainingRun) -> None:
        """Called after the best weights are chosen and saved; only in the main process."""

    def on_evaluated(self, run: TrainingRun, metrics: Mapping[str, Any]) -> None:
        """Called after the model is evaluated, the last step of a fit; only in the main process.

        Args:
            run: the finished fit.
            metrics: contents of `metrics.json`, with the figures of the test texts under `test`, and those of the whole
                ensemble under `ensemble` if the fit is a member of one; from scikit-learn's interface figures of the
                validation texts under `dev`.
        """

    def on_exception(self, run: TrainingRun, problem: BaseException) -> None:
        """Called when an exception or an interrupt, which is raised again, ends training or prevents its start."""


def call(callbacks: Iterable[Callback], hook: str, *values: Any) -> None:
    """Call a hook of each callback; an exception gets a note that names the callback.

    Args:
        callbacks: in their order.
        hook: name of the method.
        values: its arguments.
    """
    for callback in callbacks:
        try:
            getattr(callback, hook)(*values)
        except Exception as problem:
            kind = type(callback)
            problem.add_note(f"raised by the callback {kind.__module__}.{kind.__qualname__} in its {hook}")
            raise


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Refuse objects that are no callbacks.

    Raises:
        ConfigError: it is no list, or one of them is a class or has no hooks.
    """
    if not isinstance(callbacks, Iterable):
        raise ConfigError(f"callbacks: expected a list of them, got {type(callbacks).__name__}")
    for callback in callbacks:
        if isinstance(callback, type):
            raise ConfigError(f"callbacks: {callback.__name__} is a class; give an object, {callback.__name__}()")
        if not isinstance(callback, Callback):
            kind = type(callback).__name__
            raise ConfigError(f"callbacks: {kind} is no subclass of pyro_rationale.Callback; derive it from that")
