"""`sum-and-sample`: which masks are summed, which drawn, with which weights; and its gradient against enumeration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, MaskDistribution
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.estimators.muprop import without_slopes
from pyro_rationale.inference.estimators.sum_and_sample import DEPTH, MaskSet, choose
from tests.support.estimator_checks import DOCUMENTS, HARD, TAUS, exact_gradient, gradients, z_scores
from tests.support.grids import each_value, some
from tests.support.oracle import Oracle
from tests.support.tiny import document, guide_table, replicate, tiny_guide, tiny_model

SHARPNESS = (0.3, 1.0, 4.0)  # undecided, as it comes, nearly certain
COPIES = 2000


def sharpened(name: str, factor: float) -> RationaleGuide:
    guide = tiny_guide(name)
    with torch.no_grad():
        for part, parameter in guide.named_parameters():
            if part.startswith(("head", "joint", "cell.direct", "cell.output")):
                parameter.mul_(factor)
    return guide


def posterior(name: str, factor: float, copies: int = 1) -> MaskDistribution:
    with torch.no_grad():
        return sharpened(name, factor).posterior(replicate(DOCUMENTS, copies))


def tables(name: str, factor: float) -> list[Oracle]:
    """q of each document by enumeration."""
    guide, found = sharpened(name, factor), []
    for row in range(len(DOCUMENTS)):
        one = document(DOCUMENTS, row)
        with torch.no_grad():
            found.append(guide_table(guide, guide.generator(one.tokens, one.lengths)))
    return found


def numbers(z: Tensor) -> Tensor:
    """Which mask this is: its place among `all_masks` of its document, `(N, B)` from `(N, B, T)`."""
    places = []
    for row, length in enumerate(DOCUMENTS.lengths.tolist()):
        own = z[:, row :: len(DOCUMENTS), :length]
        places.append((own * 2.0 ** torch.arange(length - 1, -1, -1)).sum(-1).long())
    return torch.stack(places, dim=-1).flatten(1)


def values(seed: int) -> Tensor:
    """An arbitrary number for every mask."""
    return torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def is_expected(found: Tensor, expected: list[Tensor]) -> None:
    """Estimates `(copies * B,)` against one number per document."""
    each = found.unflatten(0, (-1, len(DOCUMENTS)))
    assert z_scores(each, torch.stack(expected)).abs().max() < 4


@each_value("name,factor,tau", HARD, SHARPNESS, TAUS)
def test_unbiased(name: str, factor: float, tau: float) -> None:
    """In the features, and in the encoder's output: at K = 2 and 4, whatever share of the probability is summed."""
    model, guide = tiny_model(kappa=1.5), sharpened(name, factor)
    right = exact_gradient(model, guide, tau)
    for samples in (2, 4):
        found = gradients(MaskELBO("sum-and-sample", samples, tau), model, guide)
        assert z_scores(found, right).abs().max() < 4


@some("name", ["independent", "chain"], ["recurrent"])
def test_unbiased_without_slopes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, guide = tiny_model(kappa=1.5), sharpened(name, 1.0)
    right = exact_gradient(model, guide, 0.5)
    monkeypatch.setattr("pyro_rationale.inference.estimators.muprop.slope", None)
    with without_slopes():
        found = gradients(MaskELBO("sum-and-sample", 4, 0.5), model, guide)
    assert z_scores(found, right).abs().max() < 4


@pytest.mark.parametrize("factor", SHARPNESS)
@pytest.mark.parametrize("name", HARD)
def test_what_is_chosen(name: str, factor: float) -> None:
    """Distinct masks; each summed with its probability or counted, never both; S from what is left to draw."""
    q = posterior(name, factor, 50)
    torch.manual_seed(0)
    found = choose(q, 3)
    summed, drawn = found.probability > 0, found.count > 0
    assert summed.any()
    assert not (summed & drawn).any()
    assert (summed.sum(0) <= 3).all()
    torch.testing.assert_close(found.probability[summed], q.log_prob(found.z).exp()[summed])
    assert found.probability[summed].min() >= 1 / (3 * DEPTH)
    for place, used in zip(numbers(found.z).t(), (summed | drawn).t(), strict=True):
        assert len(place[used].unique()) == int(used.sum())
        assert (place[~used] == place[0]).all(), "places left over repeat the first, which is read anyway"
    rest = 1 - found.probability.sum(0)
    assert torch.equal(found.draws, (3 / rest.clamp_min(1e-9)).ceil().clamp(3, 3 * DEPTH))
    assert (found.count.sum(0) <= found.draws).all()
    assert torch.equal(found.count, found.count.round())
    assert not (found.z * ~replicate(DOCUMENTS, 50).mask).any()


@each_value("name,factor", HARD, SHARPNESS)
def test_the_probable_masks_are_summed(name: str, factor: float) -> None:
    """Pilot draws that miss a mask of more than half the probability are one in thousands."""
    found = choose(posterior(name, factor, COPIES), 3)
    place, summed = numbers(found.z), found.probability > 0
    for row, table in enumerate(tables(name, factor)):
        top = int(table.probs.argmax())
        if table.probs[top] > 0.5:
            has = ((place == top) & summed).any(0)[row :: len(DOCUMENTS)]
            assert has.double().mean() > 0.999


@each_value("name,factor", HARD, SHARPNESS)
def test_averages_are_unbiased(name: str, factor: float) -> None:
    """Weights sum to 1 always, and an average with them is E_q[h] in the mean."""
    found = choose(posterior(name, factor, COPIES), 2)
    weights, h = found.weights, values(1)
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))
    is_expected((weights * h[numbers(found.z)]).sum(0), [t.expect(h[: len(t.probs)]) for t in tables(name, factor)])


@each_value("name,factor", HARD, SHARPNESS)
def test_credit_is_unbiased(name: str, factor: float) -> None:
    """With a score, whose mean is 0, it is E_q[reward x score]; a constant reward gets no credit at all."""
    found = choose(posterior(name, factor, COPIES), 2)
    place, reward = numbers(found.z), values(2) + 5.0
    score, expected = torch.zeros_like(found.probability), []
    for row, table in enumerate(tables(name, factor)):
        own = values(3)[: len(table.probs)]
        own = own - table.expect(own)
        score[:, row :: len(DOCUMENTS)] = own[place[:, row :: len(DOCUMENTS)]]
        expected.append(table.expect(own * reward[: len(own)]))
    is_expected((found.advantage(reward[place]) * score).sum(0), expected)
    assert found.advantage(torch.full_like(score, 7.0)).abs().max() < 1e-9


def by_hand(found: MaskSet, reward: Tensor) -> Tensor:
    """Credit of one document, draw by draw; `(N,)` from rewards `(N,)`."""
    probability, draws = found.probability[:, 0], int(found.draws)
    mass = float(probability.sum())
    centre = float((probability * reward).sum()) / mass if mass else 0.0
    drawn = [i for i, n in enumerate(found.count[:, 0].tolist()) for _ in range(int(n))]
    credit = torch.zeros_like(reward)
    for i, p in enumerate(probability.tolist()):
        baseline = centre + sum(float(reward[j]) - centre for j in drawn) / draws
        credit[i] += p * (float(reward[i]) - baseline)
    for this, i in enumerate(drawn):
        others = sum(float(reward[j]) - centre for other, j in enumerate(drawn) if other != this)
        credit[i] += (float(reward[i]) - centre - others / (draws - 1)) / draws
    return credit


@pytest.mark.parametrize("probability", [(0.6, 0.3, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)])
def test_credit_draw_by_draw(probability: tuple[float, ...]) -> None:
    """Each draw against a baseline that does not know of it; words against baselines of their own."""
    count = torch.tensor([0.0, 0.0, 3.0, 1.0] if sum(probability) else [1.0, 2.0, 3.0, 1.0], dtype=torch.float64)
    p = torch.tensor(probability, dtype=torch.float64)
    draws = torch.tensor([20.0 if sum(probability) else 7.0], dtype=torch.float64)
    z = torch.zeros(4, 1, 2)
    found = MaskSet(IndependentMask(z), z, p[:, None], count[:, None], draws)
    reward = torch.randn(4, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    right = torch.stack([by_hand(found, reward[:, 0, word]) for word in range(2)], dim=-1)
    torch.testing.assert_close(found.advantage(reward)[:, 0], right)
    torch.testing.assert_close(found.advantage(reward[..., 0])[:, 0], right[:, 0])


def test_without_a_summed_mask_it_is_leave_one_out() -> None:
    """An undecided guide on ten words: K masks are drawn, none summed, and the credit is RLOO's."""
    q = IndependentMask(torch.zeros(2, 10, dtype=torch.float64), torch.tensor([10, 10]))
    torch.manual_seed(1)
    found = choose(q, 4)
    assert not found.probability.any()
    assert torch.equal(found.count, torch.ones(4, 2, dtype=torch.float64))
    assert found.draws.tolist() == [4, 4]
    assert torch.equal(found.weights, torch.full((4, 2), 0.25, dtype=torch.float64))
    reward = torch.randn(4, 2, dtype=torch.float64)
    others = (reward.sum(0) - reward) / 3
    torch.testing.assert_close(found.advantage(reward), (reward - others) / 4)


def test_a_certain_guide_reads_one_mask() -> None:
    """All of the probability on one mask: it is summed with weight 1, and nothing is credited."""
    logits = torch.tensor([[60.0, -60.0, 60.0]], dtype=torch.float64)
    found = choose(IndependentMask(logits, torch.tensor([3])), 4)
    assert found.z.tolist() == [[[1.0, 0.0, 1.0]]]
    assert found.weights.tolist() == [[1.0]]
    assert found.draws.tolist() == [4 * DEPTH]
    assert found.advantage(torch.tensor([[3.0]], dtype=torch.float64)).abs().max() < 1e-12
