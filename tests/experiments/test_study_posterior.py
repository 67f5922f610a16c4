"""The commands `study posterior` and `study sbc` on fits of half a second, and the diagnostics of chains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.studies.posterior import study as posterior
from pyro_rationale.cli.studies.sbc import report
from pyro_rationale.cli.studies.sbc import study as sbc
from pyro_rationale.experiments.studies.posterior import proposal
from pyro_rationale.experiments.studies.sbc import learn_own_draws
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.gibbs import MaskChains, gibbs_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.mcmc_diagnostics import mixing
from pyro_rationale.inference.posterior.sbc import simulate
from tests.support.small_fit import fit_small, refusal, table, whole
from tests.support.tiny import texts, tiny_model

FEW = ["--threads", "1", "--device", "cpu"]
SHORT = ["--number", "3", "--words", "40", "--samples", "500", "--chains", "3", "--draws", "8", "--warmup", "2"]


def run_of(**options: Any) -> Path:
    """A fit of a model that says little, of which any guide is a fair posterior."""
    return whole(guide="chain", kappa=1e-3, max_words=8, **options)


def test_the_posterior_of_a_run_in_figures(tmp_path: Path) -> None:
    file = tmp_path / "posterior.json"
    wishes = ["--proposal", "refined", "--refine-steps", "100"]  # so fresh a guide is far from any posterior
    words = ["--run", str(run_of()), *SHORT, *wishes, "--json", str(file), *FEW]
    answer = CliRunner().invoke(posterior, words, catch_exceptions=False)
    assert answer.exit_code == 0
    result = json.loads(file.read_text())
    assert result["documents"] == len(result["each"]) == 3
    assert f"{result['summary']['agree']} of them" in " ".join(answer.output.split())
    for row in result["each"]:
        assert row["words"] == 8
        assert row["k_hat"] < 0.7
        assert 1 <= row["ess"] <= 500
        assert 0 <= row["difference"] < 0.5
        assert row["r_hat"] > 0.5
        assert row["gap_error"] == 0  # short: summed over all masks
    assert result["summary"]["largest_difference"] == max(row["difference"] for row in result["each"])
    assert result["summary"]["agree"] == sum(row["difference"] < 0.03 for row in result["each"])
    again = tmp_path / "again.json"
    words[words.index(str(file))] = str(again)
    CliRunner().invoke(posterior, words, catch_exceptions=False)
    assert json.loads(again.read_text()) == result


def test_each_target_with_masks_of_its_own_has_figures(tmp_path: Path) -> None:
    run, file = run_of(aspect="all", masks="per-target"), tmp_path / "posterior.json"
    few = ["--number", "4", "--samples", "300", "--chains", "2", "--draws", "4", "--warmup", "1"]
    wishes = ["--proposal", "refined", "--refine-steps", "60", "--json", str(file)]
    answer = CliRunner().invoke(posterior, ["--run", str(run), *few, *wishes, *FEW], catch_exceptions=False)
    assert answer.exit_code == 0
    each = json.loads(file.read_text())["each"]
    named = {(row["document"], row["target"]) for row in each}
    assert len(named) == len(each) == 4
    assert len({target for _, target in named}) > 1


def test_calibration_of_a_run_with_verdicts_and_a_figure(tmp_path: Path) -> None:
    figure, file = tmp_path / "ranks.png", tmp_path / "ranks.json"
    methods = [word for name in ("exact", "importance", "mcmc", "prior") for word in ("--method", name)]
    small = ["--number", "40", "--words", "6", "--draws", "20", "--chains", "5", "--samples", "300", "--thin", "1"]
    words = ["--run", str(run_of()), *methods, *small, "--warmup", "3", "--figure", str(figure), "--json", str(file)]
    answer = CliRunner().invoke(sbc, [*words, *FEW], catch_exceptions=False)
    assert answer.exit_code == 0
    rows = json.loads(file.read_text())["results"]
    assert len(rows) == 4 * 6
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert all(len(row["curve"]["difference"]) == 20 for row in rows)
    assert min(row["p"] for row in rows) > 1e-3  # at so small a kappa the prior is the posterior, and all are right
    assert ("NOT UNIFORM" in answer.output) == any(not row["uniform"] for row in rows)
    seen = json.loads(file.read_text())["kappa_errors_seen"]  # nothing depends on kappa here, and that is said
    assert [row["method"] for row in seen] == ["exact", "importance", "mcmc"]
    assert all(row["above"] is None and row["below"] is None for row in seen)
    assert "exact: no error in kappa up to a factor 4 would be seen; raise --number" in " ".join(answer.output.split())


def test_calibration_of_a_guide_that_reads_ratings_and_of_a_wrong_kappa(tmp_path: Path) -> None:
    file = tmp_path / "ranks.json"
    small = ["--number", "60", "--words", "4", "--draws", "20", "--chains", "5", "--samples", "300", "--kappa", "20"]
    words = ["--run", str(run_of(condition_on_target=True)), *small, "--json", str(file), *FEW]
    answer = CliRunner().invoke(sbc, [*words, "--method", "guide"], catch_exceptions=False)
    assert answer.exit_code == 0
    result = json.loads(file.read_text())
    assert {row["method"] for row in result["results"]} == {"guide"}
    assert len(result["kappa_errors_seen"][0]["chance"]) == 33
    answer = CliRunner().invoke(sbc, [*words, "--method", "exact", "--wrong-kappa", "4"], catch_exceptions=False)
    assert "on purpose: drawn with kappa 4 times too large" in " ".join(answer.output.split())
    assert json.loads(file.read_text())["kappa_errors_seen"] == []


def test_a_guide_learns_the_posterior_from_draws_of_the_model(tmp_path: Path) -> None:
    """Its log probability of masks that it has not learnt from rises; the model stays as it is."""
    fitted = FittedModel.load(run_of(condition_on_target=True, steps=2), "cpu")
    before = {name: weight.clone() for name, weight in fitted.model.state_dict().items()}
    documents = fitted.documents(["one two three four five six"] * 200)
    documents = [replace(document, targets=(0.5,)) for document in documents]
    (batch,) = fitted.device_batches(documents, 200)
    with fitted.seeded(7), fitted.model.constrained():
        z, simulated = simulate(fitted.model, batch, 20.0)

    def fit_of_guide() -> float:
        with torch.no_grad():
            return float(proposal(fitted, simulated).log_prob(z).mean())

    first = fit_of_guide()
    with fitted.seeded(0):
        learn_own_draws(fitted, documents, 60, 20.0, 100)
    assert fit_of_guide() > first + 0.05
    assert all(torch.equal(before[name], weight) for name, weight in fitted.model.state_dict().items())
    words = ["--run", str(run_of(condition_on_target=True)), "--method", "guide", "--sleep", "3"]
    small = ["--number", "20", "--words", "4", "--draws", "10", "--chains", "5"]
    answer = CliRunner().invoke(sbc, [*words, *small, *FEW], catch_exceptions=False)
    assert answer.exit_code == 0


def test_bad_wishes_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = run_of()
    assert "--draws: expected a multiple of --chains 10" in refusal(capfd, sbc, "--run", run, "--draws", 33)
    assert "--words: --method exact enumerates up to 12" in refusal(capfd, sbc, "--run", run, "--words", 13)
    said = refusal(capfd, sbc, "--run", run, "--method", "guide")
    assert "--method guide: the guide of this run has not seen y" in said
    said = refusal(capfd, sbc, "--run", run, "--method", "prior", "--wrong-kappa", 1.5)
    assert "--wrong-kappa: --method prior does not look at kappa" in said
    said = refusal(capfd, sbc, "--run", run, "--method", "mcmc", "--sleep", 5)
    assert "--sleep: trains the guide, which is not on trial; add --method guide" in said
    nowhere = tmp_path / "no" / "figure.png"
    assert "no such folder" in refusal(capfd, sbc, "--run", run, "--figure", nowhere)
    assert "no such run folder" in refusal(capfd, posterior, "--run", tmp_path / "none")
    assert "--words 2: no document is so short" in refusal(capfd, posterior, "--run", run, "--words", 2)


def chains_of(masks: torch.Tensor) -> MaskChains:
    scores = torch.zeros(masks.shape[:-1], dtype=torch.float64)
    return MaskChains(masks.bool(), scores, masks.double().mean(1), torch.zeros(masks.shape[2]))


def test_r_hat_is_one_for_chains_that_mix_and_infinite_for_chains_that_stand_still_apart() -> None:
    lengths = torch.tensor([4, 2])
    good = (torch.rand(4, 200, 2, 4) < 0.4).double()
    good[..., 1, 2:] = 0.0
    found = mixing(chains_of(good), lengths)
    assert float(found.r_hat.max()) < 1.05
    assert float(found.ess.min()) > 300
    still = good.clone()
    still[0, :, 0, 3] = 1.0
    still[1:, :, 0, 3] = 0.0
    found = mixing(chains_of(still), lengths)
    assert np.isinf(found.r_hat[0])
    assert found.r_hat[1] < 1.05
    stuck = good.clone()
    stuck[0, :, 0] = 1.0
    assert mixing(chains_of(stuck), lengths).r_hat[0] > 1.5
    constant = mixing(chains_of(torch.ones(4, 20, 2, 4)), torch.tensor([4, 4]))
    assert constant.r_hat.tolist() == [1.0, 1.0]
    assert np.isnan(constant.ess).all()


def test_gibbs_chains_on_short_documents_mix() -> None:
    batch = texts(padding=1)
    found = mixing(gibbs_posterior(CachedLogJoint(tiny_model(kappa=2.0).eval(), batch), 4, 200, 20), batch.lengths)
    assert float(found.r_hat.max()) < 1.05
    assert float(found.ess.min()) > 200


def test_levels_are_simulated_at_kappa_one(tmp_path: Path) -> None:
    file = tmp_path / "ranks.json"
    lines = [f"the room was {word} and so on {word},{i % 3}" for i, word in enumerate("abcdefghijklmnopqrst" * 2)]
    data = table(tmp_path / "texts.csv", "text,y", lines)
    fit_small(tmp_path / "run", data=str(data), target_column=("y",), task="ordinal", kappa=122.0)
    words = ["--run", str(tmp_path / "run"), "--number", "10", "--words", "4", "--method", "exact", "--split", "train"]
    answer = CliRunner().invoke(sbc, [*words, "--json", str(file), *FEW], catch_exceptions=False)
    assert answer.exit_code == 0
    assert json.loads(file.read_text())["kappa"] == 1.0


def test_ranks_that_are_not_uniform_come_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"statistic": "|z|", "uniform": False, "p": 0.0, "mean_rank": 0.2}
    result = {"run": "run", "documents": 9, "draws": 9, "kappa": 1.0, "kappa_errors_seen": [], "wrong_kappa": 1.0}

    def told(**changes: Any) -> str:
        report({**result, "results": [{**row, **changes}], "wrong_kappa": changes.get("wrong_kappa", 1.0)})
        return " ".join(capsys.readouterr().out.split())

    advice = "fit with --condition-on-target and fewer --nats, or take --method mcmc"
    assert advice in told(method="importance")
    assert advice not in told(method="importance", uniform=True)
    assert advice not in told(method="importance", wrong_kappa=2.0)
    assert "--method importance weighs them" in told(method="guide")
