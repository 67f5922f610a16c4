"""Rationales as latent variables: predict a rating from a text, and show the few words it rests on.

The binary mask over the words is a hidden variable of a Pyro program: a Markov chain for its prior, an encoder
that reads only the kept words for its likelihood, an amortized guide that approximates its posterior.

    import pyro_rationale as pr

    fitted = pr.load("runs/synthetic-chain-0")      a run folder, as `python -m pyro_rationale fit` writes it
    pr.RationaleRegressor(rate=0.1).fit(texts, y)   the scikit-learn interface

Names are imported when they are first used (PEP 562): importing this package loads neither torch nor Pyro.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import lazy_names

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
    from pyro_rationale.fitted import FittedModel, load
    from pyro_rationale.guides import GUIDES
    from pyro_rationale.inference import MaskELBO
    from pyro_rationale.inference.estimators import ESTIMATORS
    from pyro_rationale.nn.encoders import ENCODERS
    from pyro_rationale.nn.generators import GENERATORS
    from pyro_rationale.prediction.explanation import Explanation
    from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor
    from pyro_rationale.sklearn.retriever import RationaleRetriever
    from pyro_rationale.tasks import TASKS
    from pyro_rationale.training.callbacks import CALLBACKS, Callback
    from pyro_rationale.training.schedules import SCHEDULES

__version__ = "0.2.0"

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
    "Callback",
    "Config",
    "DataOptions",
    "Document",
    "Explanation",
    "FittedModel",
    "MaskELBO",
    "ModelOptions",
    "RationaleClassifier",
    "RationaleRegressor",
    "RationaleRetriever",
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


__getattr__ = lazy_names(
    __name__,
    {
        "build": "build_guide build_model target_summary",
        "config": "Config ModelOptions TrainOptions",
        "data": "CORPORA load_corpus",
        "data.batching": "BucketedBatches",
        "data.document": "Document",
        "data.options": "DataOptions",
        "data.vocabulary": "Vocabulary",
        "evaluation.metrics": "METRICS",
        "evaluation.results": "train",
        "experiments.baselines": "BASELINES",
        "fitted": "FittedModel load",
        "guides": "GUIDES",
        "inference": "MaskELBO",
        "inference.estimators": "ESTIMATORS",
        "nn.encoders": "ENCODERS",
        "nn.generators": "GENERATORS",
        "prediction.explanation": "Explanation",
        "sklearn": "RationaleClassifier RationaleRegressor",
        "sklearn.retriever": "RationaleRetriever",
        "tasks": "TASKS",
        "training.callbacks": "CALLBACKS Callback",
        "training.schedules": "SCHEDULES",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
