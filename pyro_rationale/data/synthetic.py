"""Planted reviews: texts made by a grammar, whose rationales and whose smallest possible error are known.

Each review speaks of four rated aspects and of some unrated things, one per clause, in random order, with fillers in
between. Opinion words are shared by all of them: only the noun tells what a clause is about. In one review an aspect
has one latent valence; its opinion words have grades around it, and

    rating = mean valence of the aspect's opinion words + Normal(0, noise).

So nobody can predict a rating with an expected squared error below noise^2, and whoever reads just the opinion words
of the aspect's clauses reaches it. The rationale (`gold`) is every word of those clauses, with the commas inside but
without what stands between clauses; `opinion` marks the words that the rating was computed from. Position, length,
punctuation, pattern and any word taken alone say nothing of the rating or next to nothing: the test file measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from statistics import NormalDist

from pyro_rationale.data import planted_grammar as grammar
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError

ASPECTS: tuple[str, ...] = tuple(grammar.RATED)
SHORTEST, LONGEST = 60, 150
_LOWEST, _HIGHEST = 0.15, 0.85  # valences of the outer grades: with the usual noise a rating hardly leaves [0, 1]
_TOP_GRADE = len(grammar.OPINIONS) - 1

VALENCE: dict[str, float] = {
    word: _LOWEST + (_HIGHEST - _LOWEST) * grade / _TOP_GRADE
    for grade, words in enumerate(grammar.OPINIONS)
    for word in words
}

_NOUNS: dict[str, tuple[str, ...]] = {**grammar.RATED, **grammar.UNRATED}
_TOPICS = tuple(_NOUNS)
_LINKS = tuple(link.split() for link, _ in grammar.LINKS)
_LINK_WEIGHTS = tuple(accumulate(weight for _, weight in grammar.LINKS))
_SLOTS = {"{m}": grammar.ADVERBS, "{t}": grammar.TAILS, "{p}": grammar.PEOPLE}
_CLAUSES = tuple(tuple(tuple(pattern.split()) for pattern in patterns) for patterns in grammar.CLAUSES)
_FILLERS = tuple(tuple(pattern.split()) for pattern in grammar.FILLERS)
_FILLERS_WITH_NOUN = tuple(tuple(pattern.split()) for pattern in grammar.FILLERS_WITH_NOUN)


@dataclass(frozen=True)
class _Clause:
    """Words of one clause, what it is about (`None` = filler), and which of its words are opinions."""

    words: list[str]
    topic: str | None
    opinions: frozenset[int]


def load_synthetic(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Make the corpus of planted reviews; the same options always give the same texts.

    A document depends on the seed, its split and its number alone: more `documents` adds to the same list, and
    another `aspect` rates and marks the same texts. `aspect` is a name, a number from 0, or `all` (four targets; gold
    is then the union). Cutting texts below 150 words (`max_words`) takes words away that the rating was computed from:
    no noise floor is claimed then.

    Args:
        options: uses `documents`, `split_seed`, `aspect`, `noise`, `correlation` and `max_words`.
        spec: of a fitted run; must be the one that `options` leads to.

    Raises:
        ConfigError: If one of those options is out of its range.
        DataError: If `spec` predicts something else.
    """
    _check(options)
    aspects = _chosen(options.aspect)
    own = TargetSpec("regression", aspects, ranges=((0.0, 1.0),) * len(aspects))
    if spec is not None and spec != own:
        raise DataError(
            f"synthetic: the run predicts {', '.join(spec.names)} ({spec.kind}), the planted reviews rate "
            f"{', '.join(aspects)} (regression in [0, 1]); choose with --aspect"
        )
    held_out = max(options.documents // 4, 1)
    splits = {
        name: tuple(planted_review(options, f"planted {name} {i}", aspects) for i in range(count))
        for name, count in (("train", options.documents), ("dev", held_out), ("test", held_out))
    }
    whole = options.max_words >= LONGEST
    return Corpus("synthetic", own, **splits, noise_floor=options.noise**2 if whole else None)


def planted_review(options: DataOptions, name: str, aspects: Sequence[str] = ASPECTS[:1]) -> Document:
    """One review, fixed by `options.split_seed` and its name, with the ratings of `aspects`."""
    random = Random(f"{options.split_seed} {name}")
    latent = _latents(random, options.correlation)
    noise = {aspect: random.gauss(0.0, options.noise) for aspect in ASPECTS}
    while True:
        clauses = _clauses(random, latent)
        links = random.choices(_LINKS, cum_weights=_LINK_WEIGHTS, k=len(clauses))
        links[-1] = ["."]
        if SHORTEST <= sum(len(c.words) for c in clauses) + sum(map(len, links)) <= LONGEST:
            break
    targets = tuple(_mean_valence(clauses, aspect) + noise[aspect] for aspect in aspects)
    return _document(name, clauses, links, frozenset(aspects), targets, options.max_words)


def _check(options: DataOptions) -> None:
    if options.documents < 4:
        raise ConfigError(f"--documents: expected at least 4, got {options.documents}")
    if not 0 <= options.correlation <= 1:
        raise ConfigError(f"--correlation: expected a number from 0 to 1, got {options.correlation}")
    if not 0 <= options.noise < float("inf"):
        raise ConfigError(f"--noise: expected a standard deviation of 0 or more, got {options.noise}")
    if options.max_words < 1:
        raise ConfigError(f"--max-words: expected at least 1, got {options.max_words}")


def _chosen(aspect: str | None) -> tuple[str, ...]:
    numbered = {str(i): name for i, name in enumerate(ASPECTS)}
    if aspect is None:
        return ASPECTS[:1]
    wanted = aspect.strip().lower()
    if wanted == "all":
        return ASPECTS
    wanted = numbered.get(wanted, wanted)
    if wanted not in ASPECTS:
        raise ConfigError(f"--aspect {aspect}: expected one of {', '.join(ASPECTS)}, a number from 0 to 3, or all")
    return (wanted,)


def _latents(random: Random, correlation: float) -> dict[str, float]:
    """A valence per topic, uniform on the scale of grades, tied between rated aspects by a Gaussian copula."""
    common, normal = random.gauss(0.0, 1.0), NormalDist()
    tied, own = correlation**0.5, (1 - correlation) ** 0.5
    latent = {}
    for topic in _TOPICS:
        alone = random.gauss(0.0, 1.0)
        score = tied * common + own * alone if topic in grammar.RATED else alone
        latent[topic] = _TOP_GRADE * normal.cdf(score)
    return latent


def _clauses(random: Random, latent: dict[str, float]) -> list[_Clause]:
    """Clauses of one review in random order: one or two per rated aspect, none to two per unrated thing, fillers."""
    topics = [t for t in grammar.RATED for _ in range(random.randint(1, 2))]
    topics += [t for t in grammar.UNRATED for _ in range(random.choice((0, 1, 1, 2, 2)))]
    clauses = [_opinion_clause(random, topic, latent[topic]) for topic in topics]
    clauses += [_filler(random) for _ in range(random.randint(1, 4))]
    random.shuffle(clauses)
    return clauses


def _opinion_clause(random: Random, topic: str, latent: float) -> _Clause:
    count = random.choice((1, 1, 2, 2, 2, 3))
    grades = (round(latent + random.uniform(-1.2, 1.2)) for _ in range(count))
    chosen: list[str] = []
    for grade in grades:
        word = random.choice(grammar.OPINIONS[min(max(grade, 0), _TOP_GRADE)])
        while word in chosen:  # "awful and awful" would be no English
            word = random.choice(grammar.OPINIONS[min(max(grade, 0), _TOP_GRADE)])
        chosen.append(word)
    words, opinions = _filled(random, random.choice(_CLAUSES[count - 1]), topic, chosen)
    return _Clause(words, topic, opinions)


def _filler(random: Random) -> _Clause:
    patterns = _FILLERS_WITH_NOUN if random.random() < 0.4 else _FILLERS
    words, opinions = _filled(random, random.choice(patterns), random.choice(_TOPICS), ())
    return _Clause(words, None, opinions)


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
            words.append(random.choice(_NOUNS[topic]))
        elif part in _SLOTS:
            words.extend(random.choice(_SLOTS[part]).split())
        else:
            words.append(part)
    for i in range(len(words) - 1):
        if words[i] == "a" and words[i + 1][0] in "aeiou" and words[i + 1] != "usual":
            words[i] = "an"
    return words, frozenset(opinions)


def _mean_valence(clauses: Sequence[_Clause], aspect: str) -> float:
    valences = [VALENCE[c.words[i]] for c in clauses if c.topic == aspect for i in c.opinions]
    return sum(valences) / len(valences)


def _document(
    name: str,
    clauses: Sequence[_Clause],
    links: Sequence[Sequence[str]],
    aspects: frozenset[str],
    targets: tuple[float, ...],
    max_words: int,
) -> Document:
    """Write the clauses as text, and mark the words of `aspects` in it."""
    tokens: list[str] = []
    gold: list[bool] = []
    opinion: list[bool] = []
    offsets: list[tuple[int, int]] = []
    pieces: list[str] = []
    position, new_sentence = 0, True
    for clause, link in zip(clauses, links, strict=True):
        marked = clause.topic in aspects
        for i, word in enumerate((*clause.words, *link)):
            if len(tokens) == max_words:
                break
            inside = marked and i < len(clause.words)
            space = "" if not tokens or word in ",;.!" else " "
            position += len(space)
            shown = "I" if word == "i" else word.capitalize() if new_sentence else word
            pieces += (space, shown)
            offsets.append((position, position + len(word)))
            position += len(word)
            tokens.append(word)
            gold.append(inside)
            opinion.append(inside and i in clause.opinions)
            new_sentence = word in grammar.SENTENCE_ENDS
    return Document(
        name, "".join(pieces), tuple(tokens), tuple(offsets), targets, gold=tuple(gold), opinion=tuple(opinion)
    )
