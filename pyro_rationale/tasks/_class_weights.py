"""Weights of classes as `--class-weight` names them; read without torch, for the command line."""

from __future__ import annotations

import math
import re

from pyro_rationale.errors import ConfigError

_WEIGHT = re.compile(r"(.+?)=([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)(?:,\s*|$)", re.IGNORECASE)


def parse_class_weights(text: str) -> dict[str, float]:
    """Weights by label from `LABEL=W,...`; a label may hold commas.

    Raises:
        ConfigError: it is something else, or a weight is not above 0.
    """
    found, end = {}, 0
    for match in _WEIGHT.finditer(text):
        if match.start() == end:
            found[match[1].strip()], end = float(match[2]), match.end()
    if not found or end < len(text) or not all(0.0 < weight < math.inf for weight in found.values()):
        raise ConfigError(
            f"--class-weight: expected none, balanced, or LABEL=W with a weight above 0, several with commas, got "
            f"{text!r}"
        )
    return found
