"""A file of predictions: what is whole stays, what was begun is gone on with or refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.score_file import ScoreFile
from pyro_rationale.prediction.scorer import Chunk
from tests.support.small_fit import disk_of


def chunk(lines: str) -> Chunk:
    return Chunk(lines, lines.count("\n"), 0, 0, True)


def begun(path: Path) -> ScoreFile:
    file = ScoreFile(path, {"texts": ["a.csv", 3]}, "id\n")
    file.start()
    file.append(chunk("1\n2\n"))
    return file


def test_lines_behind_the_last_whole_chunk_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    file = begun(path)
    with file.partial.open("a") as stream:
        stream.write("3\n4")  # as a kill leaves it
    again = ScoreFile(path, {"texts": ("a.csv", 3)}, "id\n")
    assert again.resume()
    assert again.counts.rows == 2
    again.append(chunk("3\n"))
    again.finish()
    assert path.read_text() == "id\n1\n2\n3\n"
    assert {*tmp_path.iterdir()} == {path, again.record}


def test_other_texts_or_options_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    begun(path)
    with pytest.raises(ConfigError, match="made with other texts"):
        ScoreFile(path, {"texts": ["b.csv", 3]}).resume()
    assert not ScoreFile(tmp_path / "new.csv", {}).resume()


@pytest.mark.parametrize("ids", [["1"], ["1", "3"], ["1", "2", "3"]])
def test_a_finished_file_of_other_texts_is_told_by_its_rows(tmp_path: Path, ids: list[str]) -> None:
    file = begun(tmp_path / "out.csv")
    file.finish()
    file.check_whole("csv", iter([1, 2]))
    with pytest.raises(ConfigError, match="other texts"):
        file.check_whole("csv", iter(ids))


@pytest.mark.parametrize("form", ["jsonl", "eraser", "parquet"])
@pytest.mark.parametrize("content", ["not json\n", "[1]\n", "1\n"])
def test_a_file_that_nothing_of_ours_has_written_is_of_other_texts(tmp_path: Path, form: str, content: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"out.{form}"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is about other texts from row 1 on"):
        ScoreFile(path, {}).check_whole(form, iter([1, 2]))


def test_a_table_without_ids_is_of_other_texts(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"name": [1, 2]}), tmp_path / "out.parquet")
    with pytest.raises(ConfigError, match="is about other texts from row 1 on"):
        ScoreFile(tmp_path / "out.parquet", {}).check_whole("parquet", iter([1, 2]))


def test_a_finished_file_of_another_run_or_of_changed_texts_is_told(tmp_path: Path) -> None:
    """Though the ids are the same; where there is no record of what it was made of, they are all that is compared."""
    file = begun(tmp_path / "out.csv")
    file.finish()
    other = ScoreFile(file.path, {"texts": ["a.csv", 4], "weights": 1}, "id\n")
    with pytest.raises(ConfigError, match=r"^--resume: .*out\.csv was made with other texts, weights; .*--force$"):
        other.check_whole("csv", iter([1, 2]))
    file.record.write_text("[]")
    with pytest.raises(ConfigError, match=r"\.out\.csv\.json: is damaged"):
        file.check_whole("csv", iter([1, 2]))
    file.record.unlink()
    other.check_whole("csv", iter([1, 2]))


def test_a_finished_file_may_have_long_cells(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "out.csv", {}, "id,rationale\n")
    file.start()
    file.append(chunk(f"1,{'word ' * 50_000}\n"))
    file.finish()
    limit = csv.field_size_limit()
    file.check_whole("csv", iter([1]))
    assert csv.field_size_limit() == limit


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    file = begun(path)
    with pytest.raises(ConfigError, match="--resume"):
        file.check_free(force=False)
    file.finish()
    with pytest.raises(ConfigError, match="is there already"):
        file.check_free(force=False)
    file.check_free(force=True)


def test_a_damaged_state_is_said(tmp_path: Path) -> None:
    file = begun(tmp_path / "out.csv")
    file.state.write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        file.resume()


def test_two_may_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with ScoreFile(path, {}).alone():
        with pytest.raises(ConfigError, match=r"out\.csv: another process is writing it; wait .* or name another file"):
            ScoreFile(path, {}).alone().__enter__()
        with ScoreFile(tmp_path / "other.csv", {}).alone():
            pass
    with ScoreFile(path, {}).alone():
        pass
    assert not list(tmp_path.iterdir())


def test_what_holds_no_row_is_removed(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "out.csv", {}, "id\n")
    file.start()
    file.discard()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported_with_the_name_of_the_file_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    file = begun(path)
    with disk_of(1000), pytest.raises(OSError, match="too large") as problem:
        file.append(chunk("x" * 2000 + "\n"))
    assert problem.value.filename == str(file.partial)
    with disk_of(10), pytest.raises(OSError, match="too large") as problem:
        ScoreFile(tmp_path / "b.csv", {}, "id" * 20).start()
    assert problem.value.filename == str(tmp_path / "b.csv.partial")
    again = ScoreFile(path, {"texts": ["a.csv", 3]}, "id\n")
    assert again.resume()
    again.finish()
    assert path.read_text() == "id\n1\n2\n"
