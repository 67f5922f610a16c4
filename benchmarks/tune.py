"""Choose options of a fit by Optuna; trials that do worse than others did after as many steps are ended early.

    python benchmarks/tune.py --data reviews.csv --text-column text --target-column stars --trials 20

Takes the flags of a fit. What is searched is in `choose`; a copy of this file with another `choose` searches something
else. Trials that never come down to the share of words that was asked for count as ended early, too.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch

from pyro_rationale.cli.common import run_command
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.options import DataOptions
from pyro_rationale.optional import optional
from pyro_rationale.options import as_typed, options_from
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun


def choose(trial: Any) -> dict[str, Any]:
    """The options that a trial tries."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        "hidden": trial.suggest_categorical("hidden", [32, 64, 128]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
    }


class Prune(Callback):
    """Tells Optuna the error on development texts after each epoch, and ends a trial that it gives up."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Report the epoch; one of the warm-up alone has no masks to be measured."""
        if record.untrained:
            return
        self.trial.report(record.dev_error, record.step)
        if self.trial.should_prune():
            raise optional("optuna", "tuning needs", "tune").TrialPruned


def error_of(trial: Any, config: Config, corpus: Corpus) -> float:
    """Fit once; the error on development texts of the epoch whose weights are kept."""
    with TemporaryDirectory(prefix="tune-") as folder:
        run = fit_run(config.changed(**choose(trial)), Path(folder) / "run", callbacks=[Prune(trial)], corpus=corpus)
    if not run.selection.best_epoch:
        raise optional("optuna", "tuning needs", "tune").TrialPruned
    return run.history[run.selection.best_epoch - 1].dev_error


@click.command()
@options_from(DataOptions, ModelOptions, TrainOptions)
@click.option("--trials", default=20, show_default=True, type=click.IntRange(min=1), help="fits to make")
@click.option("--storage", metavar="URL", help="where Optuna keeps the trials, such as sqlite:///tune.db: a second "
              "call goes on, and several processes share the work; what they try is then not fixed by --seed")
def main(data: DataOptions, model: ModelOptions, train: TrainOptions, trials: int, storage: str | None) -> None:
    """Search options of a fit that predict best on the development texts; the test texts are left alone."""
    optuna = optional("optuna", "tuning needs", "tune")
    torch.set_num_threads(1)
    config = Config(data, model, train)
    corpus = load_corpus(config.data)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
    # Processes that share a storage would all begin with the same trials.
    sampler = optuna.samplers.TPESampler(seed=config.seed if storage is None else None)
    study = optuna.create_study(
        storage=storage, sampler=sampler, pruner=pruner, study_name="pyro_rationale", load_if_exists=True
    )
    study.optimize(lambda trial: error_of(trial, config, corpus), n_trials=trials)
    finished = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    count = len(study.trials)
    print(f"{count} trial{'s' * (count != 1)}, {len(study.trials) - len(finished)} of them ended early")
    if finished:
        best = " ".join(as_typed(*item) for item in study.best_params.items())
        print(f"least error on development texts, on a [0, 1] scale or in nats: {study.best_value:.4f}, with {best}")


if __name__ == "__main__":
    run_command(main)
