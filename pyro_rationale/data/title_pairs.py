"""Parts of a text as documents of their own: title and body, first and second half."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import PairCorpus, Query, pair_corpus
from pyro_rationale.errors import DataError


def split_at(document: Document, word: int, names: tuple[str, str]) -> tuple[Document, Document]:
    """The words before a place, and the others, as documents with texts, offsets and gold words of their own.

    Args:
        document: it has words on both sides of the place.
        word: number of words before it.
        names: put behind the document's id.
    """
    start = document.offsets[word][0]
    head, tail = document.text[:start].rstrip(), document.text[start:]
    moved = tuple((first - start, end - start) for first, end in document.offsets[word:])
    gold = document.gold
    before, after = (None, None) if gold is None else (gold[:word], gold[word:])
    first = Document(f"{document.id} {names[0]}", head, document.tokens[:word], document.offsets[:word], gold=before)
    return first, Document(f"{document.id} {names[1]}", tail, document.tokens[word:], moved, gold=after)


def halves_of(document: Document) -> tuple[Document, Document]:
    """The halves of a text of two words or more."""
    return split_at(document, len(document.tokens) // 2, ("first half", "second half"))


def titles_and_bodies(documents: Sequence[Document], chosen: Iterable[int]) -> Iterator[Document]:
    """Title and body, in turn, of the chosen documents that have both."""
    for i in chosen:
        document = documents[i]
        if 0 < document.title < len(document.tokens):
            yield from split_at(document, document.title, ("title", "body"))


def title_queries(first: int, end: int) -> list[Query]:
    """Titles and bodies that stand in turn from one index to another: each title is a query for its body."""
    return [Query(i, (i + 1,)) for i in range(first, end, 2)]


def with_titles(corpus: PairCorpus, alone: bool = False) -> PairCorpus:
    """A corpus whose training documents are also pairs of a title and its body; searches do not find these parts.

    Args:
        corpus: its documents have titles, or some of them.
        alone: whether these are the only training pairs.

    Raises:
        DataError: no training document has a title and a body.
    """
    parts = titles_and_bodies(corpus.documents, corpus.members["train"].tolist())
    every = chain(corpus.documents, parts)
    documents = CompactDocuments(every) if isinstance(corpus.documents, CompactDocuments) else tuple(every)
    made = title_queries(len(corpus.documents), len(documents))
    if not made:
        raise DataError(f"{corpus.name}: no training text has a title and a body, so titles cannot be trained on")
    queries = {**corpus.queries, "train": (*(() if alone else corpus.queries["train"]), *made)}
    changed = pair_corpus(corpus.name, documents, queries, corpus.searchable, corpus.left_out, corpus.oracle)
    return replace(changed, tokenizer=corpus.tokenizer, max_words=corpus.max_words)
