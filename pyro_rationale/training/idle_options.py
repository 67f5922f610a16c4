"""Options that were given and change nothing in a fit, since what they are about is not part of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pyro_rationale.config import Config
from pyro_rationale.data.files.text import log
from pyro_rationale.nn.encoders import ENCODERS
from pyro_rationale.nn.generators import GENERATORS, needs_vocabulary
from pyro_rationale.options import as_typed


def warn_of_idle(given: Config, config: Config) -> None:
    """Log the given options that change nothing, and why.

    Args:
        given: the configuration as it was given; of one in which nothing is open, it cannot be told what was.
        config: with all options chosen.
    """
    if given.is_settled:
        return
    for name, why in idle_options(config):
        part = given.part_of(name)
        default = next(item.default for item in dataclasses.fields(part) if item.name == name)
        if (value := getattr(part, name)) != default:
            log.warning("%s: %s, so it changes nothing", as_typed(name, value), why)


def idle_options(config: Config) -> Iterator[tuple[str, str]]:
    """Names of options that change nothing, whatever their values, and why."""
    model, train = config.model, config.train
    if not needs_vocabulary(GENERATORS[config.generator]):
        yield "tune_generator", f"--generator {config.generator} has no transformer"
    if not needs_vocabulary(ENCODERS[model.encoder]):
        yield "tune_encoder", f"--encoder {model.encoder} has no transformer"
    if model.pretrained is None:
        yield from ((name, "there is no --pretrained transformer") for name in ("checkpointing", "self_contained"))
    if model.lambda1 is not None:
        yield from ((name, "--lambda1 and --lambda2 replace it") for name in ("rate", "span", "schedule"))
    elif train.anneal == 0:
        yield "schedule", "there is no --anneal"
    if model.kappa is not None:
        yield "nats", "--kappa replaces it"
    if config.control != "lagrangian":
        yield "lagrange_rate", f"the share of words is held by --control {config.control}"
    if train.warmup == 0:
        yield "warmup_texts", "there is no --warmup"
