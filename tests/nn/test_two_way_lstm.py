"""Two LSTMs without padding in one loop: states and gradients are those of `nn.LSTM`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyro_rationale.nn.generators.bilstm import reverse_words
from pyro_rationale.nn.kernels.two_way_lstm import Packing, two_way_lstm


@pytest.mark.parametrize("lengths", [[4, 7, 1, 7], [1], [3, 3], [1, 1, 1], [2, 5]])
def test_a_packing_lists_every_word_once_in_both_directions(lengths: list[int]) -> None:
    size = 8
    packing = Packing.of(torch.tensor(lengths), size)
    places = [divmod(place, size) for place in packing.words.tolist()]
    assert sorted(places) == [(text, word) for text, length in enumerate(lengths) for word in range(length)]
    assert sum(packing.rows) == len(places)
    mirrored = [places[i] for i in packing.behind.tolist()]
    assert mirrored == [(text, lengths[text] - 1 - word) for text, word in places]
    values = torch.randn(len(places), 2)
    grid = packing.pad(values, len(lengths), size)
    assert all(torch.equal(grid[place], value) for place, value in zip(places, values, strict=True))
    assert grid.abs().sum() == pytest.approx(float(values.abs().sum()), rel=1e-5)


def pair(inputs: int = 3, width: int = 2) -> tuple[nn.LSTM, nn.LSTM]:
    torch.manual_seed(0)
    return tuple(nn.LSTM(inputs, width, batch_first=True).double() for _ in range(2))  # type: ignore[return-value]


def both_ways(ahead: nn.LSTM, behind: nn.LSTM, grid: Tensor, lengths: Tensor) -> Tensor:
    back = reverse_words(behind(reverse_words(grid, lengths))[0], lengths)
    return torch.cat([ahead(grid)[0], back], dim=-1)


@pytest.mark.parametrize("lengths", [[4, 6, 1, 6], [1], [1, 1], [5]])
@pytest.mark.parametrize("frozen", [True, False])
def test_it_is_the_pair_of_lstms(lengths: list[int], frozen: bool) -> None:
    ahead, behind = pair()
    sizes, size = torch.tensor(lengths), max(lengths) + 1
    grid = torch.randn(len(lengths), size, 3, dtype=torch.float64, requires_grad=not frozen)
    words = torch.arange(size) < sizes[:, None]
    packing, towards = Packing.of(sizes, size), torch.randn(len(lengths), size, 4, dtype=torch.float64)
    wanted = [*ahead.parameters(), *behind.parameters(), *([] if frozen else [grid])]
    results = []
    for states in (
        both_ways(ahead, behind, grid, sizes) * words[..., None],
        packing.pad(two_way_lstm(grid.flatten(0, 1)[packing.words], packing, ahead, behind), *grid.shape[:2]),
    ):
        gradients = torch.autograd.grad((states * towards).sum(), wanted)
        results.append([states.detach(), *gradients])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)
