"""Two LSTMs over the words of texts without their padding, one in each direction, in a single loop on a CPU.

Torch's LSTM on a CPU also computes the gradient of its inputs, which states of a frozen transformer have no use for,
reads padding, and runs once for each direction. Here both directions are projected by one product of matrices, and
their recurrences share a loop whose steps are few and large. The gradient is written out, as in
:mod:`pyro_rationale.nn.kernels.gated_lstm`; tests hold it against autograd and against `nn.LSTM`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Packing:
    """Where the words of padded texts stand once padding is left out.

    Words come in the order in which texts that are all read at once, from the first word on, are read.

    Attributes:
        words: place of each word in the padded grid, `(W,)`.
        behind: the words in the order in which they are read from the last word on, `(W,)`; its own inverse.
        rows: texts that have a word at each step; they become fewer.
    """

    words: Tensor
    behind: Tensor
    rows: list[int]

    @classmethod
    def of(cls, lengths: Tensor, size: int) -> Packing:
        """The packing of texts of these lengths, `(B,)`, padded to `size` words."""
        lengths, order = lengths.clamp(max=size).sort(descending=True, stable=True)
        steps = torch.arange(size, device=lengths.device)[:, None]
        there = steps < lengths  # (T, B)
        mirrored = (lengths - 1 - steps).clamp(min=0)
        number = (there.flatten().cumsum(0) - 1).view_as(there)
        behind = number.gather(0, mirrored)[there]
        return cls((order * size + steps)[there], behind, [rows for rows in there.sum(-1).tolist() if rows])

    def pad(self, packed: Tensor, batch: int, size: int) -> Tensor:
        """Values of words `(W, H)` in a grid `(batch, size, H)`, zeros on padding."""
        grid = packed.new_zeros(batch * size, packed.shape[-1])
        return grid.index_copy(0, self.words, packed).view(batch, size, -1)


def two_way_lstm(inputs: Tensor, packing: Packing, ahead: Any, behind: Any) -> Tensor:
    """States of words from the words before them, and from those behind, `(W, E)` -> `(W, 2 H)`.

    Args:
        inputs: the words, packed.
        packing: of the texts.
        ahead: `nn.LSTM` that reads each text from its first word; one layer.
        behind: `nn.LSTM` that reads it from its last word; of equal size.
    """
    weights = [lstm.all_weights[0] for lstm in (ahead, behind)]
    from_word, from_state = (torch.stack([_output_first(way[i]) for way in weights]) for i in (0, 1))
    bias = torch.stack([_output_first(way[2] + way[3]) for way in weights])
    states: Tensor = _TwoWayLSTM.apply(inputs, from_word, from_state, bias, packing)
    return states


def _output_first(weight: Tensor) -> Tensor:
    """Rows for output, input, forget and candidate in place of torch's order: three that are squashed alike."""
    enter, forget, candidate, out = weight.chunk(4)
    return torch.cat([out, enter, forget, candidate])


class _TwoWayLSTM(torch.autograd.Function):
    """Both LSTMs and their gradient, from weights `(2, 4 H, *)` of input and state, and biases `(2, 4 H)`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor, packing: Packing
    ) -> Tensor:
        words, width = len(inputs), from_state.shape[-1]
        gates = inputs.new_empty(2, words, 4 * width)
        torch.addmm(bias[0], inputs, from_word[0].t(), out=gates[0])
        torch.index_select(torch.addmm(bias[1], inputs, from_word[1].t()), 0, packing.behind, out=gates[1])
        hidden, cell, squashed = (inputs.new_empty(2, words, width) for _ in range(3))
        transposed = from_state.transpose(1, 2)
        start, before = 0, 0
        for rows in packing.rows:
            here, earlier = slice(start, start + rows), slice(before, before + rows)
            now = gates[:, here]
            if start:
                for way in range(2):
                    now[way].addmm_(hidden[way, earlier], transposed[way])
            now[..., : 3 * width].sigmoid_()
            out, enter, forget, candidate = now.split(width, dim=-1)
            fresh = torch.mul(enter, candidate.tanh_(), out=cell[:, here])
            if start:
                fresh.addcmul_(forget, cell[:, earlier])
            torch.mul(out, torch.tanh(fresh, out=squashed[:, here]), out=hidden[:, here])
            start, before = start + rows, start
        ctx.save_for_backward(inputs, from_word, from_state, gates, hidden, cell, squashed, packing.behind)
        ctx.rows = packing.rows
        states = inputs.new_empty(words, 2 * width)
        states[:, :width] = hidden[0]
        states[:, width:] = hidden[1].index_select(0, packing.behind)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, from_word, from_state, gates, hidden, cell, squashed, behind = ctx.saved_tensors
        width, words, rows = from_state.shape[-1], len(inputs), ctx.rows
        d_hidden = torch.empty_like(hidden)
        d_hidden[0] = grads[0][:, :width]
        d_hidden[1] = grads[0][:, width:].index_select(0, behind)
        out, enter, forget, candidate = gates.split(width, dim=-1)
        to_fresh = out * (1 - squashed.square())
        # What a gradient of the state, or of the cell, is multiplied with on its way to the gates; that of the forget
        # gate lacks the cell before.
        d_gates = torch.empty_like(gates).view(2, words, 4, width)
        torch.mul(squashed * out, 1 - out, out=d_gates[:, :, 0])
        torch.mul(enter * candidate, 1 - enter, out=d_gates[:, :, 1])
        torch.mul(forget, 1 - forget, out=d_gates[:, :, 2])
        torch.mul(enter, 1 - candidate.square(), out=d_gates[:, :, 3])
        flat = d_gates.view(2, words, 4 * width)
        d_cell, d_from_state = torch.zeros_like(cell), torch.zeros_like(from_state)
        end = words
        for t in reversed(range(len(rows))):
            here = slice(end - rows[t], end)
            d_state, d_fresh = d_hidden[:, here], d_cell[:, here]
            d_fresh.addcmul_(d_state, to_fresh[:, here])
            d_gates[:, here, 0].mul_(d_state)
            d_gates[:, here, 1:].mul_(d_fresh.unsqueeze(2))
            end -= rows[t]
            if not t:
                d_gates[:, here, 2] = 0.0
                break
            before = slice(end - rows[t - 1], end - rows[t - 1] + rows[t])
            d_gates[:, here, 2].mul_(cell[:, before])
            torch.mul(d_fresh, forget[:, here], out=d_cell[:, before])
            for way in range(2):
                now = flat[way, here]
                d_hidden[way, before].addmm_(now, from_state[way])
                d_from_state[way].addmm_(now.t(), hidden[way, before])
        by_word = [flat[0], flat[1].index_select(0, behind)]
        d_inputs = None
        if ctx.needs_input_grad[0]:
            d_inputs = (by_word[0] @ from_word[0]).addmm_(by_word[1], from_word[1])
        d_from_word = torch.stack([part.t() @ inputs for part in by_word])
        return d_inputs, d_from_word, d_from_state, flat.sum(1), None
