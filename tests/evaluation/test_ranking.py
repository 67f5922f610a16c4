"""Rankings of a split's queries: figures by hand, and records for people."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import DataError
from pyro_rationale.evaluation.ranking import Ranking, evaluate_ranking, rank, worse_than_chance
from pyro_rationale.evaluation.significance import intervals
from pyro_rationale.prediction.embedding import ModelEmbedder
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import label_in
from pyro_rationale.reporting.html.pairs import build_pairs_report, render_pairs, write_pairs_report
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.pairs import DevLists, validate_lists
from tests.support.browser import PHONE, too_wide, violations
from tests.support.planted_pairs import planted_pairs
from tests.support.untrained_pairs import untrained_pairs

if TYPE_CHECKING:
    from playwright.sync_api import Page

CORPUS = planted_pairs(copies=3, words=8)
HOW = DecodeOptions("threshold", 0.05)  # keeps something of almost every text: others are all alike


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    return rank(untrained_pairs(), CORPUS, decode=HOW)


def test_average_precision_by_hand(ranking: Ranking) -> None:
    precisions = ranking.statistics()["map"].table[:, 0]
    for scores, relevant, found in zip(ranking.scores, ranking.relevant, precisions, strict=True):
        flags = relevant[np.argsort(-scores, kind="stable")]
        places = np.flatnonzero(flags) + 1
        assert found == pytest.approx(np.mean(np.arange(1, len(places) + 1) / places))


def test_scores_are_cosines_of_kept_words(ranking: Ranking) -> None:
    vectors = ModelEmbedder(untrained_pairs(), HOW).encode(list(CORPUS.documents)).vectors
    for query, chosen, scores in zip(ranking.queries, ranking.lists, ranking.scores, strict=True):
        np.testing.assert_allclose(scores, vectors[chosen] @ vectors[query.document], atol=1e-5)


def test_a_guess_is_one_among_the_texts_of_each_list(ranking: Ranking) -> None:
    """Not among twenty: lists of a hundred may have a log loss of four nats, short ones must have less."""
    guess = np.mean([math.log(1 + np.sum(~flags)) for flags in ranking.relevant])
    for nats, said in ((0.1, ""), (-0.1, f"against {guess:.4g} of a guess")):
        made = replace(ranking)
        made.__dict__["scores"] = [np.float32(nats * ranking.temperature) * flags for flags in ranking.relevant]
        assert worse_than_chance(made).endswith(said)
        assert bool(worse_than_chance(made)) == bool(said)


def test_figures_of_both_sides() -> None:
    evaluation = evaluate_ranking(untrained_pairs(), CORPUS, "all", HOW, 16)
    metrics = evaluation.metrics
    assert metrics["queries"] == sum(map(len, CORPUS.queries.values()))
    assert metrics["map_share"] == pytest.approx(metrics["map"] / metrics["full_map"])
    assert set(metrics["aspects"]) == {"query", "candidates"}
    assert metrics["aspects"]["query"]["gold"] == pytest.approx(2 / 8)
    assert 0 < metrics["selected"] < 1
    assert 0 < metrics["corpus_map"] < metrics["map"]
    ends = intervals(evaluation.statistics, 20, 0.95, seed=0)
    assert ends["map"][0] <= metrics["map"] <= ends["map"][1]
    fewer = evaluate_ranking(untrained_pairs(), CORPUS, "test", most_searched=10).metrics
    assert not any(name.startswith("corpus_") for name in fewer)


def test_the_elbo_is_that_of_an_epoch_on_the_same_lists() -> None:
    fitted = untrained_pairs()
    metrics = evaluate_ranking(fitted, CORPUS, decode=HOW).metrics
    prior = fitted.model.prior
    assert isinstance(prior, ChainPrior)
    score = validate_lists(fitted, DevLists.of(fitted, CORPUS, "test"), prior)
    assert metrics["list_elbo"] == pytest.approx(score.elbo)
    every = evaluate_ranking(fitted, CORPUS, "all", HOW, most_searched=10).metrics
    assert math.isfinite(every["list_elbo"])
    assert every["list_size"] == 20


def test_rows_say_of_how_many_candidates_they_are(ranking: Ranking) -> None:
    assert ranking.list_size == 20
    shorter = replace(ranking, lists=[ranking.lists[0][:10], *ranking.lists[1:]])
    assert shorter.list_size == pytest.approx(20 - 10 / len(ranking.lists))
    name = "list_log_loss"
    assert label_in(name, {name: 1.0, "list_size": ranking.list_size}) == "log loss on lists of 20"
    assert label_in(name, {name: 1.0, "list_size": shorter.list_size}) == "log loss on lists of candidates"
    assert label_in(name, {name: 1.0}) == "log loss on lists of candidates"


def test_the_whole_corpus_leaves_the_query_out() -> None:
    evaluation = evaluate_ranking(untrained_pairs(), CORPUS, decode=HOW)
    vectors = ModelEmbedder(untrained_pairs(), HOW).encode(list(CORPUS.documents)).vectors
    query = CORPUS.queries["test"][0]
    others = [i for i in range(len(CORPUS.documents)) if i != query.document]
    order = [others[j] for j in np.argsort(-(vectors[others] @ vectors[query.document]), kind="stable")]
    places = sorted(order.index(i) + 1 for i in query.positives)
    expected = np.mean(np.arange(1, len(places) + 1) / places)
    assert evaluation.statistics["corpus_map"].table[0, 0] == pytest.approx(expected)


def test_whole_texts_of_candidates() -> None:
    ranking = rank(untrained_pairs(match="full"), CORPUS, "dev")
    assert all(mask.all() for mask in ranking.found_as.masks)
    assert not all(mask.all() for mask in ranking.asked_as.masks)


def test_an_empty_split_is_told() -> None:
    with pytest.raises(DataError, match="no query in the test split"):
        rank(untrained_pairs(), replace(CORPUS, queries={"train": CORPUS.queries["train"]}))


def test_the_report_shows_best_and_worst_queries(ranking: Ranking, tmp_path: Path) -> None:
    queries = list(ranking.ranked(most=2))
    assert [query.precision for query in queries] == sorted((query.precision for query in queries), reverse=True)
    assert len(queries) == 4
    every = list(ranking.ranked())
    assert len(every) == len(ranking.queries)
    assert queries == [*every[:2], *every[-2:]]
    for query in queries:
        assert [text.rank for text in query.candidates] == list(range(1, len(query.candidates) + 1))
        assert sum(text.probability for text in query.candidates) == pytest.approx(1.0)
    metrics = evaluate_ranking(untrained_pairs(), CORPUS).metrics
    context = build_pairs_report(queries, metrics, "<run>", [("texts", "planted & more")])
    page = render_pairs(context)
    assert page == render_pairs(context)
    assert "<run>" not in page
    assert "&lt;run&gt;" in page
    assert page.count('class="doc pair"') == 4
    assert page.count('class="right">similar') >= 4  # the first similar text is always shown
    assert all(query.marked.pieces()[0][0] in page for query in queries)
    assert "<script" not in page
    write_pairs_report(tmp_path / "report.html", context)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


def test_the_report_bars_nobody_and_fits_a_phone(ranking: Ranking, page: Page, tmp_path: Path) -> None:
    metrics = evaluate_ranking(untrained_pairs(), CORPUS).metrics
    history = [EpochRecord(i, 10 * i, 0.5, 0.2, 0.2, 0.0, 0.5, dev_error=0.1) for i in (1, 2)]
    context = build_pairs_report(list(ranking.ranked(most=2)), metrics, "run", history=history)
    write_pairs_report(tmp_path / "report.html", context)
    page.set_viewport_size(PHONE)
    page.goto(f"file://{tmp_path / 'report.html'}")
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert not too_wide(page)
    assert not violations(page)
    assert page.locator("h2").all_inner_texts() == ["Summary", "Ranked best", "Ranked worst", "Training"]
