"""A fit under way: its epochs, its checkpoint, and the weights that it ends with."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.files.text import log
from pyro_rationale.data.vectors import WordVectors
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import ConfigError, DataError, RunError, reason_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.run_files import CHECKPOINT, EPOCHS
from pyro_rationale.storage import read_tensors, to_json, write_bytes, write_tensors
from pyro_rationale.training.callbacks._base import Callback, call
from pyro_rationale.training.checkpoint import Metadata, vector_state, with_vectors, without_vectors
from pyro_rationale.training.distributed import Group
from pyro_rationale.training.history import EpochRecord, epoch_record
from pyro_rationale.training.laplace import fit_last_layer
from pyro_rationale.training.learned_prior import learn_prior
from pyro_rationale.training.memorization import MemorizationCheck
from pyro_rationale.training.model_selection import ModelSelection
from pyro_rationale.training.pairs import DevLists, settle_temperature, validate_lists
from pyro_rationale.training.read_ahead import read_ahead
from pyro_rationale.training.threads import cores, fastest_threads
from pyro_rationale.training.trainer import Trainer
from pyro_rationale.training.validation import settle_noise, validate


@dataclass
class TrainingRun:
    """A fit under way.

    Attributes:
        folder: the run folder.
        corpus: train, dev and test documents.
        fitted: model and guide that are trained.
        trainer: takes the steps.
        selection: chooses the best epoch; rolls back or restarts when masks collapse.
        dev: development texts.
        prior: the requested prior, under which epochs are compared.
        vectors: pretrained word vectors, if any.
        memorization: tells whether the training set has been memorised.
        history: epochs so far.
        callbacks: called in their order.
        seconds: time spent training, earlier sessions included.
        should_stop: end training after this epoch; set by callbacks.
        lists: of pairs of texts, the development queries with their candidates, by which epochs are compared.
        chosen: options that were not given, with what was chosen for them.
        threads: CPU threads that were measured to be fastest, unless `--threads` gives their number.
    """

    folder: Path
    corpus: Corpus
    fitted: FittedModel
    trainer: Trainer
    selection: ModelSelection
    dev: BucketedBatches
    prior: ChainPrior
    vectors: WordVectors | None
    memorization: MemorizationCheck
    history: list[EpochRecord] = field(default_factory=list)
    callbacks: Sequence[Callback] = ()
    seconds: float = 0.0
    should_stop: bool = False
    threads: int | None = None
    lists: DevLists | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps so far."""
        return self.trainer.step

    @property
    def epochs(self) -> int:
        """Whole epochs that --steps amounts to, counted from the last restart."""
        return math.ceil((self.trainer.start_step + self.fitted.config.train.steps) / len(self.trainer.batches))

    @property
    def group(self) -> Group:
        """The processes that make this fit."""
        return self.trainer.group

    @property
    def trained(self) -> bool:
        """Whether no step is left, or a callback has ended training."""
        return self.should_stop or self.trainer.epoch >= self.epochs

    @property
    def exhausted(self) -> bool:
        """Whether the last epoch was the last that `--patience` allows."""
        return bool(self.history) and self.selection.should_stop(self.history[-1])

    @property
    def ending(self) -> str:
        """Which epoch's weights are kept, and why training ended, in one line."""
        selection, options = self.selection, self.fitted.config.train
        done = len(self.history)
        if not selection.best_epoch:
            none = "came down to the share of words asked for" if selection.rate is not None else (
                "ended with --lambda1 and --lambda2 at full strength"
            )
            kept = f"the weights of the last epoch, {done}, are kept: none {none}"
        else:
            among = " of those that keep the share of words asked for" if selection.meet and selection.best_met else ""
            kept = f"epoch {selection.best_epoch} of {done} is kept: least cost on development texts{among}"
        if self.trainer.epoch >= self.epochs:
            why = f"all {options.steps:,} steps are done"
        elif self.exhausted:
            why = f"training ended after --patience {selection.patience} epochs without a better one"
        else:
            why = "a callback ended training"
        return f"{kept}; {why}"

    def choose_threads(self) -> None:
        """Set the number of CPU threads: that of the checkpoint, or the fastest now.

        Processes of one machine measure at the same time, and all take what the main process found.
        """
        if self.threads is None:
            most = max(1, cores() // self.group.local)
            batch = next(iter(self.trainer.batches.epoch(0, self.group.share)))
            on_cpu = self.fitted.device.type == "cpu"
            self.threads = fastest_threads(lambda: self.trainer.rehearse(batch), most) if on_cpu else min(2, most)
            threads = self.threads
            self.threads = self.group.broadcast(lambda: threads)
        torch.set_num_threads(self.threads)

    def run(self) -> None:
        """Train to the end, or until something interrupts it; then the last whole step is saved."""
        try:
            self.tell("on_fit_start")
        except BaseException as problem:
            self.tell_exception(problem)
            raise
        with self.group.defer_signals():
            try:
                self._run()
            except BaseException as problem:
                # An interrupt, or a loss that is not finite. Half a step is worth nothing: then the checkpoint before
                # it stands.
                if self.trainer.consistent:
                    self.save()
                self.tell_exception(problem)
                raise

    def _run(self) -> None:
        started = time.monotonic() - self.seconds
        if not self.trained:
            read_ahead(self, self._on_features_progress)
        while not self.trained:
            for step in self.trainer.run_epoch():
                self.seconds = time.monotonic() - started
                self.tell("on_step_end", step)
            with self.trainer.averaged():
                rate = self.selection.rate_to_meet
                if self.lists is None:
                    score = validate(self.fitted, self.dev, self.prior, group=self.group, rate=rate)
                else:
                    score = validate_lists(self.fitted, self.lists, self.prior, rate)
                memorized = self.memorization.memorized(self.fitted, score, self.group)
            with self.trainer.atomic():
                restarts = self.selection.restarts
                epoch = self.selection.on_epoch_end(self.trainer.finish_epoch(), score, memorized)
                if self.selection.restarts > restarts:
                    self.memorization.streak = 0  # the new weights have not memorised any text
                self.history.append(epoch)
            self.seconds = time.monotonic() - started
            self.tell("on_epoch_end", epoch)

    def _on_features_progress(self, done: int, total: int) -> None:
        self.tell("on_features_progress", done, total)

    def tell_exception(self, problem: BaseException) -> None:
        """Tell the callbacks what ended the fit; one of them that fails now is a warning."""
        try:
            self.tell("on_exception", problem)
        except Exception as another:  # the first is the one to be raised
            log.warning("%s: %s; %s", type(another).__name__, another, "; ".join(another.__notes__))

    def tell(self, hook: str, *values: Any) -> None:
        """Call a hook of every callback with this run and more arguments."""
        call(self.callbacks, hook, self, *values)

    def save(self) -> None:
        """Write the checkpoint, then the history that belongs to it; in the main process."""
        if not self.group.main:
            return
        state, facts = self.trainer.state()
        tensors, selection = self.selection.state()
        vectors, kept = vector_state(self.vectors)
        tensors, again = without_vectors(tensors | {f"now.{k}": v for k, v in state.items()}, self.vectors)
        history = [asdict(record) for record in self.history]
        metadata = {"trainer": facts, "watch": selection, "history": history, "seconds": self.seconds}
        metadata |= {"threads": self.threads, "memorization": self.memorization.streak} | kept
        metadata |= {"vectors_again": again} if again else {}
        write_tensors(self.folder / CHECKPOINT, tensors | vectors, metadata, listed=True)
        self._write_history()
        self.tell("on_checkpoint")

    def _write_history(self) -> None:
        lines = "".join(to_json(asdict(record)) + "\n" for record in self.history)
        write_bytes(self.folder / EPOCHS, lines.encode(), listed=True)

    def resume(self) -> None:
        """Load the checkpoint of the folder.

        Raises:
            RunError: it is damaged or of another version.
        """
        tensors, facts = read_tensors(self.folder / CHECKPOINT)
        try:
            self.history = [epoch_record(record) for record in facts["history"]]
            self.seconds, self.threads = float(facts["seconds"]), facts.get("threads")
            self.memorization.streak = int(facts.get("memorization", 0))
            tensors = with_vectors(tensors, facts.get("vectors_again", ()))
            self.selection.restore(tensors, facts["watch"])
            self.trainer.restore({k[4:]: v for k, v in tensors.items() if k.startswith("now.")}, facts["trainer"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError) as problem:
            reason = reason_of(problem)
            raise RunError(f"{self.folder / CHECKPOINT}: not a checkpoint of this fit ({reason}); fit again") from None
        self._write_history()  # a kill may have come after the checkpoint and before the history

    def synchronize(self) -> None:
        """Start every process of the group from the state of the main process.

        Raises:
            DataError: the processes have not read the same documents.
        """
        if self.group.is_single:
            return
        read = (self.fitted.rows, self.fitted.spec, self.fitted.vocabulary.words)
        main_read, state, selection, self.history, self.seconds, self.threads, streak = self.group.broadcast(
            lambda: (
                read,
                _on_cpu(self.trainer.state()),
                _on_cpu(self.selection.state()),
                self.history,
                self.seconds,
                self.threads,
                self.memorization.streak,
            )
        )
        if read != main_read:
            name = self.fitted.config.data.data
            raise DataError(f"--data {name}: not the documents that the first process has read; copy them anew")
        if not self.group.main:
            self.trainer.restore(*state)
            self.selection.restore(*selection)
            self.memorization.streak = streak

    def finish(self) -> None:
        """Load the best weights; set noise, prior and calibration by the texts they are for; save all."""
        self.trainer.load_weights(self.selection.best or self.trainer.weights())
        if self.selection.best_shift:
            self.fitted.guide.shift(self.selection.best_shift)
        self.fitted.eval()
        if self.lists is None:
            settle_noise(self.fitted, self.dev)
        else:
            settle_temperature(self.fitted, self.lists)
        if self.fitted.config.prior == "learned":
            learn_prior(self.fitted, self.corpus.train, self.prior)
        else:
            self.fitted.model.prior = self.prior
        if self.fitted.config.train.laplace:
            assert isinstance(self.trainer.batches, BucketedBatches)
            fit_last_layer(self.fitted, self.trainer.batches.ordered())
        if self.lists is None:
            self.fitted.calibrate(self.corpus.dev)
        self.fitted.save(self.folder)
        self.tell("on_fit_end")


def _on_cpu(state: tuple[dict[str, torch.Tensor], Metadata]) -> tuple[dict[str, torch.Tensor], Metadata]:
    return {name: value.cpu() for name, value in state[0].items()}, state[1]
