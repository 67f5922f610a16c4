"""Every family of mask distributions with its oracle: the table that the tests of `distributions/` run over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import (
    ChainPrior,
    HardKumaMask,
    IndependentMask,
    LinearChain,
    MaskDistribution,
    NonEmptyMask,
    RecurrentMask,
    RelaxedMask,
    UnitMask,
)
from tests.support.oracle import Oracle

LENGTHS = (6, 4, 1)
PRIOR = ChainPrior.from_rate_span(0.3, 4.0)


class CountingCell(nn.Module):
    """A logit from the word, the decision before, how many words are kept so far, and a product with the word.

    The count makes every decision depend on the whole prefix.
    """

    weights: Tensor

    def __init__(self, features: int = 3) -> None:
        super().__init__()
        self.register_buffer("weights", torch.linspace(-1.0, 1.2, features, dtype=torch.float64))

    def initial(self, features: Tensor) -> dict[str, Tensor]:
        return {"kept": features.new_zeros(features.shape[:-2])}

    def step(
        self, features: Tensor, previous: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        kept = state["kept"] + previous
        return self._logit(features, previous, kept), {"kept": kept}

    def unroll(self, features: Tensor, previous: Tensor) -> Tensor:
        return self._logit(features, previous, previous.cumsum(-1))

    def _logit(self, features: Tensor, previous: Tensor, kept: Tensor) -> Tensor:
        here = features @ self.weights.to(features.dtype)
        return here + 0.9 * previous - 0.6 * kept + 0.4 * features[..., 0] * kept


CELL = CountingCell()


def counting_oracle(features: Tensor) -> Oracle:
    """The recurrence, written out once more."""

    def logit(prefix: Sequence[float]) -> Tensor:
        word = features[len(prefix)].double()
        last = prefix[-1] if prefix else 0.0
        kept = sum(prefix)
        weights = [-1.0, 0.1, 1.2]
        here = sum(w * x for w, x in zip(weights, word, strict=True))
        return here + 0.9 * last - 0.6 * kept + 0.4 * word[0] * kept

    return Oracle.autoregressive(logit, len(features))


@dataclass(frozen=True)
class Family:
    """How to make a family's parameters, its distribution, and the oracle of one document.

    Attributes:
        name: for the test's id.
        parameters: `(batch shape, T)` -> float64 parameters, each `(*batch, T or T - 1, ...)`.
        make: parameters, lengths -> the distribution.
        oracle: one document's parameters, cut to its length.
    """

    name: str
    parameters: Callable[[tuple[int, ...], int], tuple[Tensor, ...]]
    make: Callable[[Sequence[Tensor], Tensor | None], MaskDistribution]
    oracle: Callable[[Sequence[Tensor]], Oracle]

    def draw(self, seed: int = 0, batch: tuple[int, ...] = (3,), size: int = 6) -> tuple[Tensor, ...]:
        """Parameters from a seed."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.parameters(batch, size)

    def document(self, parameters: Sequence[Tensor], row: int, length: int) -> Oracle:
        """The oracle of one row of a batch with one batch dimension."""
        size = parameters[0].shape[1]
        return self.oracle([part[row, : length - (size - part.shape[1])] for part in parameters])


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def _homogeneous(batch: tuple[int, ...], size: int) -> tuple[Tensor, ...]:
    return (torch.full((*batch, size), -PRIOR.alpha, dtype=torch.float64),)


def _prior(parts: Sequence[Tensor], lengths: Tensor | None) -> LinearChain:
    batch, size = parts[0].shape[:-1], parts[0].shape[-1]
    full = torch.full(batch, size) if lengths is None else lengths
    return PRIOR.distribution(full, size, parts[0].dtype)


FAMILIES = [
    Family(
        "chain",
        lambda batch, size: (1.5 * _normal(*batch, size), _normal(*batch, size - 1)),
        lambda parts, lengths: LinearChain(parts[0], parts[1], lengths),
        lambda parts: Oracle.chain(parts[0], parts[1]),
    ),
    Family(
        "scalar-coupling",
        lambda batch, size: (1.5 * _normal(*batch, size),),
        lambda parts, lengths: LinearChain(parts[0], torch.tensor(0.7, dtype=parts[0].dtype), lengths),
        lambda parts: Oracle.chain(parts[0], torch.full((len(parts[0]) - 1,), 0.7, dtype=torch.float64)),
    ),
    Family("prior", _homogeneous, _prior, lambda parts: Oracle.penalty(PRIOR.alpha, PRIOR.gamma, len(parts[0]))),
    Family(
        "independent",
        lambda batch, size: (1.5 * _normal(*batch, size),),
        lambda parts, lengths: IndependentMask(parts[0], lengths),
        lambda parts: Oracle.independent(parts[0]),
    ),
    Family(
        "nonempty-chain",
        lambda batch, size: (1.5 * _normal(*batch, size) - 1.0, _normal(*batch, size - 1)),
        lambda parts, lengths: NonEmptyMask(LinearChain(parts[0], parts[1], lengths)),
        lambda parts: Oracle.chain(parts[0], parts[1]).nonempty(),
    ),
    Family(
        "nonempty-independent",
        lambda batch, size: (1.5 * _normal(*batch, size) - 1.0,),
        lambda parts, lengths: NonEmptyMask(IndependentMask(parts[0], lengths)),
        lambda parts: Oracle.independent(parts[0]).nonempty(),
    ),
    Family(
        "relaxed",
        lambda batch, size: (1.5 * _normal(*batch, size),),
        lambda parts, lengths: RelaxedMask(parts[0], lengths, 0.4),
        lambda parts: Oracle.independent(parts[0]),
    ),
    Family(
        "straight-through",
        lambda batch, size: (1.5 * _normal(*batch, size),),
        lambda parts, lengths: RelaxedMask(parts[0], lengths, 0.4, straight_through=True),
        lambda parts: Oracle.independent(parts[0]),
    ),
    Family(
        "hardkuma",
        lambda batch, size: (0.3 + _normal(*batch, size).exp(), 0.3 + _normal(*batch, size).exp()),
        lambda parts, lengths: HardKumaMask(parts[0], parts[1], lengths),
        lambda parts: Oracle.independent(((1 - (0.1 / 1.2) ** parts[0]) ** parts[1]).logit()),
    ),
    Family(
        "recurrent",
        lambda batch, size: (_normal(*batch, size, 3),),
        lambda parts, lengths: RecurrentMask(parts[0], CELL, lengths),
        lambda parts: counting_oracle(parts[0]),
    ),
]


def unit_starts(size: int) -> Tensor:
    """First words of the units that the families by units have: two words, one word, two words, one word, ..."""
    return torch.tensor([t for t in range(size) if t % 3 != 1])


def unit_numbers(size: int) -> Tensor:
    """The unit of each word."""
    return (torch.arange(size)[:, None] >= unit_starts(size)).sum(-1) - 1


def by_units(family: Family) -> Family:
    """A family whose choices are about units of one or two words; a unit has the parameters of its first word."""

    def chosen(parts: Sequence[Tensor], dim: int) -> list[Tensor]:
        size = parts[0].shape[dim]
        starts = unit_starts(size)
        kept = [starts - (size - part.shape[dim]) for part in parts]  # a pair belongs to its second word
        return [part.index_select(dim, index[index >= 0]) for part, index in zip(parts, kept, strict=True)]

    def make(parts: Sequence[Tensor], lengths: Tensor | None) -> MaskDistribution:
        words = len(family.parameters((), 1)[0].shape) - 1  # dimensions behind that of the words
        dim = parts[0].dim() - 1 - words
        batch, size = parts[0].shape[:dim], parts[0].shape[dim]
        starts = unit_starts(size)
        units = unit_numbers(size)
        counts = None if lengths is None else (starts < lengths[..., None]).sum(-1)
        base = family.make(chosen(parts, dim), counts)
        return UnitMask(base, units.expand(*batch, size), starts.expand(*batch, len(starts)), lengths)

    def oracle(parts: Sequence[Tensor]) -> Oracle:
        return family.oracle(chosen(parts, 0)).over_words(unit_numbers(len(parts[0])))

    return Family(f"units-{family.name}", family.parameters, make, oracle)


FAMILIES += [
    by_units(family) for family in FAMILIES if family.name in ("chain", "nonempty-chain", "relaxed", "recurrent")
]
BY_NAME = {family.name: family for family in FAMILIES}
