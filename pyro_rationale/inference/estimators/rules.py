"""The gradient estimators by name: which guides they serve, how many masks they draw, what they do with penalties.

Rules only; the configuration and the objectives both ask here. What the estimators are stands in
:mod:`pyro_rationale.inference.objectives.elbo`.
"""

from __future__ import annotations

from pyro_rationale.errors import ConfigError

SCORE_FUNCTION = ("reinforce", "rloo", "muprop", "sum-and-sample", "disarm", "nvil")
PATHWISE = ("relaxed", "straight-through")
ESTIMATORS = ("tracegraph", *SCORE_FUNCTION, *PATHWISE)
LINEAR = ("muprop", "sum-and-sample")  # the first-order effect of each word in closed form
PENALTIES = ("exact", "sampled", "constant")
NORMS = ("l0", "l1", "l2")
DEFAULT = {
    "independent": "sum-and-sample",
    "chain": "sum-and-sample",
    "recurrent": "muprop",  # whose masks cost a step per word to draw: too much for those that are drawn and not read
    "relaxed": "relaxed",
    "hardkuma": "relaxed",
}
ONE_SAMPLE = ("relaxed", "tracegraph")


def default_samples(estimator: str) -> int:
    """K where `--samples` is not given."""
    if estimator in ONE_SAMPLE:
        return 1
    return 8 if estimator == "sum-and-sample" else 4


def check_guide(estimator: str, guide: str) -> None:
    """Refuse an estimator that does not serve the guide family of that name.

    Raises:
        ConfigError: that is so.
    """
    if estimator == "relaxed" and guide not in ("relaxed", "hardkuma"):
        raise ConfigError(f"--estimator relaxed works with --guide relaxed, not with --guide {guide}")
    if guide == "hardkuma" and estimator != "relaxed":
        raise ConfigError(
            f"--estimator {estimator}: samples of --guide hardkuma are weights that carry gradients themselves; use "
            "--estimator relaxed, or --guide independent"
        )
    if guide == "relaxed" and estimator not in PATHWISE:
        raise ConfigError(
            f"--estimator {estimator}: samples of --guide relaxed carry gradients themselves; use "
            "--estimator relaxed, or --guide independent, the same family without"
        )
    if estimator == "disarm" and guide != "independent":
        raise ConfigError(
            f"--estimator disarm draws pairs of masks of independent words, not those of --guide {guide}; use "
            "--estimator muprop, or --guide independent"
        )


def check_samples(estimator: str, samples: int) -> None:
    """Refuse a K that the estimator cannot use.

    Raises:
        ConfigError: too few masks per document, or an odd number of them where they come in pairs.
    """
    if samples < 1:
        raise ConfigError(f"--samples: expected at least 1, got {samples}")
    if estimator in ("rloo", *LINEAR) and samples < 2:
        raise ConfigError(f"--samples: {estimator} needs at least 2 masks per document, got {samples}")
    if estimator == "disarm" and samples % 2:
        raise ConfigError(f"--samples: disarm draws masks in pairs and needs an even number, got {samples}")


def check_penalties(estimator: str, penalties: str, guide: str = "") -> None:
    """Refuse a treatment of KL and entropy that the estimator, or the guide, does not know.

    Raises:
        ConfigError: that is so.
    """
    if penalties not in PENALTIES:
        raise ConfigError(f"--penalties: expected {', '.join(PENALTIES[:-1])} or {PENALTIES[-1]}, got {penalties!r}")
    if guide == "hardkuma" and penalties == "sampled":
        raise ConfigError("--penalties sampled: those of --guide hardkuma are its closed forms; leave it out")
    if estimator in LINEAR and penalties == "sampled":
        raise ConfigError(f"--penalties sampled is for comparison with the paper; {estimator} has them exact, use rloo")
    if estimator == "tracegraph" and penalties == "constant":
        raise ConfigError("--penalties constant: tracegraph always samples them, with their gradient; use rloo")


def check_norm(norm: str, estimator: str, guide: str, penalties: str) -> None:
    """Refuse a norm of the mask that is none, or that this objective has no place for.

    Raises:
        ConfigError: that is so.
    """
    if norm not in NORMS:
        raise ConfigError(f"--norm: expected one of {', '.join(NORMS)}, got {norm!r}")
    if norm == "l0":
        return
    if guide == "recurrent":
        raise ConfigError(f"--norm {norm}: the recurrent guide has no exact marginals; use --guide independent")
    if estimator == "tracegraph" or penalties != "exact":
        raise ConfigError(f"--norm {norm} goes with exact penalties: use --estimator rloo and leave --penalties out")
