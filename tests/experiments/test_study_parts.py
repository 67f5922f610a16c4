"""Positions of kept words, the norms of a mask, and attention beside the latent-variable model."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from pyro_rationale.build import build_objective
from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.studies.questions import study as questions
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.text_lengths import cut_to
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.attention import StudyAttention
from pyro_rationale.experiments.studies.cells import Study, StudyCell
from pyro_rationale.experiments.studies.positions import position_metrics
from pyro_rationale.experiments.studies.question_variants import BASES, QUESTIONS
from pyro_rationale.experiments.studies.questions import answer, run_cells
from pyro_rationale.inference import MaskELBO
from tests.support.small_fit import flags as flags_of
from tests.support.small_fit import refusal, small
from tests.support.tiny import exact, texts, tiny_guide, tiny_model

FEW = {"documents": 30}  # where the corpus is only read to know it again


def document(size: int, opinion: list[bool] | None = None) -> Document:
    places = tuple((2 * i, 2 * i + 1) for i in range(size))
    marked = None if opinion is None else tuple(opinion)
    return Document("d", " ".join("w" * size), tuple("w" * size), places, (), None, marked)


def flags(size: int, *kept: int) -> list[bool]:
    return [t in kept for t in range(size)]


def test_positions_of_the_last_words() -> None:
    found = position_metrics([document(10), document(5)], [flags(10, 9), flags(5, 4)])
    assert found["position_mean"] == pytest.approx((0.95 + 0.9) / 2)
    assert found["position_last_fifth"] == 1.0
    assert found["position_distance"] == pytest.approx(1 - 2 / 15)  # two words of all 15 stand in the last tenth


def test_positions_are_held_against_the_words_that_carry_the_rating() -> None:
    carried = flags(10, 2, 7)
    assert position_metrics([document(10, carried)], [flags(10, 2, 7)])["position_distance"] == 0.0
    assert position_metrics([document(10, carried)], [flags(10, 2)])["position_distance"] == pytest.approx(0.5)


def test_nothing_kept_has_no_position() -> None:
    assert all(math.isnan(v) for v in position_metrics([document(4)], [flags(4)]).values())


def test_l1_of_a_discrete_mask_is_l0_in_expectation() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    torch.manual_seed(0)
    estimate = MaskELBO("rloo", 20000, norm="l1").estimate(model, guide, batch)
    torch.manual_seed(0)
    plain = MaskELBO("rloo", 20000).estimate(model, guide, batch)
    assert torch.allclose(estimate.kl, plain.kl, atol=0.05)
    assert not torch.equal(estimate.kl, plain.kl)


def test_l2_charges_the_root_of_the_number_of_words() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    torch.manual_seed(0)
    estimate = MaskELBO("rloo", 20000, norm="l2").estimate(model, guide, batch)
    for row, known in enumerate(exact(model, guide, batch)):
        counts = known.q.masks.sum(-1)
        excess = model.prior.alpha * float(known.q.expect(counts.sqrt() - counts).detach())
        want = float(known.q.expect(known.q.log_probs - known.p.log_probs).detach()) + excess
        assert float(estimate.kl[row]) == pytest.approx(want, abs=0.03)


def test_the_gradient_of_the_l2_norm_is_unbiased() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    head = guide.get_parameter("head.bias")
    known = exact(model, guide, batch)
    total = torch.zeros(())
    for one in known:
        counts = one.q.masks.sum(-1)
        excess = model.prior.alpha * (counts.sqrt() - counts)
        total = total + one.q.expect(one.kappa * one.log_likelihood + one.p.log_probs - excess) + one.q.entropy
    (want,) = torch.autograd.grad(total, head)
    torch.manual_seed(1)
    found = []
    for _ in range(100):
        estimate = MaskELBO("rloo", 200, norm="l2").estimate(model, guide, batch)
        found.append(-torch.autograd.grad(estimate.surrogate, head)[0])
    draws = torch.stack(found)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - want).abs() <= 4 * error).all()


def test_norms_that_are_none() -> None:
    with pytest.raises(ConfigError, match="--norm"):
        MaskELBO("rloo", 2, norm="l3")
    with pytest.raises(ConfigError, match="recurrent"):
        MaskELBO("rloo", 2, norm="l2").estimate(tiny_model(), tiny_guide("recurrent"), texts())


@pytest.fixture(scope="module")
def corpus() -> object:
    return load_corpus(DataOptions(documents=48))


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_attention_learns_and_keeps_the_share_of_words(kind: str, corpus) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    fit = StudyAttention(small(guide="independent", steps=60, anneal=10), corpus, kind, share=0.1)
    attention = fit.model
    batches = BucketedBatches(corpus.train, attention.vocabulary, corpus.spec, 48)
    batch = next(batches.ordered())
    torch.manual_seed(0)
    before = float(attention.loss(batch).detach())
    fit.fit()
    torch.manual_seed(0)
    assert float(attention.loss(batch).detach()) < before
    shares = attention.weights(batch).detach()
    assert torch.allclose(shares.sum(-1), torch.ones(len(batch)))
    assert float(shares[~batch.mask].abs().sum()) == 0.0
    kept = attention.topk_mask(batch)
    assert torch.equal(kept.sum(-1).long(), attention.count(batch))
    assert float((kept * shares).sum(-1).min()) >= 0.1 - 1e-6  # the top tenth holds at least its share
    metrics = fit.measure(corpus.test)
    assert metrics["empty"] == 0.0
    assert ("error_reading_all" in metrics) == (kind == "soft")


def test_hard_attention_has_the_exact_gradient_on_average(corpus) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """One draw per document: the expectation is a sum over words, of which the texts have few."""
    attention = StudyAttention(small(guide="independent"), corpus, "hard", share=0.001).model
    short = cut_to(corpus, 24).train
    batch = next(BucketedBatches(short, attention.vocabulary, corpus.spec, 4).ordered())
    bias = attention.guide.head.weight
    shares = attention.weights(batch)
    each = torch.eye(shares.shape[1])[:, None].expand(-1, len(batch), -1) * batch.mask
    costs = attention.cost(attention.model.encoder(batch.tokens, each, batch.lengths), batch)  # (T, B)
    (want,) = torch.autograd.grad((costs.detach().t() * shares).sum(-1).mean(), bias, retain_graph=True)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum(-1).mean()
    (spread,) = torch.autograd.grad(entropy, bias)
    torch.manual_seed(2)
    many = batch.repeated(25)  # a gradient is the mean of so many draws: 1,500 in all
    found = torch.stack([torch.autograd.grad(attention.loss(many), bias)[0] for _ in range(60)])
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - (want - 0.01 * spread)).abs() <= 4.5 * error + 1e-7).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": "l3"}, "--norm: expected one of l0, l1, l2"),
        ({"norm": "l2", "guide": "recurrent"}, "--guide independent"),
        ({"norm": "l1", "guide": "independent", "estimator": "rloo", "penalties": "sampled"}, "--estimator rloo"),
    ],
)
def test_norms_that_do_not_go_with_the_rest(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        small(**options)


def test_a_norm_is_a_flag_of_the_fit() -> None:
    for norm in ("l0", "l2"):
        objective = build_objective(small(norm=norm))
        assert isinstance(objective, MaskELBO)
        assert objective.norm == norm


@pytest.mark.parametrize("number", [2, 6])
def test_questions_are_answered_once(number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two seeds of tiny fits: a table with every variant, and cells that are read the second time."""
    words = [str(number), "--seeds", "1", "--out", str(tmp_path / "cells"), "--json", str(tmp_path / "a.json")]
    words += ["--markdown", str(tmp_path / "a.md"), *flags_of(documents=24, steps=4, hidden=4)]
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            run_command(questions, words)
        assert end.value.code == 0
    first, again = (json.loads(path.read_text()) for path in (tmp_path / "a.json",) * 2)
    assert first == again
    (rows,) = first["tables"].values()
    if number == 2:
        rules = ("agreeing", "mode", "threshold", "sample", "threshold .2", "average of 8")
        assert [row["variant"] for row in rows][:6] == [f"relaxed: {rule}" for rule in rules]
        assert len(rows) == 18
    else:
        assert [row["variant"] for row in rows] == ["relaxed, exact KL", "soft attention", "hard stochastic attention"]
        assert rows[1]["error_reading_all"] is not None
    assert "| relaxed" in (tmp_path / "a.md").read_text()
    shown = capfd.readouterr().out
    assert QUESTIONS[number].title[:30] in shown


def test_a_rule_that_cells_of_older_versions_lack_has_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: Study, cell: StudyCell, config: Config) -> dict[str, Any]:
        rules = ("mode", "sample") if cell.seed else ("agreeing", "mode", "sample")
        return {"mse": 1.0, "rules": {rule: {"mse": float(cell.seed)} for rule in rules}}

    monkeypatch.setattr(Study, "_fit", fit)
    rows = answer(QUESTIONS[2], Study(tmp_path, FEW), 2, by_rule=True)
    assert [row["variant"] for row in rows][:2] == ["relaxed: mode", "relaxed: sample"]
    assert rows[0]["mse"] == pytest.approx([0.5, 0.5], abs=0.3)


def test_processes_share_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell is made once, by whoever comes first; who needs one that is being made waits for it."""
    made: list[tuple[str, int]] = []

    def fit(self: Study, cell: StudyCell, config: Config) -> dict[str, Any]:
        made.append((cell.variant.name, cell.seed))
        time.sleep(0.02)
        return {"mse": float(cell.seed)}

    monkeypatch.setattr(Study, "_fit", fit)
    asked = [QUESTIONS[1], QUESTIONS[3]]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: run_cells(Study(tmp_path, FEW), asked, 2), range(3)))
        rows = list(pool.map(lambda _: answer(QUESTIONS[1], Study(tmp_path, FEW), 3, by_rule=False), range(3)))
    variants = {variant.name for question in asked for variant in question.variants}
    expected = [(name, seed) for name in variants for seed in range(2)]
    expected += [(variant.name, 2) for variant in QUESTIONS[1].variants]
    assert sorted(made) == sorted(expected)
    assert rows[0] == rows[1] == rows[2]
    assert rows[0][0]["mse"] == [1.0, 1.0]


def test_a_cell_that_another_process_is_at_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "_fit", lambda *_: {"mse": 1.0})
    study = Study(tmp_path, FEW)
    cells = [StudyCell(QUESTIONS[1].variants[0], seed) for seed in (0, 1)]
    assert study.run(cells[0])
    (folder,) = tmp_path.iterdir()
    with FileLock(folder / "seed-1.lock"):
        assert not study.run(cells[1])
        assert [study.state(cell) for cell in cells] == ["finished", "being made"]
        assert study.run(cells[0]), "is finished"
    assert study.run(cells[1])


def test_a_question_that_nobody_asked(capfd: pytest.CaptureFixture[str]) -> None:
    assert "there are 1, 2, 3" in refusal(capfd, questions, "8")


@pytest.mark.parametrize("corpus", list(BASES))
def test_every_arm_is_a_configuration_of_its_own(corpus: str, tmp_path: Path) -> None:
    variants = {variant.name: variant for question in QUESTIONS.values() for variant in question.variants}
    study = Study(tmp_path, {**BASES[corpus], "data": corpus})
    cells = [StudyCell(variant, 3) for variant in variants.values() if not variant.attention]
    made = {json.dumps(study.config(cell).to_dict(), sort_keys=True) for cell in cells}
    assert len(made) == len(variants) - 2  # soft and hard attention are no fits
    assert all(f'"data": "{corpus}"' in config and '"seed": 3' in config for config in made)
