"""Tokenizers by name: each public module here registers one."""

from __future__ import annotations

from typing import Protocol

from pyro_rationale.registry import Registry

Tokens = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]


class Tokenizer(Protocol):
    """A callable that splits a text into the tokens that a model reads.

    Attributes:
        version: changes with the rules, so that cached tokens of other rules are not used.
    """

    @property
    def version(self) -> str:
        """A string that changes with the rules."""
        ...

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """Split a text.

        Args:
            text: any string; the empty one has no tokens.
            limit: return no more than the first so many tokens.

        Returns:
            The tokens, and for each the `(start, end)` characters of `text` that it stands for.
        """
        ...


TOKENIZERS: Registry[Tokenizer] = Registry("tokenizers", __name__, "--tokenizer", ("words",))
