"""For and against: which side each kept span is on, and its colour on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import TargetSpec
    from pyro_rationale.prediction.contributions import Contribution, Contributions

FOR = "bold underline #000000 on #9ad4ff"  # by value, as the colours of pyro_rationale.reporting.console
AGAINST = "bold underline #000000 on #ffb98a"
# Below these, a span has no sign worth a colour: its Shapley value is a difference of predictions that are nearly
# alike, and another fit may turn it round. Of ratings that is a share of the scale, well below the usual error of a
# prediction. Of classes effects are log odds: by 0.04 nats no probability moves by more than one point, since
# dp = p (1 - p) d(log odds), and p (1 - p) is at most 1/4.
LEAST_SHARE, LEAST_LOG_ODDS = 0.02, 0.04


def least_effects(spec: TargetSpec, aspect: int | None = None) -> tuple[float, ...]:
    """The effect on each target below which a span speaks neither for nor against; in the units of contributions.

    Args:
        spec: what is predicted.
        aspect: number of the one target that the spans are about, where each target has its own; `None`: all.
    """
    if spec.ranges:
        least = tuple(LEAST_SHARE * (high - low) for low, high in spec.ranges)
    else:
        least = (LEAST_LOG_ODDS,) * len(spec.names)
    return least if aspect is None else least[aspect : aspect + 1]


def signs(found: Contributions | None, words: int, least: Sequence[float] = ()) -> list[int]:
    """Sign of what each word's span does, 0 outside of spans, where it does little, and where targets differ.

    Args:
        found: the contributions of a text, if they are known.
        words: number of its words.
        least: from :func:`least_effects`; empty counts every effect.
    """
    flags = [0] * words
    for part in found.spans if found else ():
        flags[part.start : part.end] = [sign_of(part, least)] * (part.end - part.start)
    return flags


def sign_of(part: Contribution, least: Sequence[float] = ()) -> int:
    """1 for a span that raises the ratings it moves, or speaks for the predicted labels; -1 against; else 0.

    Args:
        part: what the span does to each target.
        least: from :func:`least_effects`: what a target must be moved by to count; empty counts every effect.
    """
    limits = least or (0.0,) * len(part.effects)
    moved = (effect for effect, limit in zip(part.effects, limits, strict=True) if abs(effect) >= limit)
    found = {(effect > 0) - (effect < 0) for effect in moved}
    return found.pop() if len(found) == 1 else 0
