"""Cells of a benchmark: what they hold, how they are taken up again, and how processes share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.metrics import rationale_metrics
from pyro_rationale.experiments.benchmark import runner as cells
from pyro_rationale.experiments.benchmark.runner import FIT, for_selection
from pyro_rationale.experiments.benchmark.summary import figures_of
from pyro_rationale.training.callbacks.checkpoint import Checkpoint
from pyro_rationale.training.fit import fit_run
from tests.support.small_fit import Break
from tests.support.tiny_benchmark import TINY, tiny


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
