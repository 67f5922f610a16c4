"""Methods that are fits of this package's own trainer, told apart by their flags."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import train
from pyro_rationale.fitted import CONFIG, METRICS, FittedModel
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.training.run_folder import check_same_config


def with_flags(config: Config, flags: dict[str, Any]) -> Config:
    """The configuration with fields of its model and training parts replaced."""
    model = {f.name: flags[f.name] for f in fields(ModelOptions) if f.name in flags}
    train = {f.name: flags[f.name] for f in fields(TrainOptions) if f.name in flags}
    unknown = flags.keys() - model.keys() - train.keys()
    assert not unknown, f"no such options: {', '.join(sorted(unknown))}"
    return Config(config.data, replace(config.model, **model), replace(config.train, **train))


def fit_marker(name: str, config: Config, flags: dict[str, Any], corpus: Corpus, folder: Path) -> ModelRationalizer:
    """Fit `config` under `flags` into a run folder, go on with the fit that is there, or read the finished one.

    Raises:
        ConfigError: penalties instead of a rate, or the folder holds a fit of other options.
        RunError: the folder holds something else, or a damaged run.
    """
    if config.model.lambda1 is not None:
        raise ConfigError("--lambda1: methods are compared at a share of words; give --rate and no penalties")
    wanted = with_flags(config, flags)
    if (folder / METRICS).exists():
        check_same_config(wanted, folder)
        fitted = FittedModel.load(folder, wanted.train.device)
    else:
        fit, _ = train(wanted, folder, resume=(folder / CONFIG).exists(), corpus=corpus)
        fitted = fit.fitted
    marker = ModelRationalizer(fitted)
    marker.name = name
    return marker
