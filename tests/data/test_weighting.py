"""Weights of rows and of classes: how tables say them, and what they come to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.build import target_summary
from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.cache.dataset import document_weights
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import EQUAL, Weighting, warn_of_rare_classes
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._class_weights import parse_class_weights
from tests.support.small_fit import table

KINDS = TargetSpec("binary", ("kind",), classes=("ham", "spam"))
STARS = TargetSpec("regression", ("stars",), ((0.0, 1.0),))


def texts(targets: Sequence[float], weights: Sequence[float] | None = None) -> list[Document]:
    each = [1.0] * len(targets) if weights is None else weights
    words = ("one", "two")
    return [
        Document(str(i), "one two", words, ((0, 3), (4, 7)), (target,), weight=weight)
        for i, (target, weight) in enumerate(zip(targets, each, strict=True))
    ]


def load(path: Path, **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=str(path), target_column=("y",), weight_column="w", **options))


def rows(*last: str) -> list[str]:
    return [*(f"text number {i},{1 + i % 5},{1 + i % 3}" for i in range(20)), *last]


@pytest.mark.parametrize("cached", [False, True])
def test_a_column_of_weights(tmp_path: Path, cached: bool, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path / "a.csv", "text,y,w", rows("nothing,3,0", "half,3,.5"))
    corpus = load(path, cache=str(tmp_path / "cache") if cached else None)
    documents = [*corpus.train, *corpus.dev, *corpus.test]
    found = {document.text: document.weight for document in documents}
    assert found == {f"text number {i}": 1.0 + i % 3 for i in range(20)} | {"half": 0.5}
    assert document_weights(corpus.train).tolist() == [document.weight for document in corpus.train]
    assert "left out 1 of 22 rows whose weight is 0" in caplog.text
    assert {document.targets for document in documents} == {(float(i),) for i in range(1, 6)}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(("cell", "skip"), [("0", False), ("0", True), ("much", True)])
def test_a_run_reads_the_splits_that_it_was_fitted_on(tmp_path: Path, cell: str, skip: bool, cached: bool) -> None:
    """Rows that a fit leaves out by their weight are not in the splits of its evaluation either."""
    path = table(tmp_path / "a.csv", "text,y,w", rows(*(f"nothing {i},3,{cell}" for i in range(5))))
    options = DataOptions(
        data=str(path), target_column=("y",), weight_column="w", skip_bad_rows=skip,
        cache=str(tmp_path / "cache") if cached else None,
    )
    fitted = load_corpus(options)
    assert row_digests(load_corpus(options, fitted.spec)) == row_digests(fitted)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("cell", "message"),
    [("", "'w' is empty, not a weight"), ("-1", "'w' is '-1', not a weight"), ("much", "'w' is 'much', not a weight")],
)
def test_cells_that_are_no_weights(tmp_path: Path, cell: str, message: str, cached: bool) -> None:
    path = table(tmp_path / "a.csv", "text,y,w", rows(f"strange,3,{cell}"))
    with pytest.raises(DataError, match=message):
        load(path, cache=str(tmp_path / "cache") if cached else None)
    table(path, "text,y,w", rows("light,3,1e-60"))
    with pytest.raises(DataError, match=r"a\.csv, line 22 has the weight 1e-60, and line 4 3, too far apart"):
        load(path)
    table(path, "text,y,w", rows(f"strange,3,{cell}"))
    fitted = TargetSpec("ordinal", ("y",), ((1.0, 5.0),), levels=(5,))  # a run is asked for predictions alone
    options = DataOptions(data=str(path), target_column=("y",), weight_column="w")
    assert set(document_weights(load_corpus(options, fitted).train)) == {1.0}


def test_columns_that_are_none(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "text,y,v", rows())
    with pytest.raises(DataError, match="weight-column"):
        load(path)
    with pytest.raises(ConfigError, match="is the text or a target"):
        load_corpus(DataOptions(data=str(path), target_column=("y",), weight_column="y"))
    with pytest.raises(ConfigError, match="weight-column"):
        load_corpus(DataOptions(weight_column="v"))


# Classes.


def test_balanced_classes_count_alike() -> None:
    documents = texts([0.0] * 19 + [1.0], [1.0] * 18 + [2.0, 1.0])
    weighting = Weighting.of("balanced", KINDS, documents)
    weights = weighting.relative(documents)
    assert weights is not None
    assert weights.mean() == pytest.approx(1.0)
    assert weights[:19].sum() == pytest.approx(weights[19:].sum())
    assert weights[18] == pytest.approx(2.0 * weights[0])
    outputs, loss = target_summary(documents, KINDS, weighting)
    assert outputs is None
    assert loss == pytest.approx(np.log(2.0), abs=1e-4)
    assert weighting.absolute(texts([np.nan, 1.0])).tolist() == [1.0, weighting.classes[1]]  # type: ignore[index]


def test_weights_by_label() -> None:
    assert Weighting.of("spam=19", KINDS, texts([0.0, 1.0])).absolute(texts([0.0, 1.0, 1.0])).tolist() == [1, 19, 19]
    found = parse_class_weights("good, but dear=2,bad=.5, so = so=1e2")
    assert found == {"good, but dear": 2, "bad": 0.5, "so = so": 100}


@pytest.mark.parametrize(
    ("wanted", "spec", "message"),
    [
        ("eggs=2", KINDS, "'eggs' is none of the classes ham, spam"),
        ("balanced", STARS, "stars has no classes"),
        ("balanced", TargetSpec("binary", ("a", "b"), classes=("no", "yes")), "there are 2 targets"),
    ],
)
def test_what_goes_with_no_weights(wanted: str, spec: TargetSpec, message: str) -> None:
    one = Document("1", "x", ("x",), ((0, 1),), (0.0,) * len(spec.names))
    with pytest.raises(ConfigError, match=f"--class-weight.*{message}"):
        Weighting.of(wanted, spec, [one])


@pytest.mark.parametrize("wanted", ["ballanced", "a=0", "a=-1", "a=b", "a=1,b", "=1", "a=1;b", "a=1e999"])
def test_misspelt_weights(wanted: str) -> None:
    with pytest.raises(ConfigError, match="--class-weight: expected none, balanced, or LABEL=W"):
        parse_class_weights(wanted)


def test_equal_weights_are_none() -> None:
    """Then a fit is bit for bit the one without them."""
    documents = texts([0.0, 1.0], [3.0, 3.0])
    assert EQUAL.relative(documents) is None
    assert Weighting.of("balanced", KINDS, documents).relative(documents) is None
    batches = BucketedBatches(documents, Vocabulary.build(documents), KINDS, 2, weights=None)
    assert next(batches.epoch(0)).weights is None


@pytest.mark.parametrize("weights", [[1.0, 1e-60, 1.0], [1e60, 1e-5, 1.0], [1e308, 1.1e308, 1.2e308]])
def test_weights_that_single_precision_cannot_hold(weights: list[float]) -> None:
    with pytest.raises(DataError, match=r"has the weight 1e[-+]\d+, and .* too far apart or too large"):
        EQUAL.relative(texts([0.0, 1.0, 0.0], weights))
    assert EQUAL.relative(texts([0.0, 1.0], [1e-20, 1.0])) is not None


def test_targets_as_often_as_they_count() -> None:
    """Ratings of a weight of 2 and rows twice have one mean; every weight has its share of the rows."""
    some = np.random.default_rng(0).gamma(0.3, size=50) + 1e-3
    targets = np.arange(50.0)
    found = EQUAL.resampled(texts(targets.tolist(), some.tolist()), STARS)[:, 0]
    shares = np.bincount(found.astype(int), minlength=50) / len(found)
    np.testing.assert_allclose(shares, some / some.sum(), atol=1.01 / len(found))


def test_batches_carry_the_weights_of_their_documents() -> None:
    documents = texts([0.0, 1.0, 0.0, 1.0, 1.0])
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    batches = BucketedBatches(documents, Vocabulary.build(documents), KINDS, 2, seed=3, weights=weights)
    for batch in [*batches.epoch(0), *batches.ordered(4)]:
        assert batch.weights is not None
        assert batch.index is not None
        assert torch.equal(batch.weights, 1.0 + batch.index.float())
        assert torch.equal(batch.weigh(torch.ones(2, len(batch))), (1.0 + batch.index.float()).expand(2, -1))


def test_rows_of_one_document_have_its_weight() -> None:
    """Where every target has a mask of its own."""
    spec = TargetSpec("binary", ("a", "b"), classes=("no", "yes"))
    documents = [replace(one, targets=(1.0, b)) for one, b in zip(texts([0.0] * 3), (0.0, np.nan, 1.0), strict=True)]
    weights = np.array([0.5, 1.5, 1.0])
    batches = BucketedBatches(documents, Vocabulary.build(documents), spec, 3, aspects=2, weights=weights)
    batch = next(batches.ordered())
    assert batch.weights is not None
    assert batch.index is not None
    assert len(batch) == 5
    assert torch.equal(batch.weights, torch.from_numpy(weights).float()[batch.index])


# Rare classes.


def test_rare_classes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    many = texts([0.0] * 25 + [1.0] * 3)
    with caplog.at_level(logging.WARNING):
        warn_of_rare_classes(Corpus("mail", KINDS, many, many, ()))
    assert "mail: of 'kind', fewer than 20 training texts are spam (3)" in caplog.text
    caplog.clear()
    warn_of_rare_classes(Corpus("mail", KINDS, texts([0.0, 1.0] * 20), many, ()))
    warn_of_rare_classes(Corpus("mail", STARS, many, many, ()))
    assert not caplog.text
