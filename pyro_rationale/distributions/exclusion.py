"""Excluded words: a run of kept words neither begins nor ends with one, or there is none in it at all.

An excluded word is kept where the words around it are ("clean *and* quiet"), never for its own sake. That is a cost
of `COST` nats for each end of a run on such a word, which a chain has room for. With x_t = 1 for an excluded word,

    z_t (1 - z_{t-1}) = 1/2 ( |z_t - z_{t-1}| + z_t - z_{t-1} ),        z_t (1 - z_{t+1}) likewise,

are sums of changes and of words: they add 1/2 COST (x_t + x_{t+1}) to each coupling and its differences to the fields,
and the result is a chain like any other, with all its closed forms. A word behind a negation pays as the first of a
run only, a negation as the last: then x is another one for the two ends. In the middle of what is written as one word a
word pays for both ends, though it may be what a run is about. The cost is finite, so that a text of nothing
but excluded words still has a distribution given that a word is kept: one run of them.

A barrier is an excluded word that costs as much again wherever it is kept, so that no run goes across it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.data.word_classes import BARRIER, ENDS_NO_RUN, INSIDE, NEVER_FIRST, NEVER_LAST

COST = 30.0  # nats; exp(-30) is far below what a draw in float32 can see, and its square still far above zero


def own_sake(kinds: Tensor) -> Tensor:
    """Bool: words that may be kept for their own sake, from kinds of excluded words; True counts as excluded."""
    return ~((kinds == ENDS_NO_RUN) | (kinds == BARRIER))


def _ends(kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Bool, twice: words that no run begins with, and words that none ends with."""
    neither = ~own_sake(kinds) | (kinds == INSIDE)
    return neither | (kinds == NEVER_FIRST), neither | (kinds == NEVER_LAST)


def chain_terms(excluded: Tensor, words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Amounts to add to a chain's fields `(*b, T)` and couplings `(*b, T - 1)`.

    Args:
        excluded: kinds of excluded words, `(*b, T)`, 0 on padding; True counts as 1.
        words: bool, `(*b, T)`, True on words.
        dtype: of the result.
    """
    begins, stops = (flags.to(dtype) for flags in _ends(excluded))
    first = F.pad(words[..., :1], (0, words.shape[-1] - 1))
    outward = begins * first.to(dtype) + stops * last_word(words).to(dtype)  # ends of the text: no change there
    outward = outward + (excluded == BARRIER).to(dtype)
    difference = (stops[..., :-1] - begins[..., 1:]) / 2 * words[..., 1:]
    fields = F.pad(difference, (1, 0)) - F.pad(difference, (0, 1)) - outward
    return COST * fields, COST / 2 * (stops[..., :-1] + begins[..., 1:])


def last_word(words: Tensor) -> Tensor:
    """Bool, `(*b, T)`: True on the last word of each document, from the mask of its words."""
    return words & ~F.pad(words[..., 1:], (0, 1))


def ends_on(excluded: Tensor, words: Tensor, mean: Tensor, change: Tensor) -> Tensor:
    """Expected number of ends of runs that stand on excluded words, and of kept barriers, `(*s, *b)`.

    Args:
        excluded: kinds of excluded words, `(*b, T)`.
        words: bool, `(*b, T)`, True on words.
        mean: P(z_t = 1), or the masks themselves, `(*s, *b, T)`.
        change: P(z_{t+1} != z_t), or whether they differ, `(*s, *b, T - 1)`, 0 next to padding.
    """
    before = F.pad(change, (1, 0)) + F.pad(mean[..., :1], (0, mean.shape[-1] - 1))
    behind = torch.where(last_word(words), mean, F.pad(change, (0, 1)))
    begins = before + mean - F.pad(mean[..., :-1], (1, 0))
    stops = behind + mean - F.pad(mean[..., 1:], (0, 1))
    no_begin, no_stop = _ends(excluded)
    ends = (torch.where(no_begin, begins, 0.0) + torch.where(no_stop, stops, 0.0)) / 2
    return (ends + torch.where(excluded == BARRIER, mean, 0.0)).sum(-1)
