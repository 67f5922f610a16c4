"""Options that change nothing are told, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from pyro_rationale.config import Config
from pyro_rationale.training.idle_options import warn_of_idle

IDLE: list[tuple[dict[str, Any], str]] = [
    ({"tune_encoder": "all"}, "--tune-encoder all: --encoder lstm has no transformer, so it changes nothing"),
    ({"tune_generator": "top:2"}, "--tune-generator top:2: --generator bilstm has no transformer"),
    ({"checkpointing": True}, "--checkpointing: there is no --pretrained transformer"),
    ({"lambda1": 0.1, "lambda2": 0.1, "rate": 0.2}, "--rate 0.2: --lambda1 and --lambda2 replace it"),
    ({"kappa": 2.0, "nats": 50.0}, "--nats 50: --kappa replaces it"),
    ({"lagrange_rate": 0.1}, "--lagrange-rate 0.1: the share of words is held by --control rate"),
    ({"warmup_texts": "masked"}, "--warmup-texts masked: there is no --warmup"),
    ({"anneal": 0, "schedule": "linear"}, "--schedule linear: there is no --anneal"),
]


@pytest.mark.parametrize(("options", "message"), IDLE, ids=[next(reversed(options)) for options, _ in IDLE])
def test_what_changes_nothing_is_told(options: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture) -> None:
    given = Config().changed(**options)
    warn_of_idle(given, given.settled())
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(message)
    warn_of_idle(given.settled(), given.settled())  # what was given is not known any more
    assert len(caplog.messages) == 1


def test_what_was_not_given_or_changes_something_is_not(caplog: pytest.LogCaptureFixture) -> None:
    for options in ({}, {"warmup": 5, "warmup_texts": "masked"}, {"schedule": "linear", "nats": 50.0, "rate": 0.2}):
        given = Config().changed(**options)
        warn_of_idle(given, given.settled())
    given = Config().changed(guide="hardkuma", lagrange_rate=0.1)
    warn_of_idle(given, given.settled())
    given = Config().changed(pretrained="minilm", encoder="transformer", tune_encoder="top:1", checkpointing=True)
    warn_of_idle(given, given.settled())
    assert not caplog.messages
