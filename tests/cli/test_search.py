"""`index`, `search` and the other commands on a run that ranks texts, from the outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.compare_objectives import compare
from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.index import index
from pyro_rationale.cli.posterior import inspect
from pyro_rationale.cli.rate_curve import curve
from pyro_rationale.cli.search import search
from pyro_rationale.cli.significance_test import against
from pyro_rationale.cli.stress import stress
from pyro_rationale.cli.studies.evidence import study as evidence
from pyro_rationale.prediction.index import Index
from tests.support.commands import ended
from tests.support.small_fit import refusal
from tests.support.untrained_pairs import untrained_run

Run = Callable[..., str]
QUERY = "my printer is broken, the paper stays in the tray"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(command: Any, *words: object) -> str:
        status, out, err = ended(capfd, command, *words)
        assert status == 0, err
        return out

    return run


@pytest.fixture(scope="module")
def run() -> Path:
    return untrained_run(questions=True)


@pytest.fixture(scope="module")
def indexed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts of the run."""
    folder = tmp_path_factory.mktemp("search") / "index"
    with pytest.raises(SystemExit) as end:
        run_command(index, ["--run", str(run), "--out", str(folder), "--quiet"])
    assert not end.value.code
    return folder


def test_search_finds_an_indexed_text_by_itself(run: Path, indexed: Path, call: Run) -> None:
    made = Index.load(indexed)
    assert made.facts["texts"] == len(made) > 48
    text = made.entries[7].marked.text
    found = json.loads(call(search, "--run", run, "--index", indexed, "--json", "--top", 3, text))
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert found["query"]["kept"] == [list(span) for span in made.entries[7].marked.spans]


def test_search_prints_both_sides(run: Path, indexed: Path, call: Run, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text(f"{QUERY}\nmy phone is silent\n", encoding="utf-8")
    out = call(search, "--run", run, "--index", indexed, "--top", 2, "--file", tmp_path / "queries.txt")
    assert out.count("score ") == out.count("probability ") == 4
    assert "queries.txt, line 2 " in out
    one = call(search, "--run", run, "--index", indexed, "--top", 2, QUERY)
    assert "[" in one


def test_unknown_words_of_a_query_are_named(run: Path, indexed: Path, call: Run) -> None:
    """They all have one vector, so that a query of such words alone finds any text of them with a score of 1."""
    strange = "zzqx qqwv uuyt"
    out = call(search, "--run", run, "--index", indexed, "--top", 1, strange)
    line = "not to be relied on: words that the model does not know, and reads all alike: zzqx, qqwv, uuyt"
    assert line in out.splitlines()
    found = json.loads(call(search, "--run", run, "--index", indexed, "--json", "--top", 1, strange))
    assert found["query"]["unknown"] == strange.split()
    assert line in call(explain, "--run", run, "--samples", 8, strange, "the paper stays").splitlines()
    known = " ".join(json.loads((run / "vocabulary.json").read_text())["words"][:4])
    assert "reads all alike" not in call(search, "--run", run, "--index", indexed, "--top", 1, known)


def test_a_corpus_of_ones_own(run: Path, call: Run, tmp_path: Path) -> None:
    rows = [{"id": "a", "title": "Printer", "body": "the paper stays"}, {"id": "b", "body": "a phone without sound"}]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = call(index, "--run", run, "--corpus", path, "--out", tmp_path / "index", "--quiet")
    assert out.startswith("2 texts, ")
    found = json.loads(call(search, "--run", run, "--index", tmp_path / "index", "--json", "Printer\nthe paper stays"))
    assert [hit["id"] for hit in found["hits"]] in (["a", "b"], ["b", "a"])
    assert {hit["text"] for hit in found["hits"]} == {"Printer\nthe paper stays", "a phone without sound"}


def test_explain_compares_a_query_with_texts(run: Path, call: Run) -> None:
    out = call(explain, "--run", run, "--samples", 8, QUERY, "the paper stays", "a phone without sound")
    assert out.startswith("query: ")
    assert out.count("over draws of both masks") == 2
    found = json.loads(call(explain, "--run", run, "--samples", 8, "--json", QUERY, "the paper stays"))
    assert found["texts"][0]["probability"] == 1.0
    assert "words kept" in call(explain, "--run", run, "--samples", 8, QUERY)


def test_evaluate_prints_rankings_of_queries(run: Path, call: Run, tmp_path: Path) -> None:
    out = call(evaluate, "--run", run, "--bootstrap", 10, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    metrics = figures["metrics"]
    assert set(metrics["aspects"]) == {"query", "candidates"}
    assert set(figures["bootstrap"]["intervals"]) >= {"map", "corpus_map", "full_map"}
    assert "intervals over queries" in " ".join(out.split())
    assert "MAP" in out
    table, _, beside = out.partition("more figures: --verbose")
    rows = table.splitlines()[:-1]
    head = next(i for i, line in enumerate(rows) if line.split() == ["all", "query", "candidates"])
    assert len(rows[head + 1 :]) <= 12
    assert [line.split("  ")[0] for line in beside.splitlines()[3:]] == [
        "this fit", "random order", "BM25 on all words"
    ]  # fmt: skip
    assert set(figures["baselines"]) == {"random", "bm25"}
    assert 0 < metrics["map"] <= 1


def test_two_runs_that_rank_texts_are_compared_query_by_query(run: Path, call: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    found = json.loads(call(against, run, copy, "--draws", 19, "--json", "-"))
    assert found["metrics"]["map"]["difference"] == 0.0
    assert found["metrics"]["map"]["p"] == 1.0


def test_inspect_writes_a_report_of_pairs(run: Path, call: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'viz' is not installed")
    call(inspect, "--run", run, "--out", tmp_path / "seen", "--documents", 4)
    page = (tmp_path / "seen" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="doc pair"') == 4
    assert "Ranked worst" in page


def test_what_cannot_be_done_is_one_line(
    run: Path, indexed: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(*words: object) -> str:
        return refusal(capfd, *words)  # type: ignore[arg-type]

    assert "holds a finished index" in said(index, "--run", run, "--out", indexed)
    assert "name it with --corpus" in said(index, "--run", run, "--out", tmp_path / "a", "--text-column", "x")
    assert "no index there" in said(search, "--run", run, "--index", tmp_path, QUERY)
    assert "made with another model" in said(search, "--run", untrained_run(), "--index", indexed, QUERY)
    other = said(search, "--run", run, "--index", indexed, "--decode", "threshold", QUERY)
    assert "made with another model" in other
    assert "--top: expected 1 to 100" in said(search, "--run", run, "--index", indexed, "--top", 0, QUERY)
    assert "no word in it" in said(search, "--run", run, "--index", indexed, " ")
    assert "--lexicon: is about predictions" in said(evaluate, "--run", run, "--lexicon", "vader")
    assert "--for: asks about a value or class" in said(explain, "--run", run, "--for", "3", QUERY)
    assert "curve: is about predictions of single texts" in said(curve, "--run", run)
    assert "compare: is about predictions of single texts" in said(compare, run)
    assert "stress: is about predictions of single texts" in said(stress, "--run", run)
    assert "study: is about predictions of single texts" in said(evidence, "--run", run)
    assert "--no-report" in said(inspect, "--run", run, "--out", tmp_path / "b", "--no-report")
