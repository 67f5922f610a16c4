"""Halves of texts as pairs: `--data halves:imdb`. The first half of a review finds the second among a hundred."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CORPORA, CorpusLoader
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import SPLITS, PairCorpus, Query, check_spec, pair_corpus
from pyro_rationale.data.text_lengths import cut_documents
from pyro_rationale.data.title_pairs import halves_of
from pyro_rationale.errors import ConfigError

_NAME, _LONG, _CANDIDATES = "halves:", 1_000_000, 100


def load_halves(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Cut every text of a corpus in two at its middle word; each first half is a query, and its second half similar.

    Dev and test queries have a hundred candidates: their own second half, and those of others of the split.

    Args:
        options: `halves:CORPUS`, where CORPUS is one that needs no folder, such as imdb.
        spec: of a fitted run.

    Raises:
        ConfigError: no corpus is named, or one that holds pairs already.
        DataError: the corpus cannot be read.
    """
    source = options.data.removeprefix(_NAME)
    kind = source.partition(":")[0]
    if source == options.data or kind not in CORPORA or CORPORA[kind].pairs:
        raise ConfigError(f"--data {options.data}: name a corpus of single texts, as --data halves:imdb")
    check_spec(options.data, spec)
    whole = CORPORA[kind].load(replace(options, data=source, task="auto", max_words=_LONG), None)
    queries: dict[str, list[Query]] = {split: [] for split in SPLITS}

    def halves() -> Iterator[Document]:
        count = 0
        for split in SPLITS:
            for document in getattr(whole, split):
                if len(document.tokens) >= 2:
                    yield from halves_of(document)
                    queries[split].append(Query(count, (count + 1,)))
                    count += 2

    documents = CompactDocuments(halves())
    for split in SPLITS[1:]:
        queries[split] = _with_candidates(queries[split], Random(f"{options.split_seed} halves {split}"))
    searchable = [query.positives[0] for split in SPLITS for query in queries[split]]
    cut = documents if options.max_words is None else cut_documents(documents, options.max_words)
    return pair_corpus(options.data, cut, queries, searchable)


def _with_candidates(queries: list[Query], random: Random) -> list[Query]:
    """Each query with its similar text and those of others, in random order."""
    listed = []
    for number, query in enumerate(queries):
        others = random.sample(range(len(queries)), min(_CANDIDATES, len(queries)))
        chosen = [i for i in others if i != number][: _CANDIDATES - 1]
        candidates = [*query.positives, *(queries[i].positives[0] for i in chosen)]
        listed.append(replace(query, candidates=tuple(random.sample(candidates, len(candidates)))))
    return listed


REGISTERED = CorpusLoader(
    load_halves,
    "texts of another corpus, such as imdb, in two halves: the first finds the second among a hundred",
    options=("aspect",),
    pairs=True,
    of_corpus=True,
)
