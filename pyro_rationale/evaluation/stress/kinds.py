"""Kinds of words that carry no content."""

from __future__ import annotations

# Closed-class words of English. Negations, "but" and words of degree are left out: they turn what is said.
FUNCTION_WORDS = frozenset(
    """
    a an the this that these those there here i me my mine we us our ours you your yours he him his she her hers it its
    they them their theirs who whom whose which what am is are was were be been being have has had having do does did
    doing will would shall should can could may might must of in on at by for from to with about into onto over under
    between through during before after above below up down out off again once then and or if because as until while
    so than when where how all any both each other some such own same s t re ve ll d m
    """.split()
)


def is_punctuation(token: str) -> bool:
    """Whether no character of it is a letter or a digit."""
    return not any(character.isalnum() for character in token)


def kind_of(token: str) -> str:
    """`punctuation`, `function word`, `number` or `content`."""
    if is_punctuation(token):
        return "punctuation"
    if token in FUNCTION_WORDS:
        return "function word"
    return "number" if token.isdigit() else "content"
