"""Losses beside the objective: the encoder's on masks by chance or at any share, the guide's on salient words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import LinearChain, NonEmptyMask
from pyro_rationale.distributions.exclusion import own_sake
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RankingModel, RationaleModel

FEWEST = 0.05  # smallest share of a text's words that a warm start reads
CERTAIN = 1e-4  # marginals are clamped this far from 0 and 1 before they are held against salient words
LEAST = 0.03  # smallest share of a text's words that --any-rate draws
CLOSE = 1e-7  # probabilities are clamped this far from 0 and 1


def full_text_loss(model: RationaleModel, batch: Batch) -> Tensor:
    """Minus kappa log p(y | x, z = everything), summed over documents: the encoder as an ordinary predictor.

    Raises:
        ValueError: the batch has no targets.
    """
    return reading_loss(model, batch, batch.mask if batch.aspects is None else batch.texts.mask)


def reading_loss(model: RationaleModel, batch: Batch, mask: Tensor) -> Tensor:
    """Minus kappa log p(y | x, z = mask), summed over documents by their weights, or over queries; `mask` `(B, T)`.

    Of rows about one target each, `mask` can be that of `batch.texts`: each text is then read once for all of its rows.

    Raises:
        ValueError: the batch has no targets.
    """
    if isinstance(model, RankingModel):
        return -float(model.kappa) * model.log_likelihood(batch, mask.to(model.encoder.dtype)).sum()
    if batch.targets is None:
        raise ValueError("expected a batch with targets, got none")
    outputs, informed = model.read(batch, mask.to(model.encoder.dtype))
    dist, targets = model.likelihood.observe(outputs, batch.targets)
    total = batch.weigh(dist.log_prob(targets)).sum()
    if informed is not None:
        assert model.given_others is not None
        assert batch.aspects is not None
        dist, targets = model.likelihood.observe(informed, batch.targets)
        again = ~model.given_others.summary[batch.aspects]  # of a summary both are the same
        total = total + batch.weigh(dist.log_prob(targets) * again).sum()
    return -float(model.kappa) * total


@torch.no_grad()
def random_runs(batch: Batch, span: float) -> Tensor:
    """A mask of each document by chance: runs of words at a share drawn for it, from `FEWEST` to 1; bool `(B, T)`.

    A draw from the stationary chain of that share whose runs have `span` words on average, or as many more as the
    share needs. Every document keeps a word or more. Where masks are over sentences, the runs are of sentences.
    """
    rate = FEWEST + (1.0 - FEWEST) * torch.rand(len(batch), dtype=torch.float64).clamp(max=0.98)
    runs = torch.maximum(torch.full_like(rate, max(span, 1.01)), 1.05 * rate / (1.0 - rate))
    leave = 1.0 / runs
    enter = rate * leave / (1.0 - rate)
    # As in ChainPrior.from_rate_span, and the field of the ends that makes the chain stationary.
    stay, out = torch.log1p(-leave), torch.log1p(-enter)
    alpha, gamma = out - stay, 0.5 * (stay + out - enter.log() - leave.log())
    edge = 0.5 * (enter.log() - leave.log()) + 0.5 * alpha
    lengths = batch.unit_lengths.cpu()
    places = torch.arange(batch.tokens.shape[1] if batch.unit_starts is None else batch.unit_starts.shape[1])
    ends = (places == 0).double() + (places == lengths[:, None] - 1).double()
    fields = -alpha[:, None] + edge[:, None] * ends
    chain = NonEmptyMask(LinearChain(fields, gamma[:, None].expand(-1, fields.shape[1] - 1), lengths))
    chosen = chain.sample().bool().to(batch.tokens.device)
    return chosen if batch.units is None else chosen.gather(1, batch.units) & batch.mask


@torch.no_grad()
def at_any_share(guide: RationaleGuide, batch: Batch) -> Tensor:
    """A mask of each document at a share drawn for it, evenly from `LEAST` to 1; bool `(B, T)`.

    The words of the largest logits of their marginals plus logistic noise. As a word is kept with probability
    sigmoid(logit - c) where its logit plus such noise is above c, this is a draw from the guide's marginals under a
    prior by which a word costs c nats more, c being what it takes to keep just so many: which
    is the rule `prior` of :mod:`pyro_rationale.evaluation.rate_curves` for independent words. The likeliest words
    alone would be the same in every epoch, and soon memorised.

    Only the encoder is trained on it: the guide gets no gradient.
    """
    q = guide.posterior(batch)
    marginals = q.by_unit.mean
    noise = torch.rand_like(marginals)
    scores = marginals.logit(CLOSE) + noise.logit(CLOSE)
    shares = (LEAST + (1.0 - LEAST) * torch.rand(len(batch))).to(marginals.device)
    return q.over_words(_largest(scores, shares, batch)).bool()


def salient_words(model: RationaleModel, batch: Batch, share: float, span: float) -> Tensor:
    """Words, or sentences, on which the prediction depends most: a first guess at a mask; bool `(B, T)` or `(B, U)`.

    A word's saliency is the size of the change of the prediction as the word fades, |d f / d z| at z = everything:
    gradient times embedding (Li et al. 2016, "Visualizing and Understanding Neural Models in NLP"), since z scales the
    embedding. It is averaged over a window of about `span` words, so that runs result and no single words; where masks
    are over sentences, over the words of each. Outputs of several numbers are mixed by random signs. A model that is
    told the other targets says which words matter when these are known.

    Args:
        model: its encoder should have been trained on parts of texts.
        batch: the texts.
        share: of the words, or sentences, that are chosen, at least one of them.
        span: words of a window.
    """
    z = batch.mask.to(model.encoder.dtype).requires_grad_()
    with torch.enable_grad():
        plain, informed = model.read(batch, z)
        outputs = plain if informed is None else informed
        if batch.aspects is not None:  # a row's own target is the only one that its mask is for
            outputs = outputs.gather(-1, batch.aspects[:, None])
        signs = 1 - 2 * torch.randint(0, 2, outputs.shape, device=outputs.device)
        (slopes,) = torch.autograd.grad((outputs * signs).sum(), z)
    scores = slopes.abs()
    if batch.units is None:
        size = 2 * (round(span) // 2) + 1
        scores = F.avg_pool1d((scores * _choosable(batch))[:, None], size, 1, size // 2)[:, 0]
    else:
        empty = scores.new_zeros(batch.unit_mask.shape)
        words = empty.scatter_add(1, batch.units, batch.mask.to(scores.dtype))
        scores = empty.scatter_add(1, batch.units, scores * batch.mask) / words.clamp_min(1.0)
    return _largest(scores, share, batch)


def imitation_loss(guide: RationaleGuide, batch: Batch, mask: Tensor) -> Tensor:
    """Cross entropy of the guide's marginals with a mask, averaged over words and summed over documents.

    Args:
        guide: with exact marginals.
        batch: the texts.
        mask: bool, as :func:`salient_words` returns it; excluded words do not count.
    """
    mean = guide.posterior(batch).by_unit.mean.clamp(CERTAIN, 1.0 - CERTAIN)
    losses = torch.where(mask, -mean.log(), -torch.log1p(-mean)) * _choosable(batch)
    return (losses.sum(-1) / batch.unit_lengths).sum()


def _choosable(batch: Batch) -> Tensor:
    """Words, or sentences, that may be kept for their own sake, bool `(B, T)` or `(B, U)`."""
    return batch.unit_mask if batch.excluded is None else batch.mask & own_sake(batch.excluded)


def _largest(scores: Tensor, share: float | Tensor, batch: Batch) -> Tensor:
    """The words, or sentences, of the largest scores: a share of each document's, one at least; bool, as the scores.

    Args:
        scores: `(B, T)`, or `(B, U)` of sentences.
        share: one for all, or `(B,)`.
        batch: the texts.
    """
    units = batch.unit_mask
    rank = scores.masked_fill(~units, -torch.inf).argsort(-1, descending=True).argsort(-1)
    return units & (rank < (share * batch.unit_lengths).clamp_min(1.0)[:, None])
