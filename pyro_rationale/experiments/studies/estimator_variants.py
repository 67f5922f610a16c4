"""The rows of `study estimators`: every estimator that serves a guide, the paper's and Pyro's own among them."""

from __future__ import annotations

from dataclasses import dataclass

from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.objectives.elbo import Objective, make_objective


@dataclass(frozen=True)
class EstimatorVariant:
    """One row: an estimator with its options."""

    estimator: str
    samples: int
    penalties: str = "exact"
    guide: str = ""  # family, where it is not the run's own
    neural: bool = False  # has a neural baseline
    note: str = ""

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.estimator}-{self.samples}" + (f" ({self.note})" if self.note else "")

    def objective(self, tau: float) -> Objective:
        """The estimator."""
        return make_objective(self.estimator, self.samples, tau, self.penalties)


REFERENCE = EstimatorVariant("rloo", 2)
PAPER = EstimatorVariant("reinforce", 1, "sampled", note="the paper's")
NEURAL = tuple(EstimatorVariant("tracegraph", k, "sampled", neural=True, note="neural baseline") for k in (1, 4))


def default(guide: str) -> EstimatorVariant:
    """What a fit of that guide takes unless told otherwise."""
    estimator = GUIDES[guide].default_estimator
    return EstimatorVariant(estimator, ESTIMATORS[estimator].default_samples)


def estimator_variants(guide: str) -> list[EstimatorVariant]:
    """All that serve the family of that guide; a relaxed guide is the independent family, sampled otherwise.

    Raises:
        ConfigError: HardKuma weights, for which there is one estimator and nothing to compare.
    """
    if guide == "hardkuma":
        raise ConfigError("--run: --guide hardkuma has one estimator, by its own weights; there is nothing to compare")
    independent = guide in ("independent", "relaxed")
    rows = [PAPER]
    for penalties in ("sampled", "exact"):
        rows += [EstimatorVariant("reinforce", 4, penalties), EstimatorVariant("rloo", 2, penalties), EstimatorVariant("rloo", 4, penalties)]
        if independent:
            rows += [EstimatorVariant("disarm", 2, penalties), EstimatorVariant("disarm", 4, penalties)]
        rows += [EstimatorVariant("nvil", k, penalties, neural=True) for k in (1, 4)]
    rows += [EstimatorVariant("muprop", k) for k in (2, 4)] + [EstimatorVariant("sum-and-sample", k) for k in (2, 4, 8)]
    rows += [EstimatorVariant("tracegraph", 1, "sampled", note="no baseline")]
    rows += NEURAL
    rows += [EstimatorVariant("straight-through", 4)]
    if independent:
        rows += [EstimatorVariant("straight-through", 4, guide="relaxed", note="relaxed backwards")]
        rows += [EstimatorVariant("relaxed", 1, guide="relaxed"), EstimatorVariant("relaxed", 4, guide="relaxed")]
    return rows
