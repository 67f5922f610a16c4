"""The check of the estimators can fail: mistakes that have been made elsewhere, each found by it."""

from __future__ import annotations

import pytest
from torch import Tensor

from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.estimators._base import Draws, Estimator
from pyro_rationale.inference.estimators.disarm import DisArm
from pyro_rationale.inference.estimators.muprop import MuProp
from pyro_rationale.inference.estimators.rloo import LeaveOneOut, leave_one_out_advantage
from tests.support.estimator_checks import worst


def exact_part(draws: Draws) -> Tensor:
    """Everything but the score function, where KL is exact."""
    return draws.reconstruction.sum() - len(draws.z) * draws.terms.kl.sum()


class OwnSampleInBaseline(LeaveOneOut):
    """The mean of all samples as the baseline, each sample's own among them, and no factor for it."""

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        reward = (draws.reconstruction - draws.reconstruction.mean(0)).detach()
        return exact_part(draws) + (reward * draws.q.log_prob(draws.z)).sum()


class ForgottenFuture(LeaveOneOut):
    """The prefixes' penalties as if a decision did not change what comes after it."""

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        reward = leave_one_out_advantage(draws.reconstruction.detach())
        return draws.reconstruction.sum() - draws.terms.kl.sum() + (reward * draws.q.log_prob(draws.z)).sum()


class ForgottenScore(LeaveOneOut):
    """`TraceMeanField_ELBO` without validation: no score function at all."""

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        return exact_part(draws)


class OtherTemperature(LeaveOneOut):
    """The entropy at full weight."""

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        return super().surrogate(draws, draws.terms.penalty(1.0))


class ForgottenLinearPart(MuProp):
    """Muprop that takes the linear part out of the reward and does not put it back."""

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        reward = draws.reconstruction - (draws.prepared * draws.z).sum(-1)
        return exact_part(draws) + (leave_one_out_advantage(reward.detach()) * draws.q.log_prob(draws.z)).sum()


class DividedSignal(LeaveOneOut):
    """NVIL to the letter: the whole signal divided by its standard deviation, beside penalties that are not."""

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor:
        signal = (reward - reward.mean()) / reward.std().clamp_min(1.0)
        return (signal * draws.q.log_prob(draws.z)).sum()


class PairsWithoutTheirFactor(DisArm):
    """DisARM without sigmoid(|phi|): the plain mean over the pair."""

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor:
        half = draws.samples // 2
        change = draws.z[:half] - draws.z[half:]
        return ((reward[:half] - reward[half:]) * (change * draws.q.logits[:half]).sum(-1)).sum()


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (OwnSampleInBaseline, "independent"),
        (OwnSampleInBaseline, "chain"),
        (ForgottenScore, "independent"),
        (ForgottenFuture, "recurrent"),
        (OtherTemperature, "chain"),
        (ForgottenLinearPart, "chain"),
        (DividedSignal, "chain"),
        (PairsWithoutTheirFactor, "independent"),
    ],
)
def test_a_wrong_estimator_is_found_out(broken: type[Estimator], name: str) -> None:
    """Registered under a name of its own, as another package's estimator would be."""
    tau = 0.3 if broken is OtherTemperature else 1.0
    ESTIMATORS["broken"] = broken
    try:
        assert worst(MaskELBO("broken", 4, tau), name, tau) > 6
    finally:
        del ESTIMATORS["broken"]
