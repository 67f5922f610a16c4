"""The rows of `study estimators`: every estimator that serves a guide, the paper's and Pyro's own among them."""

from __future__ import annotations

from dataclasses import dataclass

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators.rules import DEFAULT, default_samples
from pyro_rationale.inference.objectives.elbo import MaskELBO
from pyro_rationale.inference.objectives.tracegraph import TemperedTraceGraph
from pyro_rationale.inference.variance import Objective


@dataclass(frozen=True)
class Contender:
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
        if self.estimator == "tracegraph":
            return TemperedTraceGraph(self.samples, tau)
        return MaskELBO(self.estimator, self.samples, tau, self.penalties)


REFERENCE = Contender("rloo", 2)
PAPER = Contender("reinforce", 1, "sampled", note="the paper's")
NEURAL = tuple(Contender("tracegraph", k, "sampled", neural=True, note="neural baseline") for k in (1, 4))


def default(guide: str) -> Contender:
    """What a fit of that guide takes unless told otherwise."""
    estimator = DEFAULT[guide]
    return Contender(estimator, default_samples(estimator))


def contenders(guide: str) -> list[Contender]:
    """All that serve the family of that guide; a relaxed guide is the independent family, sampled otherwise.

    Raises:
        ConfigError: HardKuma weights, for which there is one estimator and nothing to compare.
    """
    if guide == "hardkuma":
        raise ConfigError("--run: --guide hardkuma has one estimator, by its own weights; there is nothing to compare")
    independent = guide in ("independent", "relaxed")
    rows = [PAPER]
    for penalties in ("sampled", "exact"):
        rows += [Contender("reinforce", 4, penalties), Contender("rloo", 2, penalties), Contender("rloo", 4, penalties)]
        if independent:
            rows += [Contender("disarm", 2, penalties), Contender("disarm", 4, penalties)]
        rows += [Contender("nvil", k, penalties, neural=True) for k in (1, 4)]
    rows += [Contender("muprop", k) for k in (2, 4)] + [Contender("sum-and-sample", k) for k in (2, 4, 8)]
    rows += [Contender("tracegraph", 1, "sampled", note="no baseline")]
    rows += NEURAL
    rows += [Contender("straight-through", 4)]
    if independent:
        rows += [Contender("straight-through", 4, guide="relaxed", note="relaxed backwards")]
        rows += [Contender("relaxed", 1, guide="relaxed"), Contender("relaxed", 4, guide="relaxed")]
    return rows
