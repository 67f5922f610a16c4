"""Draws of masks and ratings, from guide, prior and posterior, of many documents: what `posterior.nc` holds.

The guide's draws have not seen the rating. Where it is known they are resampled by Pareto-smoothed importance weights
towards p(z | x, y), and those are draws of the posterior, as far as k-hat allows.

What the guide's draws predict is what predictions are made of: members of an ensemble read a mask as much as they are
likely to have drawn it, and the weights of an output layer that are not one number each (`--laplace`) are integrated
out. Masks of the prior are from no guide, and all members read them alike. Importance weights, and with them all of the
posterior, are those of one joint density, the program's p(z) p(y | x, z)^kappa: with the trained weights, and the mean
over the members as the likelihood.

Every document is drawn by itself, from a stream that its text seeds: its draws are the same in whatever company it
comes. Masks are packed, a bit per word, and the networks read each distinct mask once, so that draws of one mask have
one likelihood to the last bit. Results go to the file a few documents at a time; memory grows neither with the
documents nor, beyond a bit per word and some numbers, with the draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpus import Document
from pyro_rationale.inference.posterior.evidence import effective_sample_size
from pyro_rationale.inference.posterior.psis import psis
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.decoding import evaluating, unlabelled
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.mask_table import Bits, Masks, Whole, draw_masks, in_rows, log_densities
from pyro_rationale.tasks import Numbers, log_prob_of_known, to_numbers

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.fitted import FittedModel

LONGEST = 50  # words; runs of so many or more are counted together


@dataclass(frozen=True)
class Draws:
    """`S` draws of a mask of one document, and what follows from them.

    Attributes:
        z: `(S, n)`, 0 and 1.
        rate: share of the words kept, `(S,)`.
        spans: number of runs of kept words, `(S,)`.
        span: mean length of these runs, `(S,)`; 0 where nothing is kept.
        span_count: number of runs of 1, 2, ... `LONGEST` or more words, `(S, LONGEST)`.
        prediction: from the mask, `(S, W)`, as :attr:`pyro_rationale.prediction.predictor.Prediction.expected`; of the
            posterior, by the program.
        y: drawn from p(y | x, z), `(S, D)`, in the user's units.
    """

    z: Bits
    rate: Numbers
    spans: Whole
    span: Numbers
    span_count: Whole
    prediction: Numbers
    y: Numbers


@dataclass(frozen=True)
class Weights:
    """How the guide's draws stand to the model, in nats; `(S,)` each unless said otherwise.

    Attributes:
        log_prior: log p(z).
        log_q: log q(z | x).
        log_likelihood: log p(y | x, z) of the program; `None` where no target is known, and what follows is NaN.
        log_weight: kappa log p(y | x, z) + log p(z) - log q(z | x).
        khat: Pareto shape of the weights, a number; inf where they have no mean to speak of.
        ess: effective sample size of the weights, a number.
        elpd: log of the mean of p(y | x, z) as predictions have it, a number: the target was not seen by q.
    """

    log_prior: Numbers
    log_q: Numbers
    log_likelihood: Numbers | None
    log_weight: Numbers
    khat: float
    ess: float
    elpd: float


@dataclass(frozen=True)
class Resampled:
    """Draws of p(z | x, y): those of the guide, drawn again by their weights.

    Attributes:
        draws: `S` of them; their `y` are from the likelihood that the weights are made with.
        log_likelihood: log density of the target under that likelihood, `(S,)`; `None` where classes are weighted by
            a power of their probabilities, which is no density.
    """

    draws: Draws
    log_likelihood: Numbers | None


@dataclass(frozen=True)
class DocumentDraws:
    """One document.

    Attributes:
        document: the text.
        inclusion: P(word is kept | text) under the guide, `(n,)`; exact, save for recurrent guides, which estimate it.
        mode: the guide's most probable mask, `(n,)`.
        guide: draws from q(z | x).
        prior: draws from p(z), for a text of this length.
        posterior: draws from p(z | x, y), where a target is known.
        weights: of the guide's draws.
    """

    document: Document
    inclusion: Numbers
    mode: Bits
    guide: Draws
    prior: Draws
    posterior: Resampled | None
    weights: Weights


def inspect_documents(
    fitted: FittedModel, documents: Sequence[Document], samples: int, seed: int = 0
) -> Iterator[DocumentDraws]:
    """Draws of documents, in their order, made one document at a time as they are consumed.

    Args:
        fitted: a run.
        documents: with or without targets.
        samples: draws per document, from the guide, from the prior, and from the posterior.
        seed: together with the text, of the draws.
    """
    for document in documents:
        single = fitted.aspects == 1 or document.aspect is not None
        rows = [document] if single else by_aspect([document], fitted.aspects)
        parts = []
        for row in rows:
            with evaluating(fitted), seeded(seed_of(row, seed)):
                parts.append(_inspect(fitted, row, samples))
        yield parts[0] if single else side_by_side(document, parts)


def side_by_side(document: Document, parts: Sequence[DocumentDraws]) -> DocumentDraws:
    """Draws for each target of a document, by masks of its own, with the target as the last dimension of everything.

    Of targets that are not known the draws of the posterior are missing: -1 in masks and counts, NaN in numbers.
    """

    def stacked(name: str, of: Sequence[Any]) -> Any:
        return np.stack([getattr(one, name) for one in of], axis=-1)

    def draws(of: Sequence[Draws]) -> Draws:
        own, shared = ("prediction", "y"), ("z", "rate", "spans", "span", "span_count")
        of_target = {name: np.stack([getattr(one, name)[:, i] for i, one in enumerate(of)], axis=-1) for name in own}
        return Draws(**of_target, **{name: stacked(name, of) for name in shared})

    weights = [part.weights for part in parts]
    names = ("log_prior", "log_q", "log_weight", "khat", "ess", "elpd")
    known = [part.posterior for part in parts if part.posterior is not None]
    posterior = None
    if known:
        nothing = _missing(known[0])
        found = [nothing if part.posterior is None else part.posterior for part in parts]
        density = all(one.log_likelihood is not None for one in known)
        together = stacked("log_likelihood", found) if density else None
        posterior = Resampled(draws([one.draws for one in found]), together)
    return DocumentDraws(
        document=document,
        inclusion=stacked("inclusion", parts),
        mode=stacked("mode", parts),
        guide=draws([part.guide for part in parts]),
        prior=draws([part.prior for part in parts]),
        posterior=posterior,
        weights=Weights(log_likelihood=None, **{name: stacked(name, weights) for name in names}),
    )


def _missing(like: Resampled) -> Resampled:
    """Draws of a posterior that is not known, in the shapes of one that is."""
    made: dict[str, Any] = {}
    for name, values in vars(like.draws).items():
        if name == "span_count":
            made[name] = np.zeros_like(values)  # runs that nobody drew
        else:
            made[name] = np.full(values.shape, np.nan if values.dtype.kind == "f" else -1, dtype=_signed(values.dtype))
    log_likelihood = None if like.log_likelihood is None else np.full_like(like.log_likelihood, np.nan)
    return Resampled(Draws(**made), log_likelihood)


def _signed(kind: Any) -> Any:
    return np.int8 if kind == np.uint8 else kind


def run_lengths(z: Bits) -> tuple[Whole, Whole, Whole]:
    """Number of runs of ones per row `(S,)`, words in them `(S,)`, and how many there are of each length.

    Args:
        z: masks `(S, n)`, 0 and 1.

    Returns:
        The third is `(S, LONGEST)`; its last column counts all longer runs as well.
    """
    padded = np.pad(z.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]  # row by row, as the starts: they pair up
    lengths = np.minimum(ends - starts, LONGEST)
    count = np.bincount(rows * LONGEST + lengths - 1, minlength=len(z) * LONGEST).reshape(len(z), LONGEST)
    return count.sum(1), z.sum(1, dtype=np.int64), count


def _inspect(fitted: FittedModel, document: Document, samples: int) -> DocumentDraws:
    blind = fitted.encode([unlabelled(document)]).to(fitted.device)
    q = fitted.guide.posterior(blind).discrete()
    p = fitted.model.mask_prior(blind, q.mean.dtype)
    words, model = len(document.tokens), fitted.model

    def read(z: Tensor) -> Tensor:
        return model.predictive_outputs(blind, z.to(blind.tokens.device, model.encoder.dtype))

    drawn = []
    for distribution in (q, p):
        masks = draw_masks(distribution, samples)
        found = _Read(masks, in_rows(masks, read), _members(fitted, masks, q) if distribution is q else None)
        drawn.append((found, _draws(fitted, masks, found.predictive(fitted, masks.index), words)))
    (found, guide), (_, prior) = drawn
    weights = _weigh(fitted, document, found, p, q)
    return DocumentDraws(
        document=document,
        inclusion=to_numbers(q.mean[0, :words]),
        mode=q.mode[0, :words].to("cpu", torch.uint8).numpy(),
        guide=guide,
        prior=prior,
        posterior=_resampled(fitted, document, found, weights),
        weights=weights,
    )


@dataclass(frozen=True)
class _Read:
    """Masks that were read.

    Attributes:
        masks: of one document, `U` distinct ones.
        outputs: of the distinct ones, `(U, 1, *)`, from :meth:`RationaleModel.predictive_outputs`.
        members: weights of an ensemble's members, `(U, 1, M)`; `None` for one model, or if all count alike.
    """

    masks: Masks
    outputs: Tensor
    members: Tensor | None

    def predictive(self, fitted: FittedModel, rows: Whole | slice = slice(None)) -> TorchDistribution:
        """p(y | x, z) as predictions have it, of batch shape `(R, 1)`, for some distinct masks."""
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self.outputs.device)
        weights = None if self.members is None else self.members[index].movedim(-1, 0)
        return fitted.model.predictive_of(self.outputs[index], weights)


def _members(fitted: FittedModel, masks: Masks, q: MaskDistribution) -> Tensor | None:
    """How likely each member of an ensemble is to have drawn the distinct masks, `(U, 1, M)`; `None` for one model."""
    if fitted.config.members == 1:
        return None

    def shares(z: Tensor) -> Tensor:
        likely = q.responsibilities(z.to(q.mean.device, q.mean.dtype))
        assert likely is not None
        return likely.movedim(0, -1)

    return in_rows(masks, shares)


def _draws(fitted: FittedModel, masks: Masks, distribution: TorchDistribution, words: int) -> Draws:
    """Quantities that follow from masks, and from a distribution of the targets for each draw."""
    distinct = masks.unpacked()[:, :words]  # an empty text is read as one unknown word, which nobody kept
    spans, kept, count = (part[masks.index] for part in run_lengths(distinct))
    return Draws(
        z=distinct[masks.index],
        rate=kept / max(words, 1),
        spans=spans,
        span=kept / np.maximum(spans, 1),
        span_count=count,
        prediction=fitted.task.values(distribution)[:, 0],
        y=fitted.task.sample(distribution)[:, 0],
    )


def _weigh(
    fitted: FittedModel, document: Document, read: _Read, p: MaskDistribution, q: MaskDistribution
) -> Weights:
    masks, model = read.masks, fitted.model
    log_prior, log_q = log_densities(masks, p, q, read.outputs.device).T
    nothing = np.full(len(log_q), np.nan)
    log_likelihood, log_weight, khat, ess, elpd = None, nothing, np.nan, np.nan, np.nan
    if document.has_target:
        targets = fitted.encode([document]).to(fitted.device).targets
        assert targets is not None
        trained = model.trained_outputs(read.outputs)
        distribution, known = model.likelihood.observe(trained, targets)
        log_likelihood = predicted = to_numbers(distribution.log_prob(known)[:, 0])
        if read.members is not None or trained is not read.outputs:
            predicted = to_numbers(log_prob_of_known(read.predictive(fitted), targets)[:, 0])
        log_weight = float(model.kappa) * log_likelihood + log_prior - log_q
        draws = torch.from_numpy(log_weight[masks.index])
        khat = float(psis(draws[:, None]).k)
        ess = float(effective_sample_size(draws[:, None]))
        log_likelihood = log_likelihood[masks.index]
        elpd = float(np.logaddexp.reduce(predicted[masks.index]) - np.log(len(masks.index)))
    index = masks.index
    return Weights(log_prior[index], log_q[index], log_likelihood, log_weight[index], khat, ess, elpd)


def _resampled(
    fitted: FittedModel, document: Document, read: _Read, weights: Weights
) -> Resampled | None:
    """Draws of the posterior, by sampling importance resampling; `None` where no target is known."""
    if weights.log_likelihood is None:
        return None
    smoothed = psis(torch.from_numpy(weights.log_weight)[:, None]).log_weights[:, 0]
    chances = smoothed.softmax(0) if bool(smoothed.max() > -torch.inf) else torch.ones_like(smoothed)
    chosen = torch.multinomial(chances, len(chances), replacement=True).numpy()
    likelihood, kappa, masks = fitted.model.likelihood, float(fitted.model.kappa), read.masks
    is_density = likelihood.has_powers or kappa == 1.0
    drawn = Masks(masks.packed, masks.index[chosen], masks.words)
    rows = fitted.model.trained_outputs(read.outputs)[torch.from_numpy(drawn.index).to(read.outputs.device)]
    draws = _draws(fitted, drawn, likelihood.powered(rows, kappa if is_density else 1.0), len(document.tokens))
    if not is_density:
        return Resampled(draws, None)
    known = float(np.sum(~np.isnan(document.targets)))
    log_likelihood = kappa * weights.log_likelihood[chosen] + known * likelihood.log_power_normalizer(kappa)
    return Resampled(draws, log_likelihood)
