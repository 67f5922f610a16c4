"""Rows in groups of like length: the same numbers and gradients, in less time."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn

from pyro_rationale.nn import Encoder
from pyro_rationale.nn.encoders import ENCODERS, POOLINGS
from pyro_rationale.nn.encoders import _base as encoder_module
from pyro_rationale.nn.length_buckets import GROUP, STEP, cheapest, in_lengths
from pyro_rationale.nn.packing import compact
from tests.support.tiny import named_reader

ROWS, WORDS = 64, 40


def texts(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, masks that keep from none to all of the words, lengths."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, WORDS + 1, (ROWS,), generator=random)
    inside = torch.arange(WORDS) < lengths[:, None]
    tokens = torch.randint(2, 50, (ROWS, WORDS), generator=random) * inside
    shares = torch.rand(ROWS, 1, generator=random).round(decimals=1)
    return tokens, (torch.rand(ROWS, WORDS, generator=random) < shares).double() * inside, lengths


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("reader", [name for name in ENCODERS if name != "transformer"])
def test_groups_give_the_numbers_and_gradients_of_all_rows_together(
    reader: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = Encoder(nn.Embedding(50, 6, padding_idx=0), named_reader(reader, 6, 5), pooling, 2).double()
    tokens, z, lengths = texts()
    results = []
    for split in (in_lengths, lambda kept: None):
        monkeypatch.setattr(encoder_module, "in_lengths", split)
        network.zero_grad()
        outputs = network(tokens, z, lengths)
        outputs.sin().sum().backward()
        results.append([outputs.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_group_has_its_own_width_and_every_row_once() -> None:
    kept = compact(*texts())
    split = in_lengths(kept)
    assert split is not None
    assert len(split.parts) > 1
    joined = torch.cat([part.lengths for part in split.parts])
    assert torch.equal(joined[split.order], kept.lengths)
    assert sorted(split.order.tolist()) == list(range(ROWS))
    for part in split.parts:
        assert part.words.shape[1] == max(1, int(part.lengths.max()))
    assert sum(part.words.numel() for part in split.parts) < 0.8 * kept.words.numel()


def test_rows_of_one_length_stay_together() -> None:
    assert in_lengths(compact(torch.full((32, 9), 3), torch.ones(32, 9), torch.full((32,), 9))) is None


def test_weighted_words_and_few_rows_stay_together() -> None:
    tokens, z, lengths = texts()
    assert in_lengths(compact(tokens, 0.5 * z, lengths)) is None
    assert in_lengths(compact(tokens, z.requires_grad_(), lengths)) is None
    assert in_lengths(compact(tokens[:8], z.detach()[:8], lengths[:8])) is None


def test_cuts_are_the_cheapest_of_all() -> None:
    ends, longest = [40, 80, 120, 160, 200], [1, 2, 30, 31, 90]

    def cost(cuts: tuple[int, ...]) -> float:
        starts = [0, *(ends[cut] for cut in cuts[:-1])]
        return sum(longest[c] * (ends[c] - s + STEP) + GROUP for c, s in zip(cuts, starts, strict=True))

    ways = [(*inner, 4) for count in range(5) for inner in combinations(range(4), count)]
    assert tuple(cheapest(ends, longest)) == min(ways, key=cost)
