"""One way into every corpus: what each loader takes, where the cache comes in, and how light the options are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.prepare import prepare
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import CORPORA, TOKENIZERS, Corpus, CorpusLoader, DataOptions, TargetSpec, load_corpus
from pyro_rationale.data.loading import TABLE, loader_of, warn_of_ignored
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.selection import override, select_documents
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.prepare import prepare_run
from tests.support.commands import ended
from tests.support.small_fit import ratings_table


@pytest.mark.parametrize("name", list(CORPORA))
def test_every_corpus_says_what_it_is_and_which_options_it_has(name: str) -> None:
    loader = CORPORA[name]
    assert 20 < len(loader.title) < 110
    assert "\n" not in loader.title
    assert set(loader.options) <= {item.name for item in fields(DataOptions)}


def test_the_help_of_data_lists_every_corpus() -> None:
    [data] = [item for item in fields(DataOptions) if item.name == "data"]
    assert all(name in data.metadata["help"] for name in CORPORA)


@pytest.mark.parametrize(
    ("data", "given"),
    [
        ("imdb", {"aspect": "taste"}),
        ("vader-movies", {"text_column": "text"}),
        ("synthetic", {"target_range": (0.0, 1.0)}),
        ("hatexplain:posts", {"test_data": "posts.json"}),
        ("beer:reviews", {"target_column": ("taste",)}),
        ("{table}", {"annotations": "annotations.json"}),
    ],
)
def test_an_option_that_a_corpus_does_not_have_is_refused(data: str, given: dict[str, Any], tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.touch()
    data = data.format(table=table)
    flag = next(iter(given)).replace("_", "-")
    with pytest.raises(ConfigError, match=f"^--{flag}: means nothing for --data {data}; leave it out"):
        load_corpus(DataOptions(data=data, **given))


def test_typed_options_of_made_up_texts_are_said_to_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    typed = {"documents", "noise", "ambiguity", "correlation", "seed"}
    table = str(ratings_table(tmp_path / "a.csv"))
    for data, used in ((table, set()), ("synthetic", {"documents", "noise", "correlation"}),
                       ("questions", {"documents", "ambiguity"})):  # fmt: skip
        caplog.clear()
        warn_of_ignored(data, typed)
        assert {record.getMessage() for record in caplog.records} == {
            f"--{name}: means nothing for --data {data}, and changes nothing" for name in typed - used - {"seed"}
        }
    caplog.clear()
    words = ("--data", table, "--target-column", "y", "--cache", tmp_path / "cache")
    assert ended(capfd, prepare, *words)[0] == 0
    assert "changes nothing" not in caplog.text
    assert ended(capfd, prepare, *words, "--noise", 0.2)[0] == 0
    assert "--noise: means nothing for --data" in caplog.text


def test_an_option_of_a_run_folder_that_its_corpus_does_not_have_is_not_refused(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("text,y\n" + "".join(f"word {i},{i % 5}\n" for i in range(40)))
    run = DataOptions(data=str(table), target_column=("y",), aspect="taste")
    spec = load_corpus(run, typed=()).spec
    assert len(select_documents(run, DataOptions(), set(), "test", spec).documents) == 4
    with pytest.raises(ConfigError, match=r"^--aspect: means nothing"):
        select_documents(run, replace(run, aspect="look"), {"aspect"}, "test", spec)


def test_the_table_of_a_run_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has typed `--data`: the message says whose table it is."""
    ratings_table(tmp_path / "a.csv")
    monkeypatch.chdir(tmp_path)
    run = DataOptions(data="a.csv", target_column=("y",))
    spec = load_corpus(run, typed=()).spec
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(DataError, match=r"^a\.csv: the run's own table is not in .*b; go to where it is, or name it"):
        select_documents(run, DataOptions(), set(), "test", spec)
    with pytest.raises(DataError, match=r"^--data a\.csv: no such file"):
        select_documents(run, run, {"data"}, "test", spec)
    gone = replace(run, data=str(tmp_path / "c.csv"))
    with pytest.raises(DataError, match="is not there any more"):
        select_documents(gone, DataOptions(), set(), "test", spec)
    for data in ("a.csv", "texts/saved"):  # as `index`, `stress` and a resumed fit read them
        with pytest.raises(DataError, match=rf"^{data}: the run's own table is not in"):
            load_corpus(replace(run, data=data), spec, typed=())


def test_options_that_a_run_leaves_nothing_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = DataOptions(data=str(ratings_table(tmp_path / "a.csv")), target_column=("y",))
    spec = load_corpus(run).spec

    def select(**flags: Any) -> None:
        select_documents(run, replace(run, **flags), set(flags), "test", spec)

    select(task=spec.kind, target_range=spec.ranges[0], rationale_column="none")
    for flags, message in (
        ({"task": "binary"}, "^--task binary: the run predicts ratings .*; leave it out"),
        ({"target_range": (0.0, 9.0)}, "^--target-range 0 to 9: the run predicts ratings"),
        ({"rationale_column": "gold"}, "^--rationale-column gold: no text of .*a.csv has a rationale there"),
    ):
        with pytest.raises(ConfigError, match=message):
            select(**flags)
    assert not caplog.records
    select(weight_column="none", documents=7, title_pairs=True)
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == ["--weight-column", "--documents", "--title-pairs"]


def test_a_split_that_has_changed_since_the_fit_is_refused(tmp_path: Path) -> None:
    """The new test split may hold texts that were trained on; a measurement on it would look too good."""
    run = DataOptions(data=str(ratings_table(tmp_path / "a.csv")), target_column=("y",))
    corpus = load_corpus(run)
    rows = row_digests(corpus)

    def select(split: str, given: set[str] = set(), **flags: Any) -> int:  # noqa: B006 (never changed)
        return len(select_documents(run, replace(run, **flags), given, split, corpus.spec, rows).documents)

    whole = select("test"), select("all")
    with (tmp_path / "a.csv").open("a") as file:
        file.write("and one more visit,3\n")
    with pytest.raises(DataError, match=r"a\.csv: has changed since the fit, and its test split is another"):
        select("test")
    assert select("all") == whole[1] + 1
    assert select("test", {"max_words"}, max_words=3)  # another reading of them, which the user asked for
    ratings_table(tmp_path / "a.csv")
    assert select("test") == whole[0]


def test_the_table_of_a_run_is_known_again_elsewhere(tmp_path: Path) -> None:
    """Its test split is measured, and its baselines are of the same texts."""
    run = DataOptions(data=str(ratings_table(tmp_path / "a.csv")), target_column=("y",))
    corpus = load_corpus(run)
    rows = row_digests(corpus)
    moved = Path(run.data).rename(tmp_path / "b.csv")

    def chosen(split: str, **known: Any) -> tuple[str, bool, bool]:
        found = select_documents(run, DataOptions(data=str(moved)), {"data"}, split, corpus.spec, **known)
        return found.split, found.foreign, found.as_fitted

    assert chosen("auto", rows=rows) == chosen("test", rows=rows) == ("test", False, True)
    assert chosen("all", rows=rows) == ("all", False, False)
    assert chosen("auto") == ("all", True, False)  # a run of a version that did not keep digests
    with moved.open("a") as file:
        file.write("and one more visit,3\n")
    assert chosen("auto", rows=rows) == ("all", True, False)


# A run folder from elsewhere is data.


def test_a_run_folder_does_not_say_where_a_cache_is_written(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    run = DataOptions(data=str(ratings_table(tmp_path / "a.csv")), target_column=("y",), cache=str(tmp_path / "there"))
    spec = load_corpus(run, typed=()).spec
    assert select_documents(run, DataOptions(), set(), "test", spec).options.cache is None
    assert not (tmp_path / "there").exists()
    chosen = select_documents(run, DataOptions(cache=str(tmp_path / "mine")), {"cache"}, "test", spec)
    assert list((tmp_path / "mine").glob("*.arrow"))
    again = replace(run, cache=str(tmp_path / "mine"))  # a cache of this machine: of a run of one's own
    assert select_documents(again, DataOptions(), set(), "test", spec).options == chosen.options


def test_a_run_folder_starts_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr("subprocess.run", lambda *args, **options: pytest.fail("pip was started"))
    monkeypatch.setattr("pyro_rationale.data.corpora._vader.fetch", lambda cache: pytest.fail("it was fetched"))
    with pytest.raises(DataError, match=r"^vader-movies: not on this machine, and a run folder fetches nothing;"):
        load_corpus(DataOptions(data="vader-movies", cache=str(tmp_path / "there")), typed=())
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_synthetic_documents_may_be_given_whatever_the_corpus() -> None:
    assert TABLE.unused(DataOptions(documents=40, noise=0.0, correlation=0.5, task="binary")) == []


def test_another_corpus_takes_over_only_the_options_that_it_has() -> None:
    run = DataOptions(data="synthetic", aspect="taste", max_words=80)
    other = override(run, DataOptions(data="vader-movies"), {"data"})
    assert other == replace(run, data="vader-movies", aspect=None)
    CORPORA["vader-movies"].check(other)
    with pytest.raises(ConfigError, match="--aspect: means nothing"):
        CORPORA["vader-movies"].check(override(run, replace(other, aspect="taste"), {"data", "aspect"}))


def test_the_cache_is_asked_for_only_where_a_corpus_has_one(tmp_path: Path) -> None:
    empty = Corpus("mine", TargetSpec("regression", ("y",), ((0.0, 1.0),)), (), (), ())
    calls: list[str] = []

    def held(options: DataOptions, spec: TargetSpec | None) -> Corpus:
        calls.append("held")
        return empty

    def cached(options: DataOptions, spec: TargetSpec | None, progress: object) -> Corpus:
        calls.append("cached")
        return empty

    try:
        for loader in (CorpusLoader(held), CorpusLoader(held, load_cached=cached)):
            CORPORA["mine"] = loader
            for cache in (None, str(tmp_path)):
                load_corpus(DataOptions(data="mine", cache=cache))
    finally:
        del CORPORA["mine"]
    assert calls == ["held", "held", "held", "cached"]


def test_progress_is_told_of_every_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("pyro_rationale.data.cache.build.CHUNK", 16)
    told: list[tuple[str, int, int | None]] = []
    for _ in range(2):
        load_corpus(DataOptions(documents=40, cache=str(tmp_path)), progress=lambda *step: told.append(step))
    # 16, 16 and 8 documents to train on, 10 each for dev and test; the second time the file is there.
    assert told == [("synthetic", done, 60) for done in (16, 32, 40, 50, 60)]


def test_a_fit_tells_its_callbacks_how_far_the_texts_are_cut(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    told: list[tuple[str, int, int | None]] = []

    class Listener(Callback):
        def on_corpus_progress(self, source: str, done: int, total: int | None) -> None:
            told.append((source, done, total))

    data = DataOptions(documents=40, cache=str(tmp_path / "cache"))
    config = Config(data, ModelOptions(hidden=4, embedding=4), TrainOptions(steps=2, threads=1))
    prepare_run(config, tmp_path / "run", callbacks=[Listener()])
    assert told == [("synthetic", done, 60) for done in (40, 50, 60)]


class Letters:
    """A tokenizer for tests: a token per letter."""

    version = "1"

    def __call__(self, text: str, limit: int | None = None) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        indices = [i for i, letter in enumerate(text) if letter.isalpha()][:limit]
        return tuple(text[i].lower() for i in indices), tuple((i, i + 1) for i in indices)


@pytest.mark.parametrize("cached", [False, True])
def test_a_tokenizer_of_another_package_reads_tables(cached: bool, tmp_path: Path) -> None:
    if cached:
        pytest.importorskip("pyarrow")
    path = tmp_path / "a.csv"
    path.write_text("text,y\n" + "".join(f"No {i}: yes,{i}\n" for i in range(12)), encoding="utf-8")
    cache = str(tmp_path / "cache") if cached else None
    options = DataOptions(data=str(path), target_column=("y",), cache=cache, max_words=4)
    words = load_corpus(options)
    TOKENIZERS["letters"] = Letters()
    try:
        letters = load_corpus(replace(options, tokenizer="letters"))
    finally:
        del TOKENIZERS["letters"]
    assert words.train[0].tokens[::2] == ("no", ":")
    assert letters.train[0].tokens == tuple("noye")
    assert [letters.train[0].text[a:b] for a, b in letters.train[0].offsets] == list("Noye")
    assert isinstance(letters.tokenizer, Letters)


def test_options_and_names_of_corpora_need_no_pytorch() -> None:
    code = (
        "import sys; from pyro_rationale.data import CORPORA, DataOptions; list(CORPORA); DataOptions(); "
        "print({'torch', 'numpy', 'pyro'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_table_is_what_no_corpus_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert loader_of(str(tmp_path / "a.csv")) is TABLE
    assert loader_of(str(tmp_path)) is TABLE  # of no known layout: the table reader says so
    (tmp_path / "x.train").touch()
    assert loader_of(str(tmp_path)) is CORPORA["r2a"]


@pytest.mark.parametrize("cached", [False, True])
def test_texts_that_are_cut_are_counted(tmp_path: Path, cached: bool, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "a.csv"
    texts = [f"text {i:02} has six words." for i in range(20)] + ["word " * 30 + "end !"] * 5
    table.write_text("text,y\n" + "".join(f"{text},{i % 5}\n" for i, text in enumerate(texts)))
    more: dict[str, Any] = {"cache": str(tmp_path / "cache")} if cached and pytest.importorskip("pyarrow") else {}
    options = DataOptions(data=str(table), target_column=("y",), max_words=8, **more)
    spec = load_corpus(options).spec
    assert "5 of 25 texts have more than --max-words 8, so about 42.9 % of all words are not read" in caplog.text
    caplog.clear()
    load_corpus(options, spec)
    load_corpus(replace(options, max_words=40))
    load_corpus(options, spec, typed=("max_words",))
    assert "words" not in caplog.text
    load_corpus(options, spec, typed=("data",))  # texts that a run was not fitted on
    assert "5 of 25 texts have more than --max-words 8" in caplog.text


@pytest.mark.parametrize("name", ["data", "dev_data", "test_data", "cache"])
def test_a_home_folder_of_nobody(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    table = tmp_path / "a.csv"
    table.write_text("text,y\n" + "".join(f"word {i},{i % 5}\n" for i in range(40)))
    options: dict[str, Any] = {"data": str(table), "target_column": ("y",), name: "~no-such-user/x.csv"}
    with pytest.raises(ConfigError, match=r"^~no-such-user/x\.csv: there is no user of that name"):
        load_corpus(DataOptions(**options))


def test_another_file_is_not_read_by_the_encoding_of_the_runs(tmp_path: Path) -> None:
    run = DataOptions(data="a.csv", target_column=("y",), encoding="cp1252", separator=";", header=False)
    options = override(run, DataOptions(data="b.csv"), {"data"})
    assert (options.encoding, options.separator, options.header) == (None, None, True)
    assert override(run, DataOptions(), set()) == run
