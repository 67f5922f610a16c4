"""Curves of one model: another prior against enumeration, levels, monotony, labels hidden, the command."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_rationale.cli.rate_curve import curve, curve_tables
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.rate_curves import (
    MASK_RULES,
    Curve,
    PriorShiftRule,
    ThresholdRule,
    TopKRule,
    lowest_shift,
    mask_rule,
    mask_rules_of,
    measure,
    own_point,
    reweighted,
    trace,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.tasks import Numbers
from tests.support.oracle import Oracle, all_masks, changes
from tests.support.small_fit import refusal, whole
from tests.support.tiny import LENGTHS, texts, tiny_guide

CLOSED = ("independent", "relaxed", "chain")
DELTAS = (-4.0, -1.0, -0.2, 0.0, 0.3, 1.0, 5.0)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize(("delta", "coupling"), [(0.0, 0.0), (0.7, 0.0), (-1.3, 0.0), (0.4, 0.9), (-0.4, -0.3)])
def test_another_prior_against_enumeration(name: str, delta: float, coupling: float) -> None:
    batch = texts(padding=2)
    with torch.no_grad():
        q = tiny_guide(name).posterior(batch)
        other = reweighted(q, delta, coupling)
    whole_masks = torch.zeros(len(batch), batch.tokens.shape[1], dtype=torch.float64)
    for row, n in enumerate(LENGTHS):
        masks = whole_masks[:1].expand(2**n, -1).clone()
        masks[:, :n] = all_masks(n)
        log_q = reweighted(q, 0.0).log_prob(masks[:, None].expand(-1, len(batch), -1).clone())[:, row]
        table = Oracle(log_q - delta * all_masks(n).sum(-1) - coupling * changes(all_masks(n)))
        assert torch.allclose(other.mean[row, :n], table.probs @ table.masks, atol=1e-9)
        assert torch.equal(other.mode[row, :n], table.masks[table.probs.argmax()])
        found = other.log_prob(masks[:, None].expand(-1, len(batch), -1).clone())[:, row]
        assert torch.allclose(found, table.log_probs, atol=1e-9)
        assert not other.mean[row, n:].any()
        assert not other.mode[row, n:].any()


def test_a_recurrent_guide_has_no_closed_form() -> None:
    with pytest.raises(ConfigError, match="no closed form under another prior; use --way threshold or top-k"):
        reweighted(tiny_guide("recurrent").posterior(texts()), 0.1)


def fitted_run(guide: str) -> tuple[ModelRationalizer, Sequence[Document]]:
    folder = whole(guide=guide, steps=30, learning_rate=0.02, rate=0.3)
    fitted = FittedModel.load(folder, "cpu")
    return ModelRationalizer(fitted), load_corpus(fitted.config.data, fitted.spec).dev


@pytest.mark.parametrize("guide", ["relaxed", "chain"])
def test_at_delta_zero_the_masks_are_those_of_the_run(guide: str) -> None:
    rationalizer, documents = fitted_run(guide)
    other = PriorShiftRule(rationalizer, documents)
    assert other.at(0.0) == rationalizer.masks(documents)
    for mine, known in zip(other.marginals(0.0), rationalizer.marginals(documents), strict=True):
        assert np.array_equal(mine, known)
    own = own_point(rationalizer, documents).points[0]
    level = other.level(own["selected"])
    assert other.rate(level) == pytest.approx(own["selected"])


@pytest.mark.parametrize("guide", ["relaxed", "chain"])
def test_fewer_words_where_they_cost_more(guide: str) -> None:
    rationalizer, documents = fitted_run(guide)
    other = PriorShiftRule(rationalizer, documents)
    rates = [other.rate(delta) for delta in DELTAS]
    shares = [float(np.concatenate(other.marginals(delta)).mean()) for delta in DELTAS]
    assert all(a >= b for a, b in pairwise(rates))
    assert all(a > b for a, b in pairwise(shares))
    assert rates[0] > rates[-1]


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("way", MASK_RULES)
def test_the_share_asked_for_is_met_from_below(way: str, rate: float) -> None:
    rationalizer, documents = fitted_run("chain")
    marks = mask_rule(rationalizer, documents, way)
    masks = marks.at(marks.level(rate))
    assert [len(mask) for mask in masks] == [len(document.tokens) for document in documents]
    share = float(np.concatenate(masks).mean())
    slack = 0.5 / min(len(document.tokens) for document in documents) if way == "top-k" else 1e-9
    assert share <= rate + slack
    assert share > rate - 0.15  # couplings let whole runs come and go together
    if way != "top-k":  # a level a little lower would keep too many
        assert float(np.concatenate(marks.at(marks.level(rate) - 1e-4)).mean()) > rate or share == rate


def test_for_independent_words_another_prior_is_a_threshold() -> None:
    rationalizer, documents = fitted_run("relaxed")
    for rate in (0.1, 0.4):
        by_prior, by_threshold = (mask_rule(rationalizer, documents, way) for way in ("prior", "threshold"))
        assert by_prior.at(by_prior.level(rate)) == by_threshold.at(by_threshold.level(rate))


def test_bisection_finds_the_lowest_level() -> None:
    steps = [2.0, 0.5, -3.0]  # one word of four leaves at each; the last one stays
    found = lowest_shift(lambda delta: 0.25 * (1 + sum(delta < step for step in steps)), 0.5)
    assert found == pytest.approx(0.5, abs=1e-5)
    assert lowest_shift(lambda delta: 0.1, 0.5, far=3.0) == -3.0


def test_words_of_one_score_come_and_go_together() -> None:
    marks = ThresholdRule([np.array([0.9, 0.2, 0.2, 0.2]), np.array([0.5, 0.1])])
    assert marks.at(marks.level(2 / 6)) == [(True, False, False, False), (True, False)]
    assert marks.at(marks.level(3 / 6)) == [(True, False, False, False), (True, False)]
    assert marks.at(marks.level(5 / 6)) == [(True, True, True, True), (True, False)]
    assert marks.at(marks.level(1.0)) == [(True,) * 4, (True, True)]
    flat = ThresholdRule([np.full(4, 0.3)])
    assert flat.at(flat.level(0.5)) == [(False,) * 4]


def test_the_same_share_of_every_document() -> None:
    marks = TopKRule([np.array([0.1, 0.9, 0.9, 0.0]), np.array([0.2])])
    assert marks.at(marks.level(0.25)) == [(False, True, False, False), (True,)]
    assert marks.at(marks.level(0.75)) == [(True, True, True, False), (True,)]


class Counter:
    """Scores are given by the words; the prediction is the share of words kept. It must see no label."""

    name, spec = "counter", TargetSpec("regression", ("share",), ranges=((0.0, 1.0),))

    def marginals(self, documents: Sequence[Document]) -> list[Numbers]:
        self._blind(documents)
        return [np.array([float(word) for word in document.tokens]) for document in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        return [tuple(bool(score > 0.45) for score in row) for row in self.marginals(documents)]

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        self._blind(documents)
        return np.array([[float(np.mean(mask))] for mask in masks])

    @staticmethod
    def _blind(documents: Sequence[Document]) -> None:
        assert all(not d.targets and d.gold is None and d.opinion is None for d in documents)


def scored(*scores: float, target: float, gold: tuple[bool, ...]) -> Document:
    tokens = tuple(str(score) for score in scores)
    return Document("d", " ".join(tokens), tokens, ((0, 1),) * len(tokens), (target,), gold)


DOCUMENTS = (
    scored(0.8, 0.4, 0.3, 0.1, target=0.5, gold=(True, True, False, False)),
    scored(0.6, 0.5, 0.2, 0.0, target=0.0, gold=(True, False, False, False)),
)


def test_a_curve_by_hand_of_a_marker_that_may_see_no_label() -> None:
    assert mask_rules_of(Counter()) == ("threshold", "top-k")
    found = trace(Counter(), DOCUMENTS, "threshold", [0.5, 0.25])
    assert [point["rate"] for point in found.points] == [0.25, 0.5]
    low, high = found.points
    assert low["level"] == 0.6
    assert (low["selected"], low["precision"], low["recall"]) == (0.25, 1.0, 2 / 3)
    assert low["mse"] == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert (high["selected"], high["precision"], high["recall"]) == (0.5, 0.75, 1.0)
    own = own_point(Counter(), DOCUMENTS, 0.3).points[0]
    assert (own["rate"], own["selected"]) == (0.3, 3 / 8)
    with pytest.raises(ConfigError, match="counter has no prior to change; use --way threshold or top-k"):
        trace(Counter(), DOCUMENTS, "prior")
    with pytest.raises(ConfigError, match=r"--rates: expected shares of words above 0 and at most 1, got 1\.5"):
        trace(Counter(), DOCUMENTS, "top-k", [1.5])


def test_a_marker_that_hides_its_guide_has_no_prior() -> None:
    class Everything(ModelRationalizer):
        def marginals(self, documents: Sequence[Document]) -> list[Numbers]:
            return [np.ones(len(document.tokens)) for document in documents]

    rationalizer, documents = fitted_run("chain")
    assert mask_rules_of(rationalizer) == MASK_RULES
    assert mask_rules_of(Everything(rationalizer.fitted)) == MASK_RULES[:2]
    with pytest.raises(ConfigError, match="has no prior to change"):
        mask_rule(Everything(rationalizer.fitted), documents, "prior")


def test_sentences_are_not_cut() -> None:
    rationalizer, documents = fitted_run("chain")
    rationalizer.fitted.guide.whole_units = True
    assert mask_rules_of(rationalizer) == ("threshold", "prior")
    with pytest.raises(ConfigError, match=r"^--way top-k: would cut the sentences of .*; use --way threshold or prior"):
        mask_rule(rationalizer, documents, "top-k")


def test_levels_from_other_texts() -> None:
    other = (scored(0.7, 0.65, target=0.0, gold=(False, False)),)
    found = trace(Counter(), DOCUMENTS, "threshold", [0.5], levels_from=other)
    assert found.points[0]["level"] == 0.7
    assert found.points[0]["selected"] == 1 / 8


def test_measure_agrees_with_the_rule_of_the_run() -> None:
    from pyro_rationale.evaluation.evaluate import evaluate_documents

    rationalizer, documents = fitted_run("chain")
    expected = evaluate_documents(rationalizer.fitted, documents)
    found = measure(rationalizer, documents, rationalizer.masks(documents))
    assert {name: found[name] for name in ("mse", "f1", "selected")} == pytest.approx(
        {name: expected[name] for name in ("mse", "f1", "selected")}
    )


# The command.


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    curve.main([str(word) for word in words], standalone_mode=False)
    return capsys.readouterr().out


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, relaxed = (whole(guide=guide, steps=30, learning_rate=0.02, rate=0.3) for guide in ("chain", "relaxed"))
    figure, rows = tmp_path / "c.png", tmp_path / "c.csv"
    out = run(capsys, "--run", chain, "--per-rate", relaxed, "--rates", "0.2,0.5", "--json", "-", "--figure", figure,
              "--csv", rows, "--levels", "dev", "--device", "cpu")
    result = json.loads(out)
    assert [(found["way"], len(found["points"])) for found in result["curves"]] == [
        ("threshold", 2), ("top-k", 2), ("prior", 2), ("own", 1), ("own", 1)
    ]
    assert result["curves"][0]["name"] != result["curves"][-1]["name"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    lines = rows.read_text().splitlines()
    assert lines[0].startswith("name,way,rate,level,selected,mse")
    assert len(lines) == 1 + 8
    assert all(len(found["margins"]) == len(found["points"]) for found in result["curves"])
    shown = run(capsys, "--run", chain, "--rates", "0.2", "--way", "prior", "--device", "cpu")
    assert "other prices of words (prior)" in shown
    assert shown.splitlines()[3].split()[:3] == ["asked", "kept", "error"]


def test_a_run_for_one_rate_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    chain, some = (whole(guide="chain", steps=30, learning_rate=0.02, rate=0.3, any_rate=weight) for weight in (0, 0.5))
    told = []
    for first, second in ((chain, some), (some, chain)):
        words = ["--run", first, "--per-rate", second, "--rates", "0.2", "--way", "top-k", "--device", "cpu"]
        curve.main([str(word) for word in words], standalone_mode=False)
        told.append(capsys.readouterr().err)
    said = "was fitted for 30 % of the words: at other shares its curve is of masks that its encoder was not trained on"
    assert said in " ".join(told[0].split())
    assert told[0].count("note: ") == 1
    assert not told[1]


def points(*levels: float | None) -> list[dict[str, float | None]]:
    figures = {"selected": 0.1, "mse": 0.001234, "precision": 0.5, "recall": 1.0, "f1": 2 / 3, "span": 3.25}
    return [{"rate": 0.1, "level": level, **figures, "empty": 0.0} for level in levels]


def shown_at(width: int, *curves: Curve) -> list[str]:
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    console.print(curve_tables(list(curves), "reviews (test split, 9 documents)", console.width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_table_fits_eighty_columns() -> None:
    """It had eleven columns in frames, of which a terminal showed three letters each."""
    curves = [
        Curve("a-run-of-a-long-name", "threshold", points(0.000244, 0.478)),
        Curve("a-run-of-a-long-name", "top-k", points(-0.1)),
        Curve("a-run-of-a-long-name", "prior", points(-0.151)),
        Curve("a-run-of-a-long-name", "own", points(None)),
    ]
    lines = shown_at(80, *curves)
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in "".join(lines)
    heads = [line.split() for line in lines if "asked" in line]
    assert [head[:6] for head in heads] == [["asked", "kept", "error", "precision", "recall", "F1"]] * 4
    assert [head[-1] for head in heads] == ["threshold", "word", "nats", "word"]  # the level of top-k is the rate
    assert "-10" not in "".join(lines)
    assert lines[4].replace(" %", "%").split() == ["10.0%", "10.0%", "0.00123", "50.0%", "100.0%", "66.7%", "3.25",
                                                   "0.0%", "0.000244"]  # fmt: skip
    assert lines[2] == "a-run-of-a-long-name, words above a threshold (threshold)"
    for width in (60, 40, 30):
        lines = shown_at(width, *curves)
        assert max(len(line.rstrip()) for line in lines) <= width
        assert "…" not in "".join(lines)
        assert all(line.split()[:3] == ["asked", "kept", "error"] for line in lines if "asked" in line)
    assert "F1" in "".join(shown_at(60, *curves))


def test_a_way_of_another_package_has_a_heading() -> None:
    lines = shown_at(80, Curve("run", "by hand", points(7.5)))
    assert lines[2] == "run, by hand"
    assert lines[3].split()[-1] == "level"
    assert lines[4].split()[-1] == "7.5"


def test_what_it_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recurrent, chain = whole(guide="recurrent"), whole(guide="chain", steps=30, learning_rate=0.02, rate=0.3)
    message = refusal(capfd, curve, "--run", recurrent, "--way", "prior", "--device", "cpu")
    assert "has no closed form under another prior; use --way threshold or top-k" in message
    assert "as 0.05,0.1" in refusal(capfd, curve, "--run", chain, "--rates", "few")
    assert "as 0.05,0.1" in refusal(capfd, curve, "--run", chain, "--rates", "0.0_5")
    assert "--coupling: expected -1000 to 1000 nats" in refusal(capfd, curve, "--run", chain, "--coupling", "nan")
    assert "--coupling: expected -1000 to 1000 nats" in refusal(capfd, curve, "--run", chain, "--coupling", "1e308")
    assert "got 2" in refusal(capfd, curve, "--run", chain, "--rates", "2")
    assert "make it first" in refusal(capfd, curve, "--run", chain, "--json", tmp_path / "no" / "a.json")
    assert "ends in .png" in refusal(capfd, curve, "--run", chain, "--figure", tmp_path / "a.txt")
    assert "no such run folder" in refusal(capfd, curve, "--run", tmp_path / "nothing")
