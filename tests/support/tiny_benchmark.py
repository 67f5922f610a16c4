"""A benchmark of two methods on a few short texts, whose cells take a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pyro_rationale.experiments.benchmark.runner import BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import make_plan

TINY: dict[str, Any] = {
    "seeds": 2,
    "rates": ["1x"],
    "methods": ["chain", "relaxed"],
    "base": {"hidden": 6, "embedding": 6, "batch_size": 16, "steps": 9, "anneal": 4, "threads": 1, "device": "cpu"},
    "overrides": {"chain": {"span": 1.5}},
    "corpora": [{"name": "planted", "data": "synthetic", "documents": 48, "max_words": 40}],
}


def tiny(out: Path, **changes: Any) -> BenchmarkRunner:
    return BenchmarkRunner(replace(make_plan({**TINY, **changes}), out=out))
