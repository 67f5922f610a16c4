"""One fit, from a configuration to a finished run folder: `pyro_rationale.fit` without the terminal."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from pyro_rationale.build import build_guide, build_model, build_objective, starting_prior, target_summary
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.vectors import WordVectors, load_vectors
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import DataError, RunError
from pyro_rationale.fitted import CHECKPOINT, EPOCHS, FittedModel, pick_device
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.objectives.decomposition import held_out
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.autocast import check_bfloat16
from pyro_rationale.storage import read_tensors, write_bytes, write_tensors
from pyro_rationale.training.checkpoint import Metadata, weights_of
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group, check_shares
from pyro_rationale.training.history import EpochRecord, StepRecord
from pyro_rationale.training.memorization import MAX_CHECKED, MemorizationCheck, constant_error
from pyro_rationale.training.model_selection import ModelSelection, WeightInit, score_modes
from pyro_rationale.training.rate_control import Control, LagrangianControl, PenaltyRamp, RateControl, Schedule
from pyro_rationale.training.run_folder import check_free, check_same_config, check_same_corpus, clear_run, start_run
from pyro_rationale.training.trainer import Trainer

SAVE_SECONDS = 20.0  # between checkpoints within an epoch: a crash loses less than this, an interrupt only a step


class Progress(Protocol):
    """Who wants to be told."""

    def prepared(self, fit: TrainingRun) -> None:
        """Everything is built; training starts."""

    def stepped(self, record: StepRecord, epoch: int, position: int, batches: int) -> None:
        """A step is done."""

    def closed(self, record: EpochRecord) -> None:
        """An epoch is done."""


class NullCallback:
    """Tells nobody."""

    def prepared(self, fit: TrainingRun) -> None:
        """Nothing."""

    def stepped(self, record: StepRecord, epoch: int, position: int, batches: int) -> None:
        """Nothing."""

    def closed(self, record: EpochRecord) -> None:
        """Nothing."""


@dataclass
class TrainingRun:
    """A fit under way: the parts, and the folder that they are written to."""

    folder: Path
    corpus: Corpus
    fitted: FittedModel
    trainer: Trainer
    selection: ModelSelection
    dev: BucketedBatches
    prior: ChainPrior
    vectors: WordVectors | None
    history: list[EpochRecord]
    memorization: MemorizationCheck
    seconds: float = 0.0

    def run(self, progress: Progress) -> None:
        """Train to the end, saving as it goes."""
        with self.group.defer_signals():
            self._run(progress)

    def _run(self, progress: Progress) -> None:
        started = saved = time.monotonic()
        before = self.seconds
        try:
            while not self.trained:
                for record in self.trainer.run_epoch():
                    now = time.monotonic()
                    self.seconds = before + now - started
                    progress.stepped(record, self.trainer.epoch, self.trainer.position, len(self.trainer.batches))
                    if now - saved > SAVE_SECONDS:
                        self.save()
                        saved = time.monotonic()
                with self.trainer.averaged():
                    score = score_modes(self.fitted, self.dev, group=self.group)
                    held = held_out(self.fitted, self.dev, self.prior, group=self.group)
                    by_heart = self.memorization.memorized(self.fitted, score, self.group)
                with self.trainer.atomic():
                    closed = self.selection.on_epoch_end(self.trainer.finish_epoch(), score, by_heart)
                    closed.dev_elbo, closed.dev_expected = held.elbo, held.cost
                    self.history.append(closed)
                self.seconds = before + time.monotonic() - started
                self.save()
                saved = time.monotonic()
                progress.closed(closed)
        except BaseException:
            # An interrupt, a loss that is not finite: the last whole step is worth keeping. Half a step is worth
            # nothing; then the checkpoint before it stands.
            if self.trainer.consistent:
                self.save()
            raise

    @property
    def epochs(self) -> int:
        """Whole epochs that --steps amounts to, from where the fit last started over."""
        return math.ceil((self.trainer.start_step + self.fitted.config.train.steps) / len(self.trainer.batches))

    @property
    def group(self) -> Group:
        """The processes that make this fit."""
        return self.trainer.group

    @property
    def trained(self) -> bool:
        """Whether no step is left, by number or by early stopping."""
        stopped = bool(self.history) and self.selection.should_stop(self.history[-1])
        return stopped or self.trainer.epoch >= self.epochs

    def save(self) -> None:
        """Write the checkpoint, then the history that goes with it; the main process does."""
        if not self.group.main:
            return
        now, facts = self.trainer.state()
        more, watched = self.selection.state()
        tensors = {f"now.{k}": v for k, v in now.items()} | more
        history = [asdict(record) for record in self.history]
        about = {"trainer": facts, "watch": watched, "history": history, "seconds": self.seconds}
        write_tensors(self.folder / CHECKPOINT, tensors, about)
        self._write_history()

    def _write_history(self) -> None:
        lines = "".join(json.dumps(_finite(asdict(record))) + "\n" for record in self.history)
        write_bytes(self.folder / EPOCHS, lines.encode())

    def resume(self) -> None:
        """Take up the checkpoint of the folder.

        Raises:
            RunError: it is damaged or of another version.
        """
        tensors, facts = read_tensors(self.folder / CHECKPOINT)
        try:
            self.history = [EpochRecord(**record) for record in facts["history"]]
            self.seconds = float(facts["seconds"])
            self.selection.restore(tensors, facts["watch"])
            self.trainer.restore({k[4:]: v for k, v in tensors.items() if k.startswith("now.")}, facts["trainer"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            reason = " ".join(str(problem).split())[:200]
            raise RunError(f"{self.folder / CHECKPOINT}: not a checkpoint of this fit ({reason}); fit again") from None
        self._write_history()  # a kill may have come after the checkpoint and before the history

    def share_out(self) -> None:
        """Begin where the main process begins.

        Raises:
            DataError: the processes have not read the same documents.
        """
        if self.group.is_single:
            return
        read = (len(self.corpus.train), self.fitted.spec, self.fitted.vocabulary.words)
        theirs, now, watched, self.history, self.seconds = self.group.broadcast(
            lambda: (read, _on_cpu(self.trainer.state()), _on_cpu(self.selection.state()), self.history, self.seconds)
        )
        if read != theirs:
            name = self.fitted.config.data.data
            raise DataError(f"--data {name}: not the documents that the first process has read; copy them anew")
        if not self.group.main:
            self.trainer.restore(*now)
            self.selection.restore(*watched)

    def finish(self) -> None:
        """Choose the best weights, settle sigma, and write the weights that the run is used with."""
        self.trainer.load_weights(self.selection.best or self.trainer.weights())
        fitted = self.fitted.eval()
        settle_noise(fitted, self.dev)
        fitted.save(self.folder)


def prepare(
    config: Config,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    corpus: Corpus | None = None,
    group: Group = SINGLE_PROCESS,
) -> TrainingRun:
    """Read the data, build everything, open the run folder.

    Args:
        config: the configuration; with `resume` the folder's own, save for `FREE`.
        folder: the run folder.
        resume: go on from the folder's checkpoint, or from the start if there is none yet.
        force: start anew in a folder that holds a run.
        corpus: documents that are at hand already, instead of those that `config.data` names.
        group: the processes that make this fit; only the main one knows the folder.

    Raises:
        DataError: the corpus cannot be read, or not every process reads the same.
        ConfigError: the configuration is not that of the run to resume, or there are more processes than documents in
            a batch.
        RunError: the folder already holds a run, or holds none to resume.
    """
    if resume and group.main:
        check_same_config(config, folder)
    elif group.main and not force:
        check_free(folder)
    torch.manual_seed(config.seed)
    device = group.device(pick_device(config.train.device))
    if config.train.precision == "bf16":
        check_bfloat16(device)
    corpus = load_corpus(config.data) if corpus is None else corpus
    options = config.model
    vocabulary = Vocabulary.build(corpus.train, options.min_count, options.vocabulary)
    vectors = load_vectors(options.vectors, vocabulary) if options.vectors else None
    matrix = None if vectors is None else vectors.matrix
    centre, spread = target_summary(corpus.train, corpus.spec)

    def untrained() -> tuple[RationaleModel, RationaleGuide]:
        model = build_model(config, corpus.spec, len(vocabulary), matrix, centre, spread)
        gamma = starting_prior(config, model.gain).gamma
        return model, build_guide(config, len(vocabulary), matrix, gamma, corpus.spec)

    model, guide = untrained()
    prior = starting_prior(config, model.gain)
    fitted = FittedModel(config, corpus.spec, vocabulary, model.to(device), guide.to(device), device, folder.name)
    epoch = config.train.epoch_of(len(corpus.train))
    train = BucketedBatches(corpus.train, vocabulary, corpus.spec, config.train.batch_size, config.seed, epoch)
    check_shares(config.train.batch_size, len(corpus.train), train.whole, group.size)
    dev = BucketedBatches(corpus.dev, vocabulary, corpus.spec, config.train.batch_size, config.seed)
    steered = options.lambda1 is None
    rate = options.rate if steered else prior.rate
    schedule = Schedule(config.train.warmup, config.train.anneal, rate, config.train.schedule)
    control = make_control(config, schedule, prior)
    trainer = Trainer(fitted, build_objective(config), control, train, scale=spread * model.gain, group=group)
    steered_rate = rate if steered else None
    selection = ModelSelection(
        trainer, prior, steered_rate, model.gain, config.train.patience, reinitialize(untrained)
    )
    known = [corpus.train[i] for i in range(min(MAX_CHECKED, len(corpus.train), len(corpus.dev)))]
    known_batches = BucketedBatches(known, vocabulary, corpus.spec, config.train.batch_size, config.seed)
    memorization = MemorizationCheck(known_batches, constant_error(corpus.dev, corpus.spec))
    fit = TrainingRun(folder, corpus, fitted, trainer, selection, dev, prior, vectors, [], memorization)
    if group.main:
        _open(fit, resume, force)
    fit.share_out()
    return fit


def reinitialize(untrained: Callable[[], tuple[RationaleModel, RationaleGuide]]) -> WeightInit:
    """Other untrained weights, by seed; the random numbers of the fit stay where they are."""

    def weights(seed: int) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return weights_of(*untrained())

    return weights


def _open(fit: TrainingRun, resume: bool, force: bool) -> None:
    """Take up or begin the run in the folder."""
    folder, config, spec, vocabulary = fit.folder, fit.fitted.config, fit.corpus.spec, fit.fitted.vocabulary
    if resume and (folder / CHECKPOINT).exists():
        check_same_corpus(config, spec, vocabulary, folder)
        fit.resume()
        check_same_config(config, folder, fit.trained)
    elif force:
        clear_run(folder)
    elif not resume:
        check_free(folder)  # once more: reading the corpus takes long enough for another fit to have come
    start_run(folder, config, spec, vocabulary)


def make_control(config: Config, schedule: Schedule, prior: ChainPrior) -> Control:
    """What the options say shall hold the share of kept words."""
    if config.control == "penalties":
        return PenaltyRamp(schedule, prior)
    if config.control == "lagrangian":
        return LagrangianControl(schedule, prior, config.train.lagrange_rate, config.train.transitions)
    return RateControl(schedule, prior)


def fit_run(
    config: Config,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    corpus: Corpus | None = None,
    start: Callable[[TrainingRun], None] | None = None,
    group: Group = SINGLE_PROCESS,
) -> TrainingRun:
    """Train, choose the best weights and save them; arguments as for `prepare`.

    The test table is none of its business: see :func:`pyro_rationale.evaluation.results.train`.

    Args:
        config: as for `prepare`, like `folder`, `resume`, `force` and `corpus`.
        folder: see there.
        resume: see there.
        force: see there.
        progress: is told how far it is.
        corpus: see there.
        start: may change the untrained weights before the first step (a stress test starts from bad ones); it is not
            called where a checkpoint is taken up.
        group: see there.

    Returns:
        The finished fit. A run that is already finished is not trained again.
    """
    torch.set_num_threads(max(1, config.train.threads // group.local))
    torch.set_flush_denormal(True)
    if config.train.precision == "tf32":
        torch.set_float32_matmul_precision("high")
    progress = progress or NullCallback()
    fit = prepare(config, folder, resume, force, corpus, group)
    if start is not None and fit.trainer.step == 0:
        start(fit)
    progress.prepared(fit)
    fit.run(progress)
    group.close()
    if group.main:
        fit.finish()
    return fit


def _on_cpu(state: tuple[dict[str, torch.Tensor], Metadata]) -> tuple[dict[str, torch.Tensor], Metadata]:
    return {name: value.cpu() for name, value in state[0].items()}, state[1]


def settle_noise(fitted: FittedModel, dev: BucketedBatches) -> None:
    """Set the likelihood's noise to what is left on held-out documents, and kappa so that the gain stays.

    Training used the gain, for ratings kappa / (2 sigma^2); how it divides into the two only matters for the
    uncertainty of a rating, which should be that of the errors.
    """
    likelihood = fitted.model.likelihood
    if likelihood.noise is None:
        return
    gain = fitted.model.gain
    likelihood.fit_noise(score_modes(fitted, dev).error / likelihood.width)
    fitted.model.kappa.fill_(likelihood.kappa_for(gain))


def describe_prior(prior: ChainPrior, gain: float) -> dict[str, float]:
    """The prior in everybody's units."""
    lambda1, lambda2 = prior.lambdas(gain)
    values = {"rate": prior.rate, "span": prior.span, "alpha": prior.alpha, "gamma": prior.gamma}
    return values | {"lambda1": lambda1, "lambda2": lambda2}


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
