"""A benchmark's file: what it says, and what is refused in it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.benchmark.runner import Corpora, for_selection
from pyro_rationale.experiments.benchmark.spec import Cell, make_plan, read_plan
from tests.support.small_fit import ROOT
from tests.support.tiny_benchmark import TINY, tiny


def test_a_plan() -> None:
    plan = make_plan({
        **TINY,
        "rates": ["0.5x", "1x", 0.13],
        "seeds": [3, 1],
        "corpora": [
            TINY["corpora"][0],
            {"data": "imdb", "rates": [0.1], "methods": ["chain"], "split-seed": 4,
             "overrides": {"chain": {"span": 2, "nats": 300}}},
        ],
    })
    assert [(r.label, r.number, r.of_gold) for r in plan.corpora[0].rates] == [
        ("0.5x", 0.5, True), ("1x", 1.0, True), ("0.13", 0.13, False)
    ]
    assert len(plan.cells()) == 2 * 2 * 3 + 2
    assert (plan.seeds, plan.reference) == ((3, 1), "chain")
    chain, relaxed = (
        plan.config(Cell(plan.corpora[1], plan.corpora[1].rates[0], method, 3), 0.1) for method in ("chain", "relaxed")
    )
    assert (chain.model.span, chain.model.nats, chain.model.rate, chain.seed) == (2.0, 300.0, 0.1, 3)
    assert isinstance(chain.model.span, float)
    assert (relaxed.model.span, relaxed.model.hidden) == (None, 6)
    assert chain.data == relaxed.data == plan.data(plan.corpora[1])
    assert chain.data.split_seed == 4


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rate": [0.1]}, "rate: no such key; did you mean rates?"),
    ({"methods": ["chian"]}, "methods: no method 'chian'; did you mean chain?"),
    ({"methods": ["quantum"]}, "methods: no method 'quantum'; there are independent, relaxed"),
    ({"methods": []}, "methods: expected a list of methods"),
    ({"corpora": [{**TINY["corpora"][0], "methods": ["tfidf"]}]}, "corpora.planted.methods: tfidf is not among"),
    ({"corpora": [{**TINY["corpora"][0], "methods": "chain"}]}, "corpora.planted.methods: expected a list"),
    ({"methods": ["chain", "chain"]}, "methods: something stands there twice"),
    ({"reference": "recurrent"}, "reference: 'recurrent' is not among methods; take one of chain, relaxed"),
    ({"rates": [1.5]}, "rates: expected a share of words between 0 and 1"),
    ({"rates": ["x"]}, "rates: expected a share of words"),
    ({"rates": ["1_0x"]}, "rates: expected a share of words"),
    ({"rates": [True]}, "rates: expected a share of words"),
    ({"rates": 0.1}, "rates: expected a list of shares"),
    ({"rates": ["1x", "1.0x"]}, "rates: something stands there twice"),
    ({"seeds": 0}, "seeds: expected how many, 10,000 at most, or a list"),
    ({"seeds": 2**63 - 1}, "seeds: expected how many, 10,000 at most, or a list"),
    ({"seeds": [0.5]}, "seeds: expected how many, 10,000 at most, or a list"),
    ({"curve": [0.0]}, "curve: expected a list of shares of words above 0"),
    ({"out": 3}, "out: expected the name of a folder"),
    ({"base": {"hiden": 3}}, "base.hiden: no such key; did you mean hidden?"),
    ({"base": {"hidden": "many"}}, "base.hidden: expected a whole number, got 'many'"),
    ({"base": {"hidden": True}}, "base.hidden: expected a whole number, got True"),
    ({"base": {"nats": "200"}}, "base.nats: expected a number, got '200'"),
    ({"base": {"data": 3}}, "base.data: expected a text, got 3"),
    ({"base": {"freeze_vectors": 1}}, "base.freeze_vectors: expected true or false, got 1"),
    ({"base": {"target_column": "y"}}, "base.target_column: expected a list, got 'y'"),
    ({"base": {"target_range": [1, 2, 3]}}, "base.target_range: expected a list"),
    ({"base": {"rate": 0.1}}, "base.rate: cannot be set here, for it is what rates lists"),
    ({"base": {"guide": "chain"}}, "base.guide: cannot be set here, for the method decides it"),
    ({"base": {"estimator": "rloo"}}, "base.estimator: cannot be set here"),
    ({"base": {"lambda1": 0.1}}, "base.lambda1: cannot be set here"),
    ({"base": 3}, "base: expected a table"),
    ({"overrides": {"chains": {}}}, "overrides: no method 'chains'; did you mean chain?"),
    ({"overrides": {"chain": {"documents": 3}}}, "overrides.chain.documents: all methods read the same texts"),
    ({"corpora": []}, "corpora: expected at least one [[corpora]] table"),
    ({"corpora": [{"name": "a"}, {"name": "a"}]}, "corpora: a stands there twice"),
    ({"corpora": [{"name": "a/b"}]}, "corpora.a/b.name: expected a name of letters"),
    ({"corpora": [{"name": ".."}]}, "corpora....name: expected a name"),
    ({"corpora": [{"name": "a", "texts": 3}]}, "corpora.a.texts: expected a whole number from 10, got 3"),
    ({"corpora": [{"name": "a", "documant": 3}]}, "corpora.a.documant: no such key; did you mean documents?"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[message for _, message in BAD])
def test_what_means_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        make_plan({**TINY, **changes})


def test_rates_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"corpora\.planted: no rates; give rates = \[0\.1\] here"):
        make_plan({key: value for key, value in TINY.items() if key != "rates"})


@pytest.mark.parametrize("base", [{"unit": "sentence"}, {"exclude": "punctuation"}])
def test_methods_that_keep_single_words_are_not_for_other_masks(base: dict[str, Any]) -> None:
    methods = ["chain", "full-text", "soft-attention", "random", "tfidf"]
    corpora = [{"name": "planted", "data": "synthetic"}]
    plan = make_plan({"rates": [0.2], "methods": methods, "base": base, "corpora": corpora})
    for cell in plan.cells():
        if cell.method in ("chain", "full-text"):
            plan.config(cell, 0.2)
        else:
            with pytest.raises(ConfigError, match=f"{cell.method}, seed 0: --.*: the method keeps single words"):
                plan.config(cell, 0.2)


def test_a_corpus_of_fewer_texts() -> None:
    plan = make_plan({**TINY, "corpora": [{"name": "planted", "data": "synthetic", "documents": 60, "texts": 30}]})
    corpus = Corpora(plan)[plan.corpora[0]]
    assert sum(len(split) for split in (corpus.train, corpus.dev, corpus.test)) == 30


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_the_files_that_come_along(path: Path) -> None:
    plan = read_plan(path)
    for cell in plan.cells():
        plan.config(cell, 0.1)  # every combination of flags makes sense
        plan.settings(cell)


def test_the_example_of_the_documentation() -> None:
    page = (ROOT / "docs" / "research" / "benchmark.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    plan = make_plan(tomllib.loads(text))
    for cell in plan.cells():
        plan.config(cell, 0.1)
    assert [rate.label for rate in plan.corpora[1].rates] == ["0.1", "0.2"]


def test_gold_shares_come_from_training_texts_and_never_from_test_texts(tmp_path: Path) -> None:
    shop = tiny(tmp_path)
    own = shop.plan.corpora[0]
    corpus, rate = shop.corpora[own], own.rates[0]
    gold = [flag for document in corpus.train for flag in document.gold or ()]
    assert rate.share(corpus, "planted") == pytest.approx(np.mean(gold), abs=1e-4)
    bare = replace(for_selection(corpus), test=corpus.test)
    with pytest.raises(ConfigError, match="no gold rationale in the training or development texts"):
        rate.share(bare, "planted")
    with pytest.raises(ConfigError, match="30x the gold share is"):
        replace(rate, label="30x", number=30.0).share(corpus, "planted")
