"""Files as tables: separators, quoting, encodings, JSON and Parquet; what is told from the file, and what flags say."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.files.tables import Row, read_table
from pyro_rationale.errors import ConfigError, DataError


def rows_of(path: Path, content: str | bytes, **options: Any) -> list[Row]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_table(path, **options).rows())


def cells_of(path: Path, content: str | bytes, **options: Any) -> list[tuple[Any, ...]]:
    rows = rows_of(path, content, **options)
    assert not any(row.fault for row in rows)
    return [tuple(row.cells.values()) for row in rows]


def refusal(path: Path, content: str | bytes, **options: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        rows_of(path, content, **options)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(str(path))


# ------------------------------------------------------------------------------------------------ quoting


def plain(separator: str, stray: Sequence[int], text_first: bool = True, rows: int = 60) -> str:
    """A table without quoting, in which the text of one row begins with a quotation mark, that of another ends so."""
    opens, closes = stray
    lines = ["text\ty" if text_first else "y\ttext"]
    for i in range(rows):
        text = '"' * (i == opens) + f"visit {i} was fine" + '"' * (i == closes)
        lines.append("\t".join((text, str(i % 5)) if text_first else (str(i % 5), text)))
    return "\n".join(lines).replace("\t", separator) + "\n"


@pytest.mark.parametrize("text_first", [True, False])
def test_quotation_marks_in_a_tab_separated_file_are_characters(
    tmp_path: Path, text_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    found = cells_of(tmp_path / "a.tsv", plain("\t", (7, 40), text_first))
    assert len(found) == 60
    assert found[7][not text_first] == '"visit 7 was fine'
    assert "60 rows read of 61 lines" in caplog.text


def test_one_ragged_line_does_not_bring_quoting_back(tmp_path: Path) -> None:
    content = plain("\t", (7, 40)).replace("visit 20 was fine\t0", "visit 20 was fine")
    rows = rows_of(tmp_path / "a.tsv", content)
    assert [row.where for row in rows if row.fault] == ["line 22"]
    assert len(rows) == 60


def test_quoted_fields_of_a_tab_separated_file(tmp_path: Path) -> None:
    content = 'text\ty\n"a ""good"" one"\t1\n"two\nlines"\t2\nplain\t3\n'
    assert [text for text, _ in cells_of(tmp_path / "a.tsv", content)] == ['a "good" one', "two\nlines", "plain"]


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("text_first", [True, False])
def test_a_stray_quotation_mark_that_swallows_rows(tmp_path: Path, separator: str, text_first: bool) -> None:
    """Rows would be lost and labels stand inside a text: nothing of that without a word."""
    said = refusal(tmp_path / "a.csv", plain(separator, (7, 40), text_first))
    assert said.startswith(", line 9: a quotation mark opens here and takes in what looks like rows, up to line 42;")


def test_texts_of_several_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their lines look like rows, but for what stands in the columns."""
    rows = (f'"visit {i},\n""we said"", and\npaid",{i % 5}\nfine {i},3\n' for i in range(9))
    content = "text,y\n" + "".join(rows)
    found = cells_of(tmp_path / "a.csv", content)
    assert len(found) == 18
    assert found[2] == ('visit 1,\n"we said", and\npaid', "1")
    assert "18 rows read of 37 lines: 9 have texts of several lines" in caplog.text


def test_an_ordinary_file_is_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, content in (("a.csv", 'text,y\n"a, b",1\nc "d" e,2\n'), ("a.tsv", 'text\ty\n"a b"\t1\nc "d" e\t2\n')):
        assert len(cells_of(tmp_path / name, content)) == 2
    assert not caplog.records


def test_quotation_marks_with_backslashes(tmp_path: Path) -> None:
    content = "text,y\n" + "".join(f'"They said \\"hi\\", {i}\\n",1\n' for i in range(9)) + '"ends so: \\\\",2\n'
    found = cells_of(tmp_path / "a.csv", content)
    assert found[0] == ('They said "hi", 0\\n', "1")
    assert found[-1] == ("ends so: \\\\", "2")
    lines = (f'"{i} they said, \\"hi\\"",{i % 5}\nplain {i},3\n' for i in range(9))
    assert len(cells_of(tmp_path / "b.csv", "text,y\n" + "".join(lines))) == 18


# ------------------------------------------------------------------------------------------------ separators, headers


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("text|y\na, b; c|1\n", {}),
        ('"text, all of it"|y\na, b; c|1\n', {}),
        ("sep=|\ntext|y\na, b; c|1\n", {}),
        ('"sep=|"\r\ntext|y\r\na, b; c|1\r\n', {}),
        ("\nsep=|\ntext|y\na, b; c|1\n", {}),
        ("text~y\na, b; c~1\n", {"separator": "~"}),
        ("a, b; c|1\n", {"separator": "|", "header": False}),
    ],
)
def test_separators(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    rows = rows_of(tmp_path / "a.csv", content, **options)
    assert [tuple(row.cells.values()) for row in rows] == [("a, b; c", "1")]
    assert rows[0].where == f"line {content.count(chr(10))}"


def test_a_fault_of_all_rows_is_one_of_the_header(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "a.csv", 'text,y\n0,"good",1\n1,bad,2\n')
    assert rows[0].fault == "has 3 fields where the header has 2 (as all rows have: is a name missing in the header?)"


def test_a_file_without_a_header(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "a.csv", '"1","good, it was"\n"2","bad"\n', header=False)
    assert [row.cells for row in rows] == [{"1": "1", "2": "good, it was"}, {"1": "2", "2": "bad"}]
    assert [row.where for row in rows] == ["line 1", "line 2"]


def test_flags_that_mean_nothing_for_a_file(tmp_path: Path) -> None:
    for options, flag in (({"separator": ";"}, "--separator"), ({"header": False}, "--no-header")):
        assert refusal(tmp_path / "a.jsonl", '{"text": "a"}\n', **options).startswith(f"{flag}: means nothing for")


# ------------------------------------------------------------------------------------------------ encodings


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "un caf\u00e9 tr\u00e8s cher \u2014 d\u00e9\u00e7u"),
        ("cp1251", "\u043e\u0447\u0435\u043d\u044c \u0432\u043a\u0443\u0441\u043d\u043e"),
        ("shift_jis", "\u3068\u3066\u3082\u7f8e\u5473\u3057\u3044\u6599\u7406\u3067\u3057\u305f"),
    ],
)
def test_the_encoding_is_guessed_and_can_be_given(tmp_path: Path, encoding: str, text: str) -> None:
    content = ("text,y\n" + "".join(f"{text} {i},{i}\n" for i in range(9))).encode(encoding)
    said = refusal(tmp_path / "a.csv", content)
    assert said.startswith(", line 2: byte 0x")
    guessed = said.rpartition("--encoding ")[2]
    assert cells_of(tmp_path / "a.csv", content, encoding=guessed)[3] == (f"{text} 3", "3")


@pytest.mark.parametrize("text", ["gr\u00f6\u00dfer,1", "\u00dcbergr\u00f6\u00dfe,2", "80 m\u00b2 M\u00f6bel,3"])
def test_a_few_german_words_are_no_chinese_ones(tmp_path: Path, text: str) -> None:
    said = refusal(tmp_path / "a.csv", f"text,y\n{text}\n".encode("latin-1"))
    assert said.endswith("give --encoding cp1252")


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1250", "za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105"),
        ("cp1251", "\u043e\u0447\u0435\u043d\u044c"),
        ("cp1254", "\u015farap \u0131s\u0131 a\u011fa\u00e7"),
        ("big5", "\u4e2d\u6587\u5f88\u597d\u5403"),
        ("gbk", "\u4e2d\u6587\u5f88\u597d\u5403"),
        ("euc_kr", "\ub9db\uc788\uc5b4\uc694"),
        ("shift_jis", "\u3068\u3066\u3082\u7f8e\u5473\u3057\u3044"),
    ],
)
def test_words_of_other_scripts_are_not_taken_for_western_ones(tmp_path: Path, encoding: str, words: str) -> None:
    assert "cp1252" not in refusal(tmp_path / "a.csv", f"text,y\n{words},1\n".encode(encoding))


def test_utf_16(tmp_path: Path) -> None:
    content = "text,y\nfine \u00e9,1\n".encode("utf-16")
    assert "is UTF-16; save it as UTF-8, or give --encoding utf-16" in refusal(tmp_path / "a.csv", content)
    assert cells_of(tmp_path / "a.csv", content, encoding="utf-16") == [("fine \u00e9", "1")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(tmp_path: Path, encoding: str) -> None:
    content = "text,y\nfine,1\n".encode(encoding)
    said = refusal(tmp_path / "a.csv", content)
    assert said == f", line 1: holds a zero byte, as UTF-16 does; save it as UTF-8, or give --encoding {encoding}"
    assert cells_of(tmp_path / "a.csv", content, encoding=encoding) == [("fine", "1")]
    said = refusal(tmp_path / "a.csv", b"text,y\nfi\0ne,1\n")
    assert said == ", line 2: holds a zero byte, so it is no text file; name one of UTF-8 text"


def test_a_wrong_encoding_is_said(tmp_path: Path) -> None:
    said = refusal(tmp_path / "a.csv", "text,y\nok,1\n\u00e9,2\n".encode(), encoding="ascii")
    assert said.startswith(", line 3: byte 0xc3 is not ascii")


# ------------------------------------------------------------------------------------------------ JSON


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_an_array_is_read_like_lines(tmp_path: Path, name: str) -> None:
    objects = [{"text": f"t {i}", "y": i} for i in range(3)]
    rows = rows_of(tmp_path / name, "\n " + json.dumps([*objects, 5], indent=1))
    assert [row.cells for row in rows[:3]] == objects
    assert (rows[3].where, rows[3].fault) == ("row 4", "holds 5 where an object {...} was expected")
    lines = rows_of(tmp_path / name, "\n".join(map(json.dumps, objects)))
    assert [row.cells for row in lines] == objects


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": "a", "y": 1, "y": 2}', "is not JSON (the key 'y' stands there twice)"),
        ("[" * 100_000 + "]" * 100_000, "is not JSON (nested too deeply)"),
        ('{"y": ' * 100_000 + "1" + "}" * 100_000, "is not JSON (nested too deeply)"),
        ('{"text": "a", "y": 1' + "0" * 400 + "}", "is not JSON (a number of 401 digits)"),
        ('{"text": "a", "y": 1' + "0" * 5000 + "}", "is not JSON (a number of 5001 digits)"),
    ],
)
def test_json_that_libraries_choke_on(tmp_path: Path, line: str, fault: str) -> None:
    rows = rows_of(tmp_path / "a.jsonl", f'{{"text": "fine", "y": 3}}\n{line}\n{{"text": "fine", "y": 4}}\n')
    assert [row.fault for row in rows] == [None, fault, None]
    assert "nested too deeply" in refusal(tmp_path / "b.json", "[" * 100_000 + "]" * 100_000)


# ------------------------------------------------------------------------------------------------ Parquet


def test_only_the_needed_columns_of_parquet_are_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="reading Parquet is an extra")
    import pyarrow.parquet as pq

    dates = pa.array([0, 2**62, 1], pa.int64()).view(pa.timestamp("us"))
    texts = pa.array([b"good", b"\xff\xfe", b"bad"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": ["a", "b", "c"], "when": dates, "other": texts}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert [row.cells for row in table.rows(["text"])] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    for name in ("when", "other"):
        first, second, third = table.rows(["text", name])
        assert (first.fault, third.fault) == (None, None)
        assert second.where == "row 2"
        assert str(second.fault).startswith(f"{name!r} cannot be read (")


# ------------------------------------------------------------------------------------------------ hostile files


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a pipe or a device"):
        read_table(tmp_path / "a.csv")


def test_an_archive_made_to_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    for content in (b"good,1\n", b"\n", b"a"):
        with gzip.open(path, "wb") as file:
            file.write(b"text,y\n")
            file.write(content * ((10 << 20) // len(content)))
        with pytest.raises(DataError, match="unpacks to more than 100 times its size"):
            read_table(path)
    path.write_bytes(gzip.compress(b"text,y\n" + b"good,1\n" * 100_000))  # less than 4 MB: nothing to fear
    assert sum(1 for _ in read_table(path).rows()) == 100_000


def test_a_line_without_an_end(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a.csv", b"text,y\n" + b"a" * (1 << 24) + b"a\n").startswith(
        ", line 2: has more than 16,777,216 characters"
    )


def test_halves_of_characters(tmp_path: Path) -> None:
    """JSON can write what no other file can hold."""
    half = "\\ud83d"
    fine = "".join(f'{{"text": "row {i}", "y": {i % 5}, "more": "{half}"}}\n' for i in range(20))
    path = tmp_path / "a.jsonl"
    for line, message in (
        (f'{{"text": "a {half}", "y": 1}}', "line 21: the text in 'text' holds half a character"),
        (f'{{"text": ["a", "{half}"], "y": 1}}', "line 21: the text in 'text' holds half a character"),
        (f'{{"text": "a", "y": "{half}"}}', "line 21: 'y' holds half a character"),
    ):
        path.write_text(fine + line)
        with pytest.raises(DataError, match=message):
            load_corpus(DataOptions(data=str(path), target_column=("y",)))
    path.write_text(fine)
    assert load_corpus(DataOptions(data=str(path), target_column=("y",))).train


def test_a_header_among_the_rows_is_a_fault(tmp_path: Path) -> None:
    """Files that were joined with their headers: a label would be the name of its column."""
    path = tmp_path / "a.csv"
    rows = rows_of(path, "text,y\ngood,a\nbad,b\n text,y\ntext,y\ny,text\n")
    assert [row.fault and row.fault[:22] for row in rows] == [None, None, None, "is the header once mor", None]
    assert cells_of(path, "text\ngood\ntext\n") == [("good",), ("text",)]  # a text may be that word
    assert cells_of(path, "text,y\ntext,y\n", header=False) == [("text", "y"), ("text", "y")]
