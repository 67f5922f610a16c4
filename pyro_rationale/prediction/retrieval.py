"""Search in an index: the texts most like a query, with the words on both sides that the match rests on."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_rationale.data.document import Document
from pyro_rationale.data.word_classes import is_punctuation
from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.embedding import Embedder
from pyro_rationale.prediction.index import POOL, Index
from pyro_rationale.prediction.labels import doubt_of_query
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.tasks import Numbers


@dataclass(frozen=True)
class Hit:
    """A text that a search has found.

    Attributes:
        rank: 1 is the best.
        id: of the text in its corpus.
        score: cosine of the two vectors.
        probability: that this text is the similar one, if one of the best 100 is: a softmax over their cosines.
        query_explanation: the query with the words that its vector is made of.
        document_explanation: the found text, likewise.
    """

    rank: int
    id: str
    score: float
    probability: float
    query_explanation: MarkedText
    document_explanation: MarkedText

    def __str__(self) -> str:
        return f"{self.rank}. {self.id}  (score {self.score:.3f}, probability {100 * self.probability:.1f} %)\n" \
               f"{self.document_explanation}"  # fmt: skip


@dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """The texts that a query has found, best first; a notebook shows the query above its hits.

    Attributes:
        query: with the words that its vector is made of.
        hits: the texts found.
        unknown: words of the query that the model does not know, and reads all alike.
        doubt: a line that names them, and warns where they are many; empty where there are none.
    """

    query: MarkedText
    hits: tuple[Hit, ...]
    unknown: tuple[str, ...] = ()
    doubt: str = ""

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, item: Any) -> Any:
        return self.hits[item]

    def __str__(self) -> str:
        return "\n\n".join([str(self.query), *([self.doubt] if self.doubt else []), *map(str, self.hits)])

    def _repr_html_(self) -> str:
        """One block without scripts, style sheets or links."""
        items = "".join(
            f'<li style="margin:.4em 0"><div style="font-size:.85em;opacity:.8">{html.escape(hit.id)}: score '
            f"{hit.score:.3f}, probability {100 * hit.probability:.1f} %</div>"
            f"{hit.document_explanation._repr_html_()}</li>"
            for hit in self.hits
        )
        doubt = f"<div>{html.escape(self.doubt)}</div>" if self.doubt else ""
        return (
            f'<div style="max-width:60em;margin:.6em 0;line-height:1.6">{self.query._repr_html_()}'
            f"{doubt}"
            f'<ol style="margin:.4em 0">{items}</ol></div>'
        )

    def record(self) -> dict[str, Any]:
        """The hits as plain values, for JSON."""
        return {
            "query": text_record(self.query) | {"unknown": list(self.unknown), "doubt": self.doubt},
            "hits": [
                {"rank": hit.rank, "id": hit.id, "score": hit.score, "probability": hit.probability}
                | text_record(hit.document_explanation)
                for hit in self.hits
            ],
        }


def text_record(text: MarkedText) -> dict[str, Any]:
    """A marked text as plain values: the text, its kept stretches as characters and as words, how many are kept."""
    return {
        "text": text.text,
        "kept": [list(span) for span in text.spans],
        "rationale": text.kept,
        "words": len(text.mask),
        "words_kept": text.words_kept,
    }


def search(embedder: Embedder, index: Index, queries: Iterable[Document], top: int = 10) -> list[Hits]:
    """The texts of an index that are most like each query.

    Args:
        embedder: the model that the index was made with.
        index: the corpus.
        queries: texts, each with a word at least, see :func:`has_words`.
        top: hits per query, at most 100.

    Raises:
        ConfigError: `top` is out of range, or a query has no word.
    """
    if not 1 <= top <= POOL:
        raise ConfigError(f"--top: expected 1 to {POOL}, got {top}")
    texts = list(queries)
    for query in texts:
        if not has_words(query):
            raise ConfigError(f"{query.id}: no word in it; write a text to search for")
    embedded = embedder.encode(texts, query=True)
    rows, scores = index.nearest(embedded.vectors) if texts else (np.zeros((0, 0), int), np.zeros((0, 0)))
    shares = softmax(scores.astype(np.float64) / embedder.temperature)
    found = []
    unknown = embedded.unknown or [()] * len(texts)
    marks = embedded.marked(texts)
    for query, marked, strange, own, near, likely in zip(texts, marks, unknown, rows, scores, shares, strict=True):
        hits = []
        for rank, (row, score, share) in enumerate(zip(own[:top], near, likely, strict=False), 1):
            entry = index.entries[int(row)]
            hits.append(Hit(rank, entry.id, float(score), float(share), marked, entry.marked))
        found.append(Hits(marked, tuple(hits), strange, doubt_of_query(strange, query.tokens)))
    return found


def search_each(embedder: Embedder, index: Index, queries: Sequence[Document], top: int = 10) -> list[Hits]:
    """The hits of each query as :func:`search` finds them; none for a query without a word.

    Raises:
        ConfigError: `top` is out of range.
    """
    found = iter(search(embedder, index, filter(has_words, queries), top))
    return [
        next(found) if has_words(query) else Hits(MarkedText(query.text, (), (), len(query.text)), ())
        for query in queries
    ]


def has_words(query: Document) -> bool:
    """Whether a text has a word: punctuation marks alone have nothing in common with any text."""
    return not all(map(is_punctuation, query.tokens))


def softmax(logits: Numbers) -> Numbers:
    """Probabilities of each row of logits `(*s, n)`."""
    if not logits.size:
        return logits
    shifted: Numbers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
