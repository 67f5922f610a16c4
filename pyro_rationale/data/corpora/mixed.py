"""Real texts with known evidence: a rated sentence on a film among sentences on products, `--data mixed`.

The rating is that of the film's sentence, whose words are the gold rationale. Whatever is said about the products is
opinion too, in the same words, so a method has to find out which opinions the rating rests on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._vader import is_fetched
from pyro_rationale.data.corpora.vader_amazon import REGISTERED as PRODUCTS
from pyro_rationale.data.corpora.vader_movies import REGISTERED as FILMS
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document, document_maker
from pyro_rationale.data.options import DataOptions

_LONG = 1_000_000  # words: sentences are whole until they are mixed
_FEWEST, _MOST = 2, 4  # sentences on products in a text


def load_mixed(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Mix the sentences, those of each split among themselves.

    Every sentence on a film stands in one text. There are three times as many places for sentences on products as
    there are such sentences, so each stands in about nine texts, of the same split and with other neighbours.

    Args:
        options: how to read; `split_seed` also fixes which sentences meet, and in which order.
        spec: of a fitted run.

    Raises:
        DataError: see :func:`pyro_rationale.data.corpora._vader.load_ratings`.
    """
    whole = replace(options, max_words=_LONG)
    films, products = FILMS.load(whole, spec), PRODUCTS.load(whole, None)
    train, dev, test = (
        _mix(getattr(films, split), getattr(products, split), options, split) for split in ("train", "dev", "test")
    )
    return Corpus("mixed", films.spec, train, dev, test)


def _mix(films: Sequence[Document], products: Sequence[Document], options: DataOptions, split: str) -> list[Document]:
    """A text per film, in the order of `films`."""
    rng = random.Random(f"{options.split_seed} {split}")
    supply, make = _endless(products, rng), document_maker(options)
    documents = []
    for film in films:
        sentences = [next(supply).text for _ in range(rng.randint(_FEWEST, _MOST))]
        place = rng.randint(0, len(sentences))
        sentences.insert(place, film.text)
        start = [*accumulate((len(sentence) + 1 for sentence in sentences), initial=0)][place]
        id = film.id.replace("vader-movies", "mixed")
        documents.append(make(id, " ".join(sentences), film.targets, rationales=[[(start, start + len(film.text))]]))
    return documents


def _endless(documents: Sequence[Document], rng: random.Random) -> Iterator[Document]:
    """All documents, in one random order after the other."""
    while True:
        yield from rng.sample(documents, len(documents))


REGISTERED = CorpusLoader(
    load_mixed,
    "rated sentences of film reviews, each hidden among two to four of product reviews; its words are gold",
    fetched=is_fetched,
)
