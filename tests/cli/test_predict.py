"""`predict` from the outside: tables and lines in, tables out, interrupted and gone on with."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pyro_rationale.cli import predict as command
from pyro_rationale.data import DataOptions, load_corpus, parallel
from pyro_rationale.data.cache.dataset import word_keys
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction import scorer
from pyro_rationale.prediction.options import BatchOptions
from pyro_rationale.run_files import WEIGHTS, write_calibration
from pyro_rationale.storage import read_tensors, write_tensors
from pyro_rationale.tasks import Calibration
from tests.support.commands import ended
from tests.support.untrained_pairs import untrained_run
from tests.support.untrained_run import untrained, untrained_classes

Run = Callable[..., tuple[int, str, str]]
TEXTS = ["The look was lovely.", "", "zzqq fnord", "An odd smell, and a dull taste; again dull."]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run"), "relaxed", DataOptions(documents=40))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_classes(tmp_path_factory.mktemp("classes"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["review", "name"], *([text, f"n{i}"] for i, text in enumerate(TEXTS))])
    return path


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        return ended(capfd, command.predict, *words)

    return run


def test_a_row_for_each_row_in_their_order(call: Run, ratings: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    options = ("--text-column", "review", "--id-column", "name", "--out", out, "--contributions", "removal")
    status, printed, said = call("--run", ratings, table, *options)
    assert status == 0
    assert not said
    assert "4 rows, 1 without a word" in printed
    assert "1 with many unknown words" in printed
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["id"] for row in rows] == ["n0", "n1", "n2", "n3"]
    assert rows[1]["prediction"] == rows[1]["rationale"] == ""
    assert float(rows[2]["unknown"]) == 1
    for row, text in zip(rows, TEXTS, strict=True):
        for span in json.loads(row["spans"] or "[]"):
            assert text[span["start"] : span["end"]] == span["text"]
            assert isinstance(span["contribution"], float)
    assert float(rows[0]["low"]) <= float(rows[0]["prediction"]) <= float(rows[0]["high"])


def test_texts_stand_beside_their_predictions(call: Run, ratings: Path, table: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out.csv", ("--text-column", "review", "--with-text")
    assert call("--run", ratings, table, *options, "--out", out)[0] == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["text"] for row in rows] == TEXTS
    assert list(rows[0])[:3] == ["id", "text", "prediction"]
    printed = call("--run", ratings, table, *options, "--quiet")[1]
    assert [json.loads(line)["text"] for line in printed.splitlines()] == TEXTS
    _, _, refused = call("--run", ratings, table, "--with-text", "--format", "eraser")
    assert refused.startswith("error: --with-text: records of --format eraser")


def test_json_lines_and_parquet_hold_the_same(call: Run, classes: Path, table: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    options = ("--text-column", "review", "--contributions", "removal", "--quiet")
    status, printed, said = call("--run", classes, table, *options)
    assert (status, said) == (0, "")
    rows = [json.loads(line) for line in printed.splitlines()]
    assert call("--run", classes, table, *options, "--out", tmp_path / "out.parquet")[0] == 0
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    shares = [rows[0][f"probability.{label}"] for label in "xyz"]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert rows[0]["prediction"] == "xyz"[shares.index(max(shares))]


def test_texts_that_were_not_read_to_their_end_are_said(call: Run, ratings: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("good<br>\ngood look, and lovely smell\n")  # a line break is no word that was left out
    _, printed, said = call("--run", ratings, path, "--max-words", 3)
    assert [json.loads(line)["cut"] for line in printed.splitlines()] == [0, 5]
    assert "1 longer than the words that were read" in said


@pytest.mark.parametrize("out", [None, "out.csv"])
def test_training_texts_are_said_once_on_standard_error(
    call: Run, classes: Path, tmp_path: Path, out: str | None
) -> None:
    run = shutil.copytree(classes, tmp_path / "run")
    fitted = FittedModel.load(run, "cpu")
    train = load_corpus(fitted.config.data).train
    fitted.text_keys = torch.from_numpy(word_keys(train))
    fitted.save(run)
    words = ["--run", run, fitted.config.data.data, "--samples", 3, *(["--out", tmp_path / out] if out else [])]
    status, printed, said = call(*words)
    assert status == 0
    line = f"{len(train)} of 40 texts were training texts of the run; their predictions are nearer the truth than"
    assert " ".join(said.split()).count(line) == 1
    assert "training texts" not in printed
    (tmp_path / "new.txt").write_text("this one is new\n")
    assert "training texts" not in call("--run", run, tmp_path / "new.txt", "--samples", 3)[2]
    assert "training texts" not in call(*words, "--quiet", *(["--force"] if out else []))[2]


def test_rows_of_a_saved_data_set(call: Run, ratings: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(tmp_path / "data")
    assert call("--run", ratings, tmp_path / "data", "--out", tmp_path / "out.jsonl")[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(TEXTS)


def test_lines_of_a_text_file_are_rows_blank_ones_too(call: Run, ratings: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("good\n\nlovely\n\n")
    rows = [json.loads(line) for line in call("--run", ratings, path)[1].splitlines()]
    assert [(row["id"], row["prediction"] is None) for row in rows] == [(1, False), (2, True), (3, False), (4, True)]


def test_lines_of_standard_input(call: Run, ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a lovely look\n")))
    status, printed, _ = call("--run", ratings, "-", "--samples", 3)
    assert status == 0
    assert json.loads(printed)["id"] == 1


def test_an_interrupted_table_is_finished_as_if_it_had_not_been(
    call: Run, ratings: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "CHUNK", 1)
    words = ("--run", ratings, table, "--text-column", "review", "--workers", 1)
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    assert call(*words, "--out", whole)[0] == 0
    make = scorer.Scorer.__call__
    made: list[Any] = []

    def interrupted(self: Any, rows: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(rows)
        return make(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(scorer.Scorer, "__call__", interrupted)
        status, _, said = call(*words, "--out", broken)
    assert status == 130
    assert "2 rows are kept" in said
    assert "--resume" in said
    status, _, said = call(*words, "--out", broken)
    assert status == 2
    assert "--resume" in said
    assert "Traceback" not in said
    status, _, said = call(*words, "--out", broken, "--resume", "--samples", 3)
    assert status == 2
    assert "other options" in said
    assert call(*words, "--out", broken, "--resume")[0] == 0
    assert broken.read_bytes() == whole.read_bytes()
    assert "nothing was interrupted" in call(*words, "--out", broken, "--resume")[1]
    table.write_text("review\nlovely\n")
    status, _, said = call(*words, "--out", broken, "--resume")
    assert status == 2
    assert "other texts from row 2 on" in said
    files = {"in.csv", "whole.csv", "broken.csv"}
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == files


@pytest.mark.parametrize("way", ["--resume", "--force"])
def test_a_table_that_another_process_is_writing_is_refused(
    call: Run, ratings: Path, table: Path, tmp_path: Path, way: str
) -> None:
    """Before a line of it is touched; a process that was killed leaves nothing that stays locked."""
    words = ("--run", ratings, table, "--text-column", "review", "--workers", 1)
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    assert call(*words, "--out", whole)[0] == 0
    lock = tmp_path / "out.csv.partial.lock"
    script = "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire()"
    script += "; print(flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        (tmp_path / "out.csv.partial").write_text("its lines")
        for more in ((), (way,)):
            status, printed, said = call(*words, "--out", out, *more)
            assert (status, printed) == (2, "")
            assert said == (
                f"error: --out {out}: another process is writing it; wait for its end, or name another file\n"
            )
        assert (tmp_path / "out.csv.partial").read_text() == "its lines"
    finally:
        other.kill()
        other.communicate()
    assert lock.exists()
    assert call(*words, "--out", out, way)[0] == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not lock.exists()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_finished_table_of_a_changed_run_changed_texts_or_other_options_is_refused(
    call: Run, ratings: Path, table: Path, tmp_path: Path, form: str
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    run, out = tmp_path / "run", tmp_path / f"out.{form}"
    shutil.copytree(ratings, run)
    words = ("--run", run, table, "--text-column", "review", "--out", out)
    assert call(*words)[0] == 0
    assert "nothing was interrupted" in call(*words, "--resume")[1]

    def refused(what: str, *more: object) -> None:
        status, _, said = call(*words, *more, "--resume")
        assert status == 2
        assert said.startswith(f"error: --resume: {out} was made with other {what}; ")
        assert said.count("\n") == 1

    refused("options", "--samples", 3)
    texts = table.read_bytes()
    table.write_bytes(texts.replace(b"lovely", b"ugly"))  # the same rows
    refused("texts")
    table.write_bytes(texts)
    tensors, facts = read_tensors(run / WEIGHTS)
    write_tensors(run / WEIGHTS, {name: 1.5 * value for name, value in tensors.items()}, facts, listed=True)
    refused("weights of the run")
    assert call(*words, "--force")[0] == 0
    assert "nothing was interrupted" in call(*words, "--resume")[1]


def test_several_processes_get_the_chunks_that_one_gets(
    ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "CHUNK", 2)
    asked: list[int] = []

    def in_processes(work: Any, jobs: Iterator[Any], workers: int, modules: tuple[str, ...]) -> Iterator[Any]:
        asked.append(workers)
        return map(pickle.loads(pickle.dumps(work)), jobs)

    monkeypatch.setattr(parallel, "in_processes", in_processes)
    made = scorer.Scorer(ratings, "cpu", BatchOptions(samples=2), None, form="csv")
    rows = [scorer.TextRow(number, text) for number, text in enumerate(TEXTS)]
    alone, together, few = (
        [chunk.lines for chunk in command.chunks_of(made, iter(some), workers)]
        for some, workers in ((rows, 1), (rows, 3), (rows[:2], 3))
    )
    assert alone == together
    assert few == alone[:1]
    assert asked == [3]
    assert torch.get_num_threads() == 1
    list(command.chunks_of(replace(made, threads=2), iter(rows), 3))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("words", "gpu", "ahead"),
    [((), False, True), ((), True, False), (("--device", "cpu"), True, True), (("--workers", 2), True, True)],
)
def test_nothing_is_imported_for_processes_that_will_not_be_started(
    call: Run,
    ratings: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    gpu: bool,
    ahead: bool,
) -> None:
    """A GPU is used by one process, unless more are asked for."""
    imported: list[tuple[str, ...]] = []
    monkeypatch.setattr(parallel, "import_ahead", imported.append)
    monkeypatch.setattr(parallel, "has_gpu", lambda: gpu)
    monkeypatch.setattr(parallel, "cores", lambda: 4)
    monkeypatch.setattr(command, "MANY", 10)
    assert call("--run", ratings, table, "--text-column", "review", *words)[0] == 0
    assert imported == ([command.SLOW_TO_IMPORT] if ahead else [])


def test_what_is_imported_ahead_asks_for_no_gpu() -> None:
    """A process that has asked CUDA for its devices cannot be copied to one that uses them."""
    code = (
        "import sys, torch\n"
        "def asked(*given): raise SystemExit('a GPU was asked for')\n"
        "for name in ('is_available', 'device_count', 'init', '_lazy_init', 'current_device'):\n"
        "    setattr(torch.cuda, name, asked)\n"
        f"for name in {command.SLOW_TO_IMPORT!r}: __import__(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_transformer_reads_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = SimpleNamespace(config=SimpleNamespace(model=SimpleNamespace(pretrained=None)))
    monkeypatch.setattr(scorer.Scorer, "fitted", fitted)
    made = scorer.Scorer(Path("run"), "cpu", BatchOptions(), None)
    fast = made.chunk
    fitted.config.model.pretrained = "minilm"
    assert 64 < made.chunk < fast


def test_eraser_files(call: Run, classes: Path, table: Path, tmp_path: Path) -> None:
    options = ("--text-column", "review", "--id-column", "name", "--format", "eraser", "--faithfulness")
    status, _, _ = call("--run", classes, table, *options, "--out", tmp_path / "predictions.jsonl")
    assert status == 0
    records = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [record["annotation_id"] for record in records] == ["n0", "n1", "n2", "n3"]
    assert len(records[0]["rationales"][0]["soft_rationale_predictions"]) == len(TEXTS[0].split())
    for name in ("classification", "comprehensiveness_classification", "sufficiency_classification"):
        assert set(records[0][f"{name}_scores"]) == set("xyz")
    judged = [record for record in records if "sufficiency_classification_scores" in record]
    assert len(judged) == len([text for text in TEXTS if text.strip()])
    for record in judged:  # of one mask, all three: differences mean something
        assert record["classification_scores"] == record["sufficiency_classification_scores"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--text-column", "reviw"), "did you mean --text-column review?"),
        ((), "name the column of the texts with --text-column"),
        (("--text-column", "review", "--out", "in.csv"), "is the file that IN names"),
        (("--text-column", "review", "--out", "x.txt"), "--format"),
        (("--text-column", "review", "--format", "eraser"), "one target of classes"),
        (("--text-column", "review", "--format", "csv"), "--out"),
        (("--text-column", "review", "--resume"), "--resume"),
        (("--text-column", "review", "--faithfulness"), "--faithfulness"),
    ],
)
def test_what_cannot_be_is_one_line(
    call: Run, ratings: Path, table: Path, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    status, printed, said = call("--run", ratings, table, *words)
    assert (status, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("error: ")
    assert message in said
    assert [path.name for path in table.parent.iterdir()] == ["in.csv"]


def test_a_faulty_row_is_said_before_anything_is_written(call: Run, ratings: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text,y\ngood,1\nbad,2,3\n")
    status, _, said = call("--run", ratings, path, "--out", tmp_path / "out.csv")
    assert status == 2
    assert f"{path}, line 3 (row 2): has 3 fields" in said
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "good \\ud800 x"}', "the text in 'text' holds half a character (a lone surrogate)"),
        ('{"text": "good", "id": "\\ud800"}', "the id in 'id' holds half a character (a lone surrogate)"),
        ('{"text": ["a", "b"]}', "'text' holds ['a', 'b'], not a text"),
        ('{"text": 5}', "'text' holds 5, not a text"),
        ('{"text": true}', "'text' holds True, not a text"),
        ('{"text": "a"} x', "is not JSON (Extra data)"),
    ],
)
def test_a_cell_that_is_no_text_is_named_with_its_row_and_the_remedy(
    call: Run, ratings: Path, tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"text": "fine", "id": "a"}}\n{line}\n')
    expected = f"error: {path}, line 2: {said}; mend the row, or leave such rows out: --skip-bad-rows\n"
    assert call("--run", ratings, path, "--id-column", "id") == (2, "", expected)
    path.write_text(f"{line}\n")
    found = call("--run", ratings, path, *(["--id-column", "id"] if '"id"' in line else []))
    assert (found[0], found[2].startswith(f"error: {path}, line 1: {said}; mend the row, or leave ")) == (2, True)


@pytest.mark.parametrize(("id", "said"), [("n0", "the id 'n0' stands in line 2 (row 1) already"), (" ", "has no id")])
def test_eraser_records_need_ids_of_their_own(
    call: Run, classes: Path, table: Path, tmp_path: Path, id: str, said: str
) -> None:
    """Its scorer takes two records of one id for one, and says nothing."""
    with table.open("a", newline="") as file:
        csv.writer(file).writerow(["One more.", id])
    options = ("--text-column", "review", "--id-column", "name", "--out", tmp_path / "out.jsonl")
    status, _, error = call("--run", classes, table, *options, "--format", "eraser")
    assert status == 2
    assert error.startswith(f"error: {table}, line 6 (row 5): {said}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()
    assert call("--run", classes, table, *options)[0] == 0


def test_a_run_that_ranks_texts_points_to_search(call: Run, table: Path) -> None:
    status, _, said = call("--run", untrained_run(), table)
    assert status == 2
    assert "pyro_rationale.search" in said
    assert said.count("\n") == 1


def test_a_finished_file_of_a_run_with_another_calibration_is_refused(
    call: Run, classes: Path, table: Path, tmp_path: Path
) -> None:
    """Fits of one seed with another `--decide` have the same weights, and name other classes."""
    copy, out = tmp_path / "other", tmp_path / "out.csv"
    shutil.copytree(classes, copy)
    assert call("--run", classes, table, "--text-column", "review", "--out", out)[0] == 0
    write_calibration(copy, Calibration(((),), temperature=2.0))
    status, _, said = call("--run", copy, table, "--text-column", "review", "--out", out, "--resume")
    assert status == 2
    assert said.startswith(f"error: --resume: {out} was made with other calibration of the run; ")
