"""R2A's tab-separated files in miniature: tasks, splits, rationales, and what is said of broken lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import ConfigError, DataError

HEADER = "task\tlabel\ttext\trationale"


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def reviews(task: str, count: int) -> list[str]:
    return [f'{task}\t{i % 2}\tThe room " was {"good bad".split()[i % 2]} no {i}\t0 0 0 0 1 0 0' for i in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "hotel_Service.train", *reviews("hotel_Service", 6))
    write(tmp_path / "hotel_Service.dev", *reviews("hotel_Service", 2))
    write(tmp_path / "hotel_Service.test", *reviews("hotel_Service", 3))
    return tmp_path


def load(folder: Path, prefix: str = "r2a:", **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=f"{prefix}{folder}", **options))


@pytest.mark.parametrize("prefix", ["r2a:", ""])
def test_a_folder_of_one_task(folder: Path, prefix: str) -> None:
    corpus = load(folder, prefix)
    assert corpus.spec == TargetSpec("binary", ("hotel_Service",), classes=("0", "1"))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (6, 2, 3)
    second = corpus.train[1]
    assert second.id == "hotel_Service.train line 3"
    assert second.tokens == ("the", "room", '"', "was", "bad", "no", "1")  # no quoting in these files
    assert second.gold == (False, False, False, False, True, False, False)
    assert second.targets == (1.0,)


def test_several_tasks(folder: Path) -> None:
    write(folder / "beer0.train", *[f"beer0\t0.{i}\ttext {i}\t" for i in range(12)])
    with pytest.raises(ConfigError, match="--aspect: choose one of the tasks beer0, hotel_Service"):
        load(folder)
    assert len(load(folder, aspect="hotel_Service").train) == 6
    beer = load(folder, aspect="beer0")
    assert beer.spec.kind == "regression"
    assert beer.train[0].gold is None
    assert sorted(map(len, (beer.train, beer.dev, beer.test))) == [1, 1, 10]  # neither dev nor test is given
    with pytest.raises(ConfigError, match=r"--aspect wine: there is no such task, only beer0, hotel"):
        load(folder, aspect="wine")


def test_tasks_in_one_file_and_other_names(tmp_path: Path) -> None:
    lines = [line for pair in zip(reviews("a", 12), reviews("b", 12), strict=True) for line in pair]
    write(tmp_path / "train.tsv", *lines)
    write(tmp_path / "test.tsv", "b\t1\tgood\t1\t.5", header=f"{HEADER}\tpred_att")
    corpus = load(tmp_path, aspect="b")
    assert (len(corpus.train) + len(corpus.dev), len(corpus.test)) == (12, 1)
    assert corpus.test[0].gold == (True,)
    other = write(tmp_path / "more.txt", "b\t0\tbad", header="task\tlabel\ttext")
    assert load(tmp_path, aspect="b", test_data=str(other)).test[0].text == "bad"


BAD = [
    ("a\t1", "has 2 fields where the header has 4"),
    ("a\t1\tb\t1\tc", "has 5 fields where the header has 4"),
    ("hotel_Service\t\tb\t1", "'label' is empty"),
    ("hotel_Service\t1\t \t", "'text' is empty"),
    ("\t1\tb\t1", "'task' is empty"),
    ("hotel_Service\t1\tb c\t1", "its rationale has 1 flags for 2 words"),
    ("hotel_Service\t1\tb c\t1 .5", "its rationale holds '.5', expected a 0 or 1 per word"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_lines_are_one_line(folder: Path, line: str, message: str) -> None:
    task = line.partition("\t")[0] or "hotel_Service"
    path = write(folder / "hotel_Service.train", *reviews(task, 2), line, *reviews(task, 2))
    with pytest.raises(DataError) as caught:
        load(folder, aspect=task)
    assert f"{path}, line 4: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    if task == "hotel_Service":
        assert len(load(folder, skip_bad_rows=True).train) == 4


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.train file"):
        load(tmp_path)
    (tmp_path / "x.train").write_text("no header\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds no \.train file"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="name the folder"):
        load(tmp_path / "x.train")
    write(tmp_path / "x.train", *reviews("a", 12))
    write(tmp_path / "x.dev", *reviews("a", 3), header="task\tlabel\ttext\tlabel")
    with pytest.raises(DataError, match=r"x\.dev, line 1: 2 columns are named 'label'; rename one"):
        load(tmp_path)
    (tmp_path / "x.dev").unlink()
    (tmp_path / "odd.tsv").write_text("text\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"odd\.tsv, line 1: has no column 'task'"):
        load(tmp_path, test_data=str(tmp_path / "odd.tsv"))
    write(tmp_path / "y.test", *reviews("b", 2))
    with pytest.raises(DataError, match="no training line of task 'b'"):
        load(tmp_path, aspect="b")


def test_a_split_that_cannot_be_read_is_not_split_off(folder: Path) -> None:
    dev = folder / "hotel_Service.dev"
    dev.write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(DataError, match=r"hotel_Service\.dev, line 1: has no header task label text"):
        load(folder)
    dev.unlink()
    dev.symlink_to(folder / "gone")
    with pytest.raises(DataError, match=r"hotel_Service\.dev: leads nowhere"):
        load(folder)
    dev.unlink()
    (folder / "unlabelled.dev").write_text("no header\n", encoding="utf-8")  # and no training file of that name
    (folder / "hotel_Service.test").unlink()
    write(folder / "hotel_Service.train", *reviews("hotel_Service", 30))
    assert len(load(folder).train) == 24
