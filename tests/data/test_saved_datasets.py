"""Folders that Hugging Face's `datasets` saved to disk, as `--data`: written by the library itself, read without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.files.tables import read_table
from pyro_rationale.errors import ConfigError, DataError

datasets = pytest.importorskip("datasets")
LABELS = ["bad", "good", "great"]


def rows(count: int, offset: int = 0) -> dict[str, list[Any]]:
    return {
        "text": [f"the soup no {offset + i} was {LABELS[i % 3]} indeed" for i in range(count)],
        "label": [i % 3 for i in range(count)],
        "stars": [float(i % 3) for i in range(count)],
    }


def dataset(count: int, offset: int = 0) -> Any:
    features = datasets.Features({
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=LABELS),
        "stars": datasets.Value("float32"),
    })
    return datasets.Dataset.from_dict(rows(count, offset), features=features)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `Dataset` in two files under `one`, a `DatasetDict` under `three`; to be read only."""
    folder = tmp_path_factory.mktemp("saved")
    datasets.disable_progress_bars()
    dataset(30).save_to_disk(folder / "one", num_shards=2)
    splits = {"train": dataset(24), "validation": dataset(6, 100), "test": dataset(9, 200), "extra": dataset(3, 300)}
    datasets.DatasetDict(splits).save_to_disk(folder / "three")
    return folder


def options(path: Path, target: str = "label", **more: Any) -> DataOptions:
    return DataOptions(data=str(path), target_column=(target,), **more)


def test_class_labels_become_names(saved: Path) -> None:
    table = read_table(saved / "one")
    assert table.columns == ("text", "label", "stars")
    found = list(table.rows(["label", "stars"]))
    assert [row.cells["label"] for row in found] == [LABELS[i % 3] for i in range(30)]
    assert [row.where for row in found] == [f"row {i}" for i in range(1, 31)]  # over both files
    corpus = load_corpus(options(saved / "one"))
    assert corpus.spec.classes == tuple(LABELS)
    assert len(corpus.train) + len(corpus.dev) + len(corpus.test) == 30


def test_splits_are_those_of_the_folder(saved: Path) -> None:
    corpus = load_corpus(options(saved / "three"))
    assert [len(part) for part in (corpus.train, corpus.dev, corpus.test)] == [24, 6, 9]
    assert corpus.test[0].text == "the soup no 200 was bad indeed"


def test_a_split_alone_and_other_files_beside(saved: Path) -> None:
    alone = load_corpus(options(saved / "three" / "train", "stars"))
    assert len(alone.train) + len(alone.dev) + len(alone.test) == 24
    other = load_corpus(options(saved / "three", "stars", test_data=str(saved / "one")))
    assert [len(part) for part in (other.train, other.dev, other.test)] == [24, 6, 30]


def test_the_cache_is_made_again_when_a_file_changes(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "one", tmp_path / "data")
    own = options(tmp_path / "data", cache=str(tmp_path / "cache"))
    assert [d.text for d in load_corpus(own).train] == [d.text for d in load_corpus(options(saved / "one")).train]
    shutil.rmtree(tmp_path / "data")
    dataset(30, 500).save_to_disk(tmp_path / "data", num_shards=2)
    assert min(int(d.text.split()[3]) for d in load_corpus(own).train) >= 500
    info = tmp_path / "data" / "dataset_info.json"
    info.write_text(info.read_text().replace('"bad"', '"dreadful"'))
    assert "dreadful" in load_corpus(own).spec.classes


def test_a_row_without_a_label_has_no_target(tmp_path: Path) -> None:
    made = dataset(12)
    made = made.map(lambda row, i: {"label": -1 if i == 4 else row["label"]}, with_indices=True)
    made.save_to_disk(tmp_path / "data")
    corpus = load_corpus(options(tmp_path / "data"))
    assert len(corpus.train) + len(corpus.dev) + len(corpus.test) == 11


BAD: list[tuple[str, Any, str]] = [
    ("state.json", {"_data_files": []}, "lists no files in its folder"),
    ("state.json", {"_data_files": [{"filename": "../../secret.arrow"}]}, "lists no files in its folder"),
    ("state.json", [], r"holds \[\] where an object"),
    ("data-00001-of-00002.arrow", None, "is no Arrow file, or a damaged one"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD, ids=[f"{row[0]} {row[2]}" for row in BAD])
def test_a_damaged_folder(saved: Path, tmp_path: Path, name: str, content: Any, said: str) -> None:
    shutil.copytree(saved / "one", tmp_path / "data")
    path = tmp_path / "data" / name
    path.write_text("nonsense" if content is None else json.dumps(content))
    with pytest.raises(DataError, match=said):
        load_corpus(options(tmp_path / "data"))


def test_no_training_split(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "three", tmp_path / "data")
    (tmp_path / "data" / "dataset_dict.json").write_text('{"splits": ["test"]}')
    with pytest.raises(DataError, match=r"has no split train, only test; name one of them, such as .*test$"):
        load_corpus(options(tmp_path / "data"))


def test_options_of_text_files_mean_nothing(saved: Path) -> None:
    with pytest.raises(ConfigError, match="--encoding: means nothing"):
        load_corpus(options(saved / "one", encoding="cp1252"))
    with pytest.raises(DataError, match=r"holds several splits; name the folder of one"):
        read_table(saved / "three")
