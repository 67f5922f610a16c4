"""Names and limits that the help of commands mentions: here, without torch, which takes seconds to import."""

from __future__ import annotations

from typing import Literal

LONGEST = 12  # words of a document whose masks are enumerated
TRUSTED = 0.7  # k-hat above which Vehtari et al. (2024) advise against the estimates
FEWEST_DRAWS = 21  # of a document, for a k-hat: their tail, a fifth of them, then has five weights
GRADIENTS = ("features", "parameters")
METHODS = ("exact", "importance", "mcmc", "guide", "prior")  # whose draws are on trial in simulation-based calibration
Gradient = Literal["features", "parameters"]
