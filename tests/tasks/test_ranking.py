"""The task of similar texts: a likelihood over candidates, whose temperature is learned within limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks import TASKS, RankingLikelihood, TargetSpec, task_of
from pyro_rationale.tasks.ranking import COLDEST, START, WARMEST

SPEC = TargetSpec("ranking", ("similar",))


def test_temperature_starts_where_it_should_and_stays_within_its_limits() -> None:
    likelihood = RankingLikelihood(3)
    assert isinstance(likelihood.temperature, torch.Tensor)
    assert float(likelihood.temperature.detach()) == pytest.approx(START)
    for position, limit in ((-1e3, COLDEST), (1e3, WARMEST)):
        with torch.no_grad():
            likelihood.position.fill_(position)
        assert float(likelihood.temperature.detach()) == pytest.approx(limit)


def test_given_temperature_is_no_parameter() -> None:
    likelihood = RankingLikelihood(3, 0.2)
    assert likelihood.temperature == 0.2
    assert not list(likelihood.parameters())


def test_loss_is_minus_the_log_probability_of_the_similar_text() -> None:
    likelihood = RankingLikelihood(3)
    logits = torch.tensor([[0.5, -torch.inf, 2.0], [1.0, 3.0, -torch.inf]])
    distribution, targets = likelihood.observe(logits, torch.tensor([2, 0]))
    loss = likelihood.loss(logits, targets).squeeze(-1)
    assert torch.allclose(-loss, distribution.log_prob(targets))
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(2.0))])


def test_texts_carry_no_targets() -> None:
    task = task_of(SPEC)
    assert task.of_pairs
    assert not any(TASKS[name].of_pairs for name in TASKS if name != "ranking")
    with pytest.raises(ConfigError, match="holds texts with targets"):
        type(task).make_spec("ranking", "a.csv", ("score",), [["1"]], None)
    with pytest.raises(DataError, match="texts of pairs have none"):
        task.encode(np.zeros((1, 1)), lambda i: f"row {i}")
    assert float(task.baseline_loss(torch.zeros(2, 1))) == pytest.approx(math.log(20))


def test_drop_of_a_vector_is_one_less_the_cosine() -> None:
    full, other = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.6, 0.8], [0.0, 1.0]])
    assert task_of(SPEC).drop(full, other).tolist() == pytest.approx([0.4, 0.0])
