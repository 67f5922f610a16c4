"""Evidence, its bounds and the weights behind them, of many documents.

Networks run in float64 here: the weights of a mask that is drawn twice must be the same, or k-hat sees a tail in
what is rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.evidence import (
    LONGEST,
    Bound,
    Enumeration,
    bounds_of,
    effective_sample_size,
    enumerate_masks,
)
from pyro_rationale.inference.posterior.log_joint import draw_weighted, log_joint
from pyro_rationale.inference.posterior.psis import TRUSTED, psis

ERRORS = 4.0  # standard errors that an order must be violated by to be counted
ROUNDING = 1e-9  # nats
FAR = 1.0  # nats below the evidence at the largest K: a guide that is no proposal at all
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Measured:
    """Figures of `N` documents, in their order; `elbo` and `evidence` are NaN where a document is too long.

    Attributes:
        bounds: per K, with `(N,)` means and errors.
        elbo: exact, `(N,)`.
        deviation: exact standard deviation of one log weight, `(N,)`.
        spread: largest less smallest log weight of any mask, `(N,)`.
        evidence: exact, `(N,)`.
        ess: effective sample size of the first `samples` draws, `(N,)`.
        k: their Pareto shape, `(N,)`.
        reasons: why there is no fit behind it, if so.
        draws: per document in all.
        rows: number of each figure's document, and its target where targets have masks of their own: `N` is the number
            of texts and known targets then.
    """

    bounds: dict[int, Bound]
    elbo: Tensor
    deviation: Tensor
    spread: Tensor
    evidence: Tensor
    ess: Tensor
    k: Tensor
    reasons: tuple[str | None, ...]
    draws: int
    rows: tuple[tuple[int, str | None], ...] = ()

    @property
    def known(self) -> Tensor:
        """Which documents have exact figures, bool, `(N,)`."""
        return ~self.evidence.isnan()

    def summary(self) -> dict[str, Any]:
        """Figures that the tables show."""
        known = self.known
        result: dict[str, Any] = {"enumerated": int(known.sum()), "bounds": [self._row(size) for size in self.bounds]}
        if bool(known.any()):
            result["elbo"] = float(self.elbo[known].mean())
            result["log_evidence"] = float(self.evidence[known].mean())
            result["exact_elbo_above_evidence"] = int((self.elbo > self.evidence + ROUNDING)[known].sum())
            far = self.evidence - self.bounds[max(self.bounds)].mean > FAR
            result["far"] = int(far.sum())
            result["far_unnoticed"] = int((far & (self.k <= TRUSTED)).sum())
        levels = torch.tensor(QUANTILES, dtype=torch.float64)
        result["quantiles"] = list(QUANTILES)
        result["ess"] = self.ess.quantile(levels).tolist()
        result["k_hat"] = self.k.quantile(levels, interpolation="nearest").tolist()  # between 1 and inf is nothing
        result["k_hat_above"] = float((self.k > TRUSTED).double().mean())
        result["k_hat_infinite"] = int((self.k == math.inf).sum())
        result["k_hat_constant"] = sum(reason is not None for reason in self.reasons) - result["k_hat_infinite"]
        return result

    def _row(self, size: int) -> Row:
        bound, known = self.bounds[size], self.known
        smaller = [other for other in self.bounds if other < size]
        row: Row = {"bound": f"IWAE-{size}", "nats": float(bound.mean.mean())}
        row["standard_error"] = float(bound.error.square().sum().sqrt()) / len(bound.error)
        row["gap"] = row["above_evidence"] = None
        if bool(known.any()):
            row["gap"] = float((self.evidence - bound.mean)[known].mean())
            # Masks that all the draws miss have a chance of 10 / draws at most, nearly surely; not to have seen them
            # can raise an estimate by that much.
            slack = ERRORS * bound.error + 10 / self.draws + ROUNDING
            row["above_evidence"] = int((bound.mean > self.evidence + slack)[known].sum())
        if smaller:
            before = self.bounds[max(smaller)]
            slack = ERRORS * (bound.error.square() + before.error.square()).sqrt() + ROUNDING
            row["out_of_order"] = int((bound.mean < before.mean - slack).sum())
        else:  # IWAE-1 is the ELBO; its error is known exactly, and what rare masks may do as well (Bernstein)
            slack = ERRORS * self.deviation / math.sqrt(self.draws) + 10 * self.spread / self.draws + ROUNDING
            row["out_of_order"] = int(((bound.mean - self.elbo).abs() > slack)[known].sum()) if known.any() else None
        return row

    def each(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """Figures of every document, or of each of its targets that has masks of its own and is known."""
        columns: dict[str, list[Any]] = {
            "id": [documents[i].id for i, _ in self.rows],
            "words": [max(1, len(documents[i].tokens)) for i, _ in self.rows],
            "elbo": self.elbo.tolist(),
            "log_evidence": self.evidence.tolist(),
            "ess": self.ess.tolist(),
            "k_hat": self.k.tolist(),
            "k_hat_reason": list(self.reasons),
        }
        if any(target is not None for _, target in self.rows):
            columns["target"] = [target for _, target in self.rows]
        for size, bound in self.bounds.items():
            columns[f"iwae_{size}"] = bound.mean.tolist()
            columns[f"iwae_{size}_error"] = bound.error.tolist()
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def bound_sizes(samples: int) -> list[int]:
    """1, 10, 100, ... and `samples`."""
    return [10**power for power in range(len(str(samples))) if 10**power < samples] + [samples]


def measure(
    fitted: FittedModel, documents: Sequence[Document], samples: int, repeats: int, kappa: float, batch_size: int = 32
) -> Measured:
    """All figures of all documents; the networks of `fitted` are float64 afterwards.

    Args:
        fitted: a run.
        documents: with targets.
        samples: the largest K, and the draws behind ESS and k-hat.
        repeats: groups of so many draws.
        kappa: weight of the log likelihood.
        batch_size: documents at once.
    """
    fitted.model.double()
    fitted.guide.double()
    sizes = bound_sizes(samples)
    parts: list[tuple[dict[str, Tensor], tuple[str | None, ...]]] = []
    places: list[Tensor] = []
    about: list[Tensor] = []
    for batch in fitted.device_batches(documents, batch_size):
        assert batch.index is not None
        places.append(batch.index.cpu())
        about.append(torch.zeros_like(places[-1]) if batch.aspects is None else batch.aspects.cpu())
        parts.append(_measure_batch(fitted, batch, sizes, samples * repeats, kappa))
    texts, aspects = torch.cat(places), torch.cat(about)
    order = (texts * fitted.aspects + aspects).argsort()
    names = fitted.spec.names if fitted.aspects > 1 else (None,)
    rows = tuple((int(texts[i]), names[int(aspects[i])]) for i in order)
    reasons = [reason for _, some in parts for reason in some]
    figures = {name: torch.cat([part[name] for part, _ in parts])[order] for name in parts[0][0]}
    bounds = {
        size: Bound(figures.pop(f"mean_{size}"), figures.pop(f"error_{size}"), samples * repeats // size)
        for size in sizes
    }
    return Measured(bounds, reasons=tuple(reasons[i] for i in order), draws=samples * repeats, rows=rows, **figures)


@torch.no_grad()
def _measure_batch(
    fitted: FittedModel, batch: Batch, sizes: list[int], draws: int, kappa: float
) -> tuple[dict[str, Tensor], tuple[str | None, ...]]:
    q = fitted.guide.posterior(batch).discrete()
    unknown = torch.full((len(batch),), math.nan, dtype=torch.float64)
    figures = dict.fromkeys(("elbo", "deviation", "spread", "evidence"), unknown)
    if int(batch.lengths.max()) <= LONGEST:
        table = enumerate_masks(fitted.model, batch, q, kappa)
        figures = {"elbo": table.elbo, "evidence": table.evidence, **_moments(table)}
        weights: Iterable[Tensor] = table.draw(q, draws)
    else:
        joint = partial(log_joint, fitted.model, batch, kappa=kappa)
        weights = (some for _, some in draw_weighted(joint, q, draws))
    first: list[Tensor] = []
    for size, bound in bounds_of(_keeping(weights, first, sizes[-1]), sizes).items():
        figures |= {f"mean_{size}": bound.mean, f"error_{size}": bound.error}
    seen = torch.cat(first)[: sizes[-1]]
    tail = psis(seen)
    figures |= {"ess": effective_sample_size(seen), "k": tail.k}
    return {name: values.cpu() for name, values in figures.items()}, tail.reasons


def _moments(table: Enumeration) -> dict[str, Tensor]:
    """Standard deviation under the guide, and range, of one log weight, `(B,)` each."""
    weights = table.log_weights
    assert table.log_q is not None
    own = weights > -math.inf
    offsets = torch.where(own, weights - table.elbo, 0.0)
    variance = (table.log_q.exp() * offsets.square()).sum(0)
    return {"deviation": variance.sqrt(), "spread": offsets.max(0).values - offsets.min(0).values}


def _keeping(weights: Iterable[Tensor], first: list[Tensor], count: int) -> Iterator[Tensor]:
    """The stream as it is, its first `count` draws left in `first`."""
    kept = 0
    for some in weights:
        if kept < count:
            first.append(some)
            kept += len(some)
        yield some
