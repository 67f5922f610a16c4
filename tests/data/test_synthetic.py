"""Planted reviews: the gold marks are right, the floor is the floor, and nothing else gives the rating away."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from pyro_rationale.data import DataOptions, Document, load_corpus
from pyro_rationale.data.corpora import _synthetic_grammar as grammar
from pyro_rationale.data.corpora.synthetic import ASPECTS, LONGEST, SHORTEST, VALENCE, make_review
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.errors import ConfigError, DataError

OPTIONS = DataOptions(documents=3000, split_seed=11)
FLOOR = OPTIONS.noise**2
NOUNS = {noun: topic for topic, nouns in {**grammar.RATED, **grammar.UNRATED}.items() for noun in nouns}


@pytest.fixture(scope="module")
def reviews() -> tuple[Document, ...]:
    return tuple(load_corpus(OPTIONS).train)


@pytest.fixture(scope="module")
def ratings(reviews: tuple[Document, ...]) -> NDArray[np.float64]:
    return np.array([review.targets[0] for review in reviews])


def marks(flags: tuple[bool, ...] | None) -> NDArray[np.bool_]:
    assert flags is not None
    return np.array(flags)


def gold_words(review: Document) -> list[list[str]]:
    """The gold words in unbroken runs: the clauses."""
    runs: list[list[str]] = []
    before = False
    for word, gold in zip(review.tokens, marks(review.gold), strict=True):
        if gold and not before:
            runs.append([])
        if gold:
            runs[-1].append(word)
        before = bool(gold)
    return runs


# ---- the grammar


def test_opinion_words_are_shared_graded_and_nothing_else() -> None:
    assert len(VALENCE) == sum(map(len, grammar.OPINIONS)) == 84
    assert len({round(v, 9) for v in VALENCE.values()}) == len(grammar.OPINIONS) == 7
    assert min(VALENCE.values()) == pytest.approx(0.15)
    assert max(VALENCE.values()) == pytest.approx(0.85)
    patterns = [p for group in (*grammar.CLAUSES, grammar.FILLERS, grammar.FILLERS_WITH_NOUN) for p in group]
    neutral = " ".join([*patterns, *grammar.ADVERBS, *grammar.TAILS, *grammar.PEOPLE]).split()
    assert not set(neutral) & (set(VALENCE) | set(NOUNS))
    assert not set(VALENCE) & set(NOUNS)


def test_each_noun_belongs_to_one_topic() -> None:
    assert len(NOUNS) == sum(len(nouns) for nouns in (*grammar.RATED.values(), *grammar.UNRATED.values())) == 64


def test_patterns_have_one_noun_and_the_right_number_of_opinions() -> None:
    for count, patterns in enumerate(grammar.CLAUSES, start=1):
        assert all(p.split().count("{o}") == count and p.split().count("{n}") == 1 for p in patterns)
        before = [p.index("{n}") < p.index("{o}") for p in patterns]
        assert any(before)
        assert not all(before)
    assert all("{o}" not in p for p in (*grammar.FILLERS, *grammar.FILLERS_WITH_NOUN))


# ---- the documents


def test_counts_names_and_spec() -> None:
    corpus = load_corpus(DataOptions(documents=40))
    assert [len(s) for s in (corpus.train, corpus.dev, corpus.test)] == [40, 10, 10]
    assert corpus.name == "synthetic"
    assert corpus.spec.names == ("appearance",)
    assert corpus.spec.ranges == ((0.0, 1.0),)
    assert corpus.noise_floor == pytest.approx(0.0025)
    everything = (*corpus.train, *corpus.dev, *corpus.test)
    assert len({d.id for d in everything}) == len({d.text for d in everything}) == 60


def test_the_text_is_what_the_tokenizer_reads(reviews: tuple[Document, ...]) -> None:
    for review in reviews:
        assert tokenize(review.text) == (review.tokens, review.offsets)


def test_lengths_and_vocabulary(reviews: tuple[Document, ...]) -> None:
    lengths = [len(review.tokens) for review in reviews]
    assert min(lengths) >= SHORTEST
    assert max(lengths) <= LONGEST
    assert 250 < len({word for review in reviews for word in review.tokens}) < 400


def test_share_of_gold_and_opinion_words(reviews: tuple[Document, ...]) -> None:
    words = sum(len(review.tokens) for review in reviews)
    gold = sum(marks(review.gold).sum() for review in reviews) / words
    opinion = sum(marks(review.opinion).sum() for review in reviews) / words
    assert 0.09 < gold < 0.11
    assert 0.018 < opinion < 0.026


def test_gold_is_the_clauses_that_name_the_aspect(reviews: tuple[Document, ...]) -> None:
    for review in reviews:
        gold, opinion = marks(review.gold), marks(review.opinion)
        clauses = gold_words(review)
        assert 1 <= len(clauses) <= 2
        assert not (opinion & ~gold).any()
        for clause in clauses:
            assert [NOUNS[word] for word in clause if word in NOUNS] == ["appearance"]
            assert 1 <= sum(word in VALENCE for word in clause) <= 3
        marked = [word for word, o in zip(review.tokens, opinion, strict=True) if o]
        assert marked == [word for clause in clauses for word in clause if word in VALENCE]


def test_articles_fit_the_next_word(reviews: tuple[Document, ...]) -> None:
    pairs = {(a, b) for review in reviews for a, b in zip(review.tokens, review.tokens[1:], strict=False)}
    assert all((b[0] in "aeiou" or b == "honestly") == (a == "an") for a, b in pairs if a in ("a", "an"))


def test_same_options_same_texts_and_another_seed_others() -> None:
    options = DataOptions(documents=20)
    assert load_corpus(options) == load_corpus(options)
    texts = {d.text for d in load_corpus(options).train}
    assert not texts & {d.text for d in load_corpus(replace(options, split_seed=1)).train}


def test_more_documents_only_add() -> None:
    few, many = load_corpus(DataOptions(documents=8)), load_corpus(DataOptions(documents=16))
    assert many.train[:8] == few.train
    assert many.test[:2] == few.test


def test_the_texts_of_the_first_release() -> None:
    """Runs are compared by seed, so the same seed must give the same texts under every version of Python."""
    review = make_review(DataOptions(), "planted test 0")
    assert review.text.startswith(FIRST_WORDS)
    assert review.targets[0] == pytest.approx(FIRST_RATING, abs=1e-9)


FIRST_WORDS = (
    "Expect a tolerable package, quietly a decent one! A stranger wanted to compare the head with last year."
)
FIRST_RATING = 0.3563367069449026


def test_another_aspect_rates_the_same_texts() -> None:
    options = DataOptions(documents=30)
    every = load_corpus(replace(options, aspect="all"))
    assert every.spec.names == ASPECTS
    assert len(every.spec.ranges) == 4
    union = np.zeros(len(every.train[0].tokens), dtype=int)
    for i, aspect in enumerate(ASPECTS):
        single = load_corpus(replace(options, aspect=aspect))
        assert load_corpus(replace(options, aspect=str(i))) == single
        assert [d.text for d in single.train] == [d.text for d in every.train]
        assert [d.targets[0] for d in single.train] == [d.targets[i] for d in every.train]
        union += marks(single.train[0].gold)
    assert union.max() == 1
    assert (union == marks(every.train[0].gold)).all()


def test_cut_texts_claim_no_floor() -> None:
    corpus = load_corpus(DataOptions(documents=20, max_words=30))
    assert corpus.noise_floor is None
    for review in corpus.train:
        assert (
            len(review.tokens)
            == len(review.offsets)
            == len(marks(review.gold))
            == len(marks(review.opinion))
            == 30
        )
        assert tokenize(review.text)[0] == review.tokens


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"documents": 3}, "--documents"),
        ({"correlation": -0.1}, "--correlation"),
        ({"correlation": 1.1}, "--correlation"),
        ({"correlation": math.nan}, "--correlation"),
        ({"noise": -1.0}, "--noise"),
        ({"noise": math.nan}, "--noise"),
        ({"noise": math.inf}, "--noise"),
        ({"max_words": 0}, "--max-words"),
        ({"aspect": "price"}, "--aspect price"),
        ({"aspect": "4"}, "--aspect 4"),
    ],
)
def test_impossible_options_name_their_flag(change: dict[str, object], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        load_corpus(replace(DataOptions(), **change))  # type: ignore[arg-type]


def test_the_spec_of_a_run_must_fit() -> None:
    options = DataOptions(documents=4)
    spec = load_corpus(options).spec
    assert load_corpus(options, spec).spec == spec
    with pytest.raises(DataError, match="--aspect"):
        load_corpus(replace(options, aspect="taste"), spec)


# ---- the floor


def own_valence(review: Document) -> float:
    return float(np.mean([VALENCE[w] for w, o in zip(review.tokens, marks(review.opinion), strict=True) if o]))


def test_opinion_words_leave_just_the_noise(reviews: tuple[Document, ...], ratings: NDArray[np.float64]) -> None:
    rest = ratings - np.array([own_valence(review) for review in reviews])
    assert abs(rest.mean()) < 4 * OPTIONS.noise / len(rest) ** 0.5
    assert abs((rest**2).mean() / FLOOR - 1) < 4 * (2 / len(rest)) ** 0.5
    assert stats.kstest(rest / OPTIONS.noise, "norm").pvalue > 1e-4


def test_without_noise_the_rating_is_exact() -> None:
    for review in load_corpus(DataOptions(documents=50, noise=0.0)).train:
        assert review.targets[0] == pytest.approx(own_valence(review), abs=1e-12)


def test_every_opinion_word_is_needed(reviews: tuple[Document, ...], ratings: NDArray[np.float64]) -> None:
    """Whoever leaves one of several opinion words out pays more than a third of the floor on top of it."""
    errors = []
    for review, rating in zip(reviews, ratings, strict=True):
        valences = [VALENCE[w] for w, o in zip(review.tokens, marks(review.opinion), strict=True) if o]
        if len(valences) == 3:
            errors.append((rating - np.mean(valences[:2])) ** 2)
    assert np.mean(errors) > 1.33 * FLOOR


def test_ratings_hardly_leave_the_range(ratings: NDArray[np.float64]) -> None:
    assert np.mean((ratings < 0) | (ratings > 1)) < 0.002
    assert ratings.var() > 12 * FLOOR


# ---- what must give nothing away


def ridge_error(features: NDArray[np.float64], ratings: NDArray[np.float64], penalty: float = 10.0) -> float:
    """Held-out squared error of ridge regression, fitted on the first two thirds."""
    cut = 2 * len(ratings) // 3
    centre, mean = features[:cut].mean(0), ratings[:cut].mean()
    x, y = features[:cut] - centre, ratings[:cut] - mean
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return float(((ratings[cut:] - mean - (features[cut:] - centre) @ weights) ** 2).mean())


def counted(reviews: tuple[Document, ...], gold_only: bool = False) -> NDArray[np.float64]:
    """Bag of words, `(N, V)`."""
    number = {word: i for i, word in enumerate(sorted({w for review in reviews for w in review.tokens}))}
    counts = np.zeros((len(reviews), len(number)))
    for row, review in zip(counts, reviews, strict=True):
        for word, gold in zip(review.tokens, marks(review.gold), strict=True):
            row[number[word]] += gold or not gold_only
    return counts


def test_a_bag_of_words_is_far_from_the_floor(reviews: tuple[Document, ...], ratings: NDArray[np.float64]) -> None:
    everything = ridge_error(counted(reviews), ratings)
    assert everything > 12 * FLOOR
    assert everything > 0.75 * ratings.var()
    assert ridge_error(counted(reviews, gold_only=True), ratings) < 6 * FLOOR  # the same words, where they count


def test_mean_valence_of_all_opinion_words_is_far_from_the_floor(
    reviews: tuple[Document, ...], ratings: NDArray[np.float64]
) -> None:
    overall = np.array([[np.mean([VALENCE[w] for w in r.tokens if w in VALENCE])] for r in reviews])
    assert ridge_error(overall, ratings, penalty=0.0) > 12 * FLOOR


def test_shape_says_nothing_of_the_rating(reviews: tuple[Document, ...], ratings: NDArray[np.float64]) -> None:
    """Lengths, punctuation, number of clauses and of opinion words, place of the clauses."""
    features = {
        "length": [len(r.tokens) for r in reviews],
        **{mark: [r.tokens.count(mark) for r in reviews] for mark in (".", "!", ";", ",", "and", "while")},
        "gold": [marks(r.gold).sum() for r in reviews],
        "clauses": [len(gold_words(r)) for r in reviews],
        "opinions": [marks(r.opinion).sum() for r in reviews],
        "all opinions": [sum(w in VALENCE for w in r.tokens) for r in reviews],
        "place": [np.flatnonzero(marks(r.gold))[0] / len(r.tokens) for r in reviews],
    }
    for name, values in features.items():
        score = np.corrcoef(np.array(values, dtype=float), ratings)[0, 1] * len(reviews) ** 0.5
        assert abs(score) < 4, name


def test_no_neutral_word_goes_with_the_rating(reviews: tuple[Document, ...], ratings: NDArray[np.float64]) -> None:
    """Except "an", which tells a little of the opinion word after it."""
    words = sorted({w for r in reviews for w in r.tokens} - set(VALENCE) - {"a", "an"})
    for word in words:
        count = np.array([r.tokens.count(word) for r in reviews], dtype=float)
        score = np.corrcoef(count, ratings)[0, 1] * len(reviews) ** 0.5
        assert abs(score) < 4.5, word


def test_gold_clauses_stand_anywhere(reviews: tuple[Document, ...]) -> None:
    """Counted in words, the gold share is the same in every tenth of the text."""
    shares = np.array([[part.mean() for part in np.array_split(marks(r.gold), 10)] for r in reviews])
    means, errors = shares.mean(0), shares.std(0) / len(reviews) ** 0.5
    overall = means[1:9].mean()
    assert (abs(means[1:9] - overall) < 4 * errors[1:9]).all()
    assert (abs(means - overall) < 0.15 * overall).all()  # a full stop at the end thins the last tenth


def test_opinion_words_are_as_common_inside_as_outside(reviews: tuple[Document, ...]) -> None:
    """The gold share is equal for each opinion word and each grade; seven other topics have the rest."""
    inside: Counter[str] = Counter()
    overall: Counter[str] = Counter()
    for review in reviews:
        for word, opinion in zip(review.tokens, marks(review.opinion), strict=True):
            if word in VALENCE:
                overall[word] += 1
                inside[word] += opinion
    share = inside.total() / overall.total()
    assert 0.12 < share < 0.16
    for words in (*grammar.OPINIONS, *((word,) for word in VALENCE)):
        count = sum(overall[word] for word in words)
        # Words of one review share a latent valence, so their counts vary more than independent ones would.
        spread = 1.6 * (share * (1 - share) / count) ** 0.5
        assert abs(sum(inside[word] for word in words) / count - share) < 4 * spread, words[0]


def test_neutral_words_do_not_mark_the_gold(reviews: tuple[Document, ...]) -> None:
    """Knowing a single word, no noun of the aspect, nobody can say "gold" with more than 3 in 10."""
    inside: Counter[str] = Counter()
    overall: Counter[str] = Counter()
    for review in reviews:
        overall.update(review.tokens)
        inside.update(word for clause in gold_words(review) for word in clause)
    for word, count in overall.items():
        if NOUNS.get(word) != "appearance":
            assert inside[word] < 0.3 * count, word
    assert all(inside[noun] < 0.95 * overall[noun] for noun in grammar.RATED["appearance"])


# ---- correlation


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_correlation_ties_the_rated_aspects(correlation: float) -> None:
    options = DataOptions(documents=1500, correlation=correlation, aspect="all", noise=0.0)
    ratings = np.array([d.targets for d in load_corpus(options).train])
    found = np.corrcoef(ratings.T)[np.triu_indices(4, 1)]
    if correlation == 0:
        assert (abs(found) < 4 / 1500**0.5).all()
    else:
        assert ((found > 0.75 * correlation) & (found < correlation)).all()
    assert ratings.var(0) == pytest.approx(ratings.var(), rel=0.1)
