"""Learning rates of parts: one for new networks, lower ones for a transformer, the kept share for an encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_rationale.config import TrainOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.training.learning_rates import ENCODER, SLOWEST, LearningRates


def parameters() -> dict[str, nn.Parameter]:
    names = ("model.encoder.a", "guide.b", "model.encoder.low", "guide.top")
    named = {name: nn.Parameter(torch.zeros(2, 2)) for name in names}
    named["model.encoder.low"].pretrained_layer = 2  # type: ignore[attr-defined]
    named["guide.top"].pretrained_layer = 0  # type: ignore[attr-defined]
    return named


def rates_at(rates: LearningRates, step: int, kept: float) -> dict[str, float]:
    optimizer = rates.make_optimizer()
    rates.set(optimizer, 0.1, step, kept)
    of = {id(part): group["lr"] for group in optimizer.param_groups for part in group["params"]}
    return {name: of[id(part)] for name, part in rates.named.items()}


def test_layers_of_a_transformer_learn_more_slowly_the_deeper_they_are() -> None:
    rates = LearningRates(parameters(), 0.1, 0.01, 1.0, steps=100)
    late = rates_at(rates, 50, 0.2)
    assert late["model.encoder.a"] == late["guide.b"] == 0.1
    assert late["model.encoder.low"] == pytest.approx(0.0081)
    assert late["guide.top"] == pytest.approx(0.01)
    assert rates_at(rates, 0, 0.2)["guide.top"] == pytest.approx(0.01 / 6)
    assert rates_at(rates, 0, 0.2)["guide.b"] == 0.1


@pytest.mark.parametrize(("kept", "share"), [(0.3, 0.3), (0.001, SLOWEST), (1.0, 1.0)])
def test_the_encoder_follows_the_kept_share(kept: float, share: float) -> None:
    rates = LearningRates(parameters(), 0.1, 0.01, None, steps=100)
    found = rates_at(rates, 50, kept)
    assert found["model.encoder.a"] == pytest.approx(0.1 * share)
    assert found["model.encoder.low"] == pytest.approx(0.0081 * share)
    assert found["guide.b"] == 0.1


def test_weight_decay_is_for_matrices_of_a_transformer() -> None:
    named = parameters()
    named["guide.bias"] = nn.Parameter(torch.zeros(3))
    named["guide.bias"].pretrained_layer = 0  # type: ignore[attr-defined]
    optimizer = LearningRates(named, 0.1, 0.01, 1.0, steps=100).make_optimizer()
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed = {id(part) for group in optimizer.param_groups if group["weight_decay"] for part in group["params"]}
    assert decayed == {id(named["model.encoder.low"]), id(named["guide.top"])}


def test_without_a_transformer_there_is_one_group_and_plain_adam() -> None:
    named = {"model.encoder.a": nn.Parameter(torch.zeros(2)), "guide.b": nn.Parameter(torch.zeros(2))}
    rates = LearningRates(named, 0.1, 0.01, 1.0, steps=100)
    optimizer = rates.make_optimizer()
    assert type(optimizer) is torch.optim.Adam
    assert len(optimizer.param_groups) == 1
    assert list(rates.named) == list(named)
    assert ENCODER == "model.encoder."


@pytest.mark.parametrize("factor", ["x", "0", "-1", "nan", "", "1e3"])
def test_factors_that_are_none(factor: str) -> None:
    with pytest.raises(ConfigError, match="--encoder-rate-factor: expected auto, or a number above 0"):
        TrainOptions(encoder_rate_factor=factor)
    assert TrainOptions(encoder_rate_factor="0.25").encoder_factor == 0.25
    assert TrainOptions(encoder_rate_factor="auto").encoder_factor is None
