"""Target columns: the task that they call for, and how their cells are read, also by a fitted run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.errors import ConfigError, DataError, RationaleError
from pyro_rationale.tasks import TargetSpec, task_of

BINARY = TargetSpec("binary", ("y",), classes=("1", "2"))


def write(path: Path, labels: list[Any], count: int = 24) -> Path:
    """A table of different texts with these labels in turn; JSON lines keep the types of labels."""
    labels = [labels[i % len(labels)] for i in range(max(count, len(labels)))]
    if path.suffix == ".jsonl":
        lines = [json.dumps({"text": f"text {i}", "y": label}) for i, label in enumerate(labels)]
    else:
        lines = ["text\ty", *(f"text {i}\t{label}" for i, label in enumerate(labels))]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def load(path: Path, spec: TargetSpec | None = None, **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=str(path), target_column=("y",), **options), spec)


def targets(corpus: Corpus) -> list[float]:
    """The first target of each document, in the order of the file."""
    documents = [d for part in (corpus.train, corpus.dev, corpus.test) for d in part]
    return [d.targets[0] for d in sorted(documents, key=lambda d: int(d.id.split()[1]))]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        ([1234568, 1234567], "binary", ("1234567", "1234568")),
        ([9007199254740993, 9007199254740992, 1], "multiclass", ("1", "9007199254740992", "9007199254740993")),
        (["1_1", "11", "1_2"], "auto", ("11", "1_1", "1_2")),
        (["1E5", "2E5", "100000"], "auto", ("100000", "1E5", "2E5")),
        (["01", "1", "001"], "auto", ("001", "01", "1")),
        (["inf", "sup"], "auto", ("inf", "sup")),
        (["1.0", "1.1", "2.0"], "multiclass", ("1.0", "1.1", "2.0")),
        ([1.0, 2.0, 3], "multiclass", ("1", "2", "3")),
        (["+1", "-1"], "binary", ("-1", "+1")),
    ],
)
def test_labels_are_compared_as_they_are_written(
    tmp_path: Path, labels: list[Any], task: str, classes: tuple[str, ...], suffix: str, cached: bool
) -> None:
    path = write(tmp_path / f"a{suffix}", labels)
    corpus = load(path, task=task, cache=str(tmp_path / "cache") if cached else None)
    assert corpus.spec.classes == classes
    assert len(set(targets(corpus)[: len(labels)])) == len(labels)
    assert targets(load(path, corpus.spec)) == targets(corpus)


@pytest.mark.parametrize(
    ("labels", "span", "levels", "said"),
    [
        (["4,5", "3,0", "1"], (1.0, 4.5), (), "read as numbers with a decimal comma, '4,5' is 4.5"),
        (["4/5", "2/5"], (2.0, 5.0), (4,), "read as ratings out of 5, '4/5' is 4"),
        (["1.234,5", "12,5"], (12.5, 1234.5), (), "read as numbers with points between thousands and a decimal comma"),
        (["4 stars", "1 star", "3 stars"], (1.0, 4.0), (4,), "read as numbers of stars, '4 stars' is 4"),
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_ratings_as_people_write_them(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    labels: list[str],
    span: tuple[float, float],
    levels: tuple[int, ...],
    said: str,
    cached: bool,
) -> None:
    path = write(tmp_path / "a.tsv", labels)
    corpus = load(path, cache=str(tmp_path / "cache") if cached else None)
    assert corpus.spec == TargetSpec("ordinal" if levels else "regression", ("y",), (span,), levels=levels)
    assert targets(corpus)[:2] == [
        float(label.split("/")[0].split()[0].replace("1.234,5", "1234,5").replace(",", ".")) for label in labels[:2]
    ]
    assert said in caplog.text
    assert targets(load(path, corpus.spec)) == targets(corpus)
    assert load(path, task="multiclass").spec.classes == tuple(sorted(labels))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (["1,076", "2,310", "950"], DataError, "'1,076', which is 1076 or 1.076"),
        (["4/5", "8/10"], DataError, "out of 5 and out of 10"),
        (["4/5", "80%", "4 stars"], ConfigError, r"numbers that are not plain \(4/5, 80%, 4 stars\)"),
        (["1", "2", "3", "N/A"], ConfigError, r"holds numbers \(75 %\) and N/A; leave these cells empty if nobody"),
        (["4", "N/A", "null", "5", "N/A"], ConfigError, r"holds numbers \(42 %\) and N/A, null; leave these cells"),
        (["1", "2", "3", "much"], ConfigError, r"holds numbers \(75 %\) and words \(much\); say --task"),
        (["1", f"{10**40}", f"-{10**40}", "7.5"], DataError, r"goes from -1e\+40 to 1e\+40; divide it by"),
        (["90210", "10001", "60601", "94103", "73301", "01234"], ConfigError, "01234, which may be a code"),
        (["1 234,50", "2 000,00"], ConfigError, "numbers that are not plain"),
        (["2024-05-01", "2024-05-02"], DataError, "holds dates, such as '2024-05-01'; name another column, or"),
        (["20240501", "20240502", "20231231"], ConfigError, "holds dates, such as 20240501; name another --target-col"),
        (["$4", "$4.50", "$12"], ConfigError, "numbers that are not plain"),
        (["1234567", "1234568"], ConfigError, "holds numbers like names, such as 1234567"),
    ],
)
def test_a_column_that_could_be_several_things(
    tmp_path: Path, labels: list[str], error: type[RationaleError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(write(tmp_path / "a.tsv", labels))


def test_a_scale_of_something_else_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.tsv", ["1", "2", "3"])
    load(path, target_range=(0.0, 300.0))
    load(path, target_range=(1.0, 90.0))
    said = "'y' lies between 1 and 3, and the scale goes from 0 to 300; is it the right --target-range?"
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [said]


def test_a_point_that_may_stand_between_thousands_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(write(tmp_path / "a.tsv", ["1.234", "980", "750"]))
    assert "1.234 is read as a number with three decimals; if it is 1234, leave the point out" in caplog.text


def test_gaps_among_labels_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(load(write(tmp_path / "a.tsv", ["good", "bad", "NA"])).spec.classes) == 3
    assert "NA is taken for a class; leave such cells empty if nobody answered there" in caplog.text


@pytest.mark.parametrize("similar", [["Good", "good"], ["caf\u00e9", "cafe\u0301"], ["very good", "very  good"]])
def test_labels_that_look_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture, similar: list[str]) -> None:
    assert len(load(write(tmp_path / "a.tsv", [*similar, "bad"])).spec.classes) == 3
    assert "look alike, and are classes of their own" in caplog.text


@pytest.mark.parametrize(
    ("labels", "warned"),
    [
        (["1", "2", "3", "4", "5"] * 5 + ["500"], "line 27: 'y' is 500, all other values lie between 1 and 5"),
        (["0.1", "0.5", "0.9"] * 8 + ["-1e5"], "line 26: 'y' is -100000, all other values lie between 0.1 and 0.9"),
        (["1", "2", "3", "4", "5"] * 5 + ["30"], "line 27: 'y' is 30, all other values lie between 1 and 5"),
        (["1", "2", "3", "4", "5"] * 5 + ["9"], "line 27: 'y' is 9, all other values lie between 1 and 5"),
        (["1", "2", "3", "4", "5"] * 5 + ["-1"], "line 27: 'y' is -1, all other values lie between 1 and 5"),
        (["1", "2", "3", "4", "5"] * 9 + ["-1", "-1"], "line 47: 'y' is -1 (as in 2 rows), all other values"),
        (["0", "1", "2", "3"] * 6 + ["-1"], "line 26: 'y' is -1, all other values lie between 0 and 3"),
        (["1", "2", "3"] * 9 + ["0"], None),
        (["2", "3", "4", "5", "6", "7", "8"] * 4 + ["0", "10"], None),
        (["-1", "0", "1"] * 9 + ["-2"], None),
        (["1", "5"] * 12, None),
        (["1", "2", "40"] * 12, None),
        (["1", "2", "3", "4", "20"] * 5, None),
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_one_value_that_makes_the_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: list[str], warned: str | None, cached: bool
) -> None:
    load(write(tmp_path / "a.tsv", labels), cache=str(tmp_path / "cache") if cached else None)
    assert warned in caplog.text if warned else not caplog.records


@pytest.mark.parametrize(
    ("spec", "labels", "expected"),
    [
        (BINARY, ["0", "1"], "holds 0, 1, and the run's classes are 1, 2"),
        (BINARY, ["-1", "1"], "holds -1, 1, and the run's classes are 1, 2"),
        (BINARY, ["2.0", "1.0"], [1, 0]),
        (BINARY, ["2", "x"], [1]),
        (TargetSpec("multiclass", ("y",), classes=("1", "2", "3")), ["0", "1", "2"], "holds 0, 1, 2"),
        (TargetSpec("multiclass", ("y",), classes=("1.23457e+06", "5")), ["1234567", "5"], [0, 1]),
        (TargetSpec("binary", ("y",), classes=("no", "yes")), ["1", "0"], [1, 0]),
        (TargetSpec("regression", ("y",), ((1.0, 4.0),)), ["4/5"], "ratings out of 5, and the scale ends at 4"),
        (TargetSpec("regression", ("y",), ((1.0, 5.0),)), ["4,5", "2"], [4.5, 2]),
    ],
)
def test_labels_of_another_file_than_the_one_fitted_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spec: TargetSpec, labels: list[str], expected: list[float] | str
) -> None:
    """Bad rows are left out, but not half of the classes."""
    caplog.set_level(logging.WARNING)
    path = write(tmp_path / "a.tsv", labels, count=len(labels))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            load(path, spec, skip_bad_rows=True)
    else:
        assert targets(load(path, spec, skip_bad_rows=True)) == expected
    assert ("read 0 as 'no' and 1 as 'yes'" in caplog.text) == ("no" in spec.classes)


def test_two_ratings_may_be_meant_as_classes(tmp_path: Path) -> None:
    for labels, remark in (["1", "2"], "--task binary makes them classes"), (["1", "2", "3"], ""):
        corpus = load(write(tmp_path / "a.tsv", labels))
        said = task_of(corpus.spec).remark(np.array([d.targets for d in corpus.train]))
        assert remark in said if remark else not said
