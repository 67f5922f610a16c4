"""The LSTM that a GPU replays: its calls stood in for on the CPU, so that all around them is held against `nn.LSTM`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pyro_rationale.nn.kernels import cudnn_graph as recorded
from pyro_rationale.nn.kernels.cudnn_graph import recorded_lstm, run_lstm, usable


def functional(inputs: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    states: Tensor = torch._VF.lstm(inputs, (start, start), list(weights), True, 1, 0.0, True, False, True)[0]
    return states


def stand_in(inputs: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    return functional(inputs, weights), torch.zeros(3), torch.zeros(2)


def stand_in_back(grad: Tensor, inputs: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        asked = [value.detach().requires_grad_() for value in (inputs, *saved[:4])]
        return torch.autograd.grad(functional(asked[0], tuple(asked[1:])), asked, grad)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.Size]]:
    """cuDNN's calls replaced; the shapes that they got."""
    shapes: list[torch.Size] = []

    def run(inputs: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        shapes.append(inputs.shape)
        return stand_in(inputs, *weights)

    monkeypatch.setattr(recorded, "_run", run)
    monkeypatch.setattr(recorded, "_run_back", stand_in_back)
    usable.cache_clear()
    yield shapes
    usable.cache_clear()


@pytest.mark.parametrize(("rows", "length", "padded"), [(3, 5, (8, 16)), (8, 16, (8, 16)), (9, 33, (16, 48))])
def test_states_and_gradients(calls: list[torch.Size], rows: int, length: int, padded: tuple[int, int]) -> None:
    """Rounded up to few shapes, which changes nothing."""
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 6, batch_first=True)
    inputs = torch.randn(rows, length, 4, requires_grad=True)
    results = []
    for states in (lstm(inputs)[0], recorded_lstm(inputs, *lstm.parameters())):
        gradients = torch.autograd.grad(states.sin().sum(), [inputs, *lstm.parameters()])
        results.append([states.detach(), *gradients])
    assert calls == [(*padded, 4)]
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_calls_are_used_if_they_do_what_the_module_does(calls: list[torch.Size]) -> None:
    assert usable(torch.device("cpu"))


@pytest.mark.parametrize("fault", ["raises", "differs"])
def test_and_given_up_with_one_warning_if_not(
    calls: list[torch.Size], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def wrong(grad: Tensor, inputs: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        if fault == "raises":
            raise RuntimeError("no such call\nwith details")
        first, *rest = stand_in_back(grad, inputs, *saved)
        return first + 0.1, *rest

    monkeypatch.setattr(recorded, "_run_back", wrong)
    with pytest.warns(UserWarning, match=r"slower: (no such call|they differ from nn.LSTM)$"):
        assert not usable(torch.device("cpu"))
    assert not usable(torch.device("cpu"))


def test_a_cpu_is_left_alone(calls: list[torch.Size]) -> None:
    lstm, inputs = nn.LSTM(4, 6, batch_first=True), torch.randn(2, 3, 4)
    assert torch.equal(run_lstm(lstm, inputs), lstm(inputs)[0])
    assert calls == []
