"""The fit of Lei et al. (2016, section 5.2) to pairs of texts, with their own loss, as their code has it.

The encoder has a hinge on whole texts, and the generator REINFORCE: one mask of each text, whose cost is how far the
vector of its words is from that of its whole text and from that of the whole similar text, and a price of words and
changes. Here the price is steered, so that as many words are kept as in the run beside it; they tune it by hand.
Theirs is a recurrent generator, this one the independent one of their tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.experiments.studies.ranking_training import train_reader, untrained
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RankingModel
from pyro_rationale.training.rate_control import Schedule
from pyro_rationale.training.validation import shift_to

ALPHA = 0.5  # of a text's own vector in the cost of its mask; the rest is of the similar text's
BETA = 0.1  # of that cost in the encoder's loss
MARGIN = 1.0
ENCODER_RATE = 0.1  # learning rate of the encoder, in those of the generator
FIRST_PRICE, PULL = 0.01, 0.1  # per word and change; how fast it follows the share, in logarithms per step
CHEAPEST, DEAREST = 1e-4, 1.0
ROUNDS = 4  # of the search for the odds at which modes keep the share, each within two nats of the one before


def hinge(batch: RankingBatch, vectors: Tensor) -> Tensor:
    """max(0, 1 + the largest cosine with another candidate - that with the similar text) of each query, `(Q,)`.

    Args:
        batch: queries with candidates.
        vectors: of the whole texts, `(B, E)`.
    """
    assert batch.positive is not None
    cosines = vectors[batch.queries] @ vectors.T
    similar = torch.nn.functional.one_hot(batch.positive, len(batch)).bool()
    others = cosines.masked_fill(~batch.allowed | similar, -torch.inf).amax(-1)
    return (MARGIN + others - cosines[similar]).clamp_min(0.0)


def distances(batch: RankingBatch, kept: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """The texts of all pairs, `(2 Q,)`, and how far the kept words of each are from it and from the similar text."""
    assert batch.positive is not None
    texts = torch.cat([batch.queries, batch.positive])
    similar = torch.cat([batch.positive, batch.queries])
    own, other = ((kept[texts] * whole[index]).sum(-1) for index in (texts, similar))
    return texts, ALPHA * (1 - own) + (1 - ALPHA) * (1 - other)


class PairLoss:
    """The loss of both networks, whose gradient is that of each one's own.

    Args:
        reader: the networks.
        rate: share of words to keep.

    Attributes:
        price: of a kept word, and of a change, in units of the distance.
    """

    def __init__(self, reader: FittedModel, rate: float) -> None:
        self.reader, self.price = reader, FIRST_PRICE
        self.schedule = Schedule(0.0, reader.config.train.anneal, rate)

    def __call__(self, batch: Batch, step: int) -> Tensor:
        """Mean over queries, and over the texts of all pairs."""
        model = self.reader.model
        assert isinstance(model, RankingModel)
        assert isinstance(batch, RankingBatch)
        q = self.reader.guide.posterior(batch)
        z = q.sample()
        whole = model.embed(batch, batch.mask.to(z.dtype))
        texts, apart = distances(batch, model.embed(batch, z), whole)
        cost = apart + self.price * (z.sum(-1) + changes_of(z, batch.mask))[texts]
        self.steer(float(z.sum() / batch.lengths.sum()), self.schedule.target(step))
        reward = (cost.detach() * q.log_prob(z)[texts]).mean()
        return hinge(batch, whole).mean() + BETA * apart.mean() + reward

    def steer(self, kept: float, target: float) -> None:
        """Make words dearer where more than the target share is kept, and cheaper where less is."""
        change = PULL * min(max(kept / target - 1.0, -1.0), 1.0)
        self.price = min(max(self.price * math.exp(change), CHEAPEST), DEAREST)


def reinforce_reader(
    fitted: FittedModel,
    corpus: PairCorpus,
    pretrained: FittedModel,
    rate: float,
    on_step: Callable[[], None] | None = None,
) -> FittedModel:
    """Train by the paper's loss, for as many steps as a run; modes keep the share `rate` of the development texts.

    Args:
        fitted: the run whose kind of encoder and generator they are.
        corpus: the pairs that it was fitted on.
        pretrained: an encoder of whole texts to begin with.
        rate: share of words to keep.
        on_step: called after each step.
    """
    with fitted.seeded(fitted.config.seed):
        reader = untrained(fitted, corpus, "the paper's loss", guide=True)
        reader.model.load_state_dict(pretrained.model.state_dict())
        shift = 0.0

        def modes(batches: Sequence[Batch]) -> list[Tensor]:
            nonlocal shift
            masks, shift = [reader.guide.posterior(batch) for batch in batches], 0.0
            for _ in range(ROUNDS):
                more = shift_to(rate, masks, batches)
                masks, shift = [q.tilt(more) for q in masks], shift + more
            return [q.mode for q in masks]

        train_reader(reader, corpus, PairLoss(reader, rate), modes, on_step, ENCODER_RATE)
        reader.eval()
        with torch.no_grad():
            modes([batch.to(reader.device) for batch in reader.batches(corpus.dev, 256).ordered()])
        reader.guide.shift(shift)
    return reader
