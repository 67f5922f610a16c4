"""Texts that were garbled on their way are read, and that is said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.input_texts import read_texts
from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.garbled import mistaken
from pyro_rationale.errors import ConfigError


def as_read(text: str, encoding: str = "cp1252") -> str:
    return text.encode().decode(encoding)


@pytest.mark.parametrize(
    "text",
    ["caf\u00e9", "na\u00efve caf\u00e9", "it\u2019s", "\u201cfine\u201d", "5 \u20ac", "\u0434\u043e\u043c",
     "\u03b1\u03b2", "gr\u00fc\u00dfe", "good \U0001f44d", "\u0142adny", "wait\u2026", "a \u2013 b"],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_utf8_read_as_another_encoding(text: str, encoding: str) -> None:
    try:
        garbled = as_read(f"so {text} then", encoding)
    except UnicodeDecodeError:
        pytest.skip("cp1252 has no such byte")
    pair = mistaken(garbled)
    assert pair is not None
    assert pair[1] in f"so {text} then"


@pytest.mark.parametrize(
    "text",
    ["plain", "caf\u00e9", "\u00abvoil\u00e0\u00a0\u00bb", "S\u00c3O PAULO", "\u00c2ge", "20\u00b0",
     "A\u00c7\u00c3O.", "\u00c9t\u00e9\u00a0?",
     "\u0414\u043e\u043c\u00bb", "\u00c5ngstr\u00f6m", "\u00d1o\u00f1o",
     "\u00e2ge \u00e0\u00a0\u00ab la", "\u65e5\u672c\u8a9e", "\U0001f44d",
     "\u00c4rger \u2026", "\u00e2\u2026", "\u00c0 \u2013 \u00c2"],
)  # fmt: skip
def test_honest_texts_are_not_suspected(text: str) -> None:
    assert mistaken(text) is None


def write(path: Path, texts: list[str], count: int = 20) -> Path:
    rows = [f"visit {i} {texts[i % len(texts)]}\t{i % 5}" for i in range(count)]
    path.write_text("\n".join(["text\ty", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [
        ([as_read("caf\u00e9"), "plain"], {}, "10 of 20 texts look like UTF-8 read in another encoding "
         "('caf\u00c3\u00a9' for 'caf\u00e9'), first line 2; write the file anew from its source"),
        (["caf\u00e9"], {"encoding": "cp1252"}, "first line 2; is it the right --encoding?"),
        (["caf\ufffd", "plain"], {}, "10 of 20 texts hold '\ufffd', which stands for a character that"
         " was lost, first line 2"),
        (["caf\u00e9"], {}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reader", ["fit", "fit cached", "predict"])
def test_garbled_texts_of_a_table(
    tmp_path: Path, texts: list[str], options: dict[str, Any], says: str | None, reader: str, caplog: Any
) -> None:
    path = write(tmp_path / "a.tsv", texts)
    if reader == "predict":
        read_texts(str(path), **options)
    else:
        cache = str(tmp_path / "cache") if "cached" in reader else None
        load_corpus(DataOptions(data=str(path), target_column=("y",), cache=cache, **options))
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    lines = [line.replace(" (row 1)", "") for line in lines]
    assert [says] == [says for line in lines if says in line and str(path) in line] if says else not lines, lines


def test_one_of_very_many_texts_is_no_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.tsv", [*["plain"] * 199, "caf\ufffd"], 200)
    load_corpus(DataOptions(data=str(path), target_column=("y",)))
    assert not caplog.records


def test_dates_are_no_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(["text\ty", *(f"2024-05-{i + 1:02d} 10:00:00\t{i % 5}" for i in range(20))]))
    with pytest.raises(ConfigError, match="column 'text' holds dates or times, such as 2024-05-01 10:00:00"):
        load_corpus(DataOptions(data=str(path), target_column=("y",)))
    path.write_text("\n".join(["text\ty", *(f"2024-05-{i + 1:02d} we were here\t{i % 5}" for i in range(20))]))
    assert load_corpus(DataOptions(data=str(path), target_column=("y",))).train
