"""The retriever keeps scikit-learn's promises, and finds similar texts by the words that it shows."""

from __future__ import annotations

import csv
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.index import index
from pyro_rationale.cli.posterior import inspect
from pyro_rationale.cli.studies.rankers import study as rankers
from pyro_rationale.evaluation.metrics.ranking import ranking_metrics
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.retrieval import Hits
from pyro_rationale.sklearn.retriever import RationaleRetriever, pairs_of, texts_of_pairs
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun
from tests.support.commands import ended
from tests.support.small_fit import refusal

TOPICS = ["money back refund", "broken screen cracked", "battery empty charge", "parcel late delivery",
          "password forgotten login", "noise loud fan"]
TEXTS = [f"please help me with the {word} of my order number {i}" for topic in TOPICS for i, word in
         enumerate(topic.split())]
GROUPS = [topic for topic in TOPICS for _ in range(3)]
SMALL: dict[str, Any] = {
    "rate": 0.3, "steps": 6, "anneal": 2, "warmup": 1, "epoch_steps": 3, "batch_size": 4, "hidden": 4, "embedding": 4,
    "samples": 2, "min_count": 1, "threads": 1, "device": "cpu", "validation_fraction": 0.2, "random_state": 0,
}  # fmt: skip


def made(**options: Any) -> RationaleRetriever:
    return RationaleRetriever(**{**SMALL, **options})


@contextmanager
def unfinished() -> Iterator[None]:
    """A fit of so few steps may end before it has come down to the share of words, or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class Told(Callback):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        self.calls.append(f"epoch {record.epoch}")

    def on_evaluated(self, run: TrainingRun, metrics: Mapping[str, Any]) -> None:
        self.calls.append("end")


@pytest.fixture(scope="module")
def fitted() -> RationaleRetriever:
    """To be read only, but for its index."""
    with unfinished():
        return made(callbacks=[Told()]).fit(TEXTS, GROUPS)


def test_its_callbacks_are_called(fitted: RationaleRetriever) -> None:
    assert fitted.callbacks[0].calls == [*(f"epoch {i + 1}" for i in range(fitted.n_iter_)), "end"]


def test_it_searches_what_it_has_indexed(fitted: RationaleRetriever) -> None:
    assert fitted.index(dict(zip("abc", TEXTS, strict=False))) is fitted
    hits = fitted.search("a cracked screen", top=2)
    assert isinstance(hits, Hits)
    for ask in (fitted.transform, fitted.explain):
        with pytest.raises(ValueError, match=r"^text 2: no word in it; write a text there, or leave it out$"):
            ask([TEXTS[0], " "])
    vectors = fitted.transform(["a cracked screen", *TEXTS[:3]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    scores = vectors[1:] @ vectors[0]
    assert hits[0].score == pytest.approx(scores.max(), abs=1e-5)
    assert hits[0].id in {"abc"[i] for i in np.flatnonzero(scores > scores.max() - 1e-5)}
    assert hits[0].document_explanation in fitted.explain(TEXTS[:3])
    several = fitted.search(["a cracked screen", "money"], top=1)
    assert [len(found) for found in several] == [1, 1]
    assert fitted.index(TEXTS).search("money", top=1)[0].id in set(map(str, range(1, len(TEXTS) + 1)))


def test_as_many_words_are_indexed_as_were_trained_on(fitted: RationaleRetriever) -> None:
    words = fitted.fitted_.config.data.max_words
    copy = pickle.loads(pickle.dumps(fitted)).index([TEXTS[0], TEXTS[1] + " more" * 5000])
    assert words is not None
    assert words < 5000
    assert len(copy.index_.entries[1].marked.mask) == words


def test_the_score_is_the_mean_average_precision(fitted: RationaleRetriever) -> None:
    vectors = fitted.transform(TEXTS)
    products = vectors @ vectors.T  # all at once: many texts tie, and the order of these is a matter of the last bit
    scores, relevant = [], []
    for i in range(len(TEXTS)):
        others = [j for j in range(len(TEXTS)) if j != i]
        scores.append(products[i, others])
        relevant.append([GROUPS[j] == GROUPS[i] for j in others])
    expected = ranking_metrics(scores, relevant)["map"]
    assert fitted.score(TEXTS, GROUPS) == pytest.approx(expected, abs=1e-3)  # texts that tie to the last bit
    pairs = [(TEXTS[i], TEXTS[j]) for i, j in pairs_of(GROUPS)]
    assert fitted.score(pairs=pairs) == pytest.approx(expected, abs=1e-3)


def test_pickles_and_clones(fitted: RationaleRetriever, tmp_path: Path) -> None:
    fitted.index(TEXTS)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(TEXTS[:3]), fitted.transform(TEXTS[:3]))
    assert [hit.id for hit in copy.search("money")] == [hit.id for hit in fitted.search("money")]
    fresh = clone(fitted)
    theirs = fitted.get_params() | {"callbacks": fresh.get_params()["callbacks"]}  # copies, which are equal to nothing
    assert fresh.get_params() == theirs
    with pytest.raises(NotFittedError):
        fresh.transform(TEXTS)
    fitted.save(tmp_path / "run")
    assert FittedModel.load(tmp_path / "run").spec.kind == "ranking"


def test_commands_on_a_saved_folder_ask_for_its_texts(
    fitted: RationaleRetriever, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, path = tmp_path / "run", tmp_path / "faq.csv"
    fitted.save(folder)
    where = ("--run", folder)
    assert "was fitted in Python" in refusal(capfd, evaluate, *where)
    assert "name them with --data" in refusal(capfd, inspect, *where, "--out", tmp_path / "posterior")
    assert "name them with --data" in refusal(capfd, rankers, *where)
    assert "name them with --corpus" in refusal(capfd, index, *where, "--out", tmp_path / "index")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("question", "topic"), *zip(TEXTS, GROUPS, strict=True)])
    assert ended(capfd, index, *where, "--corpus", path, "--out", tmp_path / "index")[0] == 0
    data = ("--data", f"clusters:{path}", "--target-column", "topic", "--split", "all")
    assert ended(capfd, evaluate, *where, *data)[0] == 0


def test_pairs_are_texts_keys_or_positions() -> None:
    texts, pairs = texts_of_pairs([("one", "two"), ("two", "three")], None)
    assert (texts, pairs) == (["one", "two", "three"], [(0, 1), (1, 2)])
    texts, pairs = texts_of_pairs([("a", "b"), ("other", "b")], {"a": "one", "b": "two", "c": "three"})
    assert (texts, pairs) == (["one", "two", "three", "other"], [(0, 1), (3, 1)])
    texts, pairs = texts_of_pairs([(0, np.int64(1)), ("two", "one")], ["one", "two"])
    assert pairs == [(0, 1), (1, 0)]
    assert pairs_of(["x", None, "y", "x", float("nan")]) == [(0, 3), (3, 0)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "needs texts and groups, or pairs"),
        ({"texts": TEXTS}, "needs texts and groups, or pairs"),
        ({"texts": TEXTS, "groups": GROUPS, "pairs": []}, "not both"),
        ({"texts": TEXTS, "groups": GROUPS, "corpus": TEXTS}, "corpus goes with pairs"),
        ({"texts": TEXTS, "groups": range(len(TEXTS))}, "no two texts are similar"),
        ({"texts": TEXTS, "groups": GROUPS[:-1]}, "inconsistent numbers of samples"),
        ({"texts": TEXTS[:3], "groups": GROUPS[:3]}, r"1 sets of similar texts cannot be .* give \d+ of them or more"),
        ({"texts": [*TEXTS[:-1], " "], "groups": GROUPS}, "no word in it"),
        ({"pairs": [("one", "one")]}, "pair 1: a text is paired with itself"),
        ({"pairs": [("one", "two"), ("one", "\ud800")]}, r"pair 2: '\\ud800' holds half a character"),
        ({"pairs": [("one", "two"), "three"]}, "pair 2: expected a query and a text"),
        ({"pairs": [(0, 7)], "corpus": ["one", "two"]}, "pair 1: 7 is no text, and no key of the corpus"),
    ],
)
def test_what_cannot_be_fitted_is_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made().fit(**arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"task": "ordinal"}, "task and target_range are for"), ({"members": 2}, "a retriever is a single model"),
     ({"match": "half"}, "match: ")],
)
def test_parameters_that_mean_nothing_here(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(**options).fit(TEXTS, GROUPS)


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "similar-questions.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL)
    assert len(block.splitlines()) < 20
    rows = [f'"{text}",{group}' for text, group in zip(TEXTS, GROUPS, strict=True)]
    (tmp_path / "faq.csv").write_text("\n".join(["question,topic", *rows]) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    sizes = ", ".join(f"{name}={value!r}" for name, value in SMALL.items() if name not in ("rate", "random_state"))
    with unfinished():
        exec(compile(block.replace("random_state=0", f"random_state=0, {sizes}"), "page", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "3"]


def test_searching_before_indexing_is_told(fitted: RationaleRetriever) -> None:
    copy = pickle.loads(pickle.dumps(fitted))
    copy.__dict__.pop("index_", None)
    with pytest.raises(ValueError, match="nothing to search yet"):
        copy.search("money")
    with pytest.raises(ValueError, match="top: expected 1 to 100"):
        copy.index(TEXTS).search("money", top=1000)
    with pytest.raises(ValueError, match="no word in it"):
        copy.search("...")
