"""Dropout by bytes: the share, the mean, and what goes back."""

from __future__ import annotations

import pytest
import torch

from pyro_rationale.nn.dropout import byte_dropout


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_a_share_is_dropped_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(0)
    values = torch.ones(173, 1201)
    dropped = byte_dropout(values, share, training=True)
    zeros = dropped == 0
    assert float(zeros.float().mean()) == pytest.approx(share, abs=6e-3)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=6e-3)
    for place in range(8):  # no bit of the random words is always the same
        assert float(zeros.flatten()[place::8].float().mean()) == pytest.approx(share, abs=1.2e-2)
    assert len(dropped.unique()) == 2


def test_gradients_go_where_values_went() -> None:
    values = torch.randn(5, 7, requires_grad=True)
    dropped = byte_dropout(values, 0.4, training=True)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient * values, dropped)


def test_nothing_is_dropped_when_nothing_is_to_be() -> None:
    values = torch.randn(3, 3)
    assert byte_dropout(values, 0.3, training=False) is values
    assert byte_dropout(values, 0.0, training=True) is values
    assert (byte_dropout(torch.ones(400, 400), 0.001, training=True) == 0).float().mean() < 0.01
