"""Training of networks without a latent variable: the best epoch is kept, and training may stop early."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch

from pyro_rationale.data.batch import Batch
from pyro_rationale.experiments.baselines._networks import build_networks
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.annealing import cosine_decay
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.loop import Loss, devices_of, train_networks
from tests.support.small_fit import sixteen, small


def networks(**options: float) -> tuple[FittedModel, Loss, list[int]]:
    """Networks for five steps of eight documents, two an epoch, their loss, and the steps at which it is computed."""
    fitted, _ = build_networks(small(**{"steps": 5, "anneal": 1, "batch_size": 8, **options}), sixteen())
    steps: list[int] = []

    def loss(batch: Batch, step: int) -> torch.Tensor:
        steps.append(step)
        return full_text_loss(fitted.model, batch) / len(batch)

    return fitted, loss, steps


def output(fitted: FittedModel) -> torch.Tensor:
    return fitted.model.encoder.output.weight.detach().clone()


def test_whole_epochs_and_the_last_weights() -> None:
    fitted, loss, steps = networks()
    before = output(fitted)
    train_networks(fitted, sixteen().train, loss)
    assert steps == [0, 1, 2, 3, 4, 5]
    assert not torch.equal(output(fitted), before)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_weights_of_the_best_epoch(ema: float) -> None:
    fitted, loss, _ = networks(ema=ema)
    scored: list[torch.Tensor] = []

    def score() -> float:
        assert not fitted.model.training
        assert not torch.is_grad_enabled()
        scored.append(output(fitted))
        return [2.0, 1.0, 3.0][len(scored) - 1]

    train_networks(fitted, sixteen().train, loss, score)
    assert len(scored) == 3
    assert torch.equal(output(fitted), scored[1])
    assert not torch.equal(scored[1], scored[2])


def test_scoring_does_not_move_the_random_numbers() -> None:
    ends = []
    for draws in (0, 7):
        fitted, loss, _ = networks(dropout=0.3)
        scores = iter([3.0, 2.0, 1.0])

        def score(draws: int = draws, scores: Iterator[float] = scores) -> float:
            torch.rand(draws)
            return next(scores)

        train_networks(fitted, sixteen().train, loss, score)
        ends.append(output(fitted))
    assert torch.equal(*ends)


def test_the_learning_rate_is_annealed(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    fitted, loss, _ = networks()
    train_networks(fitted, sixteen().train, loss)
    lr = fitted.config.train.learning_rate
    assert rates == [lr * cosine_decay(min(1.0, max(0.0, (step - 1) / 4))) for step in range(6)]


def test_a_score_leaves_the_random_numbers_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[list[torch.device]] = []
    plain = torch.random.fork_rng
    fitted, loss, _ = networks(steps=2)

    def forked(devices: Iterable[torch.device] = ()) -> Any:
        kept.append(list(devices))
        return plain(devices=[])

    monkeypatch.setattr("torch.random.fork_rng", forked)
    monkeypatch.setattr("pyro_rationale.training.loop.devices_of", lambda fitted: [torch.device("cuda:1")])
    train_networks(fitted, sixteen().train, loss, lambda: 0.0)
    assert kept[-1] == [torch.device("cuda:1")]


def test_devices_whose_random_numbers_are_put_back() -> None:
    fitted, *_ = networks()
    assert devices_of(fitted) == []
    fitted.device = torch.device("cuda:1")
    assert devices_of(fitted) == [torch.device("cuda:1")]
