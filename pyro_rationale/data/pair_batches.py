"""Batches of queries with their candidates, for training; and lists of candidates, for figures that compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import Encoded, collate, encode_document
from pyro_rationale.data.cache.dataset import taken
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import Indices, PairCorpus, Query, fixed_lists, partners
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.data.ranks import log_prob_of
from pyro_rationale.data.vocabulary import Vocabulary

NEGATIVES = 2  # given texts that are not similar, drawn for each query of a step


class PairBatches:
    """The training queries in batches, each with a similar text and with others; reproducible by seed and epoch.

    A query's candidates are one of its similar texts, drawn for each epoch, some of the texts that are given as not
    similar, and, with `in_batch`, all other texts of the batch that are not known to be similar to it. A text that
    serves several queries is in the batch once.

    Args:
        corpus: the queries.
        vocabulary: numbers for the words.
        spec: that of the corpus.
        batch_size: largest number of queries in a batch.
        seed: of all draws.
        steps: batches per epoch; by default as many as hold every query once. Passes over the queries follow each other
            without end, and an epoch takes the next `steps` batches.
        negatives: given texts that are not similar, for each query. Where fewer are given, the rest is drawn from all
            training texts if other texts of the batch are no candidates.
        in_batch: whether they are.
        unit: what masks keep or drop as a whole, in :data:`pyro_rationale.data.units.UNITS`.
        titles: titles are read whatever a mask keeps.
    """

    def __init__(
        self,
        corpus: PairCorpus,
        vocabulary: Vocabulary,
        spec: TargetSpec,
        batch_size: int,
        seed: int = 0,
        steps: int | None = None,
        negatives: int = NEGATIVES,
        in_batch: bool = True,
        unit: str = "word",
        titles: bool = False,
    ) -> None:
        self.batch_size, self.seed, self._spec = batch_size, seed, spec
        self.negatives, self.in_batch = negatives, in_batch
        self._corpus, self._queries = corpus, corpus.queries["train"]
        self._others = corpus.members["train"]
        self._similar = partners(self._queries)
        self._encode = lambda document: encode_document(document, vocabulary, spec, unit, titles)
        self._encoded: dict[int, Encoded] = {}
        self.whole = -(-len(self._queries) // batch_size)
        self._steps = self.whole if steps is None else steps

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._steps

    def __iter__(self) -> Iterator[RankingBatch]:
        return self.epoch(0)

    def epoch(self, number: int, share: slice = slice(None)) -> Iterator[RankingBatch]:
        """Every query once, or `steps` batches, in an order that depends on `(seed, number)` and nothing else.

        Args:
            number: of the epoch.
            share: which queries of each batch to read.
        """
        begin, end = number * len(self), (number + 1) * len(self)
        for at in range(begin, end):
            whole, place = divmod(at, self.whole)
            order = np.random.default_rng([self.seed % 2**63, whole]).permutation(len(self._queries))
            chosen = np.array_split(order, self.whole)[place][share]
            random = np.random.default_rng([self.seed % 2**63, whole, place])
            yield self.batch([self._queries[i] for i in chosen], random)

    def batch(self, queries: Sequence[Query], random: np.random.Generator) -> RankingBatch:
        """Some queries with their candidates.

        Args:
            queries: at least one.
            random: draws similar texts and others.
        """
        positives = [int(random.choice(query.positives)) for query in queries]
        negatives = [self._negatives(query, random) for query in queries]
        asked = [query.document for query in queries]
        documents = np.unique([*asked, *positives, *(i for row in negatives for i in row)])
        place = {document: i for i, document in enumerate(documents.tolist())}
        allowed = np.full((len(queries), len(documents)), self.in_batch)
        for row, query, positive, others in zip(allowed, queries, positives, negatives, strict=True):
            row[[place[i] for i in others]] = True
            row[[place[i] for i in self._known(query) if i in place]] = False
            row[place[positive]] = True
        plain = collate([self._of(i) for i in documents.tolist()], documents, self._spec)
        return RankingBatch(
            **{item.name: getattr(plain, item.name) for item in fields(Batch)},
            queries=torch.tensor([place[i] for i in asked]),
            allowed=torch.from_numpy(allowed),
            positive=torch.tensor([place[i] for i in positives]),
        )

    def _known(self, query: Query) -> set[int]:
        """The query's document and all that are known to be similar to it, which are no negatives."""
        return {query.document, *query.positives, *self._similar.get(query.document, ())}

    def _negatives(self, query: Query, random: np.random.Generator) -> list[int]:
        if self.in_batch:  # there are other candidates: what is similar after all is left out by `batch`
            return random.permutation(query.negatives)[: self.negatives].tolist() if query.negatives else []
        known = self._known(query)
        given = [i for i in dict.fromkeys(query.negatives) if i not in known]
        chosen: list[int] = random.permutation(given)[: self.negatives].tolist() if given else []
        if missing := self.negatives - len(chosen):
            known.update(chosen)  # of so many more, enough are none of these
            drawn = random.choice(self._others, min(len(self._others), missing + len(known)), replace=False)
            chosen += [i for i in drawn.tolist() if i not in known][:missing]
        return chosen

    def _of(self, index: int) -> Encoded:
        if index not in self._encoded:
            self._encoded[index] = self._encode(self._corpus.documents[index])
        return self._encoded[index]


@dataclass(frozen=True)
class RankingLists:
    """Queries with fixed lists of candidates, by which figures of different models and epochs compare.

    Attributes:
        documents: queries and candidates, each once.
        queries: position of each query among them, `(Q,)`.
        candidates: positions of each query's candidates.
        similar: which of them are similar texts.
    """

    documents: Sequence[Document]
    queries: Indices
    candidates: Sequence[Indices]
    similar: Sequence[NDArray[np.bool_]]

    @classmethod
    def of(cls, corpus: PairCorpus, split: str, most: int | None = None) -> RankingLists:
        """The lists of a split.

        Args:
            corpus: the queries.
            split: train, dev or test.
            most: queries at most, evenly spaced; default: all. A list without a similar text counts for none.
        """
        return cls.with_candidates(corpus, corpus.queries[split], fixed_lists(corpus, split), most)

    @classmethod
    def with_candidates(
        cls, corpus: PairCorpus, queries: Sequence[Query], lists: Sequence[Indices], most: int | None = None
    ) -> RankingLists:
        """Lists that are made already, as indices of the corpus's documents; `most` as for :meth:`of`."""
        pairs = [
            (query, row) for query, row in zip(queries, lists, strict=True)
            if not set(query.positives).isdisjoint(row.tolist())
        ]  # fmt: skip
        if most is not None and len(pairs) > most:
            pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, most).round().astype(int)]
        used = np.unique([i for query, row in pairs for i in (query.document, *row.tolist())]).astype(np.int64)
        return cls(
            taken(corpus.documents, used),
            np.searchsorted(used, [query.document for query, _ in pairs]),
            [np.searchsorted(used, row) for _, row in pairs],
            [np.isin(row, query.positives) for query, row in pairs],
        )

    def scores(
        self, vectors: NDArray[np.float32], documents: NDArray[np.float32] | None = None
    ) -> list[NDArray[np.float64]]:
        """Cosine of each query with each of its candidates.

        Args:
            vectors: of all documents, `(N, E)`, of length 1; those of the queries count.
            documents: other vectors for the candidates' side.
        """
        other = vectors if documents is None else documents
        pairs = zip(self.queries, self.candidates, strict=True)
        return [(other[row] @ vectors[query]).astype(np.float64) for query, row in pairs]

    def log_probs(
        self, vectors: NDArray[np.float32], temperature: float, documents: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        """Log p of a similar text among those of the list that are not, the mean over the similar texts, `(Q,)`."""
        rows = zip(self.scores(vectors, documents), self.similar, strict=True)
        return np.array([log_prob_of(row / temperature, similar) for row, similar in rows])
