"""Advice on how to improve the figures of a run, except for flags that the run already has."""

from __future__ import annotations

from collections.abc import Collection

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import TargetSpec

Followed = frozenset[str]  # advice, as flags with their values


def followed(config: Config, spec: TargetSpec) -> Followed:
    """The advice that a run's own settings follow."""
    done = {
        "--prior learned": config.prior == "learned",
        "--tau 1": config.tau >= 1.0,
        "--condition-on-target": config.model.condition_on_target,
        "--class-weight balanced": config.train.class_weight not in (None, "none"),
        "--task ordinal": spec.kind == "ordinal",
    }
    return frozenset(name for name, is_done in done.items() if is_done)


def nearer_posterior(done: Collection[str] = ()) -> str:
    """How to fit a guide that is nearer to the posterior, without what the run did: `--tau 1 and fewer --nats`.

    Args:
        done: advice that is followed already.
    """
    open_ = [name for name in ("--condition-on-target", "--tau 1") if name not in done]
    return " and ".join(filter(None, [", ".join(open_), "fewer --nats"]))
