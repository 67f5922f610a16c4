"""Stress tests of a run: what would break it, if it leant on anything but the evidence.

Each test is a module with a function `check(subject) -> Verdict`; `TESTS` names them, with the paper they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyro_rationale.evaluation.stress import (
    correlation,
    distractors,
    mask_shape,
    positions,
    random_masks,
    skew_generator,
    skew_predictor,
    trivial_patterns,
)
from pyro_rationale.evaluation.stress.subject import RefitOptions, Settings, Subject
from pyro_rationale.evaluation.stress.verdict import Row, Verdict

__all__ = ["TESTS", "RefitOptions", "Row", "Settings", "StressTest", "Subject", "Verdict"]


@dataclass(frozen=True)
class StressTest:
    """One entry of the registry.

    Attributes:
        check: does it.
        title: for the table.
        reference: where it comes from.
        refits: whether it fits the configuration again, which takes as long as the run did, several times.
    """

    check: Callable[[Subject], Verdict]
    title: str
    reference: str
    refits: bool = False


_A2R = "Yu et al. 2021 (A2R, NeurIPS), experiments; Liu et al. 2022 (FR, NeurIPS), skewed predictor"
_FR = "Liu et al. 2022 (FR, NeurIPS), skewed generator"
_CONTROL = "Yu et al. 2019 (EMNLP), degeneration"
_TROJAN = "Jacovi and Goldberg 2021 (TACL), Trojan explanations"
_ENCODING = "Jethani et al. 2021 (AISTATS), encoding the prediction in the mask"
_A2I = "Liu et al. 2025 (A2I, ICML), attack on trivial patterns"
_DASHES = "Liu et al. 2023 (DR, KDD), table 1; Lei et al. 2016 (EMNLP)"
_BEER = "Lei et al. 2016 (EMNLP), experiments; Chang et al. 2020 (ICML), invariant rationalization"
_ADDTEXT = "Chen et al. 2022 (NAACL), section 4, AddText"

# In the order of the table: cheap ones first, so that something is there to read while others fit.
TESTS: dict[str, StressTest] = {
    "random-masks": StressTest(random_masks.check, "Predictor on random masks", _CONTROL),
    "trivial-patterns": StressTest(trivial_patterns.check, "Attacker with trivial patterns", _A2I),
    "mask-shape": StressTest(mask_shape.check, "Mask-shape probe", f"{_TROJAN}; {_ENCODING}"),
    "positions": StressTest(positions.check, "Punctuation and positions", _DASHES),
    "distractors": StressTest(distractors.check, "Inserted distractors", _ADDTEXT),
    "skewed-predictor": StressTest(skew_predictor.check, "Skewed predictor", _A2R, refits=True),
    "skewed-generator": StressTest(skew_generator.check, "Skewed generator", _FR, refits=True),
    "correlation": StressTest(correlation.check, "Correlated aspects", _BEER, refits=True),
}
