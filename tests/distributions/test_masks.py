"""Keys of masks, distinct ones, and changes."""

from __future__ import annotations

import torch

from pyro_rationale.distributions.masks import changes_of, mask_keys, one_of_each


def test_keys_tell_masks_and_documents_apart() -> None:
    torch.manual_seed(0)
    z = (torch.rand(40, 3, 4) < 0.5).float()
    keys = mask_keys(z)
    same = (z[:, None] == z).all(-1)
    assert torch.equal(keys[:, None] == keys, same)
    assert len(set(keys[:, 0].tolist()) & set(keys[:, 1].tolist())) == 0


def test_one_of_each_puts_every_mask_in_its_place() -> None:
    torch.manual_seed(1)
    z = (torch.rand(20, 2, 3) < 0.5).float()
    distinct, positions, place = one_of_each(mask_keys(z))
    assert len(distinct) == len(positions) < 40
    assert torch.equal(z.reshape(-1, 3)[positions][place], z)


def test_the_padding_is_no_change() -> None:
    z = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    words = torch.tensor([[True, True, True, False], [True, True, False, False]])
    assert changes_of(z, words).tolist() == [2.0, 0.0]
