"""The command `benchmark`, from first to last."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.benchmark import benchmark
from pyro_rationale.errors import TrainingError
from pyro_rationale.experiments.baselines import BASELINES, Baseline
from pyro_rationale.experiments.benchmark import runner as cells
from pyro_rationale.experiments.benchmark.runner import FIT, BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import read_plan
from pyro_rationale.prediction.rationalizer import Rationalizer
from pyro_rationale.run_files import read_config
from tests.support.small_fit import ROOT, refusal
from tests.support.tiny_benchmark import TINY, tiny


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
