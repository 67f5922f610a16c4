"""Losses of the encoder on given masks: whole texts, runs of words by chance, or likely words at a random share."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import LinearChain, NonEmptyMask
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel

FEWEST = 0.05  # smallest share of a text's words that a warm start reads
LEAST = 0.03  # smallest share of a text's words that --any-rate draws
CLOSE = 1e-7  # probabilities are clamped this far from 0 and 1


def full_text_loss(model: RationaleModel, batch: Batch) -> Tensor:
    """Minus kappa log p(y | x, z = everything), summed over documents: the encoder as an ordinary predictor.

    Raises:
        ValueError: the batch has no targets.
    """
    return reading_loss(model, batch, batch.mask)


def reading_loss(model: RationaleModel, batch: Batch, mask: Tensor) -> Tensor:
    """Minus kappa log p(y | x, z = mask), summed over documents; `mask` bool `(B, T)`, False on padding.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError("expected a batch with targets, got none")
    outputs = model.encoder(batch.tokens, mask.to(model.encoder.dtype), batch.lengths)
    dist, targets = model.likelihood.observe(outputs, batch.targets)
    return -float(model.kappa) * dist.log_prob(targets).sum()


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
    units = torch.arange(marginals.shape[1], device=marginals.device) < batch.unit_lengths[:, None]
    scores = (marginals.logit(CLOSE) + noise.logit(CLOSE)).masked_fill(~units, -torch.inf)
    shares = (LEAST + (1.0 - LEAST) * torch.rand(len(batch))).to(marginals.device)
    rank = scores.argsort(-1, descending=True).argsort(-1)
    chosen = units & (rank < (shares * batch.unit_lengths).clamp_min(1.0)[:, None])
    return q.over_words(chosen).bool()
