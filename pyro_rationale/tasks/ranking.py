"""Which of some texts are similar to another one: a Categorical likelihood over candidates, of unit vectors.

    p(y_i = j | x, z) = exp(<e_i, e_j> / T) / sum_{k in C_i} exp(<e_i, e_k> / T)

The temperature T is learned, or given. Texts carry no targets: what is predicted is of pairs of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._base import Labels, Numbers, Task
from pyro_rationale.tasks._cells import Cell
from pyro_rationale.tasks._likelihood import Likelihood, OneOfSeveral
from pyro_rationale.tasks._spec import CANDIDATES, TargetSpec

COLDEST, WARMEST = 0.01, 1.0  # limits of a temperature that is learned
START = 0.05


class RankingLikelihood(OneOfSeveral):
    """One of some candidates: Categorical(logits = cosines / temperature).

    Args:
        width: numbers per vector.
        temperature: a fixed one; `None` for one that is learned, between `COLDEST` and `WARMEST`, on a log scale.
    """

    def __init__(self, width: int, temperature: float | None = None) -> None:
        super().__init__(width)
        self.fixed = temperature
        if temperature is None:
            self.position = nn.Parameter(torch.zeros(()))
            self.set_temperature(START)

    @property
    def temperature(self) -> Tensor | float:
        """T: a number that is given, or a differentiable function of the one that is learned."""
        if self.fixed is not None:
            return self.fixed
        return (math.log(COLDEST) + math.log(WARMEST / COLDEST) * torch.sigmoid(self.position)).exp()

    @torch.no_grad()
    def set_temperature(self, temperature: float) -> None:
        """Let a temperature that is learned go on from this one, which lies between `COLDEST` and `WARMEST`."""
        share = math.log(temperature / COLDEST) / math.log(WARMEST / COLDEST)
        share = min(max(share, 1e-6), 1.0 - 1e-6)
        self.position.fill_(math.log(share / (1.0 - share)))


class RankingTask(Task):
    """Pairs of similar texts; a "prediction" of one text is its unit vector."""

    cost_name = "log_loss"
    loss_unit = "nats of cross entropy"
    error_name = "log loss of a list of candidates, in nats"
    value_name = "unit vector"
    target_dtype = np.int32
    of_pairs = True

    @classmethod
    def make_spec(
        cls,
        kind: str,
        where: str,
        names: Sequence[str],
        columns: Sequence[Sequence[Cell]],
        scale: tuple[float, float] | None,
    ) -> TargetSpec:
        """Raises ConfigError: a column of targets says nothing about pairs."""
        raise ConfigError(f"--task ranking: {where} holds texts with targets, and no pairs of texts; leave it out")

    def parse(self, cell: Cell, i: int) -> float:
        """Raises ValueError: texts carry no targets."""
        raise ValueError("is a target of one text, and the run is about pairs of texts")

    def describe(self) -> str:
        """The kind of thing that is predicted, in words."""
        return "pairs of similar texts"

    def encode(self, targets: Numbers, name: Callable[[int], str]) -> NDArray[np.float32]:
        """Raises DataError: texts carry no targets."""
        raise DataError(f"{name(0)}: has a target, and texts of pairs have none; leave it out")

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Nats of a guess among `CANDIDATES`, whatever the targets."""
        return torch.tensor([math.log(CANDIDATES)], dtype=torch.float64)

    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """A likelihood of single numbers; that of a fit, which knows how long vectors are, is made with the model."""
        return RankingLikelihood(1)

    def errors(self, values: Numbers, targets: Numbers) -> dict[str, NDArray[Any]]:
        """None: a vector alone is neither right nor wrong."""
        return {}

    def drop(self, full: Numbers, other: Numbers) -> Numbers:
        """One less the cosine of both vectors."""
        cosine: Numbers = (full * other).sum(-1)
        return 1.0 - cosine

    def decisions(self, values: Numbers, reference: Numbers | None = None) -> Labels:
        """No classes: `(N, 0)`."""
        return np.zeros((len(values), 0), dtype=np.int64)

    def true_decisions(self, targets: Numbers) -> Numbers:
        """No classes: `(N, 0)`."""
        return np.zeros((len(targets), 0))

    def threshold(self, targets: Numbers) -> float:
        """Nothing to divide."""
        return 0.0

    def skill(self, values: Numbers, targets: Numbers) -> float:
        """Unknown of single texts."""
        return math.nan


REGISTERED = RankingTask
