"""The full-text reader of a fit: the fit's own encoder, trained on whole texts, with the same words and word vectors.

What it reaches is what the fit's masks can hope to keep. With `--judge mcd` it is trained before the fit, and the guide
is fitted to its predictions (:class:`pyro_rationale.inference.objectives.judge.ReaderJudge`). It is written into the
run folder, and trained once.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyro_rationale.build import build_model, target_summary
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.errors import ConfigError, RunError, reason_of
from pyro_rationale.fitted import FittedModel, word_vectors
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.objectives.elbo import MaskELBO
from pyro_rationale.inference.objectives.judge import ReaderJudge
from pyro_rationale.run_files import MEMBERS, READER
from pyro_rationale.storage import read_tensors, write_tensors
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.callbacks._base import call
from pyro_rationale.training.fitted_ensemble import Ensemble
from pyro_rationale.training.loop import train_networks
from pyro_rationale.training.run import TrainingRun

ALONE: dict[str, Any] = {"masks": "shared", "overlap": 0.0, "judge": "none"}  # a reader has no masks to tell apart
FEWER = 2  # steps of the fit for each of the reader's: whole texts say more than a few words of them
SCORED = 4  # times at least that a reader is scored on the development texts
Progress = Callable[[int, int], None]  # steps done, and steps in all


def full_text_reader(run: TrainingRun, progress: Progress | None = None) -> FittedModel:
    """The reader in the run folder, or, where there is none, a new one, which is written there.

    Its random numbers are of its own: a fit goes on as if it had not been trained.

    Args:
        run: the fit, begun or finished.
        progress: called after each step of a new reader.

    Raises:
        RunError: the reader in the run folder is damaged.
    """
    with run.fitted.seeded(run.fitted.config.seed):
        reader, scale = _untrained(run)
        path = run.folder / READER
        if path.exists():
            _load(reader, path)
        else:
            _train(reader, run, scale, progress)
            write_tensors(path, reader.model.state_dict(), {}, listed=True)
    return reader.eval()


def stored_reader(fitted: FittedModel, folder: Path) -> FittedModel:
    """The reader in a run folder; that of an ensemble is its first member's.

    Args:
        fitted: the run.
        folder: its folder.

    Raises:
        ConfigError: the run ranks texts, of which there is no reader.
        RunError: there is none, or it is damaged.
    """
    if fitted.task.of_pairs:
        raise ConfigError(f"{folder}: ranks texts, and there is no full-text reader of pairs; name another run")
    place = folder / MEMBERS / "0" if isinstance(fitted, Ensemble) else folder
    path = place / READER
    if not path.exists():
        add = f"python -m pyro_rationale.fit --out {shlex.quote(str(folder))} --resume --baselines all"
        raise RunError(f"{folder}: holds no full-text reader; add it: {add}")
    one = fitted.members[0] if isinstance(fitted, Ensemble) else fitted
    tensors, _ = read_tensors(path)
    config, vectors = one.config.changed(**ALONE), word_vectors(tensors)
    model = build_model(config, one.spec, len(one.vocabulary), vectors, vocabulary=one.vocabulary).to(one.device)
    reader = FittedModel(config, one.spec, one.vocabulary, model, _no_guide(), one.device, f"{fitted.name}: full text")
    _load(reader, path)
    return reader.eval()


def appoint_judge(run: TrainingRun) -> None:
    """Make the run's guide follow the reader: its outputs for every training text are computed once."""
    batches = run.trainer.batches
    assert isinstance(batches, BucketedBatches)  # pairs are refused before

    def outputs() -> Tensor:
        def progress(done: int, total: int) -> None:
            call(run.callbacks, "on_reader_progress", done, total)

        return _outputs(full_text_reader(run, progress), batches).cpu()

    table = run.group.broadcast(outputs).to(run.fitted.device)

    def of(batch: Batch) -> Tensor:
        assert batch.index is not None
        return table[batch.index]

    assert isinstance(run.trainer.objective, MaskELBO)
    run.trainer.objective.judge = ReaderJudge(of)


@torch.no_grad()
def _outputs(reader: FittedModel, batches: BucketedBatches) -> Tensor:
    """The reader's outputs for whole texts, `(N, W)`, in the order of the documents."""
    index, rows = [], []
    for batch in batches.ordered(128):
        here = batch.to(reader.device)
        here = here if here.aspects is None else here.texts
        rows.append(reader.model.encoder(here.tokens, here.mask.to(reader.model.encoder.dtype), here.lengths))
        assert here.index is not None
        index.append(here.index)
    places, values = torch.cat(index), torch.cat(rows)
    table = values.new_zeros(int(places.max()) + 1, values.shape[-1])
    table[places] = values
    return table


def _no_guide() -> RationaleGuide:
    return cast(RationaleGuide, nn.Module())  # there is nothing to choose


def _untrained(run: TrainingRun) -> tuple[FittedModel, float]:
    """A reader with random weights, and the nats that make its loss of order one."""
    fitted, corpus = run.fitted, run.corpus
    options = fitted.config.train
    steps = -(-options.steps // FEWER)
    epochs = min(steps, max(SCORED, round(steps * options.batch_size / len(corpus.train))))
    config = fitted.config.changed(**ALONE)
    config = config.changed(steps=steps, anneal=options.anneal // FEWER, epoch_steps=-(-steps // epochs))
    vectors = None if run.vectors is None else run.vectors.matrix
    outputs, loss = target_summary(corpus.train, corpus.spec, fitted.weighting)
    model = build_model(config, corpus.spec, len(fitted.vocabulary), vectors, outputs, loss, fitted.vocabulary)
    reader = FittedModel(config, corpus.spec, fitted.vocabulary, model.to(fitted.device), _no_guide(), fitted.device)
    reader.weighting = fitted.weighting
    return reader, loss * model.gain


def _train(reader: FittedModel, run: TrainingRun, scale: float, progress: Progress | None) -> None:
    """Train it, and keep the weights that are best on the development texts."""
    options, size = reader.config.train, reader.config.train.epoch_of(len(run.corpus.train))
    total, done = -(-options.steps // size) * size, 0

    def loss(batch: Batch, step: int) -> Tensor:
        return full_text_loss(reader.model, batch) / (len(batch) * scale)

    def score() -> float:
        moved = (batch.to(reader.device) for batch in run.dev.ordered(128))
        return sum(float(full_text_loss(reader.model, batch)) for batch in moved)

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    train_networks(reader, run.corpus.train, loss, score, on_step=count)


def _load(reader: FittedModel, path: Path) -> None:
    """Load stored weights.

    Raises:
        RunError: they are damaged, or of another encoder.
    """
    tensors, _ = read_tensors(path)
    try:
        reader.model.load_state_dict(tensors)
    except RuntimeError as problem:
        reason = reason_of(problem)
        raise RunError(f"{path}: not the reader of this fit ({reason}); remove it to train it again") from None
