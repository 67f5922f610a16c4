"""Synthetic reviews, made by a grammar, whose rationales (planted) and whose smallest possible error are known.

Each review speaks of four rated aspects and of some unrated things, one to a clause, in random order, with fillers
in between. Opinion words are shared by all of them: only the noun tells what a clause is about. In one review an
aspect has one latent valence; its opinion words have grades around it, and

    rating = mean valence of the aspect's opinion words + Normal(0, noise).

No model can therefore predict a rating with an expected squared error below noise^2, and the opinion words of the
aspect's clauses suffice to reach it. The rationale (`gold`) is every word of those clauses, with the commas inside but
without the links between clauses; `opinion` marks the words that the rating was computed from. Position, length,
punctuation, pattern, and any single word carry next to no information on the rating; how little is measured in
`tests/data/test_synthetic.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from random import Random
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from pyro_rationale.data.cache import build
from pyro_rationale.data.cache.arrow import Metadata
from pyro_rationale.data.cache.columns import Packed, pack
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.corpora import CorpusLoader, aspect_number
from pyro_rationale.data.corpora import _synthetic_grammar as grammar
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import DataError

Item = TypeVar("Item")

ASPECTS: tuple[str, ...] = tuple(grammar.RATED)
SHORTEST, LONGEST = 60, 150
_LOWEST, _HIGHEST = 0.15, 0.85  # valences of the outer grades: with the usual noise a rating hardly leaves [0, 1]
_MOST_HELD_OUT = 10_000
_TOP_GRADE = len(grammar.OPINIONS) - 1
_SPREAD = 1.2  # an opinion word's grade is within this (uniformly, then rounded) of its aspect's latent valence

VALENCE: dict[str, float] = {
    word: _LOWEST + (_HIGHEST - _LOWEST) * grade / _TOP_GRADE
    for grade, words in enumerate(grammar.OPINIONS)
    for word in words
}

_NOUNS: dict[str, tuple[str, ...]] = {**grammar.RATED, **grammar.UNRATED}
_TOPICS = tuple(_NOUNS)
_SLOTS = {"{m}": grammar.ADVERBS, "{t}": grammar.TAILS, "{p}": grammar.PEOPLE}
_CLAUSES = tuple(tuple(tuple(pattern.split()) for pattern in patterns) for patterns in grammar.CLAUSES)
_FILLERS = tuple(tuple(pattern.split()) for pattern in grammar.FILLERS)
_FILLERS_WITH_NOUN = tuple(tuple(pattern.split()) for pattern in grammar.FILLERS_WITH_NOUN)


@dataclass(frozen=True)
class _Clause:
    """Words of one clause, its topic (`None` = filler), and the indices of its opinion words."""

    words: list[str]
    topic: str | None
    opinions: frozenset[int]


def load_synthetic(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Make the corpus of synthetic reviews; the same options always give the same texts.

    A document depends on the seed, its split and its number alone: more `documents` adds to the same list, and
    another `aspect` rates and marks the same texts. `aspect` is a name, a number from 0, or `all` (four targets,
    each with its own `rationales`, gold being the union). Cutting texts below 150 words (`max_words`) removes words
    that ratings were computed from: the corpus has no noise floor then.
    """
    own = _spec(options, spec)
    parts = (tuple(make_reviews(options, name, range(size), own.names)) for name, size in sizes(options).items())
    return _corpus(options, own, *parts)


def load_cached_synthetic(
    options: DataOptions, spec: TargetSpec | None = None, progress: build.Progress | None = None
) -> Corpus:
    """Load the corpus of :func:`load_synthetic` from an Arrow file in `options.cache`."""
    own = _spec(options, spec)
    fields = ("documents", "split_seed", "noise", "correlation", "max_words")
    request = {name: getattr(options, name) for name in fields}
    request |= {"kind": "synthetic", "aspects": list(own.names)}
    some = list(make_reviews(options, "train", range(20), own.names))  # another grammar makes others
    state = {"grammar": hashlib.blake2b(repr(some).encode(), digest_size=8).hexdigest()}
    splits = sizes(options)

    def chunks(facts: Metadata) -> Iterator[Packed]:
        jobs = (
            (split, range(start, min(start + build.CHUNK, count)))
            for split, count in splits.items()
            for start in range(0, count, build.CHUNK)
        )
        return build.in_processes(partial(_pack, options, own.names), jobs, options.workers)

    source = build.Source("synthetic", request, state, chunks, sum(splits.values()))
    file = build.cached_file(source, options, progress)
    ratings = [cells.values.cast("float64").to_numpy() for _, cells in file.streamed("cells")]
    targets = np.concatenate(ratings).reshape(-1, len(own.names))
    ends = np.cumsum([0, *splits.values()])
    rows = (np.arange(start, end) for start, end in pairwise(ends.tolist()))
    return _corpus(options, own, *(ArrowDocuments(file, part, targets[part]) for part in rows))


def _pack(options: DataOptions, aspects: Sequence[str], job: tuple[str, range]) -> Packed:
    return pack(list(make_reviews(options, *job, aspects)))


def _corpus(options: DataOptions, spec: TargetSpec, *parts: Sequence[Document]) -> Corpus:
    train, dev, test = parts
    whole = (options.max_words or LONGEST) >= LONGEST
    return Corpus("synthetic", spec, train, dev, test, noise_floor=options.noise**2 if whole else None)


def _spec(options: DataOptions, spec: TargetSpec | None) -> TargetSpec:
    """The targets that the options lead to, checked against those of a fitted run."""
    number = aspect_number(options.aspect, ASPECTS, {"all": -1})
    aspects = ASPECTS if number < 0 else (ASPECTS[number],)
    own = TargetSpec("regression", aspects, ranges=((0.0, 1.0),) * len(aspects))
    if spec is not None and spec != own:
        raise DataError(
            f"--data synthetic: the run predicts {', '.join(spec.names)} ({spec.kind}), but these reviews rate "
            f"{', '.join(aspects)} (regression, 0 to 1); choose with --aspect"
        )
    return own


def sizes(options: DataOptions) -> dict[str, int]:
    """Documents of each split."""
    held_out = min(options.documents // 4, _MOST_HELD_OUT)
    return {"train": options.documents, "dev": held_out, "test": held_out}


def make_reviews(
    options: DataOptions, split: str, numbers: Iterable[int], aspects: Sequence[str]
) -> Iterator[Document]:
    """The reviews of a split with these numbers."""
    return (make_review(options, f"planted {split} {i}", aspects) for i in numbers)


def make_review(options: DataOptions, name: str, aspects: Sequence[str] = ASPECTS[:1]) -> Document:
    """The review that `options.split_seed` and its name determine, with ratings and gold words of `aspects`."""
    random = Random(f"{options.split_seed} {name}")
    latent = _latents(random, options.correlation)
    noise = {aspect: options.noise * _normal(random) for aspect in ASPECTS}
    while True:
        clauses = _clauses(random, latent)
        links = [*(_link(random, clause) for clause in clauses[1:]), ["."]]
        if SHORTEST <= sum(len(c.words) for c in clauses) + sum(map(len, links)) <= LONGEST:
            break
    targets = tuple(_mean_valence(clauses, aspect) + noise[aspect] for aspect in aspects)
    return _document(name, clauses, links, aspects, targets, options.max_words or LONGEST)


def distractor(random: Random, opinion: bool = True) -> list[str]:
    """Words of one sentence on no rated aspect: an opinion on an unrated thing, or a filler."""
    used: set[tuple[str, ...]] = set()
    if opinion:
        clause = _opinion_clause(random, _pick(random, tuple(grammar.UNRATED)), _TOP_GRADE * random.random(), used)
    else:
        clause = _Clause(_filled(random, _fresh(random, _FILLERS, used), "", ())[0], None, frozenset())
    return [*clause.words, "."]


# Only `Random.random` promises the same numbers in every version of Python, so all chance comes from it.
def _pick(random: Random, items: Sequence[Item]) -> Item:
    return items[int(random.random() * len(items))]


def _fresh(random: Random, patterns: Sequence[tuple[str, ...]], used: set[tuple[str, ...]]) -> tuple[str, ...]:
    """A pattern that the review does not have yet, if a few draws find one."""
    for _ in range(5):
        pattern = _pick(random, patterns)
        if pattern not in used:
            break
    used.add(pattern)
    return pattern


def _normal(random: Random) -> float:
    return NormalDist().inv_cdf(max(random.random(), 1e-12))


def _latents(random: Random, correlation: float) -> dict[str, float]:
    """A valence per topic, uniform on the scale of grades, tied between rated aspects by a Gaussian copula."""
    common, tied, own = _normal(random), correlation**0.5, (1 - correlation) ** 0.5
    latent = {}
    for topic in _TOPICS:
        score = _normal(random)
        if topic in grammar.RATED:
            score = tied * common + own * score
        latent[topic] = _TOP_GRADE * NormalDist().cdf(score)
    return latent


def _clauses(random: Random, latent: dict[str, float]) -> list[_Clause]:
    """Clauses of one review in random order: 1-2 per rated aspect, 0-2 per unrated thing, 1-4 fillers."""
    topics = [t for t in grammar.RATED for _ in range(_pick(random, (1, 2)))]
    topics += [t for t in grammar.UNRATED for _ in range(_pick(random, (0, 1, 1, 2, 2)))]
    used: set[tuple[str, ...]] = set()
    clauses = [_opinion_clause(random, topic, latent[topic], used) for topic in topics]
    clauses += [_filler(random, used) for _ in range(_pick(random, (1, 2, 3, 4)))]
    return sorted(clauses, key=lambda _: random.random())


def _opinion_clause(random: Random, topic: str, latent: float, used: set[tuple[str, ...]]) -> _Clause:
    count = _pick(random, (1, 1, 2, 2, 2, 3))
    chosen: list[str] = []
    while len(chosen) < count:
        grade = round(latent + _SPREAD * (2 * random.random() - 1))
        word = _pick(random, grammar.OPINIONS[min(max(grade, 0), _TOP_GRADE)])
        if word not in chosen:  # "awful and awful" would be no English
            chosen.append(word)
    words, opinions = _filled(random, _fresh(random, _CLAUSES[count - 1], used), topic, chosen)
    return _Clause(words, topic, opinions)


def _filler(random: Random, used: set[tuple[str, ...]]) -> _Clause:
    patterns = _FILLERS_WITH_NOUN if random.random() < 0.5 else _FILLERS
    words, opinions = _filled(random, _fresh(random, patterns, used), _pick(random, _TOPICS), ())
    return _Clause(words, None, opinions)


def _link(random: Random, following: _Clause) -> list[str]:
    soft = random.random() < grammar.SOFT_SHARE and following.words[0] in grammar.STARTS
    return _pick(random, grammar.SOFT if soft else grammar.HARD).split()


def _filled(
    random: Random, pattern: Sequence[str], topic: str, chosen: Sequence[str]
) -> tuple[list[str], frozenset[int]]:
    """The pattern with its slots filled, and the positions of the opinion words."""
    words: list[str] = []
    opinions: list[int] = []
    coming = iter(chosen)
    for part in pattern:
        if part == "{o}":
            opinions.append(len(words))
            words.append(next(coming))
        elif part == "{n}":
            words.append(_pick(random, _NOUNS[topic]))
        elif part in _SLOTS:
            words.extend(_pick(random, _SLOTS[part]).split())
        else:
            words.append(part)
    for i, following in enumerate(words[1:]):
        if words[i] == "a" and (following.startswith(grammar.AN_BEFORE) or following in grammar.AN_ALSO_BEFORE):
            words[i] = "an"
    return words, frozenset(opinions)


def _mean_valence(clauses: Sequence[_Clause], aspect: str) -> float:
    valences = [VALENCE[c.words[i]] for c in clauses if c.topic == aspect for i in c.opinions]
    return sum(valences) / len(valences)


def _document(
    name: str,
    clauses: Sequence[_Clause],
    links: Sequence[Sequence[str]],
    aspects: Sequence[str],
    targets: tuple[float, ...],
    max_words: int,
) -> Document:
    """Write the clauses as text with the words of `aspects` marked."""
    tokens: list[str] = []
    gold: list[bool] = []
    opinion: list[bool] = []
    topics: list[str | None] = []
    for clause, link in zip(clauses, links, strict=True):
        marked = clause.topic in aspects
        tokens += (*clause.words, *link)
        topics += [clause.topic] * len(clause.words) + [None] * len(link)
        gold += [marked] * len(clause.words) + [False] * len(link)
        opinion += [marked and i in clause.opinions for i in range(len(clause.words))] + [False] * len(link)
    del tokens[max_words:], gold[max_words:], opinion[max_words:], topics[max_words:]
    text, offsets = _written(tokens)
    marks = Document(name, text, tuple(tokens), offsets, targets, gold=tuple(gold), opinion=tuple(opinion))
    if len(aspects) == 1:
        return marks
    return replace(marks, rationales=tuple(tuple(topic == aspect for topic in topics) for aspect in aspects))


def _written(tokens: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The tokens as running text, and the characters of each."""
    pieces: list[str] = []
    offsets: list[tuple[int, int]] = []
    position, opening = 0, True
    for word in tokens:
        if pieces and word not in ",;.!":
            pieces.append(" ")
            position += 1
        pieces.append("I" if word == "i" else word.capitalize() if opening else word)
        offsets.append((position, position + len(word)))
        position += len(word)
        opening = word in grammar.SENTENCE_ENDS
    return "".join(pieces), tuple(offsets)


REGISTERED = CorpusLoader(
    load_synthetic,
    "reviews made by a grammar, whose rationales and smallest possible error are known",
    options=("aspect", "documents", "correlation", "noise"),
    load_cached=load_cached_synthetic,
)
