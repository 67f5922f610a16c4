"""The generative program of similar texts: a mask for each text, and for each query one of its candidates.

z_d ~ p(z) for every text d of a batch, and y_i ~ Categorical(<e_i, e_j> / T over the candidates j of query i)^kappa
with unit vectors e of the kept words. A text that serves ten queries has one mask: the ELBO of a batch is a bound on
the joint evidence of all its queries.
"""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.models.rationale import RationaleModel
from pyro_rationale.nn import Encoder
from pyro_rationale.nn.whole_texts import WholeTexts
from pyro_rationale.tasks import RankingLikelihood


class RankingModel(RationaleModel):
    """p(z) p(y | x, z)^kappa: `model(batch)` has the sites `z` (plate `documents`) and `y` (plate `queries`).

    Args:
        encoder: reads the kept words; its outputs, scaled to length 1, are the vectors.
        likelihood: turns cosines into a distribution over candidates.
        prior: the Markov chain on masks.
        kappa: weight of the log likelihood; > 0.
        match: `masked`: a query's kept words are compared with its candidates' kept words; `full`: with all words of
            the candidates, as Lei et al. (2016, section 5.2) train, so that only masks of queries are of use.
        own_text: nats that a text's kept words lose, at most, where they do not say what the whole text says; see
            :meth:`own_text`.
        whole: reads whole texts; needed where `own_text` is above 0.
    """

    couples_documents = True
    likelihood: RankingLikelihood

    def __init__(
        self,
        encoder: Encoder,
        likelihood: RankingLikelihood,
        prior: ChainPrior,
        kappa: float = 1.0,
        match: str = "masked",
        own_text: float = 0.0,
        whole: WholeTexts | None = None,
    ) -> None:
        super().__init__(encoder, likelihood, prior, kappa)
        self.match, self.own_nats = match, own_text
        self.whole = whole
        self.empty = nn.Parameter(torch.randn(encoder.width) / math.sqrt(encoder.width))

    @property
    def temperature(self) -> float:
        """T, which cosines are divided by."""
        temperature = self.likelihood.temperature
        return float(temperature.detach()) if isinstance(temperature, Tensor) else temperature

    def embed(self, batch: Batch, z: Tensor) -> Tensor:
        """Unit vectors of texts read through masks `(*s, B, T)`, `(*s, B, E)`; an empty mask has a learnt one.

        Titles that are always kept are read whatever the mask says of their words.
        """
        if batch.titles is not None:
            place = torch.arange(z.shape[-1], device=z.device)
            z = torch.where(place < batch.titles[:, None], torch.ones_like(z), z)
        outputs = self.encoder(batch.tokens, z, batch.lengths)
        kept = (z.detach() > 0).any(-1, keepdim=True)
        return F.normalize(torch.where(kept, outputs, self.empty.to(outputs.dtype)), dim=-1)

    def scores(self, batch: RankingBatch, vectors: Tensor, documents: Tensor | None = None) -> Tensor:
        """Cosines over the temperature, `(*s, Q, B)`; -inf for a text that is no candidate.

        Args:
            batch: queries and candidates.
            vectors: of all texts, `(*s, B, E)`, those of the queries among them.
            documents: other vectors for the candidates' side.
        """
        documents = vectors if documents is None else documents
        cosines = vectors.index_select(-2, batch.queries) @ documents.transpose(-1, -2)
        return (cosines / self.likelihood.temperature).masked_fill(~batch.allowed, -torch.inf)

    def log_likelihood(self, batch: Batch, z: Tensor) -> Tensor:
        """Log p(y | x, z) of each query, `(*s, Q)`, from masks `(*s, B, T)`; kappa = 1."""
        assert isinstance(batch, RankingBatch)
        assert batch.positive is not None
        vectors = self.embed(batch, z)
        outputs = self.scores(batch, vectors, self._documents(batch))
        return -self.likelihood.loss(outputs, batch.positive).squeeze(-1)

    def predictive(self, batch: Batch, z: Tensor) -> dist.TorchDistribution:
        """The vector of each text as a point mass, batch shape `(*s, B)`, event shape `(E,)`."""
        return dist.Delta(self.embed(batch, z), event_dim=1)

    def forward(self, batch: Batch) -> Tensor:
        """The program. A batch without queries, such as one of texts to be searched, has the site `z` alone.

        Returns:
            The position of each query's similar text, observed, or sampled where none is given; vectors of a batch
            without queries.
        """
        with pyro.plate("documents", len(batch), dim=-1):
            z = pyro.sample("z", self.mask_prior(batch, self.encoder.dtype))
        vectors = self.embed(batch, self.thinned(z))
        if not isinstance(batch, RankingBatch):
            return vectors
        likelihood = self.likelihood(self.scores(batch, vectors, self._documents(batch)))
        if self.own_nats and batch.positive is not None:
            with pyro.plate("texts", len(batch), dim=-1):
                pyro.factor("own_text", self.own_text(batch, vectors))
        infer: Any = {"vectors": vectors}  # for `credit`; Pyro's type has no such key
        with pyro.plate("queries", len(batch.queries), dim=-1):
            if batch.positive is None:
                return pyro.sample("y", likelihood, infer=infer)
            with poutine.scale(scale=self._numbers("kappa")[0]):
                return pyro.sample("y", likelihood, obs=batch.positive, infer=infer)

    def _documents(self, batch: Batch) -> Tensor | None:
        """Vectors of whole texts for the candidates' side, `(B, E)`; `None` where masks are on both sides."""
        return self.embed(batch, batch.mask.to(self.encoder.dtype)) if self.match == "full" else None

    def own_text(self, batch: Batch, vectors: Tensor) -> Tensor:
        """Log weight of what kept words say of their own text, `(*s, B)`: that of all words in the same direction is 0.

        `own_text` nats times the cosine with the vector of the whole text, less 1: the log density, up to a constant,
        of a von Mises-Fisher distribution of that vector around the one of the kept words. Lei et al.'s code trains
        their generator by the same cosine beside that of similar texts, at equal weights. A pair says little about
        which words of its two texts matter; what a whole text says tells it of every text.
        """
        if not self.own_nats:
            return vectors.new_zeros(vectors.shape[:-1])
        assert self.whole is not None
        with torch.no_grad():
            whole = F.normalize(self.encoder.output(self.whole(batch.tokens, batch.lengths)), dim=-1)
        return self.own_nats * ((vectors * whole).sum(-1) - 1.0)

    # What each text's mask has a part in.

    def at_documents(self, batch: RankingBatch, trace: Trace) -> Tensor:
        """Log probabilities of a trace, `(*s, B)`: of queries at the texts that ask, and those of each text alone."""
        trace.compute_log_prob(site_filter=lambda name, site: site["is_observed"])
        return self.by_document(batch, trace.nodes["y"]["log_prob"]) + _alone(trace)

    def by_document(self, batch: RankingBatch, terms: Tensor) -> Tensor:
        """Terms of queries `(*s, Q)` at the texts that ask, `(*s, B)`; 0 at others."""
        zeros = terms.new_zeros(*terms.shape[:-1], len(batch))
        return zeros.index_add(-1, batch.queries, terms)

    @torch.no_grad()
    def credit(self, batch: RankingBatch, trace: Trace) -> Tensor:
        """The part that mask k of text d has in kappa log p(y | x, z), `(K, B)`.

        It is the sum over the queries in which the text occurs, as the query or as a candidate, each averaged over the
        K draws of all other texts: the luck of the others is the same for all masks of a text, and is small. In other
        draws than its own a mask meets masks that it is independent of, just as in its own.

        Args:
            batch: queries and candidates.
            trace: of the model, with K masks of each text.
        """
        if self.match == "full":
            return self.at_documents(batch, trace)  # no other mask has a part
        site: dict[str, Any] = trace.nodes["y"]  # type: ignore[assignment]
        return float(site["scale"]) * self._credit(batch, site["infer"]["vectors"].detach()) + _alone(trace)

    def _credit(self, batch: RankingBatch, vectors: Tensor) -> Tensor:
        assert batch.positive is not None
        allowed = batch.allowed[:, None]  # (Q, 1, B)
        asked = vectors[:, batch.queries]
        # The query's draw k, the candidates' draw l.
        scores = torch.einsum("kqe,lbe->kqlb", asked, vectors) / self.likelihood.temperature
        scores = scores.masked_fill(~allowed, -torch.inf)
        place = batch.positive[None, :, None, None].expand(len(vectors), -1, len(vectors), 1)
        asking = (scores.gather(-1, place).squeeze(-1) - scores.logsumexp(-1)).mean(-1)  # (K, Q)
        together = scores.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # (K, Q, B): all texts of one draw
        right = together.gather(-1, place[:, :, 0])  # (K, Q, 1)
        others = without_each(together)
        # Of draw l all texts, but of candidate b mask k: dimensions (l, Q, k, b).
        total = torch.logaddexp(others[:, :, None], scores)
        similar = F.one_hot(batch.positive, len(batch)).bool()[:, None]
        terms = (torch.where(similar, scores, right[:, :, None]) - total).masked_fill(~allowed, 0.0)
        return self.by_document(batch, asking) + terms.mean(0).sum(0)


def _alone(trace: Trace) -> Tensor | float:
    """Log weight of what each text's kept words say of it, `(*s, B)`; 0 where they are not paid for that."""
    site = trace.nodes.get("own_text")
    return 0.0 if site is None else site["log_prob"]


def without_each(values: Tensor) -> Tensor:
    """Log sum exp of the values `(*s, n)` in all other places of the last dimension, `(*s, n)`; -inf for n = 1."""
    below = values.new_full((*values.shape[:-1], 1), -torch.inf)
    before = torch.cat([below, values[..., :-1].logcumsumexp(-1)], -1)
    after = torch.cat([values[..., 1:].flip(-1).logcumsumexp(-1).flip(-1), below], -1)
    return torch.logaddexp(before, after)
