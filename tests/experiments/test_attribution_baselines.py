"""LIME, SHAP and integrated gradients as methods of a benchmark, and its judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.data import load_corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.rate_curves import mask_rules_of
from pyro_rationale.experiments.baselines import find_method, fit_method
from pyro_rationale.experiments.baselines._attribution import AttributionOptions, AttributionRationalizer
from pyro_rationale.experiments.benchmark import tables
from pyro_rationale.experiments.benchmark.runner import BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import make_plan
from pyro_rationale.experiments.benchmark.summary import summarise
from tests.support.small_fit import small

PLAN: dict[str, Any] = {
    "rates": [0.2],
    "methods": ["random", "integrated-gradients"],
    "judge": "random",
    "base": {"hidden": 4, "embedding": 4, "batch_size": 16, "steps": 4, "anneal": 2, "threads": 1, "device": "cpu"},
    "overrides": {"integrated-gradients": {"evaluations": 3}},
    "corpora": [{"name": "planted", "data": "synthetic", "documents": 40, "max_words": 20}],
}


def test_the_same_share_of_words_is_kept_of_every_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lime")
    config = small(documents=24, rate=0.25, steps=2)
    corpus = load_corpus(config.data)
    fitted = fit_method("lime", config, corpus, tmp_path / "fit", AttributionOptions(evaluations=8))
    assert isinstance(fitted, AttributionRationalizer)
    masks = fitted.masks(corpus.test)
    assert [sum(mask) for mask in masks] == [max(1, round(0.25 * len(mask))) for mask in masks]
    assert all(scores.max() == 1.0 and scores.min() >= 0.0 for scores in fitted.marginals(corpus.test))
    assert mask_rules_of(fitted) == ("top-k",)
    again = fit_method("lime", config, corpus, tmp_path / "fit", AttributionOptions(evaluations=8))
    assert again.masks(corpus.test) == masks
    monkeypatch.setattr(
        "pyro_rationale.experiments.baselines._attribution.attribute", lambda *_: pytest.fail("computed twice")
    )
    fitted.masks(corpus.test)


def test_a_benchmark_has_them_beside_the_others_before_one_judge(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    runner = BenchmarkRunner(replace(make_plan(PLAN), out=tmp_path))
    for cell in runner.plan.cells():
        runner.run(cell)
    [block] = [block for block in summarise(runner, 9) if block.view == "own"]
    for line in block.lines:
        assert {"comprehensiveness", "sufficiency", "judge_kept_mse", "seconds_per_text"} <= line.means.keys()
    head = tables.grid(block)[0]
    assert head.index("comprehensiveness") < head.index("seconds per text")
    assert len(list(tmp_path.rglob("judge"))) == 1
    facts = runner.read(runner.plan.cells()[1])
    assert facts["settings"] == {"evaluations": 3}
    assert np.isfinite(facts["seconds_per_text"])


def test_what_the_plan_refuses() -> None:
    with pytest.raises(ConfigError, match=r"^judge: expected one of .*random.*, got 'chain'$"):
        make_plan({**PLAN, "judge": "chain"})
    plan = make_plan({**PLAN, "overrides": {"integrated-gradients": {"evaluations": 1}}})
    with pytest.raises(ConfigError, match=r"evaluations: expected at least 2"):
        plan.settings(plan.cells()[1])
    assert find_method("shap").keeps_words
