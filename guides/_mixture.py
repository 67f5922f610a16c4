"""`MixtureGuide`: several guides as one, whose masks are from each of them equally often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution, MixtureMask
from pyro_rationale.guides._base import RationaleGuide
from pyro_rationale.models.program import Program


class MixtureGuide(RationaleGuide):
    """q(z | x) = 1/M sum_m q_m(z | x).

    Args:
        members: guides of the same texts and the same units.
    """

    family: ClassVar[type[MaskDistribution]] = MixtureMask

    def __init__(self, members: Sequence[RationaleGuide]) -> None:
        Program.__init__(self)  # no generator of its own
        self.members = nn.ModuleList(members)
        self.baseline, self.target, self.aspects = None, members[0].target, members[0].aspects
        self.nonempty, self.whole_units = members[0].nonempty, members[0].whole_units

    def posterior(self, batch: Batch, see_target: bool = False) -> MixtureMask:
        """The mixture over masks of a batch; arguments as for :class:`RationaleGuide`."""
        members = cast("list[RationaleGuide]", list(self.members))
        return MixtureMask([member.posterior(batch, see_target) for member in members])

    def forward(self, batch: Batch) -> Tensor:
        """The Pyro program: a mask, `(*s, B, T)`, or one for each of several targets, `(*s, aspects, B, T)`."""
        rows = self._rows(batch)
        q = self.posterior(rows, see_target=self.target is not None and batch.targets is not None)
        return self._sample(batch, rows, q, {})
