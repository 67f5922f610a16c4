"""The check of the estimators can fail: mistakes that have been made elsewhere, each found by it."""

from __future__ import annotations

import pytest
from torch import Tensor

from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.estimators._score_function import leave_one_out_advantage
from pyro_rationale.inference.objectives.elbo import Draws
from tests.support.estimator_checks import worst


def exact_part(draws: Draws) -> Tensor:
    """Everything but the score function, where KL is exact."""
    return draws.reconstruction.sum() - len(draws.z) * draws.terms.kl.sum()


class OwnSampleInBaseline(MaskELBO):
    """The mean of all samples as the baseline, each sample's own among them, and no factor for it."""

    def _surrogate(self, draws: Draws) -> Tensor:
        reward = (draws.reconstruction - draws.reconstruction.mean(0)).detach()
        return exact_part(draws) + (reward * draws.q.log_prob(draws.z)).sum()


class ForgottenFuture(MaskELBO):
    """The prefixes' penalties as if a decision did not change what comes after it."""

    def _surrogate(self, draws: Draws) -> Tensor:
        reward = leave_one_out_advantage(draws.reconstruction.detach())
        return draws.reconstruction.sum() - draws.terms.kl.sum() + (reward * draws.q.log_prob(draws.z)).sum()


class ForgottenScore(MaskELBO):
    """What `TraceMeanField_ELBO` does without validation: no score function at all."""

    def _surrogate(self, draws: Draws) -> Tensor:
        return exact_part(draws)


class OtherTemperature(MaskELBO):
    """The entropy at full weight."""

    def _surrogate(self, draws: Draws) -> Tensor:
        self.tau, tau = 1.0, self.tau
        surrogate = super()._surrogate(draws)
        self.tau = tau
        return surrogate


class ForgottenLinearPart(MaskELBO):
    """Muprop that takes the linear part out of the reward and does not put it back."""

    def _surrogate(self, draws: Draws) -> Tensor:
        assert draws.slopes is not None
        reward = draws.reconstruction - (draws.slopes * draws.z).sum(-1)
        return exact_part(draws) + (leave_one_out_advantage(reward.detach()) * draws.q.log_prob(draws.z)).sum()


class DividedSignal(MaskELBO):
    """NVIL to the letter: the whole signal divided by its standard deviation, beside penalties that are not."""

    def _score_term(self, reward: Tensor, draws: Draws, per_word: bool) -> Tensor:
        signal = (reward - reward.mean()) / reward.std().clamp_min(1.0)
        return (signal * draws.q.log_prob(draws.z)).sum()


class PairsWithoutTheirFactor(MaskELBO):
    """DisARM without sigmoid(|phi|): the plain mean over the pair."""

    def _score_term(self, reward: Tensor, draws: Draws, per_word: bool) -> Tensor:
        half = self.num_particles // 2
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
def test_a_wrong_estimator_is_found_out(broken: type[MaskELBO], name: str) -> None:
    tau = 0.3 if broken is OtherTemperature else 1.0
    named: dict[type[MaskELBO], str] = {ForgottenLinearPart: "muprop", PairsWithoutTheirFactor: "disarm"}
    estimator = named.get(broken, "rloo")
    assert worst(broken(estimator, 4, tau), name, tau) > 6
