"""The benchmark: its file, its cells, that selection sees no test label, its tests and its tables."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.cli.benchmark import benchmark
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, TrainingError
from pyro_rationale.evaluation.metrics import rationale_metrics
from pyro_rationale.evaluation.rate_curves import mask_rule
from pyro_rationale.experiments.baselines import BASELINES, Baseline, find_method, method_names
from pyro_rationale.experiments.benchmark import runner as cells
from pyro_rationale.experiments.benchmark import tables
from pyro_rationale.experiments.benchmark.runner import CELL, DOCUMENTS, FIT, BenchmarkRunner, for_selection
from pyro_rationale.experiments.benchmark.spec import Cell, make_plan, read_plan
from pyro_rationale.experiments.benchmark.summary import Block, figures_of, summarise
from pyro_rationale.prediction.rationalizer import Rationalizer
from pyro_rationale.run_files import read_config
from pyro_rationale.training.callbacks.checkpoint import Checkpoint
from pyro_rationale.training.fit import fit_run
from tests.support.small_fit import ROOT, Break, refusal

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


# The file.


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


# Nothing is chosen on test labels.


class Sealed(Document):
    """A document whose labels raise while the seal is on."""

    on = True

    def __getattribute__(self, name: str) -> Any:
        if Sealed.on and name in ("targets", "gold", "opinion", "maps"):
            raise AssertionError(f"{name} of a test document was read before measuring")
        return super().__getattribute__(name)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Test documents are sealed until the measuring phase begins, and again after it."""

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        values = [{f.name: getattr(d, f.name) for f in fields(Document)} for d in corpus.test]
        return replace(corpus, test=tuple(Sealed(**value) for value in values))

    measure = cells.measure_cell

    def unsealed(*arguments: Any) -> Any:
        Sealed.on = False
        try:
            return measure(*arguments)
        finally:
            Sealed.on = True

    monkeypatch.setattr(cells, "load_corpus", load)
    monkeypatch.setattr(cells, "measure_cell", unsealed)
    Sealed.on = True
    yield
    Sealed.on = True


@pytest.mark.usefixtures("sealed")
def test_selection_never_sees_a_test_label(tmp_path: Path) -> None:
    own = [name for name in method_names() if not name.startswith("pyhighlights-")]  # test_pyhighlights.py
    shop = tiny(tmp_path, methods=own, seeds=1, curve=[0.2])
    with pytest.raises(AssertionError, match="was read before measuring"):
        _ = shop.corpora[shop.plan.corpora[0]].test[0].targets
    for cell in shop.plan.cells():
        shop.run(cell)
        assert shop.state(cell) == "finished"
    for cell in shop.plan.cells():
        found = shop.read(cell)["views"]["own"]
        assert "f1" in found  # measured it was


def test_a_method_gets_no_test_text_and_no_gold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Corpus] = []

    def spy(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
        seen.append(corpus)
        return find_method("relaxed").fit(config, corpus, folder)

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        marked = tuple(replace(d, maps=(d.gold or (),)) for d in corpus.train)
        return replace(corpus, train=marked)

    monkeypatch.setattr(cells, "load_corpus", load)
    monkeypatch.setitem(BASELINES._added, "chain", Baseline("spy", spy))
    shop = tiny(tmp_path)
    shop.run(shop.plan.cells()[0])
    (corpus,) = seen
    assert corpus.test == ()
    for document in (*corpus.train, *corpus.dev):
        assert (document.gold, document.opinion, document.maps) == (None, None, None)
        assert document.targets


def test_levels_do_not_depend_on_labels_or_test_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other test labels, other gold: the same levels and masks, hence the same words kept."""
    one = tiny(tmp_path / "one", seeds=1)
    cell = one.plan.cells()[0]
    one.run(cell)

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        flipped = tuple(
            replace(d, targets=(1.0 - d.targets[0],), gold=tuple(not flag for flag in d.gold or ()))
            for d in corpus.test
        )
        return replace(corpus, test=flipped)

    monkeypatch.setattr(cells, "load_corpus", load)
    other = tiny(tmp_path / "other", seeds=1)
    same = other.plan.cells()[0]
    other.run(same)
    for view, found in one.documents(cell)["views"].items():
        mine = other.documents(same)["views"][view]
        assert mine["kept"] == found["kept"]
        assert mine["cost"] != found["cost"]
        assert other.read(same)["views"][view]["level"] == one.read(cell)["views"][view]["level"]


def test_levels_meet_the_target_on_development_texts(tmp_path: Path) -> None:
    shop = tiny(tmp_path, seeds=1, rates=[0.25])
    cell = shop.plan.cells()[1]
    corpus = for_selection(shop.corpora[cell.corpus])
    selected = cells.select(cell.method, shop.config(cell), corpus, tmp_path / "fit")
    for view, way in (("matched", "threshold"), ("prior", "prior")):
        masks = mask_rule(selected.rationalizer, corpus.dev, way).at(selected.levels[view])
        assert 0.23 < np.concatenate(masks).mean() <= 0.25


# Cells.


def test_what_a_cell_holds_is_enough_to_test_again(tmp_path: Path) -> None:
    shop = tiny(tmp_path, seeds=1, curve=[0.1, 0.3])
    cell = shop.plan.cells()[0]
    shop.run(cell)
    facts, counts = shop.read(cell), shop.documents(cell)
    corpus = shop.corpora[cell.corpus]
    assert counts["ids"] == [document.id for document in corpus.test]
    assert set(facts["views"]) == {"own", "matched", "prior"}
    for view, metrics in facts["views"].items():
        again = figures_of(counts, view, "regression")
        assert again["f1"].value == pytest.approx(metrics["f1"])
        assert again["mse"].value == pytest.approx(metrics["mse"])
        assert sum(counts["views"][view]["kept"]) / sum(counts["words"]) == pytest.approx(metrics["selected"])
    assert [curve["way"] for curve in facts["curves"]] == ["threshold", "top-k", "prior"]
    assert [point["rate"] for point in facts["curves"][0]["points"]] == [0.1, 0.3]
    every = rationale_metrics(corpus.test, [(True,) * len(d.tokens) for d in corpus.test])
    assert sum(counts["gold"]) / sum(counts["words"]) == pytest.approx(every["gold"])


def test_an_interrupted_fit_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, straight = tiny(tmp_path / "broken", seeds=1), tiny(tmp_path / "straight", seeds=1)
    cell = broken.plan.cells()[1]  # relaxed: its flags are those of the plan
    assert (cell.method, broken.state(cell)) == ("relaxed", "missing")
    folder = broken.folder(cell) / FIT
    config = broken.config(cell)
    config = config.changed(guide="relaxed")
    with pytest.raises(KeyboardInterrupt):
        fit_run(config, folder, callbacks=[Break(steps=5)], corpus=for_selection(broken.corpora[cell.corpus]))
    assert broken.state(cell) == "interrupted"
    steps: list[int] = []
    monkeypatch.setattr(Checkpoint, "on_step_end", lambda self, run, record: steps.append(run.trainer.step))
    broken.run(cell)
    assert steps == [6, 7, 8, 9]
    assert broken.read(cell)["seconds"] is None
    monkeypatch.undo()
    straight.run(straight.plan.cells()[1])
    assert broken.documents(cell) == straight.documents(straight.plan.cells()[1])


def test_a_finished_cell_is_read_and_never_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = tiny(tmp_path, seeds=1)
    cell = shop.plan.cells()[0]
    shop.run(cell)
    monkeypatch.setattr(cells, "fit_method", lambda *_: pytest.fail("fitted again"))
    tiny(tmp_path, seeds=1).run(cell)
    other = tiny(tmp_path, seeds=1, overrides={"chain": {"span": 1.7}})
    with pytest.raises(ConfigError, match=r"was made with span = 1\.5, and 1\.7 is requested; name another folder"):
        other.run(other.plan.cells()[0])
    threads = tiny(tmp_path, seeds=1, base={**TINY["base"], "threads": 2})
    threads.run(threads.plan.cells()[0])  # no other fit


def test_two_processes_share_the_cells(tmp_path: Path) -> None:
    one, other = tiny(tmp_path), tiny(tmp_path)
    cell = one.plan.cells()[0]
    assert one.state(cell) == "missing"
    with one.locked(cell) as ours:
        assert ours
        assert other.state(cell) == "being made"
        with other.locked(cell) as theirs:
            assert not theirs
    assert other.state(cell) == "missing"
    with other.locked(cell) as ours:
        assert ours


# Tests against the reference, and tables.


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


# The command.


def toml(path: Path, text: str = "") -> Path:
    path.write_text((ROOT / "benchmarks" / "configs" / "tiny.toml").read_text() + text)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    benchmark.main([str(word) for word in words], standalone_mode=False)
    return capsys.readouterr().out


def test_the_command_from_first_to_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = toml(tmp_path / "tiny.toml"), tmp_path / "out"
    assert "0 finished, 0 being made, 0 interrupted, 4 missing" in run(capsys, path, "--out", out, "--list")
    text = run(capsys, path, "--out", out, "--seed", 1, "--quiet")
    assert "relaxed guide" in text
    assert "2 finished, 0 being made, 0 interrupted, 2 missing" in run(capsys, path, "--out", out, "--list")
    run(capsys, path, "--out", out)
    names = {file.name for file in out.iterdir() if file.is_file()}
    assert names == {"table.md", "table.csv", "table.tex", "results.json", "curves.csv"}
    result = json.loads((out / "results.json").read_text())
    assert [(cell["method"], cell["seed"]) for cell in result["cells"]] == [
        ("chain", 0), ("relaxed", 0), ("chain", 1), ("relaxed", 1)
    ]
    assert len(result["tables"]) == 3
    assert len((out / "curves.csv").read_text().splitlines()) == 1 + 4 * 3 * 2
    before = {name: (out / name).read_bytes() for name in names}
    monkeypatch.setattr(cells, "fit_method", lambda *_: pytest.fail("fitted again"))
    run(capsys, path, "--out", out)
    run(capsys, path, "--out", out, "--tables")
    assert before == {name: (out / name).read_bytes() for name in names}


def test_cells_from_before_the_file_named_a_judge_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = read_plan(toml(tmp_path / "tiny.toml"))
    monkeypatch.setattr(BenchmarkRunner, "is_finished", lambda self, cell: cell.seed == 0)
    judged = {"chain": {"sufficiency": 0.5}, "relaxed": {}}
    monkeypatch.setattr(BenchmarkRunner, "read", lambda self, cell: {"views": {"own": judged[cell.method]}})
    found = [BenchmarkRunner(one).unjudged(plan.cells()) for one in (plan, replace(plan, judge="random"))]
    assert [[(cell.method, cell.seed) for cell in cells] for cells in found] == [[], [("relaxed", 0)]]


def test_cells_without_tables_and_one_rate_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = toml(tmp_path / "tiny.toml"), tmp_path / "out"
    path.write_text(path.read_text().replace('["1x"]', '["1x", 0.3]'))
    one = (path, "--out", out, "--method", "chain", "--seed", 0, "--rate", "0.3")
    assert run(capsys, *one, "--no-tables", "--quiet") == ""
    assert {file.relative_to(out).parts[:3] for file in out.rglob("cell.json")} == {("planted", "0.3", "chain")}
    assert not (out / "results.json").exists()
    assert "chain guide" in run(capsys, path, "--out", out, "--tables")


def test_hardkuma_steers_to_the_changes_that_rate_and_span_mean(tmp_path: Path) -> None:
    shop = tiny(tmp_path, methods=["hardkuma-changes"], seeds=1, rates=[0.2], base={**TINY["base"], "span": 2.5})
    cell = shop.plan.cells()[0]
    shop.run(cell)
    fitted = read_config(shop.folder(cell) / FIT)[0]
    assert fitted.control == "lagrangian"
    assert fitted.train.transitions == pytest.approx(0.16)
    assert shop.read(cell)["config"]["train"]["transitions"] is None  # the plan's, the same for all methods


def test_a_fit_that_diverges_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: Any) -> Rationalizer:
        raise TrainingError("the loss is not finite")

    monkeypatch.setitem(BASELINES._added, "relaxed", Baseline("it diverges", diverges))
    text = run(capsys, toml(tmp_path / "tiny.toml"), "--out", tmp_path / "out", "--seed", 0)
    assert "not finished: planted, 1x, relaxed, seed 0: the loss is not finite" in text
    assert "chain guide" in text


def test_cells_that_others_hold_are_left_to_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = toml(tmp_path / "tiny.toml"), tmp_path / "out"
    shop = BenchmarkRunner(replace(read_plan(path), out=out))
    with shop.locked(shop.plan.cells()[0]):
        text = run(capsys, path, "--out", out, "--seed", 0)
        assert "1 finished, 1 being made" in run(capsys, path, "--out", out, "--seed", 0, "--list")
    assert "not finished: planted, 1x, chain, seed 0: another process is at it" in text


def test_what_the_command_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = toml(tmp_path / "tiny.toml")
    assert "no.toml: cannot be read" in refusal(capfd, benchmark, tmp_path / "no.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    assert "broken.toml: not TOML" in refusal(capfd, benchmark, broken)
    wrong = toml(tmp_path / "wrong.toml", "hiden = 3\n")
    assert "wrong.toml: corpora.planted.hiden: no such key; did you mean hidden?" in refusal(capfd, benchmark, wrong)
    assert "--method crf: not in the file; it has chain, relaxed" in refusal(capfd, benchmark, path, "--method", "crf")
    assert "--rate 2x: not in the file; it has 1x" in refusal(capfd, benchmark, path, "--rate", "2x")
    assert "give one of them" in refusal(capfd, benchmark, path, "--tables", "--no-tables")
    message = refusal(capfd, benchmark, path, "--out", tmp_path / "out", "--tables")
    assert "no cell is finished yet" in message
    spans = toml(tmp_path / "spans.toml")
    spans.write_text(spans.read_text().replace('["1x"]', "[0.9]"))
    message = refusal(capfd, benchmark, spans, "--out", tmp_path / "out")
    assert "planted, 0.9, chain, seed 0: --rate, --span: a share of 0.9 needs runs of more than 9 words" in message
    assert not (tmp_path / "out").exists()
