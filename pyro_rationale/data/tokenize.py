"""The word tokenizer under its former import path; see :mod:`pyro_rationale.data.tokenizers`."""

from pyro_rationale.data.tokenizers.unicode import tokenize

__all__ = ["tokenize"]
