"""Equal masks of one document are read once: the same numbers and gradients as if each had been read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyro_rationale.nn import Encoder, make_embedding
from pyro_rationale.nn.packing import repeated_masks
from tests.support.tiny import named_reader

TOKENS = torch.tensor([[3, 4, 5, 6], [3, 4, 5, 0], [7, 7, 0, 0]])
LENGTHS = torch.tensor([4, 3, 2])


def encoder() -> Encoder:
    torch.manual_seed(4)
    return Encoder(make_embedding(9, 3), named_reader("lstm", 3, 5), "mean", 2).double()


def few_masks(samples: int = 40) -> Tensor:
    """Many draws of words that are nearly decided, `(S, 3, 4)`."""
    chance = torch.tensor([0.02, 0.97, 0.5, 0.01], dtype=torch.float64)
    inside = torch.arange(4) < LENGTHS[:, None]
    return (torch.rand(samples, 3, 4, dtype=torch.float64) < chance).double() * inside


def outcomes(model: Encoder, z: Tensor, one_by_one: bool) -> list[Tensor]:
    """Outputs, and gradients of a weighted sum of them."""
    model.zero_grad()
    found = torch.stack([model(TOKENS, mask, LENGTHS) for mask in z]) if one_by_one else model(TOKENS, z, LENGTHS)
    (found * torch.linspace(-1, 2, found.numel(), dtype=found.dtype).reshape(found.shape)).sum().backward()
    return [found.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def rows_read(model: Encoder, z: Tensor) -> int:
    """Rows that reached the output layer."""
    seen: list[int] = []
    hook = model.output.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    model(TOKENS, z, LENGTHS)
    hook.remove()
    return sum(seen)


def test_the_same_as_one_by_one() -> None:
    model, z = encoder(), few_masks()
    for together, apart in zip(outcomes(model, z, False), outcomes(model, z, True), strict=True):
        torch.testing.assert_close(together, apart)


def test_each_distinct_mask_is_read_once() -> None:
    z = few_masks()
    distinct = sum(len(z[:, row].unique(dim=0)) for row in range(3))
    assert distinct < 30
    assert rows_read(encoder(), z) == distinct
    assert rows_read(encoder(), z.unflatten(0, (8, 5))) == distinct
    assert rows_read(encoder(), z[0]) == 3


def test_equal_masks_of_different_documents_are_different() -> None:
    z = torch.ones(2, 3, 4, dtype=torch.float64) * (torch.arange(4) < 2)
    assert rows_read(encoder(), z) == 3


def test_masks_that_are_not_hard_are_left_alone() -> None:
    soft = torch.full((2, 3, 4), 0.3)
    assert repeated_masks(soft * torch.tensor([1.0, 2.0])[:, None, None]) is None
    same = repeated_masks(soft)
    assert same is not None, "equal all the same"
    assert len(same.chosen) == 3
    assert repeated_masks(torch.ones(2, 3, 4, requires_grad=True)) is None
    assert repeated_masks(torch.eye(4)[:, None]) is None


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_hash_that_collides_costs_time_and_nothing_else(monkeypatch: pytest.MonkeyPatch, wrong: int) -> None:
    numbers = "pyro_rationale.distributions.masks._random_numbers"
    monkeypatch.setattr(numbers, lambda size, _device: torch.full((size + 1,), wrong))
    model, z = encoder(), few_masks()
    assert repeated_masks(z) is None
    torch.testing.assert_close(model(TOKENS, z, LENGTHS), torch.stack([model(TOKENS, mask, LENGTHS) for mask in z]))
