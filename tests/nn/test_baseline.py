"""The neural baseline: what it remembers, when, and that it learns; penalties that count for nothing."""

from __future__ import annotations

import copy

import pytest
import torch

from pyro_rationale.inference import MaskELBO
from pyro_rationale.nn.baseline import FLOOR, StandardisedBaseline
from tests.support.estimator_checks import DOCUMENTS, HARD, gradients, standardised
from tests.support.grids import some
from tests.support.tiny import exact, replicate, tiny_guide, tiny_model


def test_plain_averages_first() -> None:
    baseline = StandardisedBaseline(2, 3).double()
    signals = torch.randn(4, 50, dtype=torch.float64) * 3.0 - 200.0
    for signal in signals:
        baseline.observe(signal)
    torch.testing.assert_close(baseline.mean, signals.mean())
    torch.testing.assert_close(baseline.variance, signals.var(correction=0))
    assert int(baseline.seen) == 4


def test_later_signals_replace_earlier_ones() -> None:
    baseline = StandardisedBaseline(2, 3).double()
    for _ in range(100):
        baseline.observe(torch.randn(500, dtype=torch.float64))
    for _ in range(100):
        baseline.observe(torch.randn(500, dtype=torch.float64) * 5.0 + 100.0)
    assert float(baseline.mean) == pytest.approx(100.0, abs=1.0)
    assert float(baseline.sd) == pytest.approx(5.0, rel=0.1)


def test_a_constant_signal_has_a_floor() -> None:
    baseline = StandardisedBaseline(2, 3)
    baseline.observe(torch.full((7,), 3.0))
    assert float(baseline.sd) == pytest.approx(FLOOR)
    assert torch.isfinite(baseline.loss(torch.randn(7, 2), torch.full((7,), 3.0)))
    baseline.observe(torch.tensor(4.0))
    assert torch.isfinite(baseline.variance)


def test_a_fresh_baseline_is_the_running_mean() -> None:
    baseline = StandardisedBaseline(2, 3)
    baseline.observe(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(baseline(torch.randn(5, 2)), torch.full((5, 1), 2.0))


@pytest.mark.parametrize("name", HARD)
def test_statistics_move_in_training_and_only_then(name: str) -> None:
    model, guide = tiny_model(), standardised(name)
    objective = MaskELBO("nvil", 2)
    before = {k: v.clone() for k, v in guide.named_buffers()}

    def moved() -> bool:
        return any(not torch.equal(v, before[k]) for k, v in guide.named_buffers())

    guide.eval()
    objective.differentiable_loss(model, guide, DOCUMENTS).backward()
    guide.train()
    objective.loss(model, guide, DOCUMENTS)  # no gradients, no training
    assert not moved()
    objective.differentiable_loss(model, guide, DOCUMENTS).backward()
    assert moved()


@pytest.mark.parametrize("name", HARD)
def test_the_baseline_is_the_one_from_before_the_samples(name: str) -> None:
    """Or it would depend on them: with equal draws, a guide that may not learn gives the same gradient."""
    model, guide = tiny_model(), standardised(name)
    found = []
    for training in (True, False):
        twin = copy.deepcopy(guide).train(training)
        torch.manual_seed(3)
        found.append(gradients(MaskELBO("nvil", 2), model, twin, 200))
    assert torch.equal(*found)


@some(
    "name,penalties",
    [("independent", "exact"), ("chain", "sampled")],
    [("chain", "exact"), ("independent", "sampled"), ("recurrent", "sampled")],
)
def test_the_baseline_learns_the_expected_signal(name: str, penalties: str) -> None:
    """The signal of a document is the enumerated reconstruction, or with sampled penalties the whole objective."""
    model, guide = tiny_model(kappa=4.0), standardised(name)
    objective = MaskELBO("nvil", 1, 0.3, penalties)
    network = [parameter for part, parameter in guide.named_parameters() if part.startswith("baseline.")]
    optimizer = torch.optim.Adam(network, lr=0.1)
    batch = replicate(DOCUMENTS, 25)
    for _ in range(300):
        optimizer.zero_grad()
        objective.estimate(model, guide, batch).surrogate.backward(inputs=network)
        optimizer.step()
    tables = exact(model, guide, DOCUMENTS)
    signals = [one.objective(0.3) if penalties == "sampled" else one.reconstruction for one in tables]
    expected = torch.stack(signals).detach()
    features = guide.generator(DOCUMENTS.tokens, DOCUMENTS.lengths)
    pooled = torch.stack([row[:n].mean(0) for row, n in zip(features, DOCUMENTS.lengths.tolist(), strict=True)])
    assert isinstance(guide.baseline, StandardisedBaseline)
    error = (guide.baseline(pooled)[:, 0] - expected).detach()
    assert float(error.abs().max()) < 0.25 * float(guide.baseline.sd)
    assert float(expected.std()) > float(error.std()), "the documents must differ in what is expected"


# Penalties that count for nothing.


@pytest.mark.parametrize("estimator", ["rloo", "muprop", "nvil", "straight-through"])
@pytest.mark.parametrize("name", HARD)
def test_constant_penalties_are_reported_and_have_no_gradient(name: str, estimator: str) -> None:
    """The gradient is that of the reconstruction alone, whatever the prior; the figures are the exact ones."""
    guide = standardised(name).eval()
    found, told = [], []
    for alpha in (0.0, 3.0):
        model = tiny_model(kappa=1.5)
        model.prior_fields[0] = alpha
        objective = MaskELBO(estimator, 4, 0.3, "constant")
        torch.manual_seed(7)
        found.append(gradients(objective, model, guide, 400))
        for kind in ("constant", "exact"):
            torch.manual_seed(7)
            told.append(MaskELBO(estimator, 4, 0.3, kind).estimate(model, guide, DOCUMENTS))
        torch.testing.assert_close(told[-2].kl, told[-1].kl)
        torch.testing.assert_close(told[-2].entropy, told[-1].entropy)
    assert torch.equal(*found)
    assert not torch.allclose(told[0].kl, told[2].kl)


def test_exact_penalties_do_have_a_gradient() -> None:
    guide = tiny_guide("chain")
    found = []
    for penalties in ("constant", "exact"):
        torch.manual_seed(7)
        found.append(gradients(MaskELBO("rloo", 4, 1.0, penalties), tiny_model(), guide, 400))
    assert not torch.allclose(found[0], found[1])
