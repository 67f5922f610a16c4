"""Run folders that are missing, half-written or of another version: one line from all three commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.fit import fit
from pyro_rationale.run_files import FORMAT
from pyro_rationale.storage import read_tensors, write_tensors
from tests.support.small_fit import content, refusal, whole, without_manifest

Run = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Run:
    return partial(refusal, capfd)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy to spoil, without the digests that would show it at once."""
    return without_manifest(shutil.copytree(whole(), tmp_path / "run"))


def readers(run: Path) -> list[tuple[click.Command, list[object]]]:
    return [(explain, ["--run", run, "a lovely aroma"]), (evaluate, ["--run", run])]


def everybody_refuses(refused: Run, run: Path, message: str) -> None:
    before = content(run) if run.is_dir() else {}
    for command, words in readers(run):
        assert message in refused(command, *words)
    assert (content(run) if run.is_dir() else {}) == before


def test_no_run_folder(tmp_path: Path, refused: Run) -> None:
    everybody_refuses(refused, tmp_path / "missing", "missing: no such run folder; make one with")
    (tmp_path / "file").write_text("")
    everybody_refuses(refused, tmp_path / "file", "file: no such run folder")
    (tmp_path / "synthetic-chain-1").mkdir()
    (tmp_path / "synthetic-chain-1" / "config.json").write_text("{}")
    near = f"no such run folder; did you mean {tmp_path / 'synthetic-chain-1'}?"
    everybody_refuses(refused, tmp_path / "synthetic-chain-7", near)
    (tmp_path / "empty").mkdir()
    everybody_refuses(refused, tmp_path / "empty", "config.json: no such file")


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "cut at the end", "noise"])
def test_a_run_folder_that_is_half_written(run: Path, refused: Run, name: str, damage: str) -> None:
    path = run / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        parts = {"empty": b"", "cut": whole[: len(whole) // 2], "cut at the end": whole[:-3], "noise": b"\x93" * 200}
        path.write_bytes(parts[damage])
    everybody_refuses(refused, run, f"{path}: ")


@pytest.mark.parametrize("name", ["metrics.json", "checkpoint.safetensors", "epochs.jsonl"])
def test_what_reading_texts_does_not_need(run: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (run / name).unlink()
    for command, words in readers(run):
        with pytest.raises(SystemExit) as end:
            run_command(command, [str(word) for word in words])
        assert end.value.code == 0
    capfd.readouterr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(format=FORMAT + 1), f"this version reads {FORMAT}; fit again with this one"),
        (lambda facts: facts.pop("format"), "run folder of format None"),
        (lambda facts: facts["config"]["model"].update(hard_kuma=True), "not a configuration of this version"),
        (lambda facts: facts["config"].pop("train"), "not a configuration of this version"),
        (lambda facts: facts["config"].update(train=[]), "not a configuration of this version"),
        (lambda facts: facts.update(config=None), "not a configuration of this version"),
        (lambda facts: facts["config"]["model"].update(guide="gumbel"), "not a configuration of this version"),
        (lambda facts: facts["config"]["model"].update(hidden="wide"), "not a configuration of this version"),
        (lambda facts: facts.pop("target"), "not a configuration of this version"),
        (lambda facts: facts["target"].update(ranges=[[0]]), "not a configuration of this version"),
        (lambda facts: facts["target"].update(kind="ordinal"), "fit again"),
        (lambda facts: facts["config"]["model"].update(hidden=7), "weights do not fit the configuration"),
        (lambda facts: facts["config"]["model"].update(guide="chain"), "weights do not fit the configuration"),
        (lambda facts: facts["config"]["model"].update(encoder="cnn"), "weights do not fit the configuration"),
    ],
)
def test_a_run_folder_of_another_version(
    run: Path, refused: Run, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    facts = json.loads((run / "config.json").read_text())
    change(facts)
    (run / "config.json").write_text(json.dumps(facts))
    everybody_refuses(refused, run, message)


def test_a_vocabulary_of_another_run(run: Path, refused: Run) -> None:
    facts = json.loads((run / "vocabulary.json").read_text())
    facts["words"].append("zythum")
    (run / "vocabulary.json").write_text(json.dumps(facts))
    everybody_refuses(refused, run, "weights do not fit the configuration")


@pytest.mark.parametrize("name", ["guide.generator.embedding.weight", "guide.head.weight", "model.kappa"])
def test_weights_that_lack_something(run: Path, refused: Run, name: str) -> None:
    tensors, facts = read_tensors(run / "model.safetensors")
    value = tensors.pop(name)
    write_tensors(run / "model.safetensors", tensors, facts)
    everybody_refuses(refused, run, "weights do not fit the configuration")
    write_tensors(run / "model.safetensors", {**tensors, name: torch.zeros(*value.shape, 2)}, facts)
    everybody_refuses(refused, run, "weights do not fit the configuration")


def test_devices_that_are_not_there(run: Path, refused: Run) -> None:
    for command, words in readers(run):
        assert "--device abacus: not usable here" in refused(command, *words, "--device", "abacus")


# fit --resume.


@pytest.mark.parametrize("damage", [b"", b"\x93" * 200, None])
def test_resuming_a_damaged_checkpoint(run: Path, refused: Run, damage: bytes | None) -> None:
    (run / "metrics.json").unlink()
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    before = content(run)
    assert f"{path}: unreadable" in refused(fit, "--out", run, "--resume")
    assert content(run) == before


@pytest.mark.parametrize("part", ["trainer", "watch", "history", "seconds"])
def test_resuming_a_checkpoint_of_another_version(run: Path, refused: Run, part: str) -> None:
    (run / "metrics.json").unlink()
    path = run / "checkpoint.safetensors"
    tensors, facts = read_tensors(path)
    for changed in ({k: v for k, v in facts.items() if k != part}, {**facts, part: "none"}, None):
        write_tensors(path, tensors, changed)
        before = content(run)
        assert f"{path}: not a checkpoint of this fit" in refused(fit, "--out", run, "--resume")
        assert content(run) == before


def test_resuming_with_weights_of_another_size(run: Path, refused: Run) -> None:
    (run / "metrics.json").unlink()
    path = run / "checkpoint.safetensors"
    tensors, facts = read_tensors(path)
    write_tensors(path, {**tensors, "now.weights.guide.head.weight": torch.zeros(3, 3)}, facts)
    assert f"{path}: not a checkpoint of this fit" in refused(fit, "--out", run, "--resume")


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"test": {}, "data": "a", "guide": "b"}', "{"])
def test_resuming_a_finished_run_of_another_version(run: Path, refused: Run, text: str) -> None:
    (run / "metrics.json").write_text(text)
    assert str(run / "metrics.json") in refused(fit, "--out", run, "--resume")


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
def test_resuming_a_folder_that_lacks_a_file(run: Path, refused: Run, name: str) -> None:
    (run / "metrics.json").unlink()
    (run / name).unlink()
    before = content(run)
    said = refused(fit, "--out", run, "--resume")
    assert str(run) in said
    assert content(run) == before
