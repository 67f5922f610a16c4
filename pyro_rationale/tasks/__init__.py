"""Kinds of targets: ratings, also of few levels, labels, classes, pairs of similar texts, and those of other packages.

Each public module registers one :class:`Task` under its own name, which is `TargetSpec.kind`: everything that depends
on the kind of a target is asked of its task. The names are listed without importing torch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry, lazy_names
from pyro_rationale.tasks._spec import TargetSpec

if TYPE_CHECKING:
    from pyro_rationale.tasks._base import Numbers, Task, to_numbers
    from pyro_rationale.tasks._calibration import Calibration, NoiseModel, Reading
    from pyro_rationale.tasks._decision import Decision
    from pyro_rationale.tasks._level_mixture import LevelMixture
    from pyro_rationale.tasks._likelihood import Likelihood
    from pyro_rationale.tasks._mixed import MixedDistribution, MixedLikelihood, log_prob_of_known
    from pyro_rationale.tasks._mixture import Mixture
    from pyro_rationale.tasks.binary import BernoulliLikelihood, BinaryTask
    from pyro_rationale.tasks.multiclass import CategoricalLikelihood, MulticlassTask
    from pyro_rationale.tasks.ordinal import OrdinalLikelihood, OrdinalTask
    from pyro_rationale.tasks.ranking import RankingLikelihood, RankingTask
    from pyro_rationale.tasks.regression import NormalLikelihood, RegressionTask

TASKS: Registry[type[Task]] = Registry(
    "tasks", __name__, "--task", ("regression", "binary", "multiclass", "ordinal", "ranking")
)

__all__ = [
    "TASKS",
    "BernoulliLikelihood",
    "BinaryTask",
    "Calibration",
    "CategoricalLikelihood",
    "Decision",
    "LevelMixture",
    "Likelihood",
    "MixedDistribution",
    "MixedLikelihood",
    "Mixture",
    "MulticlassTask",
    "NoiseModel",
    "NormalLikelihood",
    "Numbers",
    "OrdinalLikelihood",
    "OrdinalTask",
    "RankingLikelihood",
    "RankingTask",
    "Reading",
    "RegressionTask",
    "TargetSpec",
    "Task",
    "cost_names",
    "log_prob_of_known",
    "task_of",
    "to_numbers",
]


def task_of(spec: TargetSpec, decision: Decision | None = None) -> Task:
    """The task of a target; one object per target and rule.

    Args:
        spec: the target.
        decision: the rule by which classes are named; `None`: the most probable one is.

    Raises:
        ConfigError: its kind is not registered.
    """
    return _make(TASKS[spec.kind], spec, decision)


def cost_names() -> tuple[str, ...]:
    """Names of the errors of single documents that stand for each registered task in tables."""
    return tuple(dict.fromkeys(task.cost_name for task in TASKS.values() if not task.of_pairs))


@lru_cache(maxsize=64)
def _make(kind: type[Task], spec: TargetSpec, decision: Decision | None) -> Task:
    made = kind(spec)
    made.decision = decision
    return made


__getattr__ = lazy_names(
    __name__,
    {
        "_base": "Numbers Task to_numbers",
        "_calibration": "Calibration NoiseModel Reading",
        "_decision": "Decision",
        "_likelihood": "Likelihood",
        "_level_mixture": "LevelMixture",
        "_mixed": "MixedDistribution MixedLikelihood log_prob_of_known",
        "_mixture": "Mixture",
        "binary": "BernoulliLikelihood BinaryTask",
        "multiclass": "CategoricalLikelihood MulticlassTask",
        "ordinal": "OrdinalLikelihood OrdinalTask",
        "ranking": "RankingLikelihood RankingTask",
        "regression": "NormalLikelihood RegressionTask",
    },
)
