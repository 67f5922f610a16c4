"""Figures on the development texts after an epoch, all from one pass over them; and the noise that is set by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.distributions import ChainPrior, MaskDistribution
from pyro_rationale.distributions.bisection import bisect, bisect_each
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.decomposition import Setting, Terms, batch_terms, direct_cost
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group

LARGEST_SHIFT = 2.0  # nats; a guide that is further from the share of words than that has to be trained towards it
CLOSE = 1 / 30
HALVINGS = 9  # to a hundredth of a nat

DRAWS = 8  # masks of a document by which a likelihood settles


@dataclass(frozen=True)
class DevScore:
    """Figures on held-out documents.

    Attributes:
        error: prediction cost per document from mode masks, in scaled units, by the documents' weights.
        rate: share of words in the mode masks.
        empty: share of documents whose mode mask is empty.
        words: words kept per document, or sentences where masks are over them, by the documents' weights.
        changes: changes of the mask per document, likewise.
        elbo: ELBO (kappa = tau = 1) in nats per document, from one drawn mask each; NaN if only modes were scored.
        expected_cost: E_q of the paper's cost in its units, from the same masks.
        shift: nats by which every kept word was made dearer before all this, so that mode masks keep what they should;
            of each target that has masks of its own.
        rates: share of words in the mode masks of each such target; NaN of one that no text rates.
        own_text: nats that are lost where kept words do not say what their own texts say, of pairs of texts.
    """

    error: float
    rate: float
    empty: float
    words: float
    changes: float
    elbo: float = math.nan
    expected_cost: float = math.nan
    shift: float | tuple[float, ...] = 0.0
    rates: tuple[float, ...] = ()
    own_text: float = 0.0

    def cost(self, gain: float, prior: ChainPrior) -> float:
        """The paper's cost in nats per document, gain * error + alpha |z| + gamma |dz|, under the requested prior."""
        return gain * self.error + self.own_text + prior.alpha * self.words + prior.gamma * self.changes


@torch.no_grad()
def score_modes(
    fitted: FittedModel, batches: BucketedBatches, batch_size: int = 256, group: Group = SINGLE_PROCESS
) -> DevScore:
    """Decode the mode mask of every document and predict from it; the processes of a group share the documents."""
    fitted.eval()
    sums = _nothing(fitted)
    for batch in group.shard(batches.ordered(batch_size)):
        batch = batch.to(fitted.device)
        _add_modes(sums, fitted, fitted.guide.posterior(batch), batch)
    return _mode_score(group.all_gather(sums))


@torch.no_grad()
def validate(
    fitted: FittedModel,
    batches: BucketedBatches,
    prior: ChainPrior,
    batch_size: int = 256,
    group: Group = SINGLE_PROCESS,
    rate: float | None = None,
) -> DevScore:
    """Mode masks scored as in :func:`score_modes`, and ELBO and expected cost of one drawn mask per document.

    The cost is under the requested prior, not what training charges then, or the figures of different epochs would have
    different scales. The ELBO, a bound whatever p(z) is, is under p(z) as it is then, and with the sigma that fits the
    errors of the drawn masks, since training leaves its own until the end. The random numbers of the fit stay where
    they are.

    Args:
        fitted: the model in training.
        batches: the development texts.
        prior: the requested one.
        batch_size: documents at once.
        group: the processes that share the documents.
        rate: share of words that mode masks should keep; all figures are then those of the guide under the shift that
            makes them. `None` leaves the guide as it is.
    """
    fitted.eval()
    sums = _nothing(fitted)
    terms = []
    own = [batch.to(fitted.device) for batch in group.shard(batches.ordered(batch_size))]
    masks = [fitted.guide.posterior(batch) for batch in own]
    shift: float | tuple[float, ...] = 0.0
    if rate is not None:
        several = fitted.aspects > 1
        shift = shifts_to(rate, masks, own, fitted.aspects, group) if several else shift_to(rate, masks, own, group)
    with fitted.seeded(group.rank):
        for batch, q in zip(own, masks, strict=True):
            q = _tilted(q, batch, shift) if shift else q
            _add_modes(sums, fitted, q, batch)
            drawn = batch_terms(fitted.model, q, batch, 1)
            terms.append(drawn if group.is_single else drawn.cpu())
    gathered = group.all_gather((sums, terms))
    score = _mode_score([part for part, _ in gathered])
    elbo, cost = _objectives(fitted, Terms.joined([batch for _, part in gathered for batch in part]), prior)
    return replace(score, elbo=elbo, expected_cost=cost, shift=shift)


def shift_to(
    rate: float, masks: Sequence[MaskDistribution], batches: Sequence[Batch], group: Group = SINGLE_PROCESS
) -> float:
    """Nats by which every kept word has to be dearer for mode masks to keep the share `rate` of all words.

    A guide that is sure of its masks hardly follows a field any more that training puts on its prior, and what it
    keeps on average is not what its modes keep. The field on its own odds has an effect at once.

    Args:
        rate: share of words.
        masks: q(z | x) of each batch.
        batches: the texts.
        group: the processes that share them.

    Returns:
        Between -2 and 2; 0 where modes keep that share already, within a thirtieth.
    """

    def kept(shift: float) -> float:
        modes = (q.tilt(shift).mode if shift else q.mode for q in masks)
        counts = [sum(float(mode.sum()) for mode in modes), sum(float(batch.lengths.sum()) for batch in batches)]
        words, every = (sum(column) for column in zip(*group.all_gather(counts), strict=True))
        return words / max(every, 1.0)

    if abs(kept(0.0) / rate - 1.0) <= CLOSE:
        return 0.0
    return sum(bisect(lambda shift: kept(shift) > rate, -LARGEST_SHIFT, LARGEST_SHIFT, HALVINGS)) / 2.0


def shifts_to(
    rate: float,
    masks: Sequence[MaskDistribution],
    batches: Sequence[Batch],
    aspects: int,
    group: Group = SINGLE_PROCESS,
) -> tuple[float, ...]:
    """:func:`shift_to` of each of several targets, whose mode masks are made to keep the share `rate` by themselves.

    Args:
        rate: share of words.
        masks: q(z | x) of each batch.
        batches: rows about one target each.
        aspects: number of targets; the shift of one that no row is about is 0.
        group: the processes that share the rows.
    """

    def kept(shifts: Tensor) -> Tensor:
        counts = torch.zeros(2, aspects, dtype=torch.float64)
        for q, batch in zip(masks, batches, strict=True):
            assert batch.aspects is not None
            mode = _tilted(q, batch, shifts.tolist()).mode if bool(shifts.any()) else q.mode
            for row, values in zip(counts, (mode.sum(-1), batch.lengths), strict=True):
                row.index_add_(0, batch.aspects.cpu(), values.cpu().double())
        words, every = torch.tensor(group.all_gather(counts.tolist()), dtype=torch.float64).sum(0)
        return words / every  # NaN where there is no row

    low = torch.full((aspects,), -LARGEST_SHIFT, dtype=torch.float64)
    high = -low
    share = kept(torch.zeros_like(low)) / rate
    near = share.isnan() | ((share - 1.0).abs() <= CLOSE)
    if not bool(near.all()):
        low, high = bisect_each(lambda shifts: kept(shifts) > rate, low, high, HALVINGS)
    found: list[float] = torch.where(near, 0.0, (low + high) / 2).tolist()
    return tuple(found)


def _tilted(q: MaskDistribution, batch: Batch, shift: float | Sequence[float]) -> MaskDistribution:
    """The distribution with every kept word dearer, by as much as the target of a row says."""
    if isinstance(shift, float):
        return q.tilt(shift)
    assert batch.aspects is not None
    nats: Tensor = q.mean.new_tensor(shift)[batch.aspects][:, None]
    return q.tilt(nats)


def _nothing(fitted: FittedModel) -> list[float]:
    """Sums of no documents, for `_add_modes`."""
    return [0.0] * (7 if fitted.aspects == 1 else 7 + 2 * fitted.aspects)


def _add_modes(sums: list[float], fitted: FittedModel, q: MaskDistribution, batch: Batch) -> None:
    """Add error, kept words, words, kept units, empty masks, changes and documents of a batch."""
    z = q.mode
    outputs = fitted.model.encoder(batch.tokens, z, batch.lengths)
    assert batch.targets is not None
    loss = fitted.model.likelihood.reported_loss(outputs, batch.targets)
    figures: tuple[Tensor | int, ...] = (
        loss.sum() if batch.weights is None else batch.weigh(loss.sum(-1)).sum(),
        z.sum(),
        batch.lengths.sum(),
        batch.weigh(q.unit_values(z).sum(-1)).sum(),
        (z.sum(-1) == 0).sum(),
        batch.weigh(changes_of(z, batch.mask)).sum(),
        len(batch),
    )
    if batch.aspects is not None:  # kept words and words of each target
        for value in (z.sum(-1), batch.lengths.to(z.dtype)):
            figures += (*value.new_zeros(fitted.aspects).index_add(0, batch.aspects, value).unbind(),)
    sums[:] = [total + float(figure) for total, figure in zip(sums, figures, strict=True)]


def _mode_score(parts: list[list[float]]) -> DevScore:
    error, kept, words, units, empty, changes, documents, *own = (sum(column) for column in zip(*parts, strict=True))
    count = len(own) // 2
    rates = tuple(part / whole if whole else math.nan for part, whole in zip(own[:count], own[count:], strict=True))
    figures = error / documents, kept / words, empty / documents, units / documents, changes / documents
    return DevScore(*figures, rates=rates)


def _objectives(fitted: FittedModel, terms: Terms, prior: ChainPrior) -> tuple[float, float]:
    """ELBO per document under p(z), and expected cost under the requested prior."""
    likelihood = fitted.model.likelihood.best_log_likelihood(float(terms.error.mean()), float(terms.rated.mean()))
    if likelihood is None:
        likelihood = float(terms.log_likelihood.mean())
    cost = direct_cost(terms.under(prior), replace(Setting.of(fitted.model, 1.0), prior=prior))
    return likelihood - float(terms.kl.mean()), float(cost.mean())


@torch.no_grad()
def drawn_outputs(fitted: FittedModel, batches: BucketedBatches) -> tuple[Tensor, Tensor, Tensor | None]:
    """The encoder's outputs `(DRAWS, N, W)` from masks drawn for each document, targets and weights, on the CPU."""
    outputs, targets, weights = [], [], []
    with fitted.seeded(0):
        for batch in batches.ordered(256):
            batch = batch.to(fitted.device)
            assert batch.targets is not None
            z = fitted.guide.posterior(batch).discrete().sample(torch.Size([DRAWS]))
            outputs.append(fitted.model.encoder(batch.tokens, z, batch.lengths).cpu())
            targets.append(batch.targets.cpu())
            if batch.weights is not None:
                weights.append(batch.weights.cpu())
    return torch.cat(outputs, 1), torch.cat(targets), torch.cat(weights) if weights else None


def settle_noise(fitted: FittedModel, dev: BucketedBatches) -> None:
    """Set the likelihood's noise to the error on held-out documents, and kappa so that the gain stays.

    Training depends on the gain alone, for ratings kappa / (2 sigma^2); how it divides into the two matters for the
    uncertainty of a predicted rating, which needs the sigma that fits.
    """
    likelihood = fitted.model.likelihood
    if likelihood.settles:
        likelihood.settle(*drawn_outputs(fitted, dev))
    if likelihood.noise is None:
        return
    known = known_targets(dev)
    if not known:
        return
    gain = fitted.model.gain
    likelihood.fit_noise(score_modes(fitted, dev).error / known)
    fitted.model.kappa.fill_(likelihood.kappa_for(gain))


def known_targets(batches: BucketedBatches) -> float:
    """Known targets per document, or per row about one target, by the documents' weights: what an error is a sum of."""
    known, documents = 0.0, 0
    for batch in batches.ordered():
        assert batch.targets is not None
        counts = (~batch.targets.isnan()).sum(-1) if batch.targets.dim() > 1 else torch.ones(len(batch))
        known += float(batch.weigh(counts.double()).sum())
        documents += len(batch)
    return known / documents
