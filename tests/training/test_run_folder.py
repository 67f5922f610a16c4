"""A run folder that is not as it was: another configuration, other data, files that are changed, lost or not ours."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.fit import fit
from pyro_rationale.config import Config
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.evaluation.results import RunMetrics, train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.run_files import read_config
from pyro_rationale.storage import read_manifest, read_tensors, write_tensors
from pyro_rationale.training.history import read_history
from pyro_rationale.training.run_folder import alone, check_same_config, clear_run, differing_options
from tests.support.small_fit import (
    Break,
    content,
    differences,
    fit_small,
    flags,
    refusal,
    small,
    table,
    whole,
    without_manifest,
)


def test_a_default_given_by_its_value_is_no_difference() -> None:
    assert list(differing_options(small(samples=1, guide="relaxed"), small(samples=None, guide="relaxed"))) == []
    assert list(differing_options(small(steps=9), small(steps=10))) == [("steps", 9, 10)]


def test_a_run_of_version_0_2_goes_on_with_its_tokenizer(tmp_path: Path) -> None:
    values = small().to_dict()
    del values["data"]["tokenizer"]
    older = Config.from_dict(values)
    assert older.data.tokenizer == "words"
    assert list(differing_options(older, small())) == []  # asked for without a word about the tokenizer
    assert list(differing_options(small(), older)) == [("tokenizer", "unicode", "words")]
    rows = [f"a soup no. {i} &amp; caf&eacute;,{i % 5}" for i in range(60)]
    data = str(table(tmp_path / "t.csv", "text,rating", rows))
    options: dict[str, Any] = {"data": data, "target_column": ("rating",)}
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "run", Break(steps=4), tokenizer="words", **options)
    assert "amp" in json.loads((tmp_path / "run" / "vocabulary.json").read_text())["words"]
    with pytest.raises(RunError, match="has changed since"):  # it holds texts that the two cut differently
        fit_small(tmp_path / "run", resume=True, **options)


def test_texts_cut_into_as_many_other_words_are_refused(tmp_path: Path) -> None:
    rows = [f"the \ufb01ne soup no. {i},{i % 5}" for i in range(60)]
    data = str(table(tmp_path / "t.csv", "text,rating", rows))
    options: dict[str, Any] = {"data": data, "target_column": ("rating",)}
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "run", Break(steps=4), tokenizer="words", **options)
    with pytest.raises(RunError, match=r"run: .*t\.csv has changed since; restore it, or fit again with --force"):
        fit_small(tmp_path / "run", resume=True, **options)


def test_the_learning_rate_may_change_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=2))
    check_same_config(small(learning_rate=0.1, threads=2), tmp_path)


def test_a_finished_run_has_its_learning_rate(tmp_path: Path) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    check_same_config(small(threads=2), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"--learning-rate: the run in .* has 0.003, got 0.1"):
        check_same_config(small(learning_rate=0.1), tmp_path / "run")


def test_options_of_several_values_are_said_in_words(tmp_path: Path) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    path = without_manifest(tmp_path / "run") / "config.json"
    facts = json.loads(path.read_text())
    facts["config"]["data"]["target_column"] = ["seat_width", "viewing_tv"]
    path.write_text(json.dumps(facts))
    for names, said in ((("seat_width",), "seat_width"), ((), "nothing"), (("a", "b", "c"), "a, b and c")):
        with pytest.raises(ConfigError) as caught:
            check_same_config(small(target_column=names), tmp_path / "run")
        assert f" has seat_width and viewing_tv, got {said}; leave it out to resume" in str(caught.value)


def test_no_other_configuration_is_written_over_weights_that_are_done(tmp_path: Path) -> None:
    """All steps are done, and only the table was never written: the weights are still those of their learning rate."""
    folder = tmp_path / "run"
    shutil.copytree(whole(), folder)
    (folder / "metrics.json").unlink()
    before = content(folder)
    changed: dict[str, Any] = {"learning_rate": 0.1}
    with pytest.raises(ConfigError, match=r"--learning-rate: .* 0.003, got 0.1"):
        fit_small(folder, resume=True, **changed)
    assert content(folder) == before
    fit_small(folder, resume=True)
    assert content(folder).keys() == content(whole()).keys()


def test_a_run_with_an_option_that_its_corpus_never_used_can_be_resumed(tmp_path: Path) -> None:
    """Older versions took such options and kept them in config.json."""
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=4))
    path = without_manifest(tmp_path) / "config.json"
    config = json.loads(path.read_text())
    config["config"]["data"]["text_column"] = "review"
    path.write_text(json.dumps(config))
    fit_small(tmp_path, resume=True, text_column="review")
    assert (tmp_path / "metrics.json").exists()
    with pytest.raises(ConfigError, match=r"^--text-column: means nothing"):
        fit_small(tmp_path / "new", text_column="review")


# Other data.


def rows(flip: str = "") -> list[str]:
    """A table with as many words of every kind, whatever is flipped in it."""
    texts = [f"the room was {word} and so on {word}" for word in "abcdefghijklmnopqrst"]
    ratings = [i % 5 for i in range(20)]
    if flip == "ratings":
        ratings[3], ratings[4] = ratings[4], ratings[3]
    if flip == "words":
        texts[3] = "and the room was d so on d"
    return [f"{text},{rating}" for text, rating in zip(texts, ratings, strict=True)]


@pytest.mark.parametrize("flip", ["ratings", "words"])
def test_rows_that_changed_are_refused(tmp_path: Path, flip: str) -> None:
    """Neither the vocabulary nor the range tells of it."""
    path = table(tmp_path / "a.csv", "text,y", rows())
    options: dict[str, Any] = {"data": str(path), "target_column": ("y",), "min_count": 1}
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "run", Break(steps=1), **options)
    before = content(tmp_path / "run")
    table(path, "text,y", rows(flip))
    with pytest.raises(RunError, match=r"run: .*a\.csv has changed since \((train|dev|test).*\); restore the data"):
        fit_small(tmp_path / "run", resume=True, **options)
    assert content(tmp_path / "run") == before
    table(path, "text,y", rows())
    fit_small(tmp_path / "run", resume=True, **options)


# Files that are changed, lost or not ours.


@pytest.mark.parametrize(
    "name", ["config.json", "vocabulary.json", "model.safetensors", "metrics.json", "epochs.jsonl"]
)
def test_a_file_that_was_changed_is_refused(tmp_path: Path, name: str) -> None:
    """One bit, which none of the readers would notice by itself."""
    folder = shutil.copytree(whole(), tmp_path / "run")
    path = folder / name
    blob = bytearray(path.read_bytes())
    place = next(i for i in reversed(range(len(blob))) if chr(blob[i]).isdigit() or name.endswith("safetensors"))
    path.write_bytes(bytes([*blob[:place], blob[place] ^ 1, *blob[place + 1 :]]))
    with pytest.raises(RunError, match=f"{name}: not the file that the run wrote, for its digest is another; restore"):
        _ = RunMetrics.load(folder), read_history(folder / "epochs.jsonl"), FittedModel.load(folder, "cpu")
    (folder / "manifest.json").unlink()


def test_a_vocabulary_in_another_order_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(whole(), tmp_path / "run")
    facts = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps({**facts, "words": facts["words"][::-1]}))
    with pytest.raises(RunError, match=r"vocabulary\.json: not the file that the run wrote"):
        FittedModel.load(folder, "cpu")


@pytest.mark.parametrize("link", [False, True])
def test_a_lost_checkpoint_is_no_beginning(tmp_path: Path, link: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=4))
    path = tmp_path / "checkpoint.safetensors"
    path.rename(tmp_path / "kept")
    if link:
        path.symlink_to("nowhere")
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: (a link to nowhere|missing, though there is epochs)"):
        fit_small(tmp_path, resume=True)
    (tmp_path / "kept").rename(path)
    assert fit_small(tmp_path, resume=True)[0].trainer.step == 9


def test_a_run_that_never_got_to_a_checkpoint_begins(tmp_path: Path) -> None:
    fit_small(tmp_path, steps=3)
    for name in ("checkpoint.safetensors", "epochs.jsonl", "model.safetensors", "metrics.json"):
        (tmp_path / name).unlink()
    assert fit_small(tmp_path, resume=True, steps=3)[0].trainer.step == 3


def test_a_run_of_an_older_version_gets_a_manifest_when_it_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=4))
    without_manifest(tmp_path)
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []
    assert read_manifest(tmp_path)["notes"] == read_manifest(whole())["notes"]
    assert read_manifest(tmp_path)["files"].keys() == read_manifest(whole())["files"].keys()


def test_force_removes_nothing_but_a_run(tmp_path: Path) -> None:
    """The files of a model of another package have the names of ours."""
    theirs = {"config.json": b'{"hidden_size": 8}', "model.safetensors": b"years of work", "notes.txt": b"mine"}
    for name, blob in theirs.items():
        (tmp_path / name).write_bytes(blob)
    with pytest.raises(RunError, match=r"config\.json, model\.safetensors there may be no files of a run"):
        train(small(), tmp_path, force=True)
    assert content(tmp_path) == theirs
    with pytest.raises(RunError, match="may be no files of a run"):
        clear_run(tmp_path)


@pytest.mark.parametrize("way", ["--resume", "--force"])
def test_two_fits_may_not_write_to_one_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str], way: str) -> None:
    """By whichever path; nothing is touched, and no lock is left."""
    folder = shutil.copytree(whole(), tmp_path / "run")
    (folder / "metrics.json").unlink()
    (tmp_path / "link").symlink_to(folder)
    before = content(folder)
    with alone(folder):
        for path in (folder, tmp_path / "link"):
            said = refusal(capfd, fit, *flags(), "--out", path, way)
            assert said == f"{path}: another fit is writing to it; wait for its end, or change --out"
        with alone(tmp_path / "other"):
            pass
    assert content(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "link"}


def test_the_lock_of_a_folder_leaves_no_folders(tmp_path: Path) -> None:
    for name in ("empty", "used"):
        with alone(tmp_path / name / "runs" / "one"):
            assert (tmp_path / name / "runs").is_dir()
            if name == "used":
                (tmp_path / name / "file").touch()
    assert {path.name for path in tmp_path.rglob("*")} == {"used", "file"}


@pytest.mark.parametrize("lost", ["manifest.json", "config.json", "vocabulary.json", ""])
def test_force_replaces_a_run_that_is_half_there(tmp_path: Path, lost: str) -> None:
    folder = shutil.copytree(whole(), tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    if lost:
        (folder / lost).unlink()
    (folder / "model.safetensors").write_bytes(b"damaged")
    clear_run(folder)
    assert list(content(folder)) == ["notes.txt"]


def test_a_model_is_not_saved_into_the_folder_of_another(tmp_path: Path) -> None:
    fitted = FittedModel.load(whole(), "cpu")
    folder = shutil.copytree(whole(guide="chain"), tmp_path / "run")
    before = content(folder)
    with pytest.raises(RunError, match="holds a run of another configuration, target or vocabulary"):
        fitted.save(folder)
    assert content(folder) == before
    fitted.save(tmp_path / "new")
    assert FittedModel.load(tmp_path / "new", "cpu").rows == fitted.rows != {}


# Values that no fit writes, in folders without digests.


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.kappa", lambda v: -v, "expected kappa and sigma above 0"),
        ("model.likelihood.sigma", lambda v: -v, "expected kappa and sigma above 0"),
        ("guide.head.weight", lambda v: v * math.nan, "guide.head.weight holds a number that is not finite"),
        ("model.prior_fields", lambda v: v + 1e6, "the prior's alpha is"),
    ],
)
def test_weights_that_no_fit_ends_with(tmp_path: Path, name: str, change: Any, message: str) -> None:
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    tensors, facts = read_tensors(folder / "model.safetensors")
    write_tensors(folder / "model.safetensors", {**tensors, name: change(tensors[name])}, facts)
    with pytest.raises(RunError, match=f"weights do not fit the configuration .*{message}"):
        FittedModel.load(folder, "cpu")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *(("model", "layers", value) for value in (10**20, 10**200, "2", None, True, [1], -1)),
        *(("model", "rate", value) for value in (10**200, "0.1", [0.1])),
        *(("data", "target_column", value) for value in ("y", [1], [["y"]], {"a": 1})),
        *(("data", "target_range", value) for value in ([0], [0, 10**200], [0, "1"], 3)),
        *(("train", "callback", value) for value in ("x", [None], ["no such"])),
        ("train", "precision", []),
    ],
)
def test_values_of_a_configuration_are_typed(tmp_path: Path, part: str, name: str, value: Any) -> None:
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    facts = json.loads((folder / "config.json").read_text())
    facts["config"][part][name] = value
    (folder / "config.json").write_text(json.dumps(facts))
    named = name.replace("_", ".")
    with pytest.raises(RunError, match=rf"config\.json: not a configuration of this version .*{named}"):
        read_config(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"names": []}, {"names": "y"}, {"names": [1]}, {"ranges": [[0, 1], [0, 1]]}, {"ranges": [[1, 0]]},
        {"ranges": [[0, 1e999]]}, {"ranges": [[0, 10**200]]}, {"ranges": "x"}, {"kind": None}, {"kind": ["regression"]},
        {"classes": ["a"]}, {"classes": ["a", "a"]}, {"colour": 1},
    ],
)
def test_values_of_a_target_are_typed(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    facts = json.loads((folder / "config.json").read_text())
    facts["target"] |= change
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match=r"config\.json: not a configuration of this version .*(target|--task)"):
        read_config(folder)


def test_a_run_that_needs_another_package_says_so(tmp_path: Path) -> None:
    """To fit again would need that package as well."""
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    text = (folder / "config.json").read_text().replace('"regression"', '"survival"')
    (folder / "config.json").write_text(text)
    remedy = "got 'survival'.*; install the package that adds what is missing, or fit again"
    with pytest.raises(RunError, match=f"--task: expected one of .*, {remedy}"):
        read_config(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"test": []}, {"test": {"mse": [1]}}, {"test": {"aspects": 3}}, {"test": {"aspects": {"y": 3}}},
        {"prior": {"alpha": "x"}}, {"prior": 3}, {"seed": "x"}, {"epochs": 1.5}, {"leaks": []},
    ],
)
def test_values_of_a_result_are_typed(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    facts = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(facts | change))
    with pytest.raises(RunError, match=rf"metrics\.json: not a result of this version \({next(iter(change))}"):
        RunMetrics.load(folder)


@pytest.mark.parametrize("change", [{"epoch": "x"}, {"loss": [1]}, {"event": 3}, {"colour": 1}, {"step": None}])
def test_values_of_a_history_are_typed(tmp_path: Path, change: dict[str, Any]) -> None:
    path = without_manifest(shutil.copytree(whole(), tmp_path / "run")) / "epochs.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | change), *others]))
    with pytest.raises(RunError, match=rf"epochs\.jsonl: not a history of this version \({next(iter(change))}"):
        read_history(path)
