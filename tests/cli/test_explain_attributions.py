"""`explain --method`: other libraries on the full-text reader of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.explain_attributions import lines, record
from pyro_rationale.config import Config
from pyro_rationale.data.document import make_document
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.attribution import ATTRIBUTIONS, Attribution, attributions
from pyro_rationale.prediction.decoding import predict_from
from pyro_rationale.run_files import READER
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.reader import full_text_reader, stored_reader
from tests.prediction.test_aspect_faces import SPEC, Guide, Model
from tests.prediction.test_aspect_faces import TEXT as ASPECTS_TEXT
from tests.prediction.test_predictor import VOCABULARY
from tests.support.small_fit import refusal, small, whole
from tests.support.untrained_pairs import untrained_run

TEXT = "the aroma is weak but the taste was lovely and the bottle is green"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its reader."""
    folder = tmp_path_factory.mktemp("reader") / "run"
    shutil.copytree(whole(documents=16), folder)
    full_text_reader(fit_run(small(documents=16), folder, resume=True))
    return folder


def test_the_stored_reader_is_the_one_that_was_trained(run: Path, tmp_path: Path) -> None:
    trained = full_text_reader(fit_run(small(documents=16), run, resume=True))
    stored = stored_reader(FittedModel.load(run), run)
    [document] = trained.documents([TEXT])
    mask = [[True] * len(document.tokens)]
    assert predict_from(stored, [document], mask).tolist() == predict_from(trained, [document], mask).tolist()


@pytest.mark.parametrize("method", ["lime", "integrated-gradients"])
def test_as_many_words_are_marked_as_the_rationale_has(
    run: Path, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("captum" if method != "lime" else "lime")
    with pytest.raises(SystemExit) as end:
        run_command(explain, ["--run", str(run), "--method", method, "--evaluations", "20", "--json", TEXT])
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    told = json.loads(out)
    fitted = FittedModel.load(run)
    assert sum(told["kept"]) == max(1, sum(fitted.predict(TEXT)[0].kept))
    assert (told["method"], told["explains"]) == (method, "full-text reader")
    numbers = told["attributions"]["appearance"]["words"]
    assert len(numbers) == len(told["tokens"]) == 14
    least = min(abs(number) for number, kept in zip(numbers, told["kept"], strict=True) if kept)
    assert all(abs(number) <= least for number, kept in zip(numbers, told["kept"], strict=True) if not kept)


def test_the_rationale_is_that_of_the_seed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lime")
    monkeypatch.setattr("pyro_rationale.prediction.agreement.TOLERANCE", 1e-5)
    fitted, sizes = FittedModel.load(run), []
    for seed in range(4):
        (found,) = attributions(
            fitted, stored_reader(fitted, run), fitted.documents([TEXT]), ATTRIBUTIONS["lime"], 4, seed
        )
        sizes.append(sum(found.kept))  # type: ignore[union-attr]
        assert sizes[-1] == max(1, sum(fitted.predict(TEXT, seed=seed)[0].kept))
    assert len(set(sizes)) > 1


def test_lines_say_what_is_explained(run: Path) -> None:
    pytest.importorskip("captum")
    fitted = FittedModel.load(run)
    documents = [*fitted.documents([TEXT]), make_document("text 2", "")]
    reader, method = stored_reader(fitted, run), ATTRIBUTIONS["integrated-gradients"]
    found = list(attributions(fitted, reader, documents, method, 4, 0))
    said, empty = ("\n".join(map(str, lines(one, fitted.task, "integrated-gradients", True))) for one in found)
    assert "predicted by the run's full-text reader" in said
    assert "marked by integrated gradients, as many as the run keeps" in said
    assert "[" in said
    assert "no word, so no prediction" in empty
    assert record(found[1], fitted.task, "lime")["prediction"] is None
    assert all(len(line) <= 80 for line in said.splitlines() if "aroma" not in line)


def test_each_target_has_words_of_its_own() -> None:
    """Each is marked as many words as its own rationale has, two; the reader's second target is twice the first."""
    pytest.importorskip("lime")

    def two(aspects: int) -> FittedModel:
        model: Any = Model("regression")
        guide: Any = Guide()
        config = Config().changed(masks="per-target")
        model.aspects, model.encoder = aspects, SimpleNamespace(dtype=torch.float32)
        return FittedModel(config, SPEC, VOCABULARY, model, guide, torch.device("cpu"), "fake")

    fitted = two(2)
    [found] = attributions(fitted, two(1), [ASPECTS_TEXT], ATTRIBUTIONS["lime"], 60, 0)
    assert isinstance(found, Attribution)
    assert [sum(mask) for mask in found.masks] == [2, 2]
    np.testing.assert_allclose(found.numbers[:, 1], 2 * found.numbers[:, 0], atol=1e-6)
    told = record(found, fitted.task, "lime")
    assert [part["letter"] for part in told["aspects"].values()] == ["A", "B"]
    assert told["kept"] == [int(any(pair)) for pair in zip(*found.masks, strict=True)]
    said = "\n".join(map(str, lines(found, fitted.task, "lime", True)))
    assert "A <staff>  B food" in said
    assert "[AB " in said


def test_what_is_refused(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def refused(*words: Any, folder: Path = run) -> str:
        return refusal(capfd, explain, "--run", folder, TEXT, *words)

    assert refused("--evaluations", "9") == "--evaluations: expected at least 2, beside --method, got 9"
    assert refused("--method", "lime", "--evaluations", "1").startswith("--evaluations: expected at least 2")
    assert refused("--method", "lime", "--predict", "mode") == (
        "--predict: says nothing about --method; leave one of them out"
    )
    assert refused("--method", "lime", "--for", "3").startswith("--for: says nothing about --method")
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    (bare / READER).unlink()
    message = refused("--method", "lime", folder=bare)
    assert message.startswith(f"{bare}: holds no full-text reader; add it: python -m pyro_rationale.fit --out {bare}")
    assert message.endswith("--resume --baselines all")
    pairs = refused("--method", "lime", folder=untrained_run())
    assert pairs.endswith("ranks texts, and there is no full-text reader of pairs; name another run")
