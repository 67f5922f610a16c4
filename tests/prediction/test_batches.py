"""Many texts at once: the same masks and, up to rounding, the same numbers as one text at a time; work in threads."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from pyro_rationale.cli.explain import explain
from pyro_rationale.data import Document
from pyro_rationale.data.document import make_document
from pyro_rationale.data.parallel import in_order
from pyro_rationale.distributions import IndependentMask, LinearChain
from pyro_rationale.errors import DataError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.draws import distinct, uniforms
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from tests.support.small_fit import whole

TEXTS = [
    "The head looked great , and the taste was dull .",
    "the",
    "xyzzy plugh ! ?",
    *(
        f"a nice {noun} , {'bad' if i % 2 else 'lovely'} taste , the look {'fine ' * (1 + i % 5)}"
        for i, noun in enumerate("foam haze hue nose malt body fizz bill van cap".split())
    ),
]


def documents() -> list[Document]:
    return [make_document(f"text {i}", text, (), 40) for i, text in enumerate(TEXTS)]


def numbers(reading: Prediction) -> list[float]:
    """Everything that a network's rounding may move."""
    interval = [end for ends in reading.interval or () for end in ends]
    others = [(a.log_probability, a.frequency, *a.values) for a in reading.alternatives]
    return [
        *reading.inclusion, *reading.values, *reading.expected, *reading.averaged, *(reading.sd or ()), *interval,
        *(number for other in others for number in other),
    ]  # fmt: skip


@pytest.mark.parametrize("guide", ["relaxed", "independent", "chain", "recurrent"])
@pytest.mark.parametrize("rule", ["agreeing", "mode", "threshold", "sample"])
def test_in_batches_as_one_at_a_time(guide: str, rule: str) -> None:
    fitted = FittedModel.load(whole(guide=guide), "cpu")
    options = PredictOptions(decode=rule, samples=30, alternatives=5, threshold=0.3, seed=4)
    alone = list(predict(fitted, documents(), options))
    for size in (4, 64):
        together = list(predict(fitted, iter(documents()), options, size))
        assert [r.document for r in together] == documents()
        for one, other in zip(alone, together, strict=True):
            assert (one.mode, one.kept) == (other.mode, other.kept)
            assert [a.mask for a in one.alternatives] == [a.mask for a in other.alternatives]
            assert numbers(other) == pytest.approx(numbers(one), abs=1e-5)
    assert len({reading.kept for reading in alone}) > 3  # not all empty or whole


def test_more_texts_than_a_pool_holds_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.prediction.predictor._POOL", 2)
    fitted = FittedModel.load(whole(guide="relaxed"), "cpu")
    found = predict(fitted, documents(), PredictOptions(samples=3), 3)
    assert [reading.document for reading in found] == documents()


@pytest.mark.parametrize("size", [1, 9, 64, 130])
def test_distinct_masks_as_a_dictionary_finds_them(size: int) -> None:
    random = np.random.default_rng(size)
    # Few bits set, the highest of a word among them, so that some masks come again.
    drawn = torch.from_numpy((random.random((40, 5, size)) < 1.5 / size).astype(np.float32))
    first = drawn[[3, 5]].clone()
    first[1, 0] = 1.0  # never drawn, unless there is one word
    found = distinct(first, drawn)
    for b in range(5):
        counts: dict[tuple[float, ...], int] = {tuple(mask): 0 for mask in first[:, b].tolist()}
        for mask in drawn[:, b].tolist():
            counts[tuple(mask)] = counts.get(tuple(mask), 0) + 1
        own = int(found.sizes[b])
        assert [tuple(mask) for mask in found.masks[:own, b].tolist()] == list(counts)
        assert found.counts[:own, b].tolist() == list(counts.values())
        assert not found.counts[own:, b].any()
        assert (found.masks[own:, b] == found.masks[0, b]).all()
        assert torch.equal(found.masks[torch.from_numpy(found.places[:, b]), b], first[:, b])


def test_uniform_numbers_depend_on_the_words_alone() -> None:
    together = uniforms(documents(), 40, 3, [1, 7])
    for b, document in enumerate(documents()):
        words = len(document.tokens)
        one, more = uniforms([document], words, 3, [1, 7])
        assert torch.equal(together[0][:, b, :words], one[:, 0])
        assert torch.equal(together[1][:, b, :words], more[:, 0])
        assert not together[1][:, b, words:].any()
    assert not torch.equal(uniforms(documents(), 40, 4, [7])[0], together[1])
    assert together[1][together[1] > 0].mean() == pytest.approx(0.5, abs=0.05)


def test_given_numbers_make_the_draws_that_chance_makes() -> None:
    logits = torch.linspace(-2, 2, 12).reshape(2, 6)
    lengths = torch.tensor([6, 4])
    for q in (IndependentMask(logits, lengths), LinearChain(logits, torch.ones(2, 5), lengths)):
        torch.manual_seed(1)
        expected = q.sample(torch.Size([50]))
        torch.manual_seed(1)
        assert torch.equal(q.sample_from(torch.rand(50, 2, 6)), expected)


@pytest.mark.parametrize("guide", ["relaxed", "recurrent"])
def test_any_number_of_threads_reads_the_same(guide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.prediction.predictor._POOL", 1)
    fitted = FittedModel.load(whole(guide=guide), "cpu")
    options = PredictOptions(samples=20)
    before = torch.get_rng_state()
    fitted.guide.train()
    found = [list(predict(fitted, iter(documents() * 4), options, 2, threads)) for threads in (0, 1, 3)]
    assert found[0] == found[1] == found[2]
    assert fitted.guide.training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_jobs_done_ahead_come_in_order_with_their_errors() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        if number == 7:
            raise DataError("line 8: no word in it")
        return number

    results = in_order(work, iter(range(100)), ThreadPoolExecutor(3), 5)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(DataError, match="line 8"):
        next(results)
    assert list(in_order(work, iter(()), ThreadPoolExecutor(3), 5)) == []


def test_a_process_that_is_killed_is_one_error() -> None:
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    with pytest.raises(DataError, match="--workers: a process was killed, perhaps for want of memory; give fewer"):
        list(in_order(os._exit, iter([1]), pool, 2))


def test_a_reader_who_leaves_ends_the_threads() -> None:
    made: list[int] = []
    before = threading.active_count()
    results = in_order(made.append, iter(range(10**6)), ThreadPoolExecutor(2), 4)
    assert [next(results), next(results)] == [None, None]
    results.close()
    assert threading.active_count() == before
    assert len(made) <= 6  # no further ahead than it may


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "0"], "--batch-size: expected at least 1"),
        (["--threads", "0"], "--threads: expected 1 to 1024"),
    ],
)
def test_flags_that_make_no_sense(flags: list[str], message: str) -> None:
    from click.testing import CliRunner

    from pyro_rationale.errors import ConfigError

    problem = CliRunner().invoke(explain, ["--run", str(whole()), *flags, "text"]).exception
    assert isinstance(problem, ConfigError)
    assert message in str(problem)
