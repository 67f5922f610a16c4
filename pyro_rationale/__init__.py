"""Rationales as latent variables: predict a rating from a text, and show the few words it rests on.

The binary mask over the words is a hidden variable of a Pyro program: a Markov chain for its prior, an encoder
that reads only the kept words for its likelihood, an amortized guide for its posterior.

    import pyro_rationale as pr

    fitted = pr.load("runs/synthetic-relaxed-0")    a run folder, as `python -m pyro_rationale fit` writes it
    pr.RationaleRegressor(rate=0.1).fit(texts, y)   the scikit-learn interface

Names are imported when they are first used (PEP 562): importing this package loads neither torch nor Pyro.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_rationale.build import build_guide, build_model, target_summary
    from pyro_rationale.config import Config, ModelOptions, TrainOptions
    from pyro_rationale.data import CORPORA, load_corpus
    from pyro_rationale.data.batching import BucketedBatches
    from pyro_rationale.data.document import Document
    from pyro_rationale.data.options import DataOptions
    from pyro_rationale.data.vocabulary import Vocabulary
    from pyro_rationale.evaluation.metrics import METRICS
    from pyro_rationale.evaluation.results import train
    from pyro_rationale.experiments.baselines import BASELINES
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.guides import GUIDES
    from pyro_rationale.inference import MaskELBO
    from pyro_rationale.inference.estimators import ESTIMATORS
    from pyro_rationale.nn.encoders import ENCODERS
    from pyro_rationale.nn.generators import GENERATORS
    from pyro_rationale.prediction.explanation import Explanation
    from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor
    from pyro_rationale.tasks import TASKS
    from pyro_rationale.training.callbacks import CALLBACKS
    from pyro_rationale.training.schedules import SCHEDULES

    load = FittedModel.load

__version__ = "0.2.0"

# Public name: where it is defined, below `pyro_rationale`.
_EXPORTS = {
    "BASELINES": "experiments.baselines:BASELINES",
    "BucketedBatches": "data.batching:BucketedBatches",
    "CALLBACKS": "training.callbacks:CALLBACKS",
    "ENCODERS": "nn.encoders:ENCODERS",
    "GENERATORS": "nn.generators:GENERATORS",
    "CORPORA": "data.corpora:CORPORA",
    "Config": "config:Config",
    "DataOptions": "data.options:DataOptions",
    "Document": "data.document:Document",
    "ESTIMATORS": "inference.estimators:ESTIMATORS",
    "Explanation": "prediction.explanation:Explanation",
    "FittedModel": "fitted:FittedModel",
    "GUIDES": "guides:GUIDES",
    "METRICS": "evaluation.metrics:METRICS",
    "MaskELBO": "inference:MaskELBO",
    "ModelOptions": "config:ModelOptions",
    "RationaleClassifier": "sklearn:RationaleClassifier",
    "RationaleRegressor": "sklearn:RationaleRegressor",
    "SCHEDULES": "training.schedules:SCHEDULES",
    "TASKS": "tasks:TASKS",
    "TrainOptions": "config:TrainOptions",
    "Vocabulary": "data.vocabulary:Vocabulary",
    "build_guide": "build:build_guide",
    "build_model": "build:build_model",
    "load": "fitted:FittedModel.load",
    "load_corpus": "data:load_corpus",
    "target_summary": "build:target_summary",
    "train": "evaluation.results:train",
}

__all__ = [
    "BASELINES",
    "CALLBACKS",
    "CORPORA",
    "ENCODERS",
    "ESTIMATORS",
    "GENERATORS",
    "GUIDES",
    "METRICS",
    "SCHEDULES",
    "TASKS",
    "BucketedBatches",
    "Config",
    "DataOptions",
    "Document",
    "Explanation",
    "FittedModel",
    "MaskELBO",
    "ModelOptions",
    "RationaleClassifier",
    "RationaleRegressor",
    "TrainOptions",
    "Vocabulary",
    "__version__",
    "build_guide",
    "build_model",
    "load",
    "load_corpus",
    "target_summary",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return resolve_name(f"{__name__}.{_EXPORTS[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
