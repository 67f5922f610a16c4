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
from pyro_rationale.fitted import FittedModel
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
    assert call(search, "--run", run, "--index", indexed, "--top", 2, "--decode", "mode", QUERY) == one


def test_a_table_of_queries_is_searched_row_by_row(run: Path, indexed: Path, call: Run, tmp_path: Path) -> None:
    """A row without a word has no hits, so that what comes out can be laid beside what went in."""
    path = tmp_path / "queries.csv"
    path.write_text(f'key,asked,n\n1,"{QUERY}",a\n2,,b\n2,?!...,c\n', encoding="utf-8")
    words = ("--run", run, "--index", indexed, "--top", 1, "--json", "--file", path)
    found = [json.loads(line) for line in call(search, *words, "--text-column", "asked").splitlines()]
    assert [row["id"] for row in found] == ["line 2", "line 3", "line 4"]
    assert [len(row["hits"]) for row in found] == [1, 0, 0]
    assert [row["query"]["text"] for row in found] == [QUERY, "", "?!..."]
    named = call(search, *words, "--text-column", "asked", "--id-column", "key").splitlines()
    assert [json.loads(line)["id"] for line in named] == ["1", "2", "2"]
    one = json.loads(call(search, "--run", run, "--index", indexed, "--top", 1, "--json", QUERY))
    assert json.loads(named[0])["hits"] == one["hits"]


def test_a_query_of_a_table_is_read_as_a_question_of_the_corpus_is(
    run: Path, indexed: Path, call: Run, tmp_path: Path
) -> None:
    path = tmp_path / "queries.jsonl"
    title, _, body = Index.load(indexed).entries[7].marked.text.partition("\n")
    path.write_text(json.dumps({"id": "q", "title": title, "body": body}) + "\n", encoding="utf-8")
    found = json.loads(call(search, "--run", run, "--index", indexed, "--top", 1, "--json", "--file", path))
    assert found["id"] == "q"
    assert found["hits"][0]["score"] == pytest.approx(1.0, abs=1e-5)


def test_blank_lines_of_a_file_of_queries_have_no_hits(run: Path, indexed: Path, call: Run, tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_text(f"{QUERY}\n\n ? \nmy phone is silent\n", encoding="utf-8")
    words = ("--run", run, "--index", indexed, "--top", 2, "--file", path)
    found = [json.loads(line) for line in call(search, *words, "--json").splitlines()]
    assert [len(row["hits"]) for row in found] == [2, 0, 0, 2]
    assert call(search, *words).splitlines().count("no word in it") == 2


def test_what_is_wrong_with_a_table_of_queries_is_said_before_anything_is_found(
    run: Path, indexed: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(command: Any, path: Path, *more: object) -> str:
        return refusal(capfd, command, "--run", run, "--file", path, *more)

    path = tmp_path / "queries.csv"
    path.write_text("id,text\n1,fine\n2,fine,too\n", encoding="utf-8")
    found = ("--index", indexed)
    assert f"{path}, line 3: has 3 fields" in said(search, path, *found)
    assert "has no column 'txt'" in said(search, path, *found, "--text-column", "txt")
    assert "has no column 'key'" in said(search, path, *found, "--id-column", "key")
    assert f"{path}: is a table; python -m pyro_rationale.search --file" in said(explain, path)
    lines = tmp_path / "queries.txt"
    lines.write_text("fine\n", encoding="utf-8")
    assert "--id-column: is about tables" in said(search, lines, *found, "--id-column", "key")


def test_a_corpus_is_what_other_commands_read(
    run: Path, call: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = tmp_path / "corpus"
    lines.write_text("the paper stays\na phone without sound\n", encoding="utf-8")
    assert call(index, "--run", run, "--corpus", lines, "--out", tmp_path / "a").startswith("2 texts, ")
    twice = tmp_path / "twice.csv"
    twice.write_text("text,text\na,b\n", encoding="utf-8")
    out = ("--run", run, "--out", tmp_path / "b", "--corpus", twice)
    assert "line 1: 2 columns are named 'text'; rename all but one" in refusal(capfd, index, *out)
    datasets = pytest.importorskip("datasets", reason="writes what is read here")
    datasets.Dataset.from_dict({"text": ["the paper stays", "no sound"]}).save_to_disk(str(tmp_path / "saved"))
    assert call(index, "--run", run, "--corpus", tmp_path / "saved", "--out", tmp_path / "c").startswith("2 texts, ")


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
    assert "more than the" not in out
    found = json.loads(call(search, "--run", run, "--index", tmp_path / "index", "--json", "Printer\nthe paper stays"))
    assert [hit["id"] for hit in found["hits"]] in (["a", "b"], ["b", "a"])
    assert {hit["text"] for hit in found["hits"]} == {"Printer\nthe paper stays", "a phone without sound"}


def test_an_index_says_which_texts_were_cut(run: Path, call: Run, tmp_path: Path) -> None:
    path, most = tmp_path / "corpus.jsonl", FittedModel.load(run).config.data.max_words
    assert most is not None
    rows = [{"id": "a", "body": "word " * (most + 3)}, {"id": "b", "body": "a phone without sound"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = call(index, "--run", run, "--corpus", path, "--out", tmp_path / "index", "--quiet")
    assert f"1 of 2 texts have more than the {most:,} words that the run reads (--max-words)" in out


def test_explain_compares_a_query_with_texts(run: Path, call: Run) -> None:
    out = call(explain, "--run", run, "--samples", 8, QUERY, "the paper stays", "a phone without sound")
    assert out.startswith("query: ")
    assert out.count("over draws of both masks") == 2
    found = json.loads(call(explain, "--run", run, "--samples", 8, "--json", QUERY, "the paper stays"))
    assert found["texts"][0]["probability"] == 1.0
    assert "words kept" in call(explain, "--run", run, "--samples", 8, QUERY)


def test_evaluate_names_the_column_by_which_no_texts_are_similar(
    run: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("q,d,same\nmy printer,my phone,0\nmy paper,no sound,0\n", encoding="utf-8")
    columns = ("--text-column", "q", "--text-column", "d", "--target-column", "same")
    assert "no row has two similar texts by column 'same'" in refusal(
        capfd, evaluate, "--run", run, "--data", path, *columns
    )


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
    assert figures["decode"] == "mode"
    assert "masks by mode" in " ".join(out.split())


def test_two_runs_that_rank_texts_are_compared_query_by_query(run: Path, call: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    found = json.loads(call(against, run, copy, "--draws", 19, "--json", "-"))
    assert found["metrics"]["map"]["difference"] == 0.0
    assert found["metrics"]["map"]["p"] == 1.0
    assert found["decode"] == "mode"


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
    for nothing in (" ", "...", "?!"):
        assert "no word in it" in said(search, "--run", run, "--index", indexed, nothing)
    assert "--lexicon: is about predictions" in said(evaluate, "--run", run, "--lexicon", "vader")
    assert "--for: asks about a value or class" in said(explain, "--run", run, "--for", "3", QUERY)
    assert "curve: is about predictions of single texts" in said(curve, "--run", run)
    assert "compare: is about predictions of single texts" in said(compare, run)
    assert "stress: is about predictions of single texts" in said(stress, "--run", run)
    assert "study: is about predictions of single texts" in said(evidence, "--run", run)
    assert "--no-report" in said(inspect, "--run", run, "--out", tmp_path / "b", "--no-report")
