"""The full-text reader of a run, and a fit whose guide follows it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.errors import RunError
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.reader import appoint_judge, full_text_reader
from tests.support.small_fit import Break, differences, fit_small, sixteen, small

JUDGED: dict[str, Any] = {"guide": "chain", "judge": "mcd"}


class Count(Callback):
    """Keeps what is told of the reader's training."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def on_reader_progress(self, done: int, total: int) -> None:
        self.told.append((done, total))


def test_it_learns_from_whole_texts_and_is_trained_once(tmp_path: Path) -> None:
    run = prepare_run(small(documents=128, steps=144, learning_rate=0.02), tmp_path / "run")
    before = torch.get_rng_state()
    told: list[tuple[int, int]] = []
    reader = full_text_reader(run, lambda *now: told.append(now))
    assert told == [(i, 72) for i in range(1, 73)]  # half of the steps
    assert torch.equal(torch.get_rng_state(), before)
    [batch] = reader.batches(run.corpus.dev, 64)
    untrained = run.fitted.eval().model
    with torch.no_grad():
        assert float(full_text_loss(reader.model, batch)) < 0.98 * float(full_text_loss(untrained, batch))
    again = full_text_reader(run, lambda *now: told.append(now))
    assert len(told) == 72
    for name, value in reader.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    (run.folder / "reader.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunError, match=r"reader\.safetensors"):
        full_text_reader(run)


@pytest.mark.parametrize(("steps", "taken"), [(1, 1), (7, 4), (60, 32), (300, 153)])
def test_half_of_the_steps(tmp_path: Path, steps: int, taken: int) -> None:
    """It is scored at least four times, or after each step if there are fewer, and takes few steps more."""
    run = prepare_run(small(documents=16, batch_size=1, hidden=2, steps=steps), tmp_path / "run", corpus=sixteen())
    told: list[tuple[int, int]] = []
    full_text_reader(run, lambda *now: told.append(now))
    assert told[-1] == (taken, taken)


def test_the_judge_knows_every_text(tmp_path: Path) -> None:
    run = prepare_run(small(documents=16, batch_size=4, **JUDGED), tmp_path / "run", corpus=sixteen())
    appoint_judge(run)
    model = full_text_reader(run).model
    judge = run.trainer.objective.judge  # type: ignore[attr-defined]
    for batch in run.trainer.batches:
        outputs = model.encoder(batch.tokens, batch.mask.float(), batch.lengths)
        assert torch.allclose(judge.outputs(batch), outputs, atol=1e-5)


def test_a_judged_fit_is_another_and_resumes_to_the_same(tmp_path: Path) -> None:
    count = Count()
    fit_small(tmp_path / "whole", count, **JUDGED)
    assert count.told[-1] == (6, 6)
    fit_small(tmp_path / "plain", guide="chain")
    assert differences(tmp_path / "plain", tmp_path / "whole") != []
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "broken", Break(steps=5), **JUDGED)
    fit_small(tmp_path / "broken", resume=True, **JUDGED)
    assert differences(tmp_path / "whole", tmp_path / "broken") == []
    readers = (read_tensors(tmp_path / name / "reader.safetensors")[0] for name in ("whole", "broken"))
    assert all(torch.equal(*pair) for pair in zip(*(reader.values() for reader in readers), strict=True))


def test_force_removes_the_reader(tmp_path: Path) -> None:
    fit_run(small(**JUDGED), tmp_path)
    shutil.copy(tmp_path / "reader.safetensors", tmp_path / "other")
    fit_run(small(guide="chain"), tmp_path, force=True)
    assert not (tmp_path / "reader.safetensors").exists()
    assert (tmp_path / "other").exists()
