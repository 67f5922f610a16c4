"""Cumulative logits: levels of columns, cutpoints, the distribution and its gradients, and what people see."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyro.distributions import OrderedLogistic
from torch.distributions import kl_divergence
from torch.testing import assert_close

from pyro_rationale.data.targets import reader_of
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.run_files import read_calibration, read_target, write_calibration
from pyro_rationale.tasks import (
    Calibration,
    LevelMixture,
    OrdinalLikelihood,
    OrdinalTask,
    RegressionTask,
    TargetSpec,
    task_of,
)
from pyro_rationale.tasks._calibration import conformal_scores
from pyro_rationale.tasks.ordinal import CumulativeLogit

SPEC = TargetSpec("ordinal", ("food", "staff"), ((1.0, 5.0), (0.0, 2.0)), levels=(5, 3))
TARGETS = torch.tensor([[1, 0], [5, 1], [4, 2], [4, math.nan], [2, 2], [5, 2]], dtype=torch.float64)


def likelihood() -> OrdinalLikelihood:
    made = OrdinalTask(SPEC).make_likelihood().double()
    assert isinstance(made, OrdinalLikelihood)
    made.start_from(torch.tensor(OrdinalTask(SPEC).initial_outputs(TARGETS)))
    return made


def spec_of(cells: list[Any], task: str = "auto", scale: tuple[float, float] | None = None) -> TargetSpec:
    return reader_of("data.csv", ("stars",), [cells], task, scale).spec


@pytest.mark.parametrize(
    ("cells", "scale", "ends", "levels"),
    [
        (["1", "2", "4", "5"], None, (1, 5), 5),
        (["0.5", "1", "2", "1.5"], None, (0.5, 2), 4),
        (["1", "2", "3"], (1, 5), (1, 5), 5),
        (["2/5", "3/5", "4/5", "3/5"], None, (2, 5), 4),  # nobody gave the 5 that the cells name
        (["3 stars", "4 stars", "5 stars"], None, (3, 5), 3),
    ],
)
def test_levels_of_a_column(
    cells: list[Any], scale: tuple[float, float] | None, ends: tuple[float, float], levels: int
) -> None:
    assert spec_of(cells, scale=scale) == TargetSpec("ordinal", ("stars",), (ends,), levels=(levels,))


@pytest.mark.parametrize(
    ("ends", "count", "written"),
    [
        ((0.0, 1.0), 11, [round(i / 10, 1) for i in range(11)]),
        ((-4.0, 4.0), 41, [round(i / 5 - 4, 1) for i in range(41)]),
        ((0.0, 1.0), 4, [0.0, 1 / 3, 2 / 3, 1.0]),
        ((1.0, 5.0), 5, [1.0, 2.0, 3.0, 4.0, 5.0]),
    ],
)
def test_levels_are_the_numbers_that_people_write(ends: tuple[float, float], count: int, written: list[float]) -> None:
    """Or a rating of 0.3 would lie outside of an interval from 0.3 on."""
    assert OrdinalTask(TargetSpec("ordinal", ("stars",), (ends,), levels=(count,))).levels[0].tolist() == written


def test_the_surest_prediction_can_be_right_or_wrong_by_a_finite_score(tmp_path: Path) -> None:
    """Far beyond the last cutpoint all probability is that of the highest level: no spread to divide by."""
    task = OrdinalTask(TargetSpec("ordinal", ("stars",), ((1.0, 5.0),), levels=(5,)))
    law = task.make_likelihood()(torch.full((1, 2, 1), 60.0))
    mixture = task.mixture(task.values(law), task.noise(law), np.ones((1, 2)))
    scores = conformal_scores(np.abs(np.array([[5.0], [4.0]]) - mixture.mean) / mixture.sd)
    write_calibration(tmp_path, Calibration(scores))
    again = read_calibration(tmp_path, task.spec)
    assert again is not None
    assert again.scores[0][0] == 0.0 < again.scores[0][1]


def test_levels_can_be_asked_for_and_refused() -> None:
    assert spec_of(["1", "2", "3"], "regression") == TargetSpec("regression", ("stars",), ((1, 3),))
    assert spec_of(["0", "1"], "ordinal").levels == (2,)
    assert spec_of(list(map(str, range(30))), "ordinal").levels == (30,)
    with pytest.raises(DataError, match=r"data.csv: 'stars' has 4 different ratings, not on .* --task regression"):
        spec_of(["1", "1.01", "2", "3"], "ordinal")


@pytest.mark.parametrize("levels", [[], [5], [5, 1]])
def test_a_target_without_levels_is_refused(levels: list[int]) -> None:
    stored = {"kind": "ordinal", "names": ["food", "staff"], "ranges": [[1, 5], [0, 2]], "levels": levels}
    with pytest.raises(ConfigError, match=r"target\.levels"):
        read_target(stored)
    assert read_target({**stored, "levels": [5, 3]}) == SPEC


def test_training_starts_from_the_shares_of_the_levels() -> None:
    outputs = torch.zeros(1, 2, dtype=torch.float64)
    food, staff = likelihood()(outputs).base_dist.probs[0].detach()
    assert food.tolist() == pytest.approx([1.5 / 8.5, 1.5 / 8.5, 0.5 / 8.5, 2.5 / 8.5, 2.5 / 8.5], abs=2e-3)
    assert staff.tolist() == pytest.approx([1.5 / 6.5, 1.5 / 6.5, 3.5 / 6.5, 0, 0], abs=2e-3)
    entropy = -sum(share * math.log(share) for share in (1 / 5, 1 / 5, 3 / 5))
    assert OrdinalTask(SPEC).baseline_loss(TARGETS)[1].item() == pytest.approx(entropy)


def test_cutpoints_rise_whatever_the_parameters() -> None:
    made = likelihood()
    with torch.no_grad():
        made.log_gaps.copy_(torch.tensor([[-50.0, 3.0, 0.0], [-1.0, 7.0, 7.0]]))
    assert (made.cutpoints[0].diff() > 0).all()
    assert made.cutpoints[1].isfinite().tolist() == [True, True, False, False]


def test_the_distribution_is_pyros_ordered_logistic() -> None:
    location = torch.linspace(-4, 5, 7, dtype=torch.float64)[:, None]
    cutpoints = torch.tensor([[-1.0, 0.5, 2.5]], dtype=torch.float64)
    ours, theirs = CumulativeLogit(location, cutpoints), OrderedLogistic(location, cutpoints)
    levels = torch.arange(4.0, dtype=torch.float64)
    for level in levels:
        assert_close(ours.log_prob(level / 3), theirs.log_prob(level))
    assert_close(ours.log_probs.exp(), theirs.probs)
    assert_close(ours.probs.sum(-1), torch.ones_like(location))
    mean = (theirs.probs * levels / 3).sum(-1)
    assert_close(ours.mean, mean)
    assert_close(ours.variance, (theirs.probs * (levels / 3 - mean[..., None]) ** 2).sum(-1))
    other = CumulativeLogit(location + 1, 2 * cutpoints)
    logs = (theirs.probs * (theirs.probs.log() - OrderedLogistic(location + 1, 2 * cutpoints).probs.log())).sum(-1)
    assert_close(kl_divergence(ours, other), logs)


def test_draws_have_the_probabilities() -> None:
    torch.manual_seed(0)
    distribution = likelihood()(torch.tensor([[0.7, -0.4]], dtype=torch.float64))
    drawn = (distribution.sample((20_000,)) * torch.tensor([4.0, 2.0])).round().long()
    for d, shares in enumerate(distribution.base_dist.probs[0]):
        counts = torch.bincount(drawn[:, 0, d], minlength=5) / 20_000
        assert counts.tolist() == pytest.approx(shares.tolist(), abs=0.015)


def test_far_outputs_have_finite_log_probabilities_and_gradients() -> None:
    made = likelihood().float()
    outputs = torch.tensor([[300.0, -300.0], [-300.0, 300.0], [40.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 1.0], [0.5, 0.0], [0.75, math.nan]])
    distribution, known = made.observe(outputs, targets)
    log_prob = distribution.log_prob(known)
    assert log_prob.tolist() == pytest.approx((-made.loss(outputs, targets).sum(-1)).tolist(), rel=1e-5)
    log_prob.sum().backward()
    assert all(g is not None and bool(g.isfinite().all()) for g in (outputs.grad, made.first.grad, made.log_gaps.grad))
    assert outputs.grad is not None
    assert float(outputs.grad[2, 1]) == 0.0  # unrated


def test_gradients_against_differences() -> None:
    made = likelihood()
    targets = torch.from_numpy(OrdinalTask(SPEC).encode(TARGETS.numpy(), str)).double()

    def total(outputs: torch.Tensor, first: torch.Tensor, log_gaps: torch.Tensor) -> torch.Tensor:
        values = {"first": first, "log_gaps": log_gaps}
        return torch.func.functional_call(_Total(made, targets), {f"made.{k}": v for k, v in values.items()}, outputs)

    outputs = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, (outputs, made.first, made.log_gaps))


class _Total(torch.nn.Module):
    def __init__(self, made: OrdinalLikelihood, targets: torch.Tensor) -> None:
        super().__init__()
        self.made, self.targets = made, targets

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        distribution, known = self.made.observe(outputs, self.targets)
        return distribution.log_prob(known)


def test_predictions_are_expected_ratings_and_errors_those_of_ratings() -> None:
    task, made = task_of(SPEC), likelihood()
    distribution = made(torch.tensor([[0.3, 2.0], [-9.0, -9.0]], dtype=torch.float64))
    values, noise = task.values(distribution), task.noise(distribution)
    assert noise is not None
    assert values[:, 0] == pytest.approx(noise[:, 0] @ np.arange(1.0, 6.0))
    assert values[:, 1] == pytest.approx(noise[:, 1, :3] @ np.arange(3.0))
    mixture = task.mixture(values[None], noise[None], np.ones((1, 2)))
    assert isinstance(mixture, LevelMixture)
    assert mixture.mean == pytest.approx(values)
    shares = task.level_shares(mixture.document(0))
    assert list(shares["staff"]) == ["0", "1", "2"]
    assert list(shares["food"].values()) == pytest.approx(noise[0, 0])
    assert task.level_lines(mixture.document(0))[1].startswith(f"staff: 0 {100 * noise[0, 1, 0]:.0f} %, 1 ")
    assert mixture.sd**2 == pytest.approx(distribution.variance.detach().numpy() * [16.0, 4.0])
    known = np.array([[4.0, 2.0], [1.0, 1.0]])
    twin = RegressionTask(TargetSpec("regression", SPEC.names, SPEC.ranges))
    for name, error in task.errors(values, known).items():
        assert error == pytest.approx(twin.errors(values, known)[name])


def test_a_rating_between_levels_counts_as_the_nearest_one() -> None:
    """Errors are measured with the rating itself."""
    made = likelihood()
    outputs = torch.zeros(2, 2, dtype=torch.float64)
    between = torch.tensor([[0.3, 0.4], [0.9, 0.1]], dtype=torch.float64)
    nearest = torch.tensor([[0.25, 0.5], [1.0, 0.0]], dtype=torch.float64)
    assert made.loss(outputs, between).tolist() == made.loss(outputs, nearest).tolist()
    assert task_of(SPEC).errors(np.array([[3.0, 1.0]]), np.array([[3.5, 1.0]]))["mse"].tolist() == [[0.25, 0.0]]


def test_the_scale_is_that_of_held_out_ratings() -> None:
    """Ratings drawn with outputs twice and half as large as those that are given; few ones change little."""
    torch.manual_seed(0)
    made = likelihood()
    outputs = 1.5 * torch.randn(2000, 2, dtype=torch.float64)
    factors = torch.tensor([2.0, 0.5], dtype=torch.float64)
    targets = CumulativeLogit(outputs * factors, made.cutpoints.detach() * factors[:, None]).sample()
    targets[::3, 0] = math.nan
    made.settle(outputs.expand(3, -1, -1), targets)
    assert made.scale.tolist() == pytest.approx(factors.tolist(), rel=0.2)
    distribution, known = made.observe(outputs, targets)
    assert_close(-distribution.log_prob(known), made.loss(outputs, targets).sum(-1))
    made.settle(outputs[None, :2], targets[:2])
    assert ((made.scale > 0.5) & (made.scale < 2.0)).all()


def test_the_scale_is_chosen_for_the_mixture_over_masks() -> None:
    """Two masks that contradict each other are right half of the time: no one of them may be sure."""
    torch.manual_seed(0)
    made = OrdinalLikelihood((2,)).double()
    outputs = torch.full((1, 400, 1), 1.0, dtype=torch.float64)
    chance = torch.sigmoid(torch.tensor(2.0))  # of the mixture of sigmoid(s (1 + d)) and sigmoid(s (1 - d)) at s > 2
    targets = (torch.arange(400) < 400 * chance).double()[:, None]
    made.settle(outputs, targets)
    alone = float(made.scale)
    made.settle(torch.cat([outputs - 1.0, outputs + 1.0]), targets)
    assert alone == pytest.approx(2.0, rel=0.04)
    assert float(made.scale) > 1.1 * alone


def test_the_scale_of_ordered_ratings_follows_the_weights() -> None:
    torch.manual_seed(0)
    made = OrdinalLikelihood([5])
    made.start_from(torch.tensor([-3.0, -1.0, 1.0, 3.0]))
    outputs = 3.0 * torch.randn(1, 1000, 1)
    sure = CumulativeLogit(3.0 * outputs[0], 3.0 * made.cutpoints).sample()
    chance = torch.randint(0, 5, (1000, 1)) / 4.0
    first = torch.arange(1000) < 500
    targets, weights = torch.where(first[:, None], sure, chance), torch.where(first, 1.99, 0.01)
    made.settle(outputs, targets)
    alike = float(made.scale)
    made.settle(outputs, targets, weights)
    assert float(made.scale) > 2.0 > 1.0 > alike
