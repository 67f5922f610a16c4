"""VADER's rated sentences: on a miniature archive always, on the real one where a cache or a network has it."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.corpora import _vader as vader
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import DataError

MOVIES = "".join(f"{i}\t{(i % 9 - 4) * 0.975}\tA film, number {i // 2}, clich\u00e9d.\r\n" for i in range(1, 201))
PRODUCTS = "".join(f"{i // 8}_{i % 8}\t-0.5\tsentence {i} .\r\n" for i in range(400))
LEXICON = "good\t1.9\t0.9\t[1, 2]\nhorrible\t-2.5\t0.6\t[-2, -3]\n:)\t2.0\t1.2\t[2, 2]\n\n"
RATINGS = "hutto_ICWSM_2014"


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)  # the same bytes every time


def archive_of(movies: str = MOVIES) -> bytes:
    inner = {
        f"{RATINGS}/movieReviewSnippets_GroundTruth.txt": movies.encode(),
        f"{RATINGS}/amazonReviewSnippets_GroundTruth.txt": PRODUCTS.encode(),
    }
    top = f"vaderSentiment-{vader.VERSION}"
    return pack(
        {
            f"{top}/additional_resources/{RATINGS}.tar.gz": pack(inner),
            f"{top}/vaderSentiment/vader_lexicon.txt": LEXICON.encode(),
        }
    )


class FakePip:
    """Stands in for `subprocess.run`: puts `content` where pip was told to, or fails as pip does."""

    def __init__(self, content: bytes | None = None, stderr: str = "") -> None:
        self.content, self.stderr = content, stderr
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.content is not None:
            Path(command[command.index("-d") + 1], vader.ARCHIVE).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0 if self.content is not None else 1, "", self.stderr)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip(archive_of())
    monkeypatch.setattr("pyro_rationale.data.corpora._vader.subprocess.run", fake)
    monkeypatch.setattr(vader, "SHA256", hashlib.sha256(archive_of()).hexdigest())
    return fake


def test_rated_sentences(tmp_path: Path, pip: FakePip) -> None:
    corpus = load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))
    assert corpus.spec == TargetSpec("regression", ("sentiment",), ((-4.0, 4.0),))
    documents = {d.id: d for d in [*corpus.train, *corpus.dev, *corpus.test]}
    assert len(documents) == 200
    assert documents["vader-movies 5"].text == "A film, number 2, clich\u00e9d."
    assert documents["vader-movies 5"].targets == (0.975,)
    homes = [{d.text for d in part} for part in (corpus.train, corpus.dev, corpus.test)]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_sentences_of_a_review_stay_together(tmp_path: Path, pip: FakePip) -> None:
    corpus = load_corpus(DataOptions(data="vader-amazon", cache=str(tmp_path)))
    homes = [{d.id.split("_")[0] for d in part} for part in (corpus.train, corpus.dev, corpus.test)]
    assert [len(home) for home in homes] == [40, 5, 5]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_the_lexicon(tmp_path: Path, pip: FakePip) -> None:
    assert vader.lexicon(str(tmp_path)) == {"good": 1.9, "horrible": -2.5, ":)": 2.0}


def test_the_archive_is_fetched_once_by_its_checksum(tmp_path: Path, pip: FakePip) -> None:
    folder = tmp_path / "new" / "cache"
    assert vader.fetch(str(folder)) == vader.fetch(str(folder)) == folder / vader.ARCHIVE
    assert len(pip.commands) == 1
    assert pip.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert [path.name for path in folder.iterdir()] == [vader.ARCHIVE]


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, pip: FakePip) -> None:
    (tmp_path / vader.ARCHIVE).write_bytes(archive_of()[:100])
    assert vader.lexicon(str(tmp_path))["good"] == 1.9
    assert len(pip.commands) == 1


def test_another_file_is_refused_and_not_kept(tmp_path: Path, pip: FakePip) -> None:
    pip.content = b"something else"
    with pytest.raises(DataError, match="SHA-256 is not"):
        vader.fetch(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(command: list[str], **options: Any) -> None:
        Path(command[command.index("-d") + 1], vader.ARCHIVE).write_bytes(archive_of()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_rationale.data.corpora._vader.subprocess.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        vader.fetch(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: Retrying\nERROR: No matching distribution found for vaderSentiment==3.3.2\n", "No matching"),
        ("/usr/bin/python: No module named pip", "No module named pip"),
        ("", "no reason given"),
    ],
)
def test_no_network_is_one_line_with_a_way_out(tmp_path: Path, pip: FakePip, stderr: str, reason: str) -> None:
    pip.content, pip.stderr = None, stderr
    with pytest.raises(DataError) as caught:
        load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))
    said = str(caught.value)
    assert reason in said
    assert f"put {vader.ARCHIVE} into {tmp_path}" in said
    assert "\n" not in said


def test_a_cache_that_cannot_be_written(tmp_path: Path, pip: FakePip) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="name another folder with --cache"):
        vader.fetch(str(tmp_path / "file"))


def test_an_archive_of_other_contents(tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (
        archive_of("1\tnot a number\ttext\n"),
        archive_of("1\t2.0\n"),
        pack({"a": b"b"}),
        b"no archive",
    ):
        pip.content = content
        monkeypatch.setattr(vader, "SHA256", hashlib.sha256(content).hexdigest())
        with pytest.raises(DataError, match="delete it, and it will be fetched again"):
            load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))


def test_the_default_cache_is_the_users(tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert vader.fetch() == tmp_path / "pyro_rationale" / vader.ARCHIVE


def test_a_run_that_predicts_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds ratings"):
        load_corpus(DataOptions(data="vader-movies"), TargetSpec("binary", ("y",), classes=("a", "b")))


# ------------------------------------------------------------------------------------------------ the real archive


@pytest.fixture(scope="module")
def real_cache() -> None:
    """Skips where the archive is neither in the user's cache nor to be had."""
    try:
        vader.fetch()
    except DataError as error:
        pytest.skip(f"no archive: {error}")


@pytest.mark.usefixtures("real_cache")
@pytest.mark.parametrize(
    ("name", "size", "mean"), [("vader-movies", 10_605, 0.0048), ("vader-amazon", 3_708, 0.3823)]
)
def test_the_real_sentences(name: str, size: int, mean: float) -> None:
    corpus = load_corpus(DataOptions(data=name))
    parts = (corpus.train, corpus.dev, corpus.test)
    documents = [d for part in parts for d in part]
    assert len(documents) == size
    assert sum(d.targets[0] for d in documents) / size == pytest.approx(mean, abs=1e-4)
    assert all(abs(len(part) - size / 10) < 30 for part in parts[1:])


@pytest.mark.usefixtures("real_cache")
def test_the_real_lexicon() -> None:
    words = vader.lexicon()
    assert len(words) == 7506
    assert words["good"] == 1.9
    assert 0.0 not in words.values()
    assert all(-4 <= valence <= 4 for valence in words.values())


def test_mixed_texts_hide_one_rated_film_sentence(tmp_path: Path, pip: FakePip) -> None:
    options = DataOptions(data="mixed", cache=str(tmp_path))
    films = load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))
    corpus = load_corpus(options)
    homes: list[set[str]] = []
    for split in ("train", "dev", "test"):
        documents, originals = getattr(corpus, split), getattr(films, split)
        assert [document.targets for document in documents] == [film.targets for film in originals]
        products: set[str] = set()
        for document, film in zip(documents, originals, strict=True):
            kept = [token for token, gold in zip(document.tokens, document.gold, strict=True) if gold]
            assert kept == list(film.tokens)
            assert film.text in document.text
            numbers = re.findall(r"sentence \d+", document.text)
            assert 2 <= len(numbers) <= 4
            products.update(numbers)
        homes.append(products)
    assert sum(map(len, homes)) == len(set.union(*homes))  # no sentence on a product stands in two splits
    places = {document.gold.index(True) == 0 for document in corpus.train}
    assert places == {False, True}  # first in some texts, further behind in others
    assert [d.text for d in load_corpus(options).test] == [d.text for d in corpus.test]
    other = load_corpus(DataOptions(data="mixed", cache=str(tmp_path), split_seed=1))
    assert {d.text for d in other.test} != {d.text for d in corpus.test}
