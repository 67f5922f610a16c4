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


class Index:
    """A package index in a folder; the pip settings of a user who has that one."""

    def __init__(self, folder: Path) -> None:
        self.settings = {"index-url": folder.as_uri()}
        self.calls = 0
        self.folder = folder / "vadersentiment"
        self.folder.mkdir(parents=True)
        self.archive = self.folder / vader.ARCHIVE
        self.archive.write_bytes(archive_of())
        links = ("vadersentiment-1.tar.gz#sha256=0", f"{vader.ARCHIVE}#sha256={vader.SHA256}")
        page = "".join(f'<a href="{link}">x</a>\n<a>y</a>' for link in links)
        (self.folder / "index.html").write_text(page)

    def __call__(self) -> dict[str, str]:
        self.calls += 1
        return self.settings


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path_factory.mktemp("index") / "simple")
    monkeypatch.setattr(vader, "_settings", made)
    monkeypatch.setattr(vader, "SHA256", hashlib.sha256(archive_of()).hexdigest())
    return made


def test_rated_sentences(tmp_path: Path, index: Index) -> None:
    corpus = load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))
    assert corpus.spec == TargetSpec("regression", ("sentiment",), ((-4.0, 4.0),))
    documents = {d.id: d for d in [*corpus.train, *corpus.dev, *corpus.test]}
    assert len(documents) == 200
    assert documents["vader-movies 5"].text == "A film, number 2, clich\u00e9d."
    assert documents["vader-movies 5"].targets == (0.975,)
    homes = [{d.text for d in part} for part in (corpus.train, corpus.dev, corpus.test)]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_sentences_of_a_review_stay_together(tmp_path: Path, index: Index) -> None:
    corpus = load_corpus(DataOptions(data="vader-amazon", cache=str(tmp_path)))
    homes = [{d.id.split("_")[0] for d in part} for part in (corpus.train, corpus.dev, corpus.test)]
    assert [len(home) for home in homes] == [40, 5, 5]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_the_lexicon(tmp_path: Path, index: Index) -> None:
    assert vader.lexicon(str(tmp_path)) == {"good": 1.9, "horrible": -2.5, ":)": 2.0}


def test_the_archive_is_fetched_once_by_its_checksum(tmp_path: Path, index: Index) -> None:
    folder = tmp_path / "new" / "cache"
    assert vader.fetch(str(folder)) == vader.fetch(str(folder)) == folder / vader.ARCHIVE
    assert index.calls == 1
    assert [path.name for path in folder.iterdir()] == [vader.ARCHIVE]


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, index: Index) -> None:
    (tmp_path / vader.ARCHIVE).write_bytes(archive_of()[:100])
    assert vader.lexicon(str(tmp_path))["good"] == 1.9
    assert index.calls == 1


def test_another_file_is_refused_and_not_kept(tmp_path: Path, index: Index) -> None:
    index.archive.write_bytes(b"something else")
    with pytest.raises(DataError, match="SHA-256 is not"):
        vader.fetch(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(vader, "_got", interrupted)
    with pytest.raises(KeyboardInterrupt):
        vader.fetch(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_network_is_one_line_with_a_way_out(tmp_path: Path, index: Index) -> None:
    for url, reason in (
        (index.folder.as_uri(), "No such file"),
        ("http://127.0.0.1:1/simple", "127.0.0.1:1/simple: "),
        ("http://[::1/simple", "Invalid IPv6 URL"),
    ):
        index.settings = {"index-url": url}
        with pytest.raises(DataError) as caught:
            load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))
        said = str(caught.value)
        assert reason in said
        assert f"put {vader.ARCHIVE} into {tmp_path}" in said
        assert "\n" not in said


def test_another_index_has_it(tmp_path: Path, index: Index) -> None:
    index.settings = {"index-url": (tmp_path / "none").as_uri(), "extra-index-url": index.settings["index-url"]}
    assert vader.lexicon(str(tmp_path / "cache"))["good"] == 1.9


def test_the_settings_of_pip_are_read_and_nothing_is_run_but_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        lines = [":env:.index-url='https://a/simple'", "global.cert='/x.pem'", "global.index-url='https://b/simple'"]
        return subprocess.CompletedProcess(command, 0, "\n".join([*lines, "install.proxy='p'", "?"]), "")

    monkeypatch.setattr("pyro_rationale.data.corpora._vader.subprocess.run", run)
    assert vader._settings() == {"index-url": "https://a/simple", "cert": "/x.pem"}
    assert [command[:4] for command in commands] == [[sys.executable, "-m", "pip", "config"]]


def test_a_password_in_the_address_is_sent_as_one() -> None:
    class Opener:
        def open(self, request: Any, timeout: float) -> io.BytesIO:
            return io.BytesIO(f"{request.full_url} {request.get_header('Authorization')}".encode())

    opener: Any = Opener()
    assert vader._got(opener, "https://me:a%40b@host/x") == b"https://host/x Basic bWU6YUBi"
    assert vader._got(opener, "https://host/x") == b"https://host/x None"


def test_a_cache_that_cannot_be_written(tmp_path: Path, index: Index) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="name another folder with --cache"):
        vader.fetch(str(tmp_path / "file"))


def test_an_archive_of_other_contents(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (
        archive_of("1\tnot a number\ttext\n"),
        archive_of("1\t2.0\n"),
        pack({"a": b"b"}),
        b"no archive",
    ):
        index.archive.write_bytes(content)
        monkeypatch.setattr(vader, "SHA256", hashlib.sha256(content).hexdigest())
        with pytest.raises(DataError, match="delete it, and it will be fetched again"):
            load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path)))


def test_the_default_cache_is_the_users(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_mixed_texts_hide_one_rated_film_sentence(tmp_path: Path, index: Index) -> None:
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
    places = {(document.gold or ()).index(True) == 0 for document in corpus.train}
    assert places == {False, True}  # first in some texts, further behind in others
    assert [d.text for d in load_corpus(options).test] == [d.text for d in corpus.test]
    other = load_corpus(DataOptions(data="mixed", cache=str(tmp_path), split_seed=1))
    assert {d.text for d in other.test} != {d.text for d in corpus.test}
