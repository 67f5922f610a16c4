"""Baselines of the search for similar texts, on planted questions and with an encoder that adds up word vectors."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from pyro_rationale.cli.studies.rankers import study
from pyro_rationale.data import DataOptions, Vocabulary, encode_batch, load_corpus
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.pairs import PairCorpus, pairs_of_groups
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation.ranking_baselines import SearchTask, by_words
from pyro_rationale.experiments.studies.rankers import (
    FIXED,
    RATIONALE,
    WHOLE,
    batches_in_order,
    by_encoder,
    choices,
    compared,
    rows_of,
)

SPEC = TargetSpec("regression", ("any",), ((0.0, 1.0),))  # of the batches of the stand-in, which has no targets


class AddedWords:
    """A stand-in of a fitted model: random word vectors, added up; its rationale is each document's gold words."""

    match = "masked"
    device = torch.device("cpu")
    encoder = SimpleNamespace(dtype=torch.float32)

    def __init__(self, corpus: PairCorpus) -> None:
        self.vocabulary = Vocabulary.build(corpus.documents, 1)
        self.vectors = torch.randn(len(self.vocabulary), 16, generator=torch.Generator().manual_seed(0))
        self.model = self.guide = self

    def eval(self) -> None:
        """It learns nothing."""

    def encode(self, documents: list[Document]) -> Batch:
        return encode_batch(documents, self.vocabulary, SPEC)

    def posterior(self, batch: Batch) -> Any:
        assert batch.gold is not None
        masks = SimpleNamespace(mode=batch.gold.float())
        return SimpleNamespace(discrete=lambda: masks)

    def embed(self, batch: Batch, z: Tensor) -> Tensor:
        return torch.nn.functional.normalize((self.vectors[batch.tokens] * z[..., None]).sum(1), dim=-1)


@pytest.fixture(scope="module")
def task() -> SearchTask:
    corpus = load_corpus(DataOptions(data="questions", documents=80))
    assert isinstance(corpus, PairCorpus)
    return SearchTask.of(corpus, "test")


def test_random_order_is_the_mean_over_all_orders_and_words_do_better(task: SearchTask) -> None:
    found = by_words(task)
    assert list(found) == ["random order", "BM25", "BM25, titles", "tf-idf"]
    values = {name: own["map"].value for name, own in found.items()}
    expected = []  # of one similar text among twenty: the harmonic number over twenty; of more: by drawing
    rng = np.random.default_rng(0)
    for query, own in zip(task.queries, task.lists, strict=True):
        flags = np.isin(own, query.positives)
        draws = [rng.permutation(flags) for _ in range(200)]
        expected.append(np.mean([np.mean(np.cumsum(row)[row] / (np.flatnonzero(row) + 1)) for row in draws]))
    assert values["random order"] == pytest.approx(np.mean(expected), abs=0.02)
    assert 0.0 <= found["tf-idf"]["corpus_map"].value <= 1.0
    assert values["BM25"] < 0.7


def test_each_choice_keeps_its_share(task: SearchTask) -> None:
    documents = [task.document(i) for i in task.texts[:20]]
    made = {name: [choice(d) for d in documents] for name, choice in choices(task, 0.1, seed=0).items()}
    assert tuple(made) == FIXED
    for i, document in enumerate(documents):
        share = round(0.1 * len(document.tokens))
        assert [int(made[name][i].sum()) for name in FIXED] == [document.title, *[share] * 4]
        assert made["first words"][i][:share].all()
        rare = [word for word, keep in zip(document.tokens, made["highest idf"][i], strict=True) if keep]
        assert len(set(rare)) == len(rare)
        assert all(word.isalnum() for word in rare)
    again = choices(task, 0.1, seed=0)["random words"]
    assert np.array_equal(again(documents[0]), made["random words"][0])


def test_texts_without_a_title_keep_all_their_words_as_titles() -> None:
    documents = [make_document(f"d{i}", f"same words {i // 2}") for i in range(60)]
    task = SearchTask.of(pairs_of_groups(documents, [i // 2 for i in range(60)]), "test")
    assert choices(task, 0.5, 0)["title"](documents[0]).all()
    assert "BM25, titles" not in by_words(task)


def test_rationales_and_choices_are_read_by_the_same_encoder(task: SearchTask) -> None:
    fitted: Any = AddedWords(task.corpus)
    found, shares = by_encoder(task, fitted, 0.1, seed=0, batch_size=7)
    assert list(found) == [RATIONALE, WHOLE, *FIXED]
    assert shares[WHOLE] == 1.0
    assert shares[RATIONALE] == pytest.approx(0.09, abs=0.02)
    assert shares["random words"] == pytest.approx(0.1, abs=0.01)
    [query, *_], [own, *_] = task.queries, task.lists
    texts = [task.document(i) for i in (query.document, *own)]
    batch = fitted.encode(texts)
    vectors = fitted.embed(batch, batch.gold.float())
    order = torch.argsort(-(vectors[1:] @ vectors[0]), stable=True).numpy()
    ranks = np.flatnonzero(np.isin(own, query.positives)[order]) + 1
    assert found[RATIONALE]["mrr"].table[0, 0] == pytest.approx(1 / ranks[0])
    p = compared(found, RATIONALE, draws=99, seed=0)
    assert set(p) == {*found} - {RATIONALE}
    corpus_p = compared(found, RATIONALE, 99, 0, "corpus_map")
    [first, second, *_] = rows_of(found, shares, p, corpus_p)
    assert (first["corpus_p"], second["corpus_p"]) == (None, corpus_p[WHOLE])
    assert (first["method"], first["p"], second["words"]) == (RATIONALE, None, 1.0)


def test_texts_are_read_in_order_where_the_model_is(task: SearchTask) -> None:
    fitted: Any = AddedWords(task.corpus)
    fitted.device = torch.device("meta")
    documents = task.corpus.documents[:5]
    made = list(batches_in_order(fitted, documents, 2))
    assert [text for some, _ in made for text in some] == list(documents)
    assert {batch.tokens.device.type for _, batch in made} == {"meta"}


def test_one_sided_models_read_the_candidates_whole(task: SearchTask) -> None:
    both: Any = AddedWords(task.corpus)
    one_sided: Any = AddedWords(task.corpus)
    one_sided.match = "full"
    values = [by_encoder(task, fitted, 0.1, 0)[0] for fitted in (both, one_sided)]
    assert values[0][WHOLE]["map"].value == pytest.approx(values[1][WHOLE]["map"].value)
    assert values[0][RATIONALE]["map"].value != values[1][RATIONALE]["map"].value


def test_the_command_prints_and_writes_the_figures(tmp_path: Path) -> None:
    flags = ["--data", "questions", "--documents", "40", "--json", str(tmp_path / "r.json")]
    done = CliRunner().invoke(study, flags, catch_exceptions=False)
    assert done.exit_code == 0
    assert "BM25, titles" in done.output
    result = json.loads((tmp_path / "r.json").read_text())
    assert [row["method"] for row in result["methods"]] == ["random order", "BM25", "BM25, titles", "tf-idf"]
    assert result["oracle"] == 1.0
    assert result["queries"] == 10


def test_a_split_without_queries(task: SearchTask) -> None:
    corpus = pairs_of_groups([make_document("a", "x"), make_document("b", "y")], [0, 0])
    with pytest.raises(DataError, match="no query in the test split; try --split all"):
        SearchTask.of(corpus, "test")


def test_all_queries_of_a_foreign_corpus(task: SearchTask) -> None:
    every = SearchTask.of(task.corpus, "all")
    assert len(every.queries) == len(every.lists) == sum(map(len, task.corpus.queries.values())) > len(task.queries)
    places = [every.queries.index(query) for query in task.queries]
    assert all(np.array_equal(every.lists[i], own) for i, own in zip(places, task.lists, strict=True))
    with pytest.raises(ConfigError, match="--split all: has the queries that --full-text trains on"):
        CliRunner().invoke(study, ["--split", "all", "--full-text"], catch_exceptions=False, standalone_mode=False)
