"""The paper's own files, in miniature: which are found, what is read, what is said of broken ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.data.corpora import aspect_number
from pyro_rationale.data.corpora.beer import ASPECTS
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import ConfigError, DataError, RationaleError

TRAIN = [f"0.{i} 0.5 0.6 0.7 1\tPours a {i} brown . Smells nice" for i in range(6)]
HELD = [f"0.{i} 0.1 0.1 0.1 0\theld out {i}" for i in range(4)]
GOLD = {"x": ["Dark", "brown", ".", "smells", "odd"], "y": [0.9, 0.2, 0.5], "0": [[0, 2]], "1": [[3, 5]], "2": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for aspect in (0, 1):
        packed = gzip.compress("\n".join(TRAIN).encode())
        (tmp_path / f"reviews.aspect{aspect}.train.txt.gz").write_bytes(packed)
        (tmp_path / f"reviews.aspect{aspect}.heldout.txt").write_text("\n".join(HELD), encoding="utf-8")
    (tmp_path / "annotations.json").write_text(json.dumps(GOLD) + "\n", encoding="utf-8")
    return tmp_path


def load(path: Path | str, **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=str(path), **options))


@pytest.mark.parametrize("prefix", ["beer:", ""])
def test_a_folder_of_the_papers_files(folder: Path, prefix: str) -> None:
    corpus = load(f"{prefix}{folder}")
    assert corpus.spec == TargetSpec("regression", ("appearance",), ((0.0, 1.0),))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (6, 4, 1)
    assert corpus.train[3].tokens == ("pours", "a", "3", "brown", ".", "smells", "nice")
    assert corpus.train[3].text == "Pours a 3 brown . Smells nice"
    assert corpus.train[3].targets == (0.3,)
    assert corpus.train[3].gold is None
    gold = corpus.test[0]
    assert (gold.targets, gold.gold) == ((0.9,), (True, True, False, False, False))
    assert gold.text[slice(*gold.offsets[1])] == "brown"


@pytest.mark.parametrize("aspect", ["aroma", "smell", "1", "Aroma"])
def test_an_aspect_by_name_or_number(folder: Path, aspect: str) -> None:
    corpus = load(folder, aspect=aspect)
    assert corpus.spec.names == ("aroma",)
    assert corpus.train[0].targets == (0.5,)
    assert corpus.test[0].targets == (0.2,)
    assert corpus.test[0].gold == (False, False, False, True, True)


def test_without_annotations_the_held_out_reviews_are_shared(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    corpus = load(folder)
    assert [d.targets[0] for d in corpus.dev] == [0.0, 0.2]
    assert [d.targets[0] for d in corpus.test] == [0.1, 0.3]


def test_single_files(folder: Path) -> None:
    held = str(folder / "reviews.aspect0.heldout.txt")
    train = folder / "reviews.aspect0.train.txt.gz"
    corpus = load(f"beer:{train}", dev_data=held, annotations=str(folder / "annotations.json"))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (6, 4, 1)
    corpus = load(f"beer:{train}", dev_data=held, test_data=str(train), aspect="overall")
    assert (len(corpus.dev), len(corpus.test), corpus.test[0].targets) == (4, 6, (1.0,))
    with pytest.raises(ConfigError, match="--dev-data"):
        load(f"beer:{train}")


def test_reviews_of_all_aspects_stand_in_for_a_missing_one(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    with pytest.raises(DataError, match=r"reviews\.aspect3\.train\.txt\.gz nor reviews\.260k\.train"):
        load(folder, aspect="taste")
    for part, lines in (("train", TRAIN), ("heldout", HELD)):
        (folder / f"reviews.260k.{part}.txt").write_text("\n".join(lines), encoding="utf-8")
    assert load(folder, aspect="taste").train[0].targets == (0.7,)


def test_words_are_cut_with_their_gold(folder: Path) -> None:
    document = load(folder, max_words=2).test[0]
    assert (document.tokens, document.gold) == (("dark", "brown"), (True, True))


def test_a_run_on_other_targets_is_refused(folder: Path) -> None:
    fitted = TargetSpec("binary", ("sentiment",), classes=("negative", "positive"))
    with pytest.raises(DataError, match=r"holds ratings .* and the run predicts binary classes"):
        load_corpus(DataOptions(data=f"beer:{folder}"), fitted)


def test_aspects_that_are_none() -> None:
    assert [aspect_number(a, ASPECTS, {}) for a in (None, "palate", "4")] == [0, 2, 4]
    for name in ("5", "-1", "foam", ""):
        with pytest.raises(ConfigError, match=f"--aspect {name}: expected one of appearance"):
            aspect_number(name, ASPECTS, {})


BAD_LINES = [
    ("no tab here", "line 2: has no tab"),
    ("0.1 0.2\t  ", "line 2: has no words"),
    ("\twords", "line 2: has 0 ratings, none for appearance"),
    ("high\twords", "line 2: appearance is 'high', not a number"),
    ("nan\twords", "line 2: appearance is 'nan', not a number"),
    ("0_1\twords", "line 2: appearance is '0_1', not a number"),
    ("1.5\twords", "line 2: appearance is 1.5, outside the range 0 to 1"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=[row[1] for row in BAD_LINES])
def test_bad_reviews_are_one_line(folder: Path, line: str, message: str) -> None:
    path = folder / "reviews.aspect0.train.txt"
    (folder / "reviews.aspect0.train.txt.gz").unlink()
    path.write_text("\n".join([TRAIN[0], line, TRAIN[1]]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert f"{path}, {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [d.id for d in load(folder, skip_bad_rows=True).train] == ["line 1", "line 3"]


BAD_ANNOTATIONS = [
    ("{", "line 1: is not JSON"),
    ("[1]", "line 1: has no list of words 'x'"),
    ('{"x": ["a"], "0": []}', "line 1: has no list of ratings 'y'"),
    ('{"x": ["a"], "y": []}', "line 1: has 0 ratings"),
    ('{"x": ["a"], "y": [true], "0": []}', "line 1: appearance is True, not a number"),
    ('{"x": ["a"], "y": [0.5], "0": [[0, 2]]}', "line 1: its rationale holds [0, 2]"),
    ('{"x": ["a"], "y": [0.5], "0": "all"}', "line 1: the spans of appearance are 'all', not a list"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ANNOTATIONS, ids=[row[1] for row in BAD_ANNOTATIONS])
def test_bad_annotations_are_one_line(folder: Path, line: str, message: str) -> None:
    (folder / "annotations.json").write_text(line, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert f"annotations.json, {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_beer_without_a_path_says_how() -> None:
    with pytest.raises(RationaleError, match="--data beer:FOLDER"):
        load("beer")
    with pytest.raises(DataError, match="no such file or folder"):
        load("beer:/nowhere/at/all")


def test_annotations_that_cannot_be_read_are_not_passed_over(folder: Path) -> None:
    (folder / "annotations.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1: is not JSON \(nested too deeply\)"):
        load(folder)
    (folder / "annotations.json").unlink()
    (folder / "annotations.json").symlink_to(folder / "gone")
    with pytest.raises(DataError, match=r"annotations\.json: leads nowhere"):
        load(folder)
