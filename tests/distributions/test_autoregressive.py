"""Recurrent masks: one pass against stepping, estimates beyond ten words, beam search, the store of one pass."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from pyro_rationale.distributions import RecurrentMask, sequential_entropy
from pyro_rationale.distributions.autoregressive import ENUMERABLE, Cell
from tests.support.mask_families import BY_NAME, CELL, CountingCell, counting_oracle
from tests.support.oracle import all_masks, padded

LONG = torch.tensor([11, 7, 1])


class CountedCell(CountingCell):
    """Counts the passes over whole documents."""

    passes = 0

    def unroll(self, features: Tensor, previous: Tensor) -> Tensor:
        self.passes += 1
        return super().unroll(features, previous)


class MemoryCell(nn.Module):
    """An LSTM cell, whose state is a tuple: as a real guide has it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 1)

    def initial(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features.new_zeros(features.shape[0], 5), features.new_zeros(features.shape[0], 5)

    def step(
        self, features: Tensor, previous: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        word = torch.cat([features, previous[:, None]], -1)[:, None]
        out, (hidden, cell) = self.lstm(word, (state[0][None], state[1][None]))
        return self.head(out[:, 0])[:, 0], (hidden[0], cell[0])

    def unroll(self, features: Tensor, previous: Tensor) -> Tensor:
        return self.head(self.lstm(torch.cat([features, previous[..., None]], -1))[0])[..., 0]


def draw(size: int = 12, seed: int = 0) -> Tensor:
    return BY_NAME["recurrent"].draw(seed, size=size)[0]


def test_the_test_cell_depends_on_the_whole_prefix() -> None:
    """Otherwise nothing below would tell a recurrent mask from a chain."""
    logits = RecurrentMask(draw(4)[:1], CELL).conditional_logits(all_masks(4)[:, None])[:, 0, -1]
    assert len({round(value, 6) for value in logits.tolist()}) == 6  # by the last decision and the count before it


@pytest.mark.parametrize("cell", [CELL, MemoryCell().double()], ids=["counting", "lstm"])
def test_samples_and_conditionals_agree(cell: Cell) -> None:
    """The logits that a mask was drawn with are those that one pass finds along it."""
    law = RecurrentMask(draw(), cell, LONG)
    masks, logits = law._draw(torch.Size([5, 3]))
    found = law.conditional_logits(masks)
    torch.testing.assert_close(torch.where(law.word_mask, found, 0.0), torch.where(law.word_mask, logits, 0.0))


@pytest.mark.parametrize("cell", [CELL, MemoryCell().double()], ids=["counting", "lstm"])
def test_exact_moments_up_to_ten_words(cell: Cell) -> None:
    law = RecurrentMask(draw(ENUMERABLE), cell, torch.tensor([ENUMERABLE, 3, 1]))
    masks = all_masks(ENUMERABLE)
    weights = law.log_prob(masks[:, None])[:, 0].exp()
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(law.mean[0], weights @ masks)
    torch.testing.assert_close(law.change[0], weights @ (masks[:, 1:] - masks[:, :-1]).abs())
    torch.testing.assert_close(law.entropy()[0], -(weights * weights.log()).sum())
    assert torch.equal(law.mode[0], masks[weights.argmax()])


def test_estimates_beyond_ten_words() -> None:
    """Close to the table, and closer than averages of as many masks would be."""
    features = draw()
    errors, naive = [], []
    for seed in range(6):
        features = draw(seed=seed)
        law = RecurrentMask(features, CELL, LONG, draws=400)
        assert not law.mean.requires_grad
        masks = law.sample((400,))
        for row, length in enumerate(LONG.tolist()):
            exact = counting_oracle(features[row, :length])
            scale = (exact.mean * (1 - exact.mean) / 400).sqrt()
            errors.append((law.mean[row, :length] - exact.mean) / scale)
            naive.append((masks[:, row, :length].mean(0) - exact.mean) / scale)
            assert law.mean[row, length:].eq(0).all()
            torch.testing.assert_close(law.change[row], padded(exact.change, 11), rtol=0.0, atol=0.1)
            torch.testing.assert_close(law.entropy()[row], exact.entropy, rtol=0.05, atol=0.0)
    assert torch.cat(errors).abs().max() < 4
    assert torch.cat(errors).square().mean() < 0.6 * torch.cat(naive).square().mean()


def test_estimates_are_deterministic_and_leave_the_global_generator_alone() -> None:
    features = draw()
    before = torch.get_rng_state()
    first, second = (RecurrentMask(features, CELL, LONG) for _ in range(2))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.entropy(), second.entropy())
    assert torch.equal(first.change, second.change)
    assert torch.equal(torch.get_rng_state(), before)


def test_estimates_do_not_depend_on_padding() -> None:
    features = draw()
    longer = torch.cat([features, torch.full((3, 4, 3), 9.0, dtype=torch.float64)], dim=1)
    short, wide = RecurrentMask(features, CELL, LONG), RecurrentMask(longer, CELL, LONG)
    assert torch.equal(wide.mean[:, :12], short.mean)
    assert torch.equal(wide.entropy(), short.entropy())
    assert torch.equal(wide.mode[:, :12], short.mode)
    assert wide.mode[:, 12:].eq(0).all()


@pytest.mark.parametrize("seed", range(5))
def test_beam_search_finds_the_mode(seed: int) -> None:
    features = draw(seed=seed)
    law = RecurrentMask(features, CELL, LONG)
    mode = law.mode
    for row, length in enumerate(LONG.tolist()):
        exact = counting_oracle(features[row, :length])
        assert mode[row, length:].eq(0).all()
        torch.testing.assert_close(exact.log_prob(mode[row, :length]), exact.log_probs.max())


def test_the_beam_beats_samples_on_long_documents() -> None:
    law = RecurrentMask(draw(60), CELL)
    assert (law.log_prob(law.mode) > law.log_prob(law.sample((300,))).max(0).values).all()


def test_one_pass_serves_all_questions_about_a_sample() -> None:
    cell = CountedCell()
    law = RecurrentMask(draw(8).requires_grad_(), cell)
    masks = law.sample((4,))
    assert cell.passes == 0
    law.log_prob(masks)
    sequential_entropy(law, masks)
    law.expand((4, 3)).word_log_probs(masks.detach())
    assert cell.passes == 1
    law.log_prob(masks.clone())
    assert cell.passes == 2


def test_the_pass_is_repeated_when_its_answer_no_longer_holds() -> None:
    cell = CountedCell()
    law = RecurrentMask(draw(8).requires_grad_(), cell)
    masks = law.sample((4,))
    with torch.no_grad():
        assert not law.log_prob(masks).requires_grad
    assert law.log_prob(masks).requires_grad
    before = law.log_prob(masks)
    masks[:, :, 0] = 1 - masks[:, :, 0]
    assert not torch.equal(law.log_prob(masks), before)
    assert cell.passes == 3
    with torch.inference_mode():
        torch.testing.assert_close(law.log_prob(law.mode + 0), law.log_prob(law.mode.clone()))


class CertainCell(CountingCell):
    """Keeps every word, on padding too if it is let."""

    def _logit(self, features: Tensor, previous: Tensor, kept: Tensor) -> Tensor:
        return torch.full_like(previous, 100.0)


@pytest.mark.parametrize("size", [6, 12])
def test_a_cell_that_keeps_everything_keeps_no_padding(size: int) -> None:
    law = RecurrentMask(draw(size), CertainCell(), torch.tensor([size, 4, 0]))
    words = law.word_mask.double()
    for value in (law.mode, law.mean, law.sample()):
        torch.testing.assert_close(value, words)


def test_copies_after_use() -> None:
    """Cached results hold the cell's graph, which can be neither copied nor pickled."""
    law = RecurrentMask(draw(6), MemoryCell().double())
    masks = law.sample()
    expected = (law.entropy(), law.log_prob(masks))
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        assert twin.cell is not law.cell
        torch.testing.assert_close(twin.entropy(), expected[0])
        torch.testing.assert_close(twin.log_prob(masks), expected[1])


def test_gradients_reach_the_cell() -> None:
    cell = MemoryCell()
    law = RecurrentMask(draw(12).float(), cell)
    law.log_prob(law.sample((2,))).sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in cell.parameters())


def test_word_log_probs_add_up() -> None:
    law = RecurrentMask(draw(), CELL, LONG)
    masks = law.sample((4,))
    words = law.word_log_probs(masks)
    assert words.shape == masks.shape
    assert words[:, 1, 7:].eq(0).all()
    torch.testing.assert_close(words.sum(-1), law.log_prob(masks))
