"""A full-text reader as the judge of masks, after "D-Separation for Causal Self-Explanation" (MCD, Liu et al. 2023).

A guide that is paid for predicting the label is paid for every word that goes with it, whatever the text says. MCD pays
it for words from which the prediction is what it would be from the whole text. The reader r(y | x) is fitted first, and
then

    the guide maximises    E_q[ -kappa KL(r(y | x) || p(y | x, z)) + log p(z) ] + tau H(q),
    the encoder maximises  E_q[ kappa log p(y | x, z) ], on masks as they are drawn.

The first line is objective (2) with a factor exp(-kappa KL(r || p)) in the place of the likelihood p(y | x, z)^kappa.
As -KL(r || p) is E_r[log p(y | x, z)] up to the entropy of r, which no mask changes, it is also objective (2) averaged
over labels as the reader would draw them. The two lines are not one objective, and no bound on an evidence: only the
encoder knows the labels, and only the guide the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.models import RationaleModel


class Judge(Protocol):
    """Pays a guide for its masks, and lets the encoder alone follow the labels."""

    def reward(self, model: RationaleModel, batch: Batch, trace: Trace) -> Tensor:
        """Pay of a guide for the masks of a trace of the model, `(*s, B)`, times kappa and documents' weights."""

    def also_fitted(self, model: RationaleModel, batch: Batch, trace: Trace) -> Tensor | None:
        """Log probabilities that the model is fitted to beside those of its site `y`, `(*s, B)`, if there are any."""


@dataclass(frozen=True)
class ReaderJudge:
    """Says how far predictions from kept words are from those of a reader of the whole text.

    Attributes:
        outputs: the reader's outputs for the documents of a batch, `(B, W)`, without a gradient.
    """

    outputs: Callable[[Batch], Tensor]

    def reward(self, model: RationaleModel, batch: Batch, trace: Trace) -> Tensor:
        """-kappa KL(r(y | x) || p(y | x, z)), over the targets that are known, `(*s, B)`.

        Args:
            model: the model.
            batch: documents with targets, of which it matters only which are known.
            trace: of the model on the batch, under masks.

        Raises:
            ConfigError: torch knows no KL of this likelihood.
        """
        site: dict[str, Any] = trace.nodes["y"]  # type: ignore[assignment]
        predicted, outputs = site["fn"], self.outputs(batch)
        assert batch.targets is not None
        read, _ = model.likelihood.observe(outputs.expand(*predicted.batch_shape, outputs.shape[-1]), batch.targets)
        try:
            divergence = kl_divergence(read, predicted)
        except NotImplementedError:
            name = type(model.likelihood).__name__
            raise ConfigError(f"--judge mcd: torch has no KL for {name}; leave it out, or register one") from None
        scaled: Tensor = -site["scale"] * divergence  # by kappa, and by the documents' weights
        return scaled

    def also_fitted(self, model: RationaleModel, batch: Batch, trace: Trace) -> None:
        """Nothing: the reader is trained before."""


class OthersJudge:
    """Pays for what a mask of one target says when the document's other targets are known.

    With ratings that go together, words of general praise predict all of them, and every target keeps those. They say
    nothing new about a rating to somebody who knows the others, who is told by the words about the matter itself:

        the guide maximises    E_q[ g_a kappa log p(y_a | x, z_a, y_-a) + log p(z_a) ] + tau H(q_a),
        the model maximises    E_q[ kappa log p(y_a | x, z_a) + kappa log p(y_a | x, z_a, y_-a) ], on masks as drawn.

    g_a makes up for the smaller variance that the others leave
    (:class:`~pyro_rationale.models.given_others.GivenOthers`). Predictions use the first of the two likelihoods, for
    nobody knows the others then.
    """

    def reward(self, model: RationaleModel, batch: Batch, trace: Trace) -> Tensor:
        """g_a kappa log p(y_a | x, z_a, y_-a) of each row, `(*s, B)`; g_a is 1 where no other target is known."""
        informed = model.given_others
        assert informed is not None
        assert batch.aspects is not None
        assert batch.others is not None
        gain = torch.where(informed.told(batch.others), informed.gain[batch.aspects], 1.0)
        return gain * self._log_prob(trace)

    def also_fitted(self, model: RationaleModel, batch: Batch, trace: Trace) -> Tensor:
        """The likelihoods of the guide's objective without g_a, with gradients in the model, `(*s, B)`.

        Those of summaries are left out: they are what the model is fitted to anyway.
        """
        informed = model.given_others
        assert informed is not None
        assert batch.aspects is not None
        return self._log_prob(trace) * ~informed.summary[batch.aspects]

    def _log_prob(self, trace: Trace) -> Tensor:
        site: dict[str, Any] = trace.nodes["y"]  # type: ignore[assignment]
        log_prob: Tensor = site["scale"] * site["infer"]["given_others"].log_prob(site["value"])
        return log_prob
