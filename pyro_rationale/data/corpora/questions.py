"""Planted questions, of which some ask the same: `--data questions`, with gold rationales on both sides.

A question is about a (device, part, fault), each said in one of three wordings without a common word. Its title says
two or three of them, its body all three, with one of them once more; beside them stand a greeting, what the machine is,
what was tried, one other part and fault that are said to be fine, and thanks. Two questions are similar if they are
about the same three. The gold rationale is the words that say them, in title and body.

Candidates of a query share two of three with it, or speak of the same other part and fault in the same words, so that
who counts common words is misled. What the parts of a question are is known, and so is the mean average precision that
can be reached: 1, unless `--ambiguity` leaves something unsaid. No triple of a held-out question occurs in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import ceil
from random import Random
from typing import TypeVar

import numpy as np

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora import _questions_grammar as grammar
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import MOST_POSITIVES, SPLITS, PairCorpus, Query, check_spec, pair_corpus
from pyro_rationale.data.ranks import average_precision
from pyro_rationale.tasks._spec import CANDIDATES

Item = TypeVar("Item")
Triple = tuple[int, int, int]
SLOTS = "dpf"
WORDINGS = (grammar.DEVICES, grammar.PARTS, grammar.FAULTS)
SHORTEST, LONGEST = 60, 120  # words of a body
_PER_TRIPLE = 4  # questions that ask the same, or more where there are no more triples
_MOST_HELD_OUT = 960
_OTHERS = 40  # different distractors, in fixed words
_HARD = 2 / 3  # share of the negative candidates that share two of three
_TRIES = 400  # to fill up a list of candidates where there are few


@dataclass(frozen=True)
class _Question:
    """A question with what it is about.

    Attributes:
        document: its text.
        triple: device, part and fault.
        said: which of them the text says.
        other: number of the part and fault that it says to be fine.
    """

    document: Document
    triple: Triple
    said: str
    other: int


def load_questions(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Make the planted questions; the same options always give the same texts.

    `documents` is the number of training questions; dev and test have a quarter as many, 960 at most. Few questions
    are about few devices, parts and faults, so that there are always some that share two of three.

    Args:
        options: `documents`, `split_seed`, `ambiguity` and `max_words`.
        spec: of a fitted run.

    Raises:
        DataError: the run predicts something else.
    """
    check_spec("questions", spec)
    held_out = max(min(options.documents // 4, _MOST_HELD_OUT), 2)
    sizes = dict(zip(SPLITS, (options.documents, held_out, held_out), strict=True))
    triples = _triples(options, sizes)
    asked: list[_Question] = []
    queries: dict[str, list[Query]] = {}
    oracle: dict[str, float] = {}
    for split, size in sizes.items():
        own = [_question(options, split, i, triples[split][i % len(triples[split])]) for i in range(size)]
        queries[split] = list(_queries(options, split, own, len(asked)))
        if split != SPLITS[0]:
            oracle[split] = _oracle(own, queries[split], len(asked))
        asked += own
    documents = tuple(question.document for question in asked)
    left_out = {split: sizes[split] - len(queries[split]) for split in SPLITS}
    return pair_corpus("questions", documents, queries, left_out=left_out, oracle=oracle)


def _triples(options: DataOptions, sizes: dict[str, int]) -> dict[str, list[Triple]]:
    """The triples of each split, from as small a grid of devices, parts and faults as has enough of them.

    Those of dev and test fill a block of the grid each, with devices of its own, so that most share two of three with
    some others of their split.
    """
    most = [len(wordings) for wordings in WORDINGS]
    counts = {split: ceil(size / _PER_TRIPLE) for split, size in sizes.items()}
    scale = min(sum(counts.values()) / np.prod(most), 1.0) ** (1 / 3)
    grid = [min(max(2, ceil(scale * count)), count) for count in most]
    random = Random(f"{options.split_seed} triples")
    devices = _shuffled(random, range(grid[0]))
    parts: dict[str, list[Triple]] = {}
    for split in SPLITS[1:]:
        block = _block(counts[split], grid)
        axes = [_shuffled(random, range(count))[:some] for count, some in zip(grid[1:], block[1:], strict=True)]
        own, devices = devices[: block[0]], devices[block[0] :]
        parts[split] = _shuffled(random, list(product(own, axes[0], axes[1])))[: counts[split]]
    held_out = {*parts["dev"], *parts["test"]}
    every = product(range(grid[0]), range(grid[1]), range(grid[2]))
    others = [triple for triple in every if triple not in held_out]
    return {SPLITS[0]: _shuffled(random, others)[: counts[SPLITS[0]]], **parts}


def _block(needed: int, grid: Sequence[int]) -> Triple:
    """Devices, parts and faults of the smallest block of at least so many triples, the nearest to a cube of equals."""
    blocks = product(range(1, grid[0] // 2 + 1), range(1, grid[1] + 1), range(1, grid[2] + 1))
    return min((b for b in blocks if b[0] * b[1] * b[2] >= needed), key=lambda b: (b[0] * b[1] * b[2], max(b) - min(b)))


def _question(options: DataOptions, split: str, number: int, triple: Triple) -> _Question:
    """The question that the seed, its split and number, and its triple determine."""
    random = Random(f"{options.split_seed} question {split} {number}")
    unsaid = _pick(random, SLOTS) if random.random() < options.ambiguity else ""
    said = SLOTS.replace(unsaid, "") if unsaid else SLOTS
    order = {slot: _shuffled(random, range(3)) for slot in SLOTS}  # so that no wording is repeated
    words = {slot: [WORDINGS[i][triple[i]][k].split() for k in order[slot]] for i, slot in enumerate(SLOTS)}
    in_title = said if random.random() < 0.5 else said.replace(_pick(random, said), "")
    again = _pick(random, said)
    other = _other(options.split_seed, triple, random)
    title = _Text()
    title.add(_pick(random, grammar.TITLES[in_title]), _nth(words, 0))
    while True:
        body = _Text()
        _write_body(body, random, said, again, words, _distractor(options.split_seed, other))
        if SHORTEST <= len(body.words) <= LONGEST:
            break
    document = _written(f"question {split} {number}", title, body, options.max_words)
    return _Question(document, triple, said, other)


def _other(seed: int, triple: Triple, random: Random) -> int:
    """Number of a distractor about another part and another fault."""
    while True:
        number = int(random.random() * _OTHERS)
        part, fault = _distractor(seed, number)[0]
        if part != triple[1] and fault != triple[2]:
            return number


@lru_cache(maxsize=1024)
def _distractor(seed: int, number: int) -> tuple[tuple[int, int], dict[str, list[str]]]:
    """Part and fault that are said to be fine, and in which words."""
    random = Random(f"{seed} other {number}")
    part, fault = (int(random.random() * len(wordings)) for wordings in WORDINGS[1:])
    words = {"p": _pick(random, grammar.PARTS[part]).split(), "f": _pick(random, grammar.FAULTS[fault]).split()}
    return (part, fault), words


class _Text:
    """Words, and which of them are gold."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.gold: list[bool] = []

    def add(self, pattern: str, words: dict[str, list[str]], gold: bool = True) -> None:
        """The words of a pattern, with those of its slots, which are gold or not."""
        for part in pattern.split():
            slot = part.strip("{}") if part.startswith("{") else None
            own = [part] if slot is None else words[slot]
            self.words += own
            self.gold += [gold and slot is not None and slot in SLOTS] * len(own)


def _write_body(
    body: _Text,
    random: Random,
    said: str,
    again: str,
    words: dict[str, list[list[str]]],
    other: tuple[tuple[int, int], dict[str, list[str]]],
) -> None:
    """Greeting, sentences in random order, thanks."""
    aside = {"g": _pick(random, grammar.ASIDES).split()}
    tried = _shuffled(random, grammar.TRIED[""])[: _pick(random, (1, 2, 2, 3))]
    fillers = _shuffled(random, grammar.FILLERS)[: _pick(random, (1, 2, 3, 4))]
    sentences: list[tuple[str, dict[str, list[str]], bool]] = [
        (_pick(random, grammar.STATEMENTS[said]), _nth(words, 1) | aside, True),
        (_pick(random, grammar.TRIED[again]), _nth(words, 2), True),
        (_pick(random, grammar.FINE), other[1], False),
        (_pick(random, grammar.MACHINE), {}, False),
        *((sentence, {}, False) for sentence in (*tried, *fillers)),
    ]
    body.add(_pick(random, grammar.GREETINGS), {})
    for pattern, own, gold in _shuffled(random, sentences):
        body.add(pattern, own, gold)
    body.add(_pick(random, grammar.THANKS), {})


def _nth(words: dict[str, list[list[str]]], number: int) -> dict[str, list[str]]:
    return {slot: wordings[number] for slot, wordings in words.items()}


# Only `Random.random` promises the same numbers in every version of Python, so all chance comes from it.
def _pick(random: Random, items: Sequence[Item]) -> Item:
    return items[int(random.random() * len(items))]


def _shuffled(random: Random, items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda _: random.random())


def _written(name: str, title: _Text, body: _Text, max_words: int | None) -> Document:
    """Title and body as running text, a line each."""
    pieces: list[str] = []
    offsets: list[tuple[int, int]] = []
    position = 0
    for number, word in enumerate((*title.words, *body.words)):
        before = "" if not number else "\n" if number == len(title.words) else "" if word in ",.?:" else " "
        opening = not number or before == "\n" or pieces[-1] in ".?"
        pieces += [before] * bool(before) + ["I" if word == "i" else word.capitalize() if opening else word]
        position += len(before)
        offsets.append((position, position + len(word)))
        position += len(word)
    tokens, gold = (*title.words, *body.words), (*title.gold, *body.gold)
    return Document(
        name, "".join(pieces), tokens[:max_words], tuple(offsets[:max_words]), gold=gold[:max_words],
        title=min(len(title.words), len(tokens[:max_words])),
    )  # fmt: skip


def _queries(options: DataOptions, split: str, asked: Sequence[_Question], first: int) -> Iterator[Query]:
    """Every question as a query, with those that ask the same, and with candidates that mislead."""
    by_pair: dict[Triple, list[int]] = {}
    by_other: dict[int, list[int]] = {}
    by_triple: dict[Triple, list[int]] = {}
    for i, question in enumerate(asked):
        by_other.setdefault(question.other, []).append(i)
        by_triple.setdefault(question.triple, []).append(i)
        for pair in _pairs_of(question.triple):
            by_pair.setdefault(pair, []).append(i)
    for i, question in enumerate(asked):
        similar = [j for j in by_triple[question.triple] if j != i]
        if not similar:
            continue
        random = Random(f"{options.split_seed} candidates {split} {i}")
        near = _shuffled(random, [j for pair in _pairs_of(question.triple) for j in by_pair[pair]])
        chosen = dict.fromkeys(_shuffled(random, similar)[:MOST_POSITIVES])
        hard = len(chosen) + ceil((CANDIDATES - len(chosen)) * _HARD)
        any_one = (int(random.random() * len(asked)) for _ in range(_TRIES))
        known = {i, *similar}
        sources = ((near, hard), (_shuffled(random, by_other[question.other]), CANDIDATES), (any_one, CANDIDATES))
        for source, most in sources:
            for j in source:
                if len(chosen) >= most:
                    break
                if j not in known:
                    chosen[j] = None
        candidates = tuple(first + j for j in _shuffled(random, list(chosen)))
        yield Query(first + i, tuple(first + j for j in similar), candidates)


def _pairs_of(triple: Triple) -> Iterator[Triple]:
    """The triple with each of its parts left open in turn."""
    device, part, fault = triple
    yield from ((-1, part, fault), (device, -1, fault), (device, part, -1))


def _oracle(asked: Sequence[_Question], queries: Sequence[Query], first: int) -> float:
    """Mean average precision of ranking by the chance, given what two texts say, that they are about the same."""
    if not queries:
        return float("nan")
    spread = [len(wordings) for wordings in WORDINGS]
    found = []
    for query in queries:
        own = asked[query.document - first]
        scores = [_agreement(own, asked[j - first], spread) for j in query.candidates]
        found.append(average_precision(scores, [j in query.positives for j in query.candidates]))
    return float(np.mean(found))


def _agreement(one: _Question, other: _Question, spread: Sequence[int]) -> float:
    """Log probability, up to a constant, that two questions are about the same."""
    score = 0.0
    for slot, mine, yours, count in zip(SLOTS, one.triple, other.triple, spread, strict=True):
        if slot in one.said and slot in other.said:
            if mine != yours:
                return -np.inf
        else:
            score -= float(np.log(count))
    return score


REGISTERED = CorpusLoader(
    load_questions,
    "questions made by a grammar, whose similar ones and whose rationales are known",
    options=("documents", "ambiguity", "title_pairs"),
    pairs=True,
)
