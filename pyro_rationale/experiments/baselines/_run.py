"""Methods that are fits by the package's own trainer, told apart by their options."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import train, train_ensemble
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.same_fit import is_interrupted
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.run_files import METRICS

# The options by which fits differ. What a method does not mention is the default, whatever the base says.
PLAIN: dict[str, Any] = {
    "estimator": "auto", "samples": None, "penalties": "exact", "norm": "l0", "condition_on_target": False,
    "control": "auto", "transitions": None, "entropy": None,
}
# Lei et al. (2016): one mask, penalties as part of the sampled cost, no baseline, no entropy. Their rate is held by
# this package's control of it, as that of all fits: they tune lambda1 by hand.
LEI: dict[str, Any] = {"estimator": "reinforce", "samples": 1, "penalties": "sampled", "tau": 0.0}


def trained(name: str, title: str, **options: Any) -> Baseline:
    """A method that is a fit of the package's own model.

    Args:
        name: of the method.
        title: for tables.
        options: fields of the configuration, besides those of `PLAIN`.
    """
    return Baseline(title, partial(fit_trained, name, options))


def fit_trained(
    name: str, options: dict[str, Any], config: Config, corpus: Corpus, folder: Path
) -> ModelRationalizer:
    """Fit `config` under `options` into a run folder, resume the fit that is there, or read the finished one.

    Raises:
        ConfigError: penalties instead of a rate, or the folder holds a fit of other options.
        RunError: the folder holds something else, or a damaged run.
    """
    if config.model.lambda1 is not None:
        raise ConfigError("--lambda1: methods are compared at a share of words; give --rate and no penalties")
    config = config.changed(**PLAIN | options)
    resume = is_interrupted(config, corpus, folder)
    if (folder / METRICS).exists():
        fitted = FittedModel.load(folder, config.train.device)
    else:
        fit = train_ensemble if config.members > 1 else train
        fitted = fit(config, folder, resume=resume, corpus=corpus)[0].fitted
    return ModelRationalizer(fitted, DecodeOptions("mode"), name=name)  # as in all cells of older versions
