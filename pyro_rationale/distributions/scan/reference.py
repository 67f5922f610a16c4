"""Recurrences along a chain, each written twice in plain torch: word after word, and in log depth.

No gradients here, and no choice between the two: `scan` has the adjoints, `dispatch` the choice. All take and give
`(*b, T)`; inside, words come first, so that a slice of words is a block of memory.

In log depth (the work-efficient scan of Blelloch 1990) neighbouring maps are composed pairwise, T/2 at a time, then
T/4, ..., until the first word's map spans the whole chain; on the way back every other word takes its value from the
one behind it. That is O(T) work in 2 log2 T steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    """Compute log(1 + exp(x)); the default threshold of 20 would cost float64 nine of its digits."""
    return F.softplus(x, threshold=40.0)


def messages_serial(fields: Tensor, coupling: Tensor, hard: bool = False) -> Tensor:
    """u_t = a_t - J_t + s(u_{t+1} + J_t) - s(u_{t+1} - J_t), from the end.

    Args:
        fields: a, `(*b, T)`.
        coupling: J, `(*b, T - 1)`.
        hard: s is relu (maxima) and not softplus (sums).
    """
    bump = torch.relu if hard else softplus
    both = torch.stack([coupling, -coupling]).movedim(-1, 0).contiguous().unbind(0)  # (2, *b) each
    shifted = torch.cat([fields[..., :-1] - coupling, fields[..., -1:]], dim=-1)
    columns = list(shifted.movedim(-1, 0).contiguous().unbind(0))
    logit = columns[-1]
    for t in range(len(columns) - 2, -1, -1):
        ahead, behind = bump(logit + both[t]).unbind(0)
        logit = columns[t] = columns[t] + (ahead - behind)
    return torch.stack(columns, dim=-1)


def messages_log_depth(fields: Tensor, coupling: Tensor, hard: bool = False) -> Tensor:
    """Messages of :func:`messages_serial`, by composing maps.

    Every composition of the chain's maps is again of their form, x -> low + s(x + right) - s(x + left), an S (or
    mirrored S) between the values low and high with knees at -right and -left: a spin chain whose inner spins are
    summed out is one pair of spins (decimation). All four numbers stay within the fields and couplings of the two
    words at the ends, however long the chain, so nothing overflows and nothing is normalised. With relu the map is
    a shifted clamp.
    """
    bump = torch.relu if hard else softplus
    size = fields.shape[-1]
    fields, coupling = fields.movedim(-1, 0), F.pad(coupling.movedim(-1, 0), (0, 0) * (coupling.dim() - 1) + (0, 1))
    ends = torch.stack([fields - coupling, fields + coupling])  # (2, T, *b): low, high
    knees = torch.stack([-coupling, coupling])  # left, right; the last word's map is constant
    step = 1
    while step < size:
        outer, inner = slice(0, size - step, 2 * step), slice(step, size, 2 * step)
        low, knee = ends[0, outer], knees[:, outer]
        grid = bump(knee[:, None] + ends[:, inner])  # (2 knees, 2 ends, pairs, *b)
        rise = grid[1] - grid[0]
        torch.add(knees[0, inner], grid[:, 1] - grid[:, 0], out=knee)
        torch.add(low, rise[1], out=ends[1, outer])
        low.add_(rise[0])
        step *= 2
    values = ends[0]  # of every map that reaches the end of the chain
    while step > 1:
        step //= 2
        here, ahead = slice(step, size - step, 2 * step), slice(2 * step, size, 2 * step)
        left, right = bump(knees[:, here] + values[ahead])
        values[here].add_(right - left)
    return values.movedim(0, -1).contiguous()


def linear_serial(gain: Tensor, offset: Tensor, reverse: bool = False) -> Tensor:
    """x_t = gain_t * x_{t-1} + offset_t from x_{-1} = 0, or with x_{t+1} and from the end if `reverse`.

    Args:
        gain: `(*b, T)`; integers are welcome.
        offset: `(*b, T)`.
        reverse: direction.
    """
    gains = gain.movedim(-1, 0).contiguous().unbind(0)
    columns = list(offset.movedim(-1, 0).contiguous().unbind(0))
    order = range(len(columns) - 2, -1, -1) if reverse else range(1, len(columns))
    value = columns[-1 if reverse else 0]
    for t in order:
        value = columns[t] = torch.addcmul(columns[t], gains[t], value)
    return torch.stack(columns, dim=-1)


def linear_log_depth(gain: Tensor, offset: Tensor, reverse: bool = False) -> Tensor:
    """Values of :func:`linear_serial`, by composing maps."""
    size = offset.shape[-1]
    gains, values = (part.movedim(-1, 0).clone(memory_format=torch.contiguous_format) for part in (gain, offset))
    step = 1
    while step < size:
        outer = _counted(0, size - step, 2 * step, size, reverse)
        inner = _counted(step, size, 2 * step, size, reverse)
        gain = gains[outer]
        values[outer].addcmul_(gain, values[inner])
        gain.mul_(gains[inner])
        step *= 2
    while step > 1:
        step //= 2
        here = _counted(step, size - step, 2 * step, size, reverse)
        ahead = _counted(2 * step, size, 2 * step, size, reverse)
        values[here].addcmul_(gains[here], values[ahead])
    return values.movedim(0, -1).contiguous()


def _counted(start: int, stop: int, stride: int, size: int, reverse: bool) -> slice:
    """slice(start, stop, stride), or the same counted from the other end (a slice of torch cannot run backwards)."""
    if reverse:
        return slice(start, stop, stride)
    last = start + stride * (len(range(start, stop, stride)) - 1)
    return slice(size - 1 - last, size - start, stride)
