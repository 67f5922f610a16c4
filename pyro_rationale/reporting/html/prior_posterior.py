"""How much is kept and in what runs: draws from the prior beside draws from the guide, on the same documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import ChainPrior, MaskDistribution
from pyro_rationale.reporting.html.records import Histogram, Selection
from pyro_rationale.training.fit import describe_prior

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

Numbers = NDArray[np.float64]
BINS = 20
LONGEST = 15  # bins of run lengths
COVERED = 0.995  # of the draws lie below the last edge, if there are bins enough


@torch.no_grad()
def selection_of(
    fitted: FittedModel,
    documents: Sequence[Document],
    asked: ChainPrior | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Selection:
    """Draws masks of every document from the prior in force and from q(z | x).

    Args:
        fitted: a run.
        documents: at least one; their lengths matter to the prior, their words to the posterior.
        asked: the prior that was asked for; it is drawn from as well if training has moved it.
        draws: masks per document, from each.
        seed: of the draws.
    """
    if not documents:
        raise ValueError("expected at least one document")
    model = fitted.model
    priors = {"prior": model.prior}
    if asked is not None and not _alike(asked, model.prior):
        priors["asked"] = asked
    rates: dict[str, list[Numbers]] = {name: [] for name in (*priors, "posterior")}
    spans: dict[str, list[Numbers]] = {name: [] for name in (*priors, "posterior")}
    with torch.random.fork_rng(devices=[fitted.device] if fitted.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in BucketedBatches(documents, fitted.vocabulary, fitted.spec, 64).ordered():
            batch = batch.to(fitted.device)
            laws: dict[str, MaskDistribution] = {
                name: prior.distribution(batch.lengths, batch.tokens.shape[1]) for name, prior in priors.items()
            }
            laws["posterior"] = fitted.guide.posterior(batch).discrete()
            for name, law in laws.items():
                z = law.sample(torch.Size([draws]))
                rates[name].append((z.sum(-1) / batch.lengths).double().cpu().numpy().ravel())
                spans[name].append(run_lengths(z))
    rate = {name: np.concatenate(parts) for name, parts in rates.items()}
    span = {name: np.concatenate(parts) for name, parts in spans.items()}
    return Selection(
        histogram(rate, rate_edges(*rate.values())),
        histogram(span, span_edges(*span.values())),
        draws,
        {} if asked is None else describe_prior(asked, model.gain),
        describe_prior(model.prior, model.gain),
    )


def _alike(one: ChainPrior, other: ChainPrior) -> bool:
    """Whether two priors are the same but for rounding."""
    close = math.isclose
    return close(one.rate, other.rate, rel_tol=1e-3) and close(one.span, other.span, rel_tol=1e-3)


def run_lengths(masks: Tensor) -> Numbers:
    """Lengths of all runs of ones in 0/1 masks `(*, T)`, in no particular order."""
    flat = masks.reshape(-1, masks.shape[-1]).to("cpu", torch.int8).numpy()
    edges = np.diff(np.pad(flat, ((0, 0), (1, 1))), axis=1)
    return (np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]).astype(float)


def histogram(draws: Mapping[str, Numbers], edges: Numbers) -> Histogram:
    """Shares of `prior`, `posterior` and perhaps `asked` in bins; what is above the last edge is in the last bin."""

    def shares(values: Numbers) -> tuple[float, ...]:
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        return tuple((np.bincount(place, minlength=len(edges) - 1) / max(1, len(values))).tolist())

    def mean(values: Numbers) -> float:
        return float(values.mean()) if len(values) else math.nan

    prior, posterior, asked = draws["prior"], draws["posterior"], draws.get("asked")
    return Histogram(
        tuple(edges.tolist()),
        shares(prior),
        shares(posterior),
        mean(prior),
        mean(posterior),
        None if asked is None else shares(asked),
        math.nan if asked is None else mean(asked),
        any(bool((values > edges[-1]).any()) for values in draws.values()),
    )


def rate_edges(*samples: Numbers) -> Numbers:
    """Bins from 0 to a round share that hardly any draw exceeds."""
    most = max(float(np.quantile(values, COVERED)) for values in samples)
    return np.linspace(0.0, min(1.0, max(0.05, math.ceil(20.0 * most) / 20.0)), BINS + 1)


def span_edges(*samples: Numbers) -> Numbers:
    """A bin per length, half a word to either side, for the short ones that nearly all runs are."""
    most = max((float(np.quantile(values, COVERED)) for values in samples if len(values)), default=1.0)
    return np.arange(0.5, min(LONGEST, max(4, math.ceil(most))) + 1.0)
