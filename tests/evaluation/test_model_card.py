"""The model card of a run folder: what it says, that the hub can read it, and that a folder without it still loads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.index import index
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.evaluation.model_card import data_name, model_card, write_card
from pyro_rationale.fitted import FittedModel
from pyro_rationale.storage import read_manifest
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.training.run_folder import clear_run
from tests.support.small_fit import small, whole
from tests.support.untrained_pairs import untrained_run

SPEC = TargetSpec("regression", ("staff | service",), ((0.0, 5.0),))


def test_the_card_of_a_fit() -> None:
    text = (whole() / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((whole() / "metrics.json").read_text())
    low, high = metrics["intervals"]["mse"]
    assert low < metrics["test"]["mse"] < high
    [row] = [line for line in text.splitlines() if line.startswith("| mean squared error |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == [
        f"{metrics['test']['mse']:.4g}", f"{low:.4g} to {high:.4g}", f"{metrics['baselines']['constant']['mse']:.4g}",
    ]  # fmt: skip
    assert metrics["documents"] == {"train": 48, "dev": 12, "test": 12}
    assert f"| train | 48 | {read_manifest(whole())['notes']['rows']['train']} |" in text
    assert all(f"\n## {heading}\n" in text for heading in ("Use", "Data", "Settings", "Results", "Limits", "Licences"))
    assert "The prediction averages over the masks that the model finds probable; what is shown is the most" in text
    assert "`explain` says what it is from these words alone" in text
    assert "is made from" not in text
    assert "**This fit counts as failed:**" in text  # after nine steps
    assert "README.md" in read_manifest(whole())["files"]


def test_the_hub_reads_its_front_matter() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(whole() / "README.md", ignore_metadata_errors=False)
    assert card.data.library_name == "pyro_rationale"
    assert card.data.pipeline_tag == "text-classification"
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["mse"] == json.loads((whole() / "metrics.json").read_text())["test"]["mse"]


def test_a_card_names_no_folder_of_the_machine() -> None:
    def name(data: str) -> str:
        return data_name(Config().changed(data=data))

    names = [name(data) for data in ("/home/me/lounge.csv", "imdb", "beer:/data/beer")]
    assert names == ["lounge.csv", "imdb", "beer:beer"]
    config = small(data="/home/me/a|`b`.csv", pretrained=None)
    text = model_card("mine", config, SPEC, {}, {"name": "minilm", "sha256": "1f" * 32, "licence": "Apache-2.0"}, {})
    assert "/home" not in text
    assert "`a/'b'.csv`" in text
    assert "tuned layers are part of `model.safetensors`: Apache-2.0." in text
    assert "Not evaluated on test texts." in text
    assert "word vectors" not in text
    text = model_card("mine", small(vectors="glove+/home/me/own.txt"), SPEC, {}, {}, {})
    assert "| word vectors | glove + own.txt |" in text
    assert "Word vectors own.txt, of which those of the vocabulary are part of `model.safetensors`: not known." in text


def test_old_runs_load_and_get_a_card(tmp_path: Path) -> None:
    folder = shutil.copytree(whole(), tmp_path / "old")
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("documents", "intervals"):
        del metrics[name]
    (folder / "README.md").unlink()
    (folder / "manifest.json").unlink()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    FittedModel.load(folder, "cpu")
    text = write_card(folder).read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: pyro_rationale\n")
    assert "\n# old\n" in text


def test_a_readme_of_somebody_else_stays(tmp_path: Path) -> None:
    folder = shutil.copytree(whole(), tmp_path / "run")
    (folder / "README.md").write_text("mine")
    write_card(folder)
    clear_run(folder)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert (folder / "README.md").read_text() == "mine"


def test_a_card_that_was_edited_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shutil.copytree(whole(), tmp_path / "run")
    text = (folder / "README.md").read_text(encoding="utf-8").replace("---\n", "---\nlicense: mit\n", 1)
    (folder / "README.md").write_text(text, encoding="utf-8")
    write_card(folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == text
    assert "was edited, and stays as it is" in caplog.text
    (folder / "README.md").unlink()
    assert "license: mit" not in write_card(folder).read_text(encoding="utf-8")


def test_the_card_of_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(untrained_run(questions=True), tmp_path / "run")
    (folder / "README.md").unlink(missing_ok=True)
    text = write_card(folder).read_text(encoding="utf-8")
    assert 'pipeline_tag: "sentence-similarity"' in text
    shown = re.search(r"python -m pyro_rationale\.index (.*)", text)
    assert shown is not None
    monkeypatch.chdir(folder)
    Path("texts.txt").write_text("the paper stays in the tray\n", encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        run_command(index, [*shown[1].split(), "--quiet"])
    assert not end.value.code
    assert "averages over" not in text  # texts are compared by their most probable masks


LEFT_AT_HOME = ("checkpoint.safetensors", "training_texts.safetensors", "reader.safetensors")


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    """The run as the hub's cache has it: links to blobs, without the files that an upload leaves at home."""
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    folder.mkdir(parents=True)
    for number, path in enumerate(path for path in whole().iterdir() if path.name not in LEFT_AT_HOME):
        shutil.copy(path, blobs / str(number))
        (folder / path.name).symlink_to(blobs / str(number))
    return folder


def test_a_folder_from_the_hub_predicts_the_same(downloaded: Path, tmp_path: Path) -> None:
    first, second = FittedModel.load(whole(), "cpu"), FittedModel.load(downloaded, "cpu")
    second.save(tmp_path / "again")
    third = FittedModel.load(tmp_path / "again", "cpu")
    documents = load_corpus(first.config.data).test[:2]

    def values(fitted: FittedModel) -> Any:
        return [prediction.values for prediction in fitted.predict(documents, samples=5, alternatives=0)]

    np.testing.assert_array_equal(values(first), values(second))
    np.testing.assert_array_equal(values(first), values(third))
