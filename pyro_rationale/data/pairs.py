"""Texts of which some are similar to others: queries, their similar texts, and lists of candidates to rank.

A text is one document however many queries it serves; queries name documents by their index. Pairs are divided by
connected component, never one by one: two texts that are similar, directly or by way of others, are on the same side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.dataset import taken, text_hashes
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import log
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.text_lengths import cut_documents
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._spec import CANDIDATES, TargetSpec

Indices = NDArray[np.int64]
SPLITS = ("train", "dev", "test")
SPEC = TargetSpec("ranking", ("similar",))
MOST_POSITIVES = 10


@dataclass(frozen=True)
class Query:
    """A text and those that are similar to it, as indices of documents.

    Attributes:
        document: the text.
        positives: texts that are similar to it, at least one; it is none of them.
        candidates: texts that come with the query to be ranked, in their order; those that are among `positives` are
            the similar ones. Empty where the corpus gives none.
    """

    document: int
    positives: tuple[int, ...]
    candidates: tuple[int, ...] = ()

    @property
    def negatives(self) -> tuple[int, ...]:
        """The candidates that are not similar."""
        similar = set(self.positives)
        return tuple(candidate for candidate in self.candidates if candidate not in similar)


@dataclass(frozen=True)
class PairCorpus(Corpus):
    """Documents, each of them once, and queries among them.

    `train`, `dev` and `test` hold the documents of each split, as of any corpus.

    Attributes:
        documents: all texts.
        queries: by split.
        members: indices of the documents of each split, which no two splits share. Documents without any query and
            similar text count as training documents.
        searchable: indices of the documents that a search over the whole corpus may find.
        left_out: queries of each split without a similar text, which are not among `queries`.
        oracle: by split, the mean average precision that is reached by who knows what the texts say, on the lists of
            candidates; only where it is known by construction.
    """

    documents: Sequence[Document] = ()
    queries: Mapping[str, tuple[Query, ...]] = field(default_factory=dict)
    members: Mapping[str, Indices] = field(default_factory=dict)
    searchable: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out: Mapping[str, int] = field(default_factory=dict)
    oracle: Mapping[str, float] = field(default_factory=dict)

    def cut_to(self, length: int) -> PairCorpus:
        """The corpus with at most `length` words of each text."""
        return self.with_documents(cut_documents(self.documents, length))

    def with_documents(self, documents: Sequence[Document]) -> PairCorpus:
        """The corpus with other documents in the place of its own, as many of them."""
        train, dev, test = (taken(documents, self.members[split]) for split in SPLITS)
        return replace(self, documents=documents, train=train, dev=dev, test=test)


def pair_corpus(
    name: str,
    documents: Sequence[Document],
    queries: Mapping[str, Sequence[Query]],
    searchable: Sequence[int] | Indices | None = None,
    left_out: Mapping[str, int] | None = None,
    oracle: Mapping[str, float] | None = None,
) -> PairCorpus:
    """A corpus of pairs with its documents dealt out: to test, else to dev, else to training.

    Args:
        name: as `--data` names it.
        documents: all texts.
        queries: by split.
        searchable: documents that a search may find; default: all.
        left_out: queries of each split without a similar text.
        oracle: see :class:`PairCorpus`.
    """
    home = np.zeros(len(documents), dtype=np.int8)
    for number, split in ((1, "dev"), (2, "test")):
        for query in queries.get(split, ()):
            home[[query.document, *query.positives]] = number
    members = {split: np.flatnonzero(home == number) for number, split in enumerate(SPLITS)}
    train, dev, test = (taken(documents, members[split]) for split in SPLITS)
    everything = np.arange(len(documents)) if searchable is None else np.asarray(searchable, dtype=np.int64)
    own = {split: tuple(queries.get(split, ())) for split in SPLITS}
    return PairCorpus(
        name, SPEC, train, dev, test, documents=documents, queries=own, members=members, searchable=everything,
        left_out=left_out or {}, oracle=oracle or {},
    )  # fmt: skip


def check_spec(name: str, spec: TargetSpec | None) -> None:
    """Make sure that a fitted run ranks texts.

    Raises:
        DataError: it predicts something else.
    """
    if spec is not None and spec.kind != SPEC.kind:
        held = "holds pairs of similar texts, and the run predicts"
        raise DataError(f"--data {name}: {held} {', '.join(spec.names)} ({spec.kind}); evaluate on its like")


def check_queries(name: str, queries: Mapping[str, Sequence[Query]]) -> None:
    """Make sure that every split of a corpus that is to be fitted on has queries.

    Raises:
        DataError: one has none.
    """
    empty = [split for split in SPLITS if not queries.get(split)]
    if empty:
        raise DataError(f"{name}: no {' and no '.join(empty)} query has a similar text; add pairs, or mend the split")


def partners(queries: Iterable[Query]) -> dict[int, frozenset[int]]:
    """The texts that are known to be similar to each document, in both directions."""
    known: dict[int, set[int]] = {}
    for query in queries:
        for positive in query.positives:
            known.setdefault(query.document, set()).add(positive)
            known.setdefault(positive, set()).add(query.document)
    return {document: frozenset(others) for document, others in known.items()}


def components(count: int, links: Iterable[tuple[int, int]]) -> Indices:
    """The connected component of each of `count` documents, `(count,)`, named by the smallest index in it."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for one, other in links:
        first, second = sorted((find(one), find(other)))
        root[second] = first
    return np.array([find(i) for i in range(count)], dtype=np.int64)


def split_queries(queries: Sequence[Query], documents: Sequence[Document], seed: int) -> dict[str, tuple[Query, ...]]:
    """Divide queries 80/10/10 by connected component; see :func:`components_of`."""
    groups = components_of(queries, documents)
    return dict(zip(SPLITS, map(tuple, three_way_split(queries, seed, groups)), strict=True))


def components_of(queries: Sequence[Query], documents: Sequence[Document]) -> list[int]:
    """The connected component of each query; documents with equal texts are in one component as well."""
    links = [(query.document, positive) for query in queries for positive in query.positives]
    first: dict[int, int] = {}
    links += [(first.setdefault(key, i), i) for i, key in enumerate(text_hashes(documents).tolist())]
    component = components(len(documents), links).tolist()
    return [component[query.document] for query in queries]


def warn_of_shared(name: str, queries: Mapping[str, Sequence[Query]]) -> None:
    """Log how many held-out queries have texts that stand in training pairs as well, where the files say the split."""
    trained = {i for query in queries.get("train", ()) for i in (query.document, *query.positives)}
    for split in SPLITS[1:]:
        own = queries.get(split, ())
        shared = sum(not trained.isdisjoint((query.document, *query.positives)) for query in own)
        if shared:
            log.warning(
                "%s: %d of %d %s queries have texts in pairs that are trained on", name, shared, len(own), split
            )


def splits_of(split: str) -> tuple[str, ...]:
    """Names of the splits that are meant: all three by `all`."""
    return SPLITS if split == "all" else (split,)


def queries_with_lists(corpus: PairCorpus, split: str) -> tuple[tuple[Query, ...], list[Indices]]:
    """The queries of a split, or of `all`, and the candidates of each, as :func:`fixed_lists` gives them.

    Raises:
        DataError: the split has no query.
    """
    splits = [name for name in splits_of(split) if corpus.queries.get(name)]
    if not splits:
        raise DataError(f"{corpus.name}: no query in the {split} split; try --split all")
    queries = tuple(query for name in splits for query in corpus.queries[name])
    return queries, [chosen for name in splits for chosen in fixed_lists(corpus, name)]


def fixed_lists(
    corpus: PairCorpus, split: str, size: int = CANDIDATES, most_positives: int = MOST_POSITIVES
) -> list[Indices]:
    """The candidates of each query of a split: always the same ones, by which held-out figures compare.

    Where the corpus gives candidates, these; else the similar texts and, behind them, what BM25 finds nearest among
    the searchable documents.

    Args:
        corpus: the queries.
        split: train, dev or test.
        size: length of a list that is made.
        most_positives: similar texts in it at most, fewer than `size`.

    Raises:
        ConfigError: there is no room for other texts.
    """
    if most_positives >= size:
        raise ConfigError(f"a list of {size} candidates has no room beside {most_positives} similar texts")
    queries = corpus.queries[split]
    known = partners(query for own in corpus.queries.values() for query in own)
    most = max(most_positives, *map(len, known.values()), 0)
    found = iter(_nearest(corpus, [query for query in queries if not query.candidates], size + most))
    return [
        np.array(query.candidates or _list(query, known, next(found), size, most_positives), dtype=np.int64)
        for query in queries
    ]


def _list(
    query: Query, known: Mapping[int, frozenset[int]], nearest: Sequence[int], size: int, most_positives: int
) -> list[int]:
    """Similar texts, and behind them the nearest ones that are not; nor is one that names the query as similar."""
    similar = {query.document, *known.get(query.document, ())}  # nobody is known to be similar to some
    chosen = list(query.positives[:most_positives])
    others = [i for i in nearest if i not in similar]
    return chosen + others[: size - len(chosen)]


def _nearest(corpus: PairCorpus, queries: Sequence[Query], count: int) -> list[list[int]]:
    """Indices of the documents that BM25 ranks first for each query, the query and its similar texts among them."""
    from pyro_rationale.data.bm25 import BM25

    if not queries:
        return []
    most = max(len(query.positives) for query in queries) + count
    index = BM25(document.tokens for document in taken(corpus.documents, corpus.searchable))
    rows = (corpus.documents[query.document].tokens for query in queries)
    return [corpus.searchable[order].tolist() for order in index.top(rows, most)]


# From memory.


def pairs_of_groups(documents: Sequence[Document], groups: Sequence[object], seed: int = 0) -> PairCorpus:
    """A corpus in which the documents of one group are similar; 80/10/10 of the groups are trained on and held out.

    Args:
        documents: at least two in some group.
        groups: a key per document; `None` is a group of its own.
        seed: of the split.
    """
    members: dict[object, list[int]] = {}
    for i, key in enumerate(groups):
        members.setdefault((i, None) if key is None else (None, key), []).append(i)
    similar = {i: tuple(j for j in group if j != i) for group in members.values() for i in group}
    queries = [Query(i, similar[i]) for i in range(len(documents)) if similar[i]]
    split = split_queries(queries, documents, seed)
    return pair_corpus("questions in memory", documents, split)


def queries_of(
    pairs: Iterable[tuple[int, int]], candidates: Mapping[int, Sequence[int]] | None = None
) -> tuple[Query, ...]:
    """Queries in the order of their first pair; a pair that stands there twice counts once.

    Args:
        pairs: a query and a text that is similar to it.
        candidates: of some queries.
    """
    similar: dict[int, dict[int, None]] = {}
    for query, positive in pairs:
        similar.setdefault(query, {})[positive] = None
    given = candidates or {}
    return tuple(Query(query, tuple(found), tuple(given.get(query, ()))) for query, found in similar.items())
