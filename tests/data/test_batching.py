"""Documents become batches: scaled targets, padding, buckets of like lengths, an order fixed by the seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
import torch

from pyro_rationale.data import Batch, BucketedBatches, Document, TargetSpec, Vocabulary, encode_batch
from pyro_rationale.data.batching import prefetched
from pyro_rationale.errors import DataError

RATINGS = TargetSpec("regression", ("look", "taste"), ranges=((0.0, 5.0), (1.0, 5.0)))
BINARY = TargetSpec("binary", ("liked",), classes=("no", "yes"))
CLASSES = TargetSpec("multiclass", ("genre",), classes=("a", "b", "c"))
WORDS = Vocabulary(["good", "bad", "beer"])
NAN = float("nan")


def document(text: str, *targets: float, gold: str | None = None) -> Document:
    """`gold` is one digit per word."""
    flags = None if gold is None else tuple(c == "1" for c in gold)
    return Document("row 7", text, tuple(text.split()), (), targets, gold=flags, opinion=flags)


def corpus(count: int) -> list[Document]:
    chance = random.Random(3)
    return [
        replace(document(" ".join(["good"] * chance.randint(1, 90)), 1.0), id=f"row {i}") for i in range(count)
    ]


def one_target() -> TargetSpec:
    return TargetSpec("regression", ("look",), ranges=((0.0, 5.0),))


def test_tokens_lengths_padding_and_flags() -> None:
    batch = encode_batch(
        [document("bad beer", 1, 1, gold="10"), document("good new beer", 2, 3, gold="011")], WORDS, RATINGS
    )
    assert batch.tokens.tolist() == [[3, 4, 0], [2, 1, 4]]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.mask.tolist() == [[True, True, False], [True] * 3]
    assert batch.gold is not None
    assert batch.opinion is not None
    assert batch.gold.tolist() == [[True, False, False], [False, True, True]]
    assert batch.opinion.tolist() == batch.gold.tolist()
    assert batch.index is not None
    assert batch.index.tolist() == [0, 1]
    assert (batch.tokens.dtype, batch.lengths.dtype, batch.gold.dtype) == (torch.int64, torch.int64, torch.bool)


def test_ratings_are_scaled_and_missing_ones_stay_missing() -> None:
    batch = encode_batch([document("bad", 2.5, 5), document("bad", NAN, 1), document("bad")], WORDS, RATINGS)
    assert batch.targets is not None
    assert batch.targets.dtype == torch.float32
    expected = torch.tensor([[0.5, 1.0], [NAN, 0.0], [NAN, NAN]])
    torch.testing.assert_close(batch.targets, expected, equal_nan=True)


def test_binary_labels_are_float_columns_and_classes_are_long() -> None:
    labels = encode_batch([document("bad", 0), document("good", 1)], WORDS, BINARY).targets
    classes = encode_batch([document("bad", 2), document("good", 0)], WORDS, CLASSES).targets
    assert labels is not None
    assert classes is not None
    assert (labels.tolist(), labels.dtype) == ([[0.0], [1.0]], torch.float32)
    assert (classes.tolist(), classes.dtype) == ([2, 0], torch.int64)


def test_no_targets_and_partial_annotation_are_none() -> None:
    batch = encode_batch([document("bad"), document("good", gold="1")], WORDS, CLASSES)
    assert batch.targets is None
    assert batch.gold is None
    assert batch.opinion is None


def test_an_empty_document_is_one_unknown_word() -> None:
    batch = encode_batch([document("", 1, 1, gold=""), document("bad beer", 1, 1, gold="11")], WORDS, RATINGS)
    assert batch.tokens.tolist() == [[1, 0], [3, 4]]
    assert batch.lengths.tolist() == [1, 2]
    assert batch.gold is not None
    assert batch.gold.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    ("spec", "bad"),
    [
        (RATINGS, document("bad", 1)),
        (RATINGS, document("bad", 1, 2, 3)),
        (BINARY, document("bad", 2)),
        (BINARY, document("bad", 0.5)),
        (CLASSES, document("bad", 3)),
        (CLASSES, document("bad", -1)),
        (CLASSES, document("bad", NAN)),
        (RATINGS, replace(document("bad beer", 1, 1), gold=(True,))),
        (RATINGS, replace(document("bad beer", 1, 1), opinion=(True, False, True))),
    ],
)
def test_misfits_name_the_document(spec: TargetSpec, bad: Document) -> None:
    with pytest.raises(DataError, match="row 7"):
        encode_batch([bad], WORDS, spec)


def test_a_class_missing_in_one_document_is_an_error() -> None:
    with pytest.raises(DataError, match="unlabelled"):
        encode_batch([document("bad", 1), document("bad")], WORDS, CLASSES)


def order(batches: Iterable[Batch]) -> list[int]:
    found: list[int] = []
    for batch in batches:
        assert batch.index is not None
        found += batch.index.tolist()
    return found


@pytest.mark.parametrize(("count", "size"), [(1, 8), (8, 8), (9, 8), (333, 16), (1000, 7)])
def test_an_epoch_holds_every_document_once_in_even_batches(count: int, size: int) -> None:
    batches = BucketedBatches(corpus(count), WORDS, one_target(), size, seed=1)
    sizes = [len(batch) for batch in batches.epoch(0)]
    assert len(sizes) == len(batches) == -(-count // size)
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(order(batches.epoch(0))) == list(range(count))
    assert sorted(order(batches.ordered())) == list(range(count))


def test_the_index_says_where_a_row_came_from() -> None:
    documents = corpus(50)
    batches = BucketedBatches(documents, WORDS, one_target(), 8, seed=1)
    for batch in (*batches.epoch(3), *batches.ordered(11)):
        assert batch.index is not None
        expected = [len(documents[i].tokens) for i in batch.index]
        assert batch.lengths.tolist() == expected
        assert batch.tokens.shape[1] == max(expected)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    documents = corpus(200)
    batches = BucketedBatches(documents, WORDS, one_target(), 8, seed=1)
    again = BucketedBatches(documents, WORDS, one_target(), 8, seed=1)
    other = BucketedBatches(documents, WORDS, one_target(), 8, seed=2)
    fifth = order(batches.epoch(5))
    list(again.epoch(0))
    torch.rand(3)
    assert order(again.epoch(5)) == fifth == order(batches.epoch(5))
    assert order(batches.epoch(6)) != fifth
    assert order(other.epoch(5)) != fifth
    assert order(batches) == order(batches.epoch(0))


@pytest.mark.parametrize("steps", [1, 3, 6, 7, 16])
def test_short_and_long_epochs_are_cut_from_one_row_of_whole_ones(steps: int) -> None:
    documents = corpus(50)
    whole = BucketedBatches(documents, WORDS, one_target(), 8, seed=2)
    assert len(whole) == 7
    row = [batch.index.tolist() for number in range(4) for batch in whole.epoch(number) if batch.index is not None]
    cut = BucketedBatches(documents, WORDS, one_target(), 8, seed=2, steps=steps)
    assert len(cut) == steps
    for number in range(24 // steps):
        found = [batch.index.tolist() for batch in cut.epoch(number) if batch.index is not None]
        assert found == row[number * steps : (number + 1) * steps]


def test_company_and_order_of_lengths_change_between_epochs() -> None:
    batches = BucketedBatches(corpus(2000), WORDS, one_target(), 8, seed=1)
    first, second = (
        {frozenset(b.index.tolist()) for b in batches.epoch(n) if b.index is not None} for n in (0, 1)
    )
    assert len(first & second) < 5
    one_pool = BucketedBatches(corpus(400), WORDS, one_target(), 8, seed=1)
    means = torch.tensor([batch.lengths.double().mean() for batch in one_pool.epoch(0)])
    steps = torch.arange(len(means), dtype=torch.float64)
    correlation = torch.corrcoef(torch.stack([means, steps]))[0, 1]
    assert abs(float(correlation)) < 4 / len(means) ** 0.5 < 0.6


def test_buckets_save_most_of_the_padding() -> None:
    documents = corpus(2000)
    words = sum(len(d.tokens) for d in documents)
    batches = BucketedBatches(documents, WORDS, one_target(), 16, seed=1)
    bucketed = sum(batch.tokens.numel() for batch in batches.epoch(0)) / words - 1
    plain = [documents[i : i + 16] for i in range(0, 2000, 16)]
    unsorted = sum(len(p) * max(len(d.tokens) for d in p) for p in plain) / words - 1
    assert bucketed < 0.1 < 0.5 < unsorted


def test_evaluation_runs_from_short_to_long() -> None:
    lengths = [
        n for b in BucketedBatches(corpus(100), WORDS, one_target(), 8).ordered(9) for n in b.lengths.tolist()
    ]
    assert lengths == sorted(lengths)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="batch size"):
        BucketedBatches(corpus(3), WORDS, one_target(), 0)
    with pytest.raises(DataError, match="at least one document"):
        BucketedBatches([], WORDS, one_target(), 4)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("kind", ["planted", "reviews"])
def test_less_than_five_per_cent_is_padding(kind: str, size: int) -> None:
    """Lengths spread evenly from 60 to 150, or skewed as those of film reviews, a third cut at 256."""
    chance = random.Random(1)
    lengths = [
        chance.randint(60, 150) if kind == "planted" else min(256, 10 + int(chance.lognormvariate(5.0, 0.7)))
        for _ in range(10_000)
    ]
    documents = [document("good " * length, 1.0) for length in lengths]
    batches = list(BucketedBatches(documents, WORDS, one_target(), size).epoch(0))
    assert sum(int(batch.lengths.sum()) for batch in batches) == sum(lengths)
    assert sum(lengths) > 0.95 * sum(batch.tokens.numel() for batch in batches)


# ------------------------------------------------------------------------------------------------ ahead of their use


def numbered(count: int, fault: int = -1) -> Iterator[Batch]:
    for number in range(count):
        if number == fault:
            raise ValueError("a bad row")
        yield Batch(torch.full((2, 3), number), torch.tensor([3, 2]))


def listening() -> bool:
    return any(thread.name.startswith("batches") for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_same_numbered(count: int) -> None:
    assert [int(batch.tokens[0, 0]) for batch in prefetched(numbered(count))] == list(range(count))
    assert not listening()


def test_they_are_made_ahead_but_not_far() -> None:
    made: list[int] = []
    second = threading.Event()

    def watched() -> Iterator[Batch]:
        for number, batch in enumerate(numbered(50)):
            made.append(number)
            if number == 2:
                second.set()
            yield batch

    stream = prefetched(watched(), depth=2)
    next(stream)
    assert second.wait(5)
    assert len(made) <= 4  # one taken, two waiting, one in the thread's hands
    stream.close()  # type: ignore[attr-defined]
    assert not listening()


def test_a_fault_comes_in_its_place() -> None:
    stream = prefetched(numbered(9, fault=3))
    assert [int(next(stream).tokens[0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="a bad row"):
        next(stream)
    assert not listening()
