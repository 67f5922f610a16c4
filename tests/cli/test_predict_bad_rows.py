"""`predict --skip-bad-rows`: rows that cannot be read are told, and the others are predicted as if they were alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli import predict as command
from pyro_rationale.data import DataOptions
from pyro_rationale.prediction import scorer
from tests.support.commands import ended
from tests.support.untrained_run import untrained, untrained_classes

Run = Callable[..., tuple[int, str, str]]
BAD_ROWS = [
    '{"text": "The look was lovely.", "id": 7}',
    '{"text": 5, "id": 8}',
    '{"text": null, "id": 9}',
    '{"text": "a"} x',
    '{"id": 11}',
    '{"text": "good \\ud800 x", "id": 7}',
    '{"text": 6, "id": 13}',
    '{"text": "An odd smell, and a dull taste.", "id": 14}',
]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run"), "relaxed", DataOptions(documents=40))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Run:
    """The command; what it warns of stands behind what it says."""

    def run(*words: object) -> tuple[int, str, str]:
        caplog.clear()
        status, printed, said = ended(capfd, command.predict, *words)
        return status, printed, said + "".join(f"{message}\n" for message in caplog.messages)

    return run


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(f"{line}\n" for line in BAD_ROWS))
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_rows_that_cannot_be_read_keep_their_place_and_have_no_prediction(
    call: Run, ratings: Path, faulty: Path, tmp_path: Path, form: str
) -> None:
    """So that a column of predictions can be laid beside the table; an empty text was read, and has no word."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    words = ("--run", ratings, faulty, "--id-column", "id", "--out", tmp_path / f"out.{form}")
    assert call(*words)[0] == 2
    status, printed, said = call(*words, "--skip-bad-rows")
    assert status == 0
    assert "8 rows, 5 that cannot be read, 1 without a word" in printed
    assert said == (
        f"{faulty}: no prediction for 5 of 8 rows, first line 2: 'text' holds 5, not a text; 1 like line 4: is not "
        "JSON (Extra data); 1 like line 5: has no 'text'\n"
    )
    ids: list[Any] = [7, 8, 9, None, 11, 7, 13, 14]
    if form == "parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "out.parquet").to_pylist()
    elif form == "csv":
        rows, ids = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))), [str(id or "") for id in ids]
    else:
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ids
    assert [row["prediction"] in (None, "") for row in rows] == [False, *[True] * 6, False]
    assert "nothing was interrupted" in call(*words, "--skip-bad-rows", "--resume")[1]


def test_a_table_with_rows_left_out_is_gone_on_with(
    call: Run, ratings: Path, faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "CHUNK", 3)
    words = ("--run", ratings, faulty, "--skip-bad-rows", "--workers", 1)
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    assert call(*words, "--out", whole)[0] == 0
    make, made = scorer.Scorer.__call__, list[Any]()

    def interrupted(self: Any, rows: Any) -> Any:
        if made:
            raise KeyboardInterrupt
        made.append(rows)
        return make(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(scorer.Scorer, "__call__", interrupted)
        assert call(*words, "--out", broken)[0] == 130
    assert "8 rows, 5 that cannot be read" in call(*words, "--out", broken, "--resume")[1]
    assert broken.read_bytes() == whole.read_bytes()


def test_eraser_records_are_of_rows_that_can_be_used(call: Run, faulty: Path, tmp_path: Path) -> None:
    options = ("--id-column", "id", "--format", "eraser", "--out", tmp_path / "out.jsonl")
    words = ("--run", untrained_classes(tmp_path), faulty, *options)
    with faulty.open("a") as file:
        file.write('{"text": "Once more.", "id": 14}\n')
    status, _, said = call(*words, "--skip-bad-rows")
    assert status == 0
    assert "left out 6 of 9 rows" in said
    ids = [json.loads(line)["annotation_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert ids == ["7", "9", "14"]
    assert "nothing was interrupted" in call(*words, "--skip-bad-rows", "--resume")[1]


def test_texts_that_say_that_there_is_none_are_predicted_and_told(call: Run, ratings: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\ngood\n\nNULL\na null result\nn/a\n")
    status, _, said = call("--run", ratings, path, "--out", tmp_path / "out.csv")
    assert status == 0
    assert f"{path}: 2 of 4 texts are NULL, n/a, first line 4 (row 2); leave them out if nothing" in said
    assert said.count("NULL") == 1
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 5


def test_lines_that_are_no_text_are_passed_over(call: Run, ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be known of a pipe beforehand: without the option, one such line ends a long run."""
    for option in ((), ("--skip-bad-rows",)):
        stream = io.BytesIO(b"a lovely look\n\xff\nan odd smell\n")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        status, printed, said = call("--run", ratings, "-", *option)
        assert (status, "line 2: expected UTF-8 text, found byte 0xff" in said) == (0 if option else 2, True)
    assert [json.loads(line)["prediction"] is None for line in printed.splitlines()] == [False, True, False]
    assert "standard input: no prediction for 1 of 3 rows" in said


def test_the_number_in_a_message_is_that_of_the_prediction(call: Run, ratings: Path, tmp_path: Path) -> None:
    """Lines are counted as editors do; rows as in the output, of which a header and a line end in a text are none."""
    path = tmp_path / "in.csv"
    path.write_text('text,y\n"a lovely\nlook",1\n\nbad,2,3\nan odd smell,1\n')
    status, printed, said = call("--run", ratings, path, "--skip-bad-rows")
    assert status == 0
    assert "first line 5 (row 2): has 3 fields" in said
    assert [row["id"] for row in map(json.loads, printed.splitlines()) if row["prediction"] is None] == [2]


def test_a_table_of_which_nothing_can_be_read_is_refused(call: Run, ratings: Path, tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"text": 1}\n{"text": 2}\n')
    status, _, said = call("--run", ratings, path, "--skip-bad-rows")
    assert status == 2
    assert "none of its 2 rows can be read (first fault: line 1: 'text' holds 1, not a text)" in said
