"""A benchmark's tests against the reference, and its tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_rationale.experiments.baselines import find_method
from pyro_rationale.experiments.benchmark import tables
from pyro_rationale.experiments.benchmark.runner import CELL, DOCUMENTS, BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import Cell
from pyro_rationale.experiments.benchmark.summary import Block, summarise
from tests.support.tiny_benchmark import tiny


def invented(shop: BenchmarkRunner, cell: Cell, hits: list[int], cost: list[float]) -> None:
    """A cell of documents with four words, two of them gold, two kept."""
    folder = shop.folder(cell)
    folder.mkdir(parents=True)
    count = len(hits)
    f1 = 2 * sum(hits) / (4 * count)
    facts = {
        "format": 1, "corpus": "planted", "rate": {"label": "0.5", "share": 0.5}, "method": cell.method,
        "title": find_method(cell.method).title, "seed": cell.seed, "kind": "regression", "seconds": 1.0,
        "config": shop.config(cell).to_dict(), "curves": [],
        "views": {"own": {"f1": f1, "mse": sum(cost) / count, "selected": 0.5, "level": None}},
    }
    (folder / CELL).write_text(json.dumps(facts))
    views = {"own": {"hits": hits, "kept": [2] * count, "cost": cost}}
    ids = [str(i) for i in range(count)]
    counts = {"ids": ids, "words": [4] * count, "gold": [2] * count, "known": [1] * count, "views": views}
    (folder / DOCUMENTS).write_text(json.dumps(counts))


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., list[Block]]:
    def make(methods: dict[str, list[list[int]]]) -> list[Block]:
        seeds = len(next(iter(methods.values())))
        shop = tiny(tmp_path, methods=list(methods), seeds=seeds, rates=[0.5])
        for cell in shop.plan.cells():
            hits = methods[cell.method][cell.seed]
            invented(shop, cell, hits, [0.5 * (2 - h) for h in hits])
        return summarise(shop)

    return make


def test_means_spreads_and_tests_by_hand(results: Callable[..., list[Block]]) -> None:
    good, bad = [2, 2, 2, 2, 2, 1], [1, 1, 1, 1, 2, 1]
    (block,) = results({"chain": [good, good], "relaxed": [bad, [1] * 6], "independent": [good, good]})
    ours, theirs, same = block.lines
    assert ours.means["f1"] == pytest.approx(11 / 12)
    assert theirs.means["f1"] == pytest.approx((7 / 12 + 6 / 12) / 2)
    assert theirs.sds["f1"] == pytest.approx(np.std([7 / 12, 6 / 12], ddof=1))
    assert not ours.tests
    test = theirs.tests["f1"]
    assert test.difference == pytest.approx(13 / 24 - 11 / 12)
    # Five documents differ over both seeds together, always one way: 2 of the 2^5 swaps are as extreme.
    assert test.documents == pytest.approx(2 / 32)
    assert test.holm == pytest.approx(2 * 2 / 32)
    assert test.worst == pytest.approx(2 / 16)  # four differ in the first seed
    assert test.seeds == pytest.approx(2 / 6)  # of six ways to divide four seeds
    assert same.tests["f1"].documents == same.tests["f1"].holm == 1.0
    assert theirs.tests["mse"].documents == pytest.approx(2 / 32)


def test_tables_say_the_same_in_every_format(results: Callable[..., list[Block]]) -> None:
    blocks = results({"chain": [[2, 2, 1], [2, 2, 2]], "reinforce-independent": [[1, 1, 0], [1, 1, 1]]})
    text = tables.markdown(blocks)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert "| chain guide | 2 | 0.917 (0.12) |" in text
    assert text.startswith("**planted, target 50.0 % of the words: its own masks**")
    found = list(csv.DictReader(io.StringIO(tables.as_csv(blocks))))
    f1 = {row["method"]: row for row in found if row["measure"] == "f1"}
    assert float(f1["chain"]["mean"]) == pytest.approx(11 / 12)
    assert f1["chain"]["p_documents"] == ""
    assert float(f1["reinforce-independent"]["p_documents"]) == pytest.approx(0.25)  # three documents differ
    tex = tables.latex(blocks)
    assert tex.count(r"\begin{tabular}") == tex.count(r"\bottomrule") == 1
    assert r"50.0 \% of the words" in tex
    (begin,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", tex)
    body = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") + 1 for line in body} == {len(begin)}
    assert json.loads(json.dumps(tables.plain(blocks)))[0]["lines"][0]["method"] == "chain"
    assert tables.escaped("a_b & 5% #1 {x} $~^\\<") == (
        r"a\_b \& 5\% \#1 \{x\} \$\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}"
    )


def test_one_seed_and_one_method_make_a_table_too(results: Callable[..., list[Block]]) -> None:
    (block,) = results({"chain": [[2, 1]]})
    assert block.lines[0].sds["f1"] is None
    assert "| 1 | 0.75 |" in tables.markdown([block])
