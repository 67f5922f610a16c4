"""Tiny models and guides in float64, and their exact objectives and gradients by enumeration.

The tables are made document by document, without padding, from the networks' outputs on all masks; likelihoods,
priors and guides are written out once more. What is taken on trust are the networks (tests/nn/test_networks.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.guides import (
    GUIDES,
    ChainGuide,
    HardKumaGuide,
    IndependentGuide,
    RationaleGuide,
    RecurrentGuide,
    RelaxedGuide,
)
from pyro_rationale.models import NormalLikelihood, OrdinalLikelihood, RationaleModel
from pyro_rationale.nn import ENCODERS, BiLSTM, Encoder, make_embedding
from pyro_rationale.nn.encoders._base import SequenceEncoder
from pyro_rationale.tasks import task_of
from tests.support.mask_families import unit_numbers, unit_starts
from tests.support.oracle import Oracle, all_masks, charges

WORDS = 12
LENGTHS = (5, 3, 1)
PRIOR = ChainPrior.from_rate_span(0.3, 3.0)
SPECS = {
    "regression": TargetSpec("regression", ("look", "smell"), ((0.0, 1.0), (0.0, 1.0))),
    "binary": TargetSpec("binary", ("good", "cheap"), classes=("no", "yes")),
    "multiclass": TargetSpec("multiclass", ("kind",), classes=("a", "b", "c")),
    "ordinal": TargetSpec("ordinal", ("look", "smell"), ((0.0, 1.0), (0.0, 1.0)), levels=(4, 3)),
}
NAN = float("nan")
TARGETS = {
    "regression": torch.tensor([[0.9, 0.1], [NAN, 0.7], [0.4, NAN]], dtype=torch.float64),
    "binary": torch.tensor([[1.0, 0.0], [NAN, 1.0], [0.0, 0.0]], dtype=torch.float64),
    "multiclass": torch.tensor([2, 0, 1]),
    "ordinal": torch.tensor([[2 / 3, 0.0], [NAN, 1.0], [1 / 3, NAN]], dtype=torch.float64),
}


def texts(lengths: Sequence[int] = LENGTHS, padding: int = 0, kind: str | None = "regression") -> Batch:
    """Documents of fixed words, whatever the padding behind the longest; targets for three documents at most."""
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(2, WORDS, (length,), generator=generator) for length in lengths]
    tokens = torch.zeros(len(rows), max(lengths) + padding, dtype=torch.long)
    for row, words in zip(tokens, rows, strict=True):
        row[: len(words)] = words
    targets = None if kind is None else TARGETS[kind][: len(rows)]
    return Batch(tokens, torch.tensor(lengths), targets)


def in_sentences(batch: Batch) -> Batch:
    """The documents of a batch in sentences of two words, one word, two words, one word, ..."""
    starts, units = unit_starts(batch.tokens.shape[1]), unit_numbers(batch.tokens.shape[1])
    present = starts < batch.lengths[:, None]
    return replace(batch, units=units * batch.mask, unit_starts=starts * present)


def replicate(batch: Batch, times: int) -> Batch:
    """Documents 1, 2, ..., 1, 2, ...: independent samples for each copy, in one pass."""
    return batch.repeated(times)


def named_reader(name: str, inputs: int, width: int) -> SequenceEncoder:
    """The sequence encoder that is registered under a name, untrained."""
    kind: Any = ENCODERS[name]
    reader: SequenceEncoder = kind(inputs, width)
    return reader


def tiny_model(
    kind: str = "regression", kappa: float = 1.0, reader: str = "lstm", pooling: str = "mean", seed: int = 1
) -> RationaleModel:
    """A model whose outputs move well with the mask."""
    torch.manual_seed(seed)
    spec = SPECS[kind]
    likelihood = NormalLikelihood(spec.names, 0.5) if kind == "regression" else task_of(spec).make_likelihood()
    encoder = Encoder(make_embedding(WORDS, 3), named_reader(reader, 3, 4), pooling, task_of(spec).width)
    with torch.no_grad():
        encoder.output.weight.mul_(3.0)
    return RationaleModel(encoder, likelihood, PRIOR, kappa).double()


def tiny_guide(name: str, seed: int = 2, baseline: bool = False, straight_through: bool = False) -> RationaleGuide:
    """A guide that is neither flat nor certain."""
    torch.manual_seed(seed)
    generator = BiLSTM(make_embedding(WORDS, 3), 3)
    network = nn.Sequential(nn.Linear(generator.width, 3), nn.Tanh(), nn.Linear(3, 1)) if baseline else None
    if name == "relaxed":
        guide: RationaleGuide = RelaxedGuide(generator, network, 0.5, straight_through)
    elif name == "recurrent":
        guide = RecurrentGuide(generator, network, width=3)
    else:
        guide = GUIDES[name](generator, network)
    with torch.no_grad():
        for part, parameter in guide.named_parameters():
            if part.startswith(("head", "joint", "cell")):
                parameter.add_(torch.randn_like(parameter) * 0.8)
    return guide.double()


def document(batch: Batch, row: int) -> Batch:
    """One document without padding."""
    length = int(batch.lengths[row])
    targets = None if batch.targets is None else batch.targets[row : row + 1]
    excluded, units = (None if part is None else part[row : row + 1, :length] for part in (batch.excluded, batch.units))
    words = batch.tokens[row : row + 1, :length]
    return Batch(words, batch.lengths[row : row + 1], targets, excluded=excluded, units=units)


def guide_table(guide: RationaleGuide, features: Tensor, excluded: Tensor | None = None) -> Oracle:
    """q of one document as a table, from its features `(1, n, H)`; differentiable in features and parameters.

    Of words that are `excluded (n,)` a chain ends no run on any, and other guides keep none.
    """
    if isinstance(guide, RecurrentGuide):
        return recurrent_table(guide, features[0], excluded)
    table = _guide_table(guide, features)
    if excluded is not None:
        chain = isinstance(guide, ChainGuide)
        table = table.charging(charges(table.masks, excluded) if chain else 30.0 * table.masks[:, excluded > 0].sum(-1))
    return table.nonempty() if guide.nonempty else table


def _guide_table(guide: RationaleGuide, features: Tensor) -> Oracle:
    n = features.shape[1]
    if isinstance(guide, IndependentGuide):
        return Oracle.independent(guide.head(features)[0, :, 0])
    if isinstance(guide, ChainGuide):
        pairs = [torch.cat([features[0, t], features[0, t + 1]]) for t in range(n - 1)]
        couplings = torch.stack([guide.joint(pair)[0] for pair in pairs]) if pairs else features.new_zeros(0)
        return Oracle.chain(guide.head(features)[0, :, 0], couplings)
    assert isinstance(guide, HardKumaGuide)
    a, b = (1 + guide.head(features)[0].exp()).log().unbind(-1)
    selected = (1 - (0.1 / 1.2) ** a) ** b
    return Oracle.independent((selected / (1 - selected)).log())


def recurrent_table(guide: RecurrentGuide, features: Tensor, excluded: Tensor | None = None) -> Oracle:
    """Table of a recurrent guide: torch's own cell along all masks at once, features `(n, H)`."""
    cell, masks = guide.cell, all_masks(len(features))
    from_word = torch.cat([cell.inputs.weight, cell.decision[:, None]], dim=1)
    nothing = torch.zeros_like(cell.inputs.bias)
    state = (features.new_zeros(len(masks), cell.width), features.new_zeros(len(masks), cell.width))
    total = features.new_zeros(len(masks))
    before = features.new_zeros(len(masks))
    nats = 30.0 * (torch.zeros(len(features)) if excluded is None else excluded > 0)
    for word, here, less in zip(features, masks.unbind(1), nats, strict=True):
        inputs = torch.cat([word.expand(len(masks), -1), before[:, None]], dim=1)
        state = torch.lstm_cell(inputs, state, from_word, cell.recurrent, cell.inputs.bias, nothing)
        on = torch.sigmoid(cell.direct(word) + cell.output(state[0])[:, 0] - less)
        total = total + torch.where(here > 0, on, 1 - on).log()
        before = here
    return Oracle(total)


def hand_log_likelihood(model: RationaleModel, outputs: Tensor, target: Tensor) -> Tensor:
    """log p(y | outputs `(N, D)`) of one document's target, `(N,)`, without kappa."""
    total = outputs.new_zeros(len(outputs))
    if target.dim() == 0:
        return outputs.log_softmax(-1)[:, int(target)]
    for d, value in enumerate(target.tolist()):
        if math.isnan(value):
            continue
        if isinstance(model.likelihood, NormalLikelihood):
            sigma = float(model.likelihood.sigma)
            error = (outputs[:, d] - value) ** 2
            total = total - error / (2 * sigma**2) - math.log(sigma) - 0.5 * math.log(2 * math.pi)
        elif isinstance(model.likelihood, OrdinalLikelihood):
            top = model.likelihood.levels[d] - 1
            points = [-math.inf, *model.likelihood.cutpoints[d, :top], math.inf]
            low, high = (torch.sigmoid(points[round(value * top) + side] - outputs[:, d]) for side in (0, 1))
            total = total + torch.log(high - low)
        else:
            chance = torch.sigmoid(outputs[:, d])
            total = total + torch.log(chance if value else 1 - chance)
    return total


def outputs_on_all_masks(model: RationaleModel, one: Batch) -> Tensor:
    """The encoder's outputs for one document, `(2^n, D)`, each mask by the words it keeps and nothing else."""
    rows = []
    for mask in all_masks(one.tokens.shape[1]):
        words = one.tokens[:, mask > 0]
        kept = words.shape[1]
        if not kept:
            words = torch.zeros(1, 1, dtype=torch.long)
        mask = torch.full((1, words.shape[1]), float(kept > 0), dtype=torch.float64)
        rows.append(model.encoder(words, mask, torch.tensor([words.shape[1]])))
    return torch.cat(rows)


@dataclass(frozen=True)
class Exact:
    """All that there is to know about one document.

    Attributes:
        q: the guide's table.
        p: the prior's.
        outputs: the encoder's, for all masks, `(2^n, D)`.
        log_likelihood: log p(y | x, z) for all masks, `(2^n,)`.
        kappa: its weight.
    """

    q: Oracle
    p: Oracle
    outputs: Tensor
    log_likelihood: Tensor
    kappa: float

    @property
    def reconstruction(self) -> Tensor:
        """E_q[kappa log p(y | x, z)]."""
        return self.q.expect(self.kappa * self.log_likelihood)

    def objective(self, tau: float) -> Tensor:
        """Objective (2)."""
        return self.reconstruction - self.q.cross_energy(self.p) + tau * self.q.entropy


def exact(
    model: RationaleModel, guide: RationaleGuide, batch: Batch, features: Sequence[Tensor] | None = None
) -> list[Exact]:
    """One table per document of a batch with targets; `features` `(1, n, H)` to take gradients in them."""
    documents = []
    assert batch.targets is not None
    for row in range(len(batch)):
        one = document(batch, row)
        body = guide.generator(one.tokens, one.lengths) if features is None else features[row]
        excluded = None if one.excluded is None else one.excluded[0]
        units = torch.arange(one.tokens.shape[1]) if one.units is None else one.units[0]
        groups = [body[:, units == unit].mean(1) for unit in range(int(units.max()) + 1)]
        choices = guide_table(guide, torch.stack(groups, 1), excluded)
        outputs = outputs_on_all_masks(model, one)
        log_likelihood = hand_log_likelihood(model, outputs, batch.targets[row])
        p = Oracle.penalty(model.prior.alpha, model.prior.gamma, choices.n)
        p = p if excluded is None else p.charging(charges(p.masks, excluded))
        p = p.nonempty() if model.nonempty else p
        q, p = choices.over_words(units), p.over_words(units)
        documents.append(Exact(q, p, outputs, log_likelihood, float(model.kappa)))
    return documents
