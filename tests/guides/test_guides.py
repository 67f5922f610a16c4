"""The guides: what they start with, what they say about a text, and that padding says nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.config import ModelOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import HardKumaMask, IndependentMask, LinearChain, RecurrentMask, RelaxedMask
from pyro_rationale.guides import GUIDES, ChainGuide, RationaleGuide, RecurrentGuide
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.nn import BiLSTM, make_embedding
from tests.support.oracle import all_masks, padded
from tests.support.tiny import LENGTHS, WORDS, guide_table, texts, tiny_guide

EVERY = pytest.mark.parametrize("name", list(GUIDES))
EXACT = pytest.mark.parametrize("name", [name for name in GUIDES if name != "recurrent"])


def untrained(name: str, width: int = 16) -> RationaleGuide:
    """A guide that `build` has made, before a start rate is set."""
    return GUIDES[name](BiLSTM(make_embedding(50, 16), width))


def long_texts(lengths: tuple[int, ...] = (120, 90, 150, 130)) -> Batch:
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = torch.randint(2, 50, (length,))
    return Batch(tokens, torch.tensor(lengths))


def test_one_list_of_guides() -> None:
    assert {guide.default_estimator for guide in GUIDES.values()} <= set(ESTIMATORS)
    flag = next(field for field in fields(ModelOptions) if field.name == "guide")
    assert tuple(flag.metadata["choices"]) == tuple(GUIDES)


def test_every_guide_has_its_distribution() -> None:
    kinds = {"independent": IndependentMask, "relaxed": RelaxedMask, "recurrent": RecurrentMask, "chain": LinearChain}
    kinds |= {"hardkuma": HardKumaMask}
    for name in GUIDES:
        assert type(tiny_guide(name).posterior(texts())) is kinds[name]


@EVERY
@pytest.mark.parametrize("padding", [0, 3])
def test_posterior_is_the_enumerated_table(name: str, padding: int) -> None:
    """Probabilities of all masks, marginals and entropies, written out once more for each guide in tiny.py."""
    guide, batch = tiny_guide(name), texts(padding=padding)
    q = guide.posterior(batch)
    assert q.batch_shape == (3,)
    assert q.event_shape == (5 + padding,)
    for row, length in enumerate(LENGTHS):
        table = guide_table(guide, guide.generator(batch.tokens[row : row + 1, :length], torch.tensor([length])))
        masks = torch.nn.functional.pad(all_masks(length), (0, 5 + padding - length))
        torch.testing.assert_close(q.log_prob(masks[:, None].expand(-1, 3, -1))[:, row], table.log_probs)
        torch.testing.assert_close(q.mean[row], padded(table.mean, 5 + padding))
        torch.testing.assert_close(q.entropy()[row], table.entropy)
        torch.testing.assert_close(table.log_prob(q.mode[row, :length]), table.log_probs.max())


@EVERY
def test_posterior_does_not_see_padding_or_the_other_documents(name: str) -> None:
    guide = tiny_guide(name)
    narrow, wide = texts(), texts(padding=6)
    garbage = replace(wide, tokens=torch.where(wide.mask, wide.tokens, 3))
    expected = guide.posterior(narrow)
    for batch in (wide, garbage):
        q = guide.posterior(batch)
        torch.testing.assert_close(q.mean[:, :5], expected.mean)
        torch.testing.assert_close(q.entropy(), expected.entropy())
        assert torch.equal(q.mode[:, :5], expected.mode)
    alone = guide.posterior(Batch(narrow.tokens[1:2, :3], torch.tensor([3])))
    torch.testing.assert_close(alone.mean[0], expected.mean[1, :3])


@EVERY
@pytest.mark.parametrize("straight_through", [False, True])
def test_the_site_is_0_on_padding(name: str, straight_through: bool) -> None:
    guide, batch = tiny_guide(name, straight_through=straight_through), texts(padding=2)
    with pyro.plate("particles", 50, dim=-2):
        site: dict[str, Any] = dict(poutine.trace(guide).get_trace(batch).nodes["z"])
    value: Tensor = site["value"]
    assert value.shape == (50, 3, 7)
    assert not value[:, ~batch.mask].any()
    assert (value[:, batch.mask] > 0).any(0).all()  # and every word has its chance
    assert site["fn"].event_dim == 1
    soft = name == "hardkuma" or (name == "relaxed" and not straight_through)
    assert bool(torch.isin(value.detach(), torch.tensor([0.0, 1.0])).all()) != soft


@EVERY
def test_the_program_samples_its_posterior(name: str) -> None:
    guide, batch = tiny_guide(name, straight_through=True), texts()
    copies = 8_000
    with pyro.plate("particles", copies, dim=-2):
        z = (guide(batch).detach() > 0).double()  # hardkuma's weights stand for the words that have any
    expected = guide.posterior(batch).mean.detach()[batch.mask]
    error = (expected * (1 - expected) / copies).sqrt()
    assert ((z.mean(0)[batch.mask] - expected) / error).abs().max() < 4


def mean_rate(guide: RationaleGuide, batch: Batch) -> float:
    """Share of words kept, from the marginals where they are exact, and from samples elsewhere."""
    q = guide.posterior(batch)
    kept = q.sample(torch.Size([200])).mean(0) if isinstance(q, RecurrentMask) else q.mean
    return float((kept * batch.mask).sum().detach() / batch.lengths.sum())


@EVERY
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_start_rate(name: str, rate: float) -> None:
    """Within what the random weights of head and recurrence add to it."""
    guide = untrained(name)
    guide.start_rate(rate)
    assert mean_rate(guide, long_texts()) == pytest.approx(rate, abs=0.06)


@EXACT
@pytest.mark.parametrize("rate", [0.05, 0.4, 0.75])
def test_start_rate_is_exact_without_random_weights(name: str, rate: float) -> None:
    guide = untrained(name).double()
    torch.nn.init.zeros_(guide.get_parameter("head.weight"))
    guide.start_rate(rate)
    inner = guide.posterior(long_texts()).mean[:, 30:60]
    torch.testing.assert_close(inner, torch.full_like(inner, rate))


@pytest.mark.parametrize("coupling", [0.0, 0.5, 2.0, -0.7])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_start_rate_of_a_chain_with_any_coupling(rate: float, coupling: float) -> None:
    """Marginals in the middle of a long homogeneous chain."""
    guide = ChainGuide(BiLSTM(make_embedding(50, 4), 4), coupling=coupling).double()
    torch.nn.init.zeros_(guide.head.weight)
    guide.start_rate(rate)
    q = guide.posterior(long_texts((400,)))
    assert isinstance(q, LinearChain)
    torch.testing.assert_close(q.coupling, torch.full_like(q.coupling, coupling))
    torch.testing.assert_close(q.mean[0, 190:210], torch.full((20,), rate, dtype=torch.float64))


def test_start_rate_of_the_recurrence_without_its_weights() -> None:
    guide = untrained("recurrent").double()
    assert isinstance(guide, RecurrentGuide)
    torch.nn.init.zeros_(guide.cell.direct.weight)
    torch.nn.init.zeros_(guide.cell.output.weight)
    guide.start_rate(0.2)
    batch = long_texts()
    mean = guide.posterior(batch).mean[batch.mask]
    torch.testing.assert_close(mean, torch.full_like(mean, 0.2))


def random_decisions(rows: int, length: int) -> Tensor:
    return (torch.rand(rows, length) < 0.5).double()


def test_recurrent_cell_steps_equal_its_unrolled_pass() -> None:
    guide = tiny_guide("recurrent")
    assert isinstance(guide, RecurrentGuide)
    cell = guide.cell
    projected = cell.project(torch.randn(4, 6, guide.generator.width, dtype=torch.float64))
    before = random_decisions(4, 6)
    whole = cell.unroll(projected, before)
    assert whole.shape == (4, 6)
    state = cell.initial(projected)
    for t in range(6):
        logit, state = cell.step(projected[:, t], before[:, t], state)
        torch.testing.assert_close(logit, whole[:, t])
    moved = cell.unroll(projected, 1 - before)
    assert ((moved - whole).abs() > 1e-6).all()


def test_recurrent_decisions_reach_far() -> None:
    """The first decision still matters for the last word; nothing matters for the words before it."""
    guide = tiny_guide("recurrent")
    assert isinstance(guide, RecurrentGuide)
    projected = guide.cell.project(torch.randn(1, 6, guide.generator.width, dtype=torch.float64))
    before = random_decisions(1, 6).requires_grad_()
    (slope,) = torch.autograd.grad(guide.cell.unroll(projected, before)[0, 3], before)
    assert (slope[0, :4] != 0).all()
    assert not slope[0, 4:].any()


@EVERY
def test_guides_pickle_as_weights(name: str) -> None:
    """A twin with the same weights is the same guide; buffers hidden in attributes would be lost."""
    guide, twin = tiny_guide(name), tiny_guide(name, seed=9)
    assert not torch.equal(twin.posterior(texts()).mean, guide.posterior(texts()).mean)
    twin.load_state_dict(guide.state_dict())
    assert torch.equal(twin.posterior(texts()).mean, guide.posterior(texts()).mean)


def test_a_guide_must_say_what_it_is() -> None:
    bare = RationaleGuide(BiLSTM(make_embedding(WORDS, 3), 3))
    with pytest.raises(NotImplementedError, match="RationaleGuide must define distribution"):
        bare.posterior(texts())
    with pytest.raises(NotImplementedError, match="RationaleGuide must define start_rate"):
        bare.start_rate(0.5)
