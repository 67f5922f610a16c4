"""`benchmarks/chain.py`: it runs, and its checks see a wrong result before it is timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from pyro_rationale.distributions.scan import reference as recurrences
from pyro_rationale.distributions.scan.dispatch import METHODS

CPU = torch.device("cpu")


@pytest.fixture
def checks(script: Callable[[str], ModuleType]) -> ModuleType:
    """Its second file."""
    return script("chain_checks")


def test_it_runs_on_a_small_grid(checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chain

    monkeypatch.setattr(chain, "disagreements", lambda *_: iter([]))
    monkeypatch.setattr(chain, "TURN", 0.0)
    options = ["--words", "40", "--chains", "2", "--rounds", "1", "--json", str(tmp_path / "chain.json")]
    done = CliRunner().invoke(chain.main, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "chain.json").read_text())
    assert [row["operation"] for row in found["rows"]] == list(chain.OPERATIONS)
    for row in found["rows"]:
        assert row["wrong"] == []
        pyro = {"pyro"} if row["operation"] in chain.PYRO else set()
        assert set(row["ms"]) == {"floor", *METHODS[:2], "chosen"} | pyro
        assert row["over the loop"]["serial"] == 1.0
        assert row["operation"] in done.output


def test_recurrences_agree(checks: ModuleType) -> None:
    assert list(checks.disagreements(CPU, METHODS[:2])) == []


def test_a_wrong_recurrence_is_seen(checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    right = recurrences.messages_log_depth

    def wrong(fields: Tensor, coupling: Tensor, hard: bool) -> Tensor:
        result = right(fields, coupling, hard)
        return result + 1e-3 * hard * (result.shape[-1] > 100)

    monkeypatch.setattr(recurrences, "messages_log_depth", wrong)
    found = list(checks.disagreements(CPU, METHODS[:2]))
    assert found
    assert all(line.startswith("log-depth: messages, hard=True") and "x 150" in line for line in found)


def test_wrong_results_are_not_timed(checks: ModuleType) -> None:
    fields, coupling = 2 * torch.randn(4, 50), torch.rand(4, 49)
    reference = checks.Reference(fields, coupling)
    law = reference.chain
    log_z, mean, change, mode = law.log_normalizer, law.mean, law.change, law.mode
    right_and_wrong = [
        ("log Z", log_z, log_z * (1 + 1e-4)),
        ("log Z + gradient", (log_z, mean, -change), (log_z, mean, change)),
        ("log Z + gradient", (log_z, mean, -change), (log_z, 1 - mean, -change)),
        ("marginals", mean, mean + 1e-3),
        ("Viterbi", mode, 1 - mode),
        ("sampling", reference.sample, 1 - reference.sample),
    ]
    for name, right, wrong in right_and_wrong:
        assert reference.error(name, right) <= 1e-12
        assert reference.error(name, wrong) > checks.BOUNDS[name]
