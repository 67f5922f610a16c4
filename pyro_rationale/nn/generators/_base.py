"""The context of a generator: numbers about a document, such as its target, that move its words alike."""

from __future__ import annotations

from torch import Tensor, nn


def with_context(states: Tensor, context: Tensor | None, layer: nn.Linear | None) -> Tensor:
    """States `(B, T, H)` moved by a context.

    Args:
        states: of the words.
        context: `(B, C)`, or `None`, which leaves the states as they are.
        layer: from C to H numbers; `None` in a network that was built without a context.

    Raises:
        ValueError: a context for a network that was built without.
    """
    if context is None:
        return states
    if layer is None:
        raise ValueError("got a context, but this generator was built without one (context=0)")
    return states + layer(context)[:, None]
