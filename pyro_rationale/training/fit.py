"""Fit a configuration into a run folder, without a terminal and without evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.callbacks._base import call
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.reader import appoint_judge
from pyro_rationale.training.run import TrainingRun


def fit_run(
    config: Config,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
    start: Callable[[TrainingRun], None] | None = None,
    group: Group = SINGLE_PROCESS,
    like: TrainingRun | None = None,
) -> TrainingRun:
    """Train, choose the best weights and save them.

    The test table and `metrics.json` are left to :func:`pyro_rationale.evaluation.results.train`.

    Args:
        config: as for :func:`pyro_rationale.training.prepare.prepare_run`, like all others but `start`.
        folder: see there.
        resume: see there.
        force: see there.
        callbacks: see there.
        corpus: see there.
        start: changes the untrained weights before the first step (a stress test starts from bad ones); it is not
            called when a checkpoint is resumed.
        group: see there.
        like: a fit of the same texts, whose vocabulary and word vectors are taken.

    Returns:
        The finished run. A run that is already trained is not trained again.
    """
    if (config.train.members or 1) > 1:  # not what --preset best would take: this fits one of its models, too
        raise ConfigError("--members: this fits one model; leave it out, or name a run that is no ensemble")
    torch.set_num_threads(max(1, (config.train.threads or 1) // group.local))
    torch.set_flush_denormal(True)
    if config.train.precision == "tf32":
        torch.set_float32_matmul_precision("high")
    run = prepare_run(config, folder, resume, force, callbacks, corpus, group, like)
    if config.train.threads is None:
        call(run.callbacks, "on_preparation", "measuring which number of threads is fastest")
        run.choose_threads()
    if run.fitted.config.train.judge == "mcd":
        appoint_judge(run)
    if start is not None and run.trainer.step == 0:
        start(run)
    run.run()
    group.close()
    if group.main:
        run.finish()
    return run
