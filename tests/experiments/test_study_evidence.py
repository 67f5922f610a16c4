"""`python -m pyro_rationale.study evidence`: its figures against single documents, and what it counts and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.studies.evidence import study
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import encode_batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.experiments.studies.bounds import Measured, bound_sizes, measure
from pyro_rationale.experiments.studies.common import shorten
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.evidence import Bound, enumerate_masks
from pyro_rationale.inference.posterior.psis import CONSTANT, TIES
from tests.support.small_fit import refusal, whole

DOUBLE = torch.float64
KEYS = {"bound", "nats", "standard_error", "gap", "above_evidence", "out_of_order"}


def study_json(path: Path, *words: object) -> tuple[dict[str, Any], str]:
    """JSON that the command writes, and its printed output."""
    arguments = ["--run", str(whole(guide="chain")), "--json", str(path), *map(str, words)]
    end = CliRunner().invoke(study, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert end.exit_code == 0
    return json.loads(path.read_text()), end.output


def test_the_command(tmp_path: Path) -> None:
    result, said = study_json(tmp_path / "a.json", "--number", 7, "--words", 6, "--samples", 100, "--repeats", 8)
    assert [row["bound"] for row in result["bounds"]] == ["IWAE-1", "IWAE-10", "IWAE-100"]
    assert all(row.keys() == KEYS for row in result["bounds"])
    assert result["enumerated"] == result["documents"] == result["cut"] == len(result["each"]) == 7
    assert [row["above_evidence"] for row in result["bounds"]] == [0, 0, 0]
    assert [row["out_of_order"] for row in result["bounds"]] == [0, 0, 0]
    assert result["exact_elbo_above_evidence"] == 0
    assert result["elbo"] <= result["log_evidence"]
    nats = [row["nats"] for row in result["bounds"]]
    assert nats == sorted(nats)
    assert result["log_evidence"] - result["bounds"][2]["gap"] == pytest.approx(nats[2])
    for each in result["each"]:
        assert each["words"] == 6
        assert 1 <= each["ess"] <= 100
    assert "7 of 7 documents were cut to their first 6 words" in said
    assert "log evidence" in said
    assert "k-hat above 0.7" in said


def test_the_weight_of_the_likelihood(tmp_path: Path) -> None:
    small = ("--number", 3, "--words", 4, "--samples", 20, "--repeats", 2)
    own, _ = study_json(tmp_path / "own.json", *small)
    one, _ = study_json(tmp_path / "one.json", *small, "--kappa", "1")
    assert own["kappa"] == float(FittedModel.load(whole(guide="chain")).model.kappa) != 1
    assert one["kappa"] == 1
    assert own["log_evidence"] != one["log_evidence"]


def test_whole_texts_have_bounds_only(tmp_path: Path) -> None:
    result, said = study_json(tmp_path / "a.json", "--number", 3, "--words", 0, "--samples", 20, "--repeats", 2)
    assert result["cut"] == result["enumerated"] == 0
    assert "elbo" not in result
    assert "log_evidence" not in result
    assert [row["gap"] for row in result["bounds"]] == [None] * 3
    assert all(row["nats"] is not None for row in result["bounds"])
    assert all(each["log_evidence"] is None for each in result["each"])
    assert "no exact evidence" in said
    assert "cut to" not in said


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    small = ("--number", 3, "--words", 4, "--samples", 20, "--repeats", 2)
    results = [study_json(tmp_path / "a.json", *small, "--seed", seed)[0] for seed in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0]["bounds"] != results[2]["bounds"]
    assert results[0]["log_evidence"] == results[2]["log_evidence"]


def test_bad_paths_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = refusal(capfd, study, "--run", whole(guide="chain"), "--json", tmp_path / "no" / "a.json")
    assert said.startswith("--json")
    assert "no such run folder" in refusal(capfd, study, "--run", tmp_path / "none")


def test_only_long_documents_are_cut() -> None:
    documents = [shorten([document], 6 + place)[0][0] for place, document in enumerate(loaded("chain")[1][:5])]
    assert [len(document.tokens) for document in documents] == [6, 7, 8, 9, 10]
    short, cut = shorten(documents, 8)
    assert cut == 2
    for before, after in zip(documents, short, strict=True):
        assert after.tokens == before.tokens[:8]
        assert len(after.offsets) == len(after.tokens) == len(after.gold or ()) == len(after.opinion or ())
        assert after.targets == before.targets
    assert shorten(documents, 0) == (list(documents), 0)


def loaded(guide: str, **options: str) -> tuple[FittedModel, Sequence[Document]]:
    """A run and its test documents."""
    fitted = FittedModel.load(whole(guide=guide, **options), "cpu")
    return fitted, load_corpus(fitted.config.data, fitted.spec).test


@pytest.mark.parametrize("guide", ["chain", "relaxed"])
def test_figures_stand_with_their_documents(guide: str) -> None:
    # Of the small fits, this one's weights are constant on some documents and vary on others.
    fitted, documents = loaded(guide, **({"estimator": "muprop"} if guide == "chain" else {}))
    documents = [shorten([document], 3 + 5 * place % 7)[0][0] for place, document in enumerate(documents[:9])]
    measured = measure(fitted, documents, 30, 3, 2.0, batch_size=4)
    for place, document in enumerate(documents):
        batch = encode_batch([document], fitted.vocabulary, fitted.spec)
        table = enumerate_masks(fitted.model, batch, fitted.guide.posterior(batch), 2.0)
        torch.testing.assert_close(measured.evidence[place], table.evidence[0])
        torch.testing.assert_close(measured.elbo[place], table.elbo[0])
        assert table.log_q is not None
        law, weights = table.log_q.exp()[:, 0], table.log_weights[:, 0]
        variance = (law * weights**2).sum() - (law * weights).sum() ** 2
        torch.testing.assert_close(measured.deviation[place], variance.sqrt(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(measured.spread[place], weights.max() - weights.min())
    assert measured.bounds.keys() == {1, 10, 30}
    assert [bound.groups for bound in measured.bounds.values()] == [90, 9, 3]
    assert measured.draws == 90
    pairs = zip(measured.k.tolist(), measured.reasons, strict=True)
    kinds = {(k if k in (0.0, math.inf) else None, reason) for k, reason in pairs}
    assert len(kinds) > 1 or guide == "relaxed"
    assert kinds <= {(0.0, CONSTANT), (math.inf, TIES), (None, None)}
    assert [each["id"] for each in measured.each(documents)] == [document.id for document in documents]


def measured(**changes: Any) -> Measured:
    """Three documents of which all is well; the third is too long for exact figures."""
    bounds = {
        size: Bound(torch.tensor([-2.0, -3.0, -4.0], dtype=DOUBLE) + rise, torch.full((3,), 0.01, dtype=DOUBLE), 5)
        for size, rise in ((1, 0.0), (10, 0.5))
    }
    exact: dict[str, Any] = {
        "elbo": torch.tensor([-2.0, -3.0, math.nan], dtype=DOUBLE),
        "evidence": torch.tensor([-1.4, -2.4, math.nan], dtype=DOUBLE),
    }
    spread: dict[str, Any] = {"deviation": torch.ones(3, dtype=DOUBLE), "spread": torch.full((3,), 2.0, dtype=DOUBLE)}
    ess, k = torch.tensor([[5.0, 6.0, 7.0], [0.0, 0.3, math.inf]], dtype=DOUBLE)
    reasons = (CONSTANT, None, TIES)
    return replace(Measured(bounds, **exact, **spread, ess=ess, k=k, reasons=reasons, draws=10**6), **changes)


def test_the_summary_of_what_is_well() -> None:
    result = measured().summary()
    assert result["enumerated"] == 2
    assert [row["out_of_order"] for row in result["bounds"]] == [0, 0]
    assert [row["above_evidence"] for row in result["bounds"]] == [0, 0]
    assert result["bounds"][1]["nats"] == pytest.approx(-2.5)
    assert result["bounds"][1]["standard_error"] == pytest.approx(0.01 / math.sqrt(3))
    assert result["bounds"][1]["gap"] == pytest.approx(0.1)
    assert result["far"] == result["exact_elbo_above_evidence"] == 0
    assert result["k_hat_above"] == pytest.approx(1 / 3)
    assert result["k_hat_infinite"] == result["k_hat_constant"] == 1


def test_violations_are_counted() -> None:
    well = measured()
    error = torch.full((3,), 0.01, dtype=DOUBLE)
    shift = torch.tensor([0.15, 0.13, 9.0], dtype=DOUBLE)  # the second within four errors, the third not known
    above = measured(bounds={1: well.bounds[1], 10: Bound(well.bounds[10].mean + shift, error, 5)})
    assert [row["above_evidence"] for row in above.summary()["bounds"]] == [0, 1]
    shift = torch.tensor([-0.54, -0.57, 0.0], dtype=DOUBLE)  # four errors of the difference are .0566
    below = measured(bounds={1: well.bounds[1], 10: Bound(well.bounds[10].mean + shift, error, 5)})
    assert [row["out_of_order"] for row in below.summary()["bounds"]] == [0, 1]
    off = measured(elbo=torch.tensor([-2.01, -3.003, math.nan], dtype=DOUBLE))
    assert [row["out_of_order"] for row in off.summary()["bounds"]] == [1, 0]
    assert measured(elbo=torch.tensor([-1.3, -3.0, math.nan])).summary()["exact_elbo_above_evidence"] == 1
    far = measured(evidence=torch.tensor([-0.4, -1.4, math.nan]), k=torch.tensor([0.0, 0.8, 0.0], dtype=DOUBLE))
    assert far.summary()["far"] == 2
    assert far.summary()["far_unnoticed"] == 1


@pytest.mark.parametrize(
    ("samples", "sizes"), [(2, [1, 2]), (10, [1, 10]), (50, [1, 10, 50]), (1000, [1, 10, 100, 1000])]
)
def test_sizes_go_up_by_tens(samples: int, sizes: list[int]) -> None:
    assert bound_sizes(samples) == sizes


def test_a_run_of_several_targets_has_a_row_for_each(tmp_path: Path) -> None:
    folder, path = whole(guide="chain", aspect="all"), tmp_path / "a.json"
    words = ["--number", "3", "--words", "4", "--samples", "20", "--repeats", "2", "--json", str(path)]
    end = CliRunner().invoke(study, ["--run", str(folder), *words], catch_exceptions=False, env={"COLUMNS": "200"})
    assert end.exit_code == 0
    result = json.loads(path.read_text())
    fitted = FittedModel.load(folder)
    ids = [each["id"] for each in result["each"]]
    assert result["documents"] == 3
    assert [each["target"] for each in result["each"]] == list(fitted.spec.names) * 3
    assert ids == [one for one in dict.fromkeys(ids) for _ in fitted.spec.names]
    assert result["readings"] == result["enumerated"] == len(ids)
    assert all(each["elbo"] <= each["log_evidence"] for each in result["each"])
    assert "nats per text and target" in end.output


def test_rows_of_known_targets_stand_beside_their_own_figures() -> None:
    fitted = FittedModel.load(whole(guide="chain", aspect="all"))
    texts = list(load_corpus(fitted.config.data).test[:3])
    targets = texts[1].targets
    texts[1] = replace(texts[1], targets=(math.nan, *targets[1:]))  # the shorter a text, the sooner its batch
    (first, last), (second,) = shorten([texts[0], texts[2]], 4)[0], shorten([texts[1]], 2)[0]
    documents = [first, second, last]
    together = measure(fitted, documents, 10, 2, 1.0).each(documents)
    assert [(row["id"], row["target"]) for row in together] == [
        (document.id, name)
        for document in documents
        for name, value in zip(fitted.spec.names, document.targets, strict=True)
        if not math.isnan(value)
    ]
    alone = [row for document in documents for row in measure(fitted, [document], 10, 2, 1.0).each([document])]
    for one, other in zip(together, alone, strict=True):
        assert one["log_evidence"] == pytest.approx(other["log_evidence"], abs=1e-9)
