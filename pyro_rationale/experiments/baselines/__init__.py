"""Baselines of benchmarks, by name: each public module here registers one as a :class:`Baseline`.

The methods of a benchmark are the guides of `GUIDES`, fitted with their defaults, and these baselines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.guides import GUIDES
from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.config import Config
    from pyro_rationale.data.corpus import Corpus
    from pyro_rationale.experiments.baselines._encoder_only import load_reference_predictor
    from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer

BASELINES: Registry[Baseline] = Registry("baselines", __name__, "--method", ("hardkuma", "hardkuma-changes"))

__all__ = [
    "BASELINES",
    "Baseline",
    "ModelRationalizer",
    "Rationalizer",
    "find_method",
    "fit_method",
    "load_reference_predictor",
    "method_names",
]


def method_names() -> list[str]:
    """Names of the methods that a benchmark compares: guides first, then baselines."""
    return [*(name for name in GUIDES if name not in BASELINES), *BASELINES]


def find_method(name: str) -> Baseline:
    """A baseline, or the fit of a guide with its defaults.

    Raises:
        ConfigError: no such method.
    """
    if name in BASELINES or name not in GUIDES:
        return BASELINES[name]
    from pyro_rationale.experiments.baselines._run import trained

    return trained(name, f"{name} guide", guide=name)


def fit_method(name: str, config: Config, corpus: Corpus, folder: Path, settings: Any = None) -> Rationalizer:
    """Fit a method into a folder, or read the finished one; see `Baseline.fit`.

    Args:
        name: of the method.
        config: of the fit.
        corpus: train and dev.
        folder: its own.
        settings: of the method's own, where it has such; its defaults by default.

    Raises:
        ConfigError: no such method, penalties in place of a rate, or a folder of other options.
        RunError: the folder is damaged.
    """
    more = () if settings is None else (settings,)
    return find_method(name).fit(config, corpus, folder, *more)


__getattr__ = lazy_names(
    "pyro_rationale",
    {
        "experiments.baselines._encoder_only": "load_reference_predictor",
        "prediction.rationalizer": "ModelRationalizer Rationalizer",
    },
)
