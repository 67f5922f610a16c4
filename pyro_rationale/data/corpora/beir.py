"""A retrieval set in the layout of BEIR and MTEB: `--data beir:FOLDER`.

Source of the layout: Thakur, Reimers, Rückle, Srivastava and Gurevych, "BEIR: A Heterogeneous Benchmark for Zero-shot
Evaluation of Information Retrieval Models" (NeurIPS 2021, datasets track).
"""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CorpusLoader, data_folder, find_file
from pyro_rationale.data.corpora._pair_files import Pair, Texts, check_any, divided, named, parsed_lines
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.files.text import shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import PairCorpus, Query, check_spec, pair_corpus, queries_of
from pyro_rationale.data.question_files import read_questions
from pyro_rationale.errors import DataError

_FILES = {"train": ("train",), "dev": ("dev", "validation", "val"), "test": ("test",)}


def load_beir(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Read a folder with `corpus.jsonl`, `queries.jsonl` and `qrels/train.tsv`, `dev.tsv`, `test.tsv`.

    A line of the judgements is a query's id, a text's id, and a score, above 0 for a similar text. Searches find the
    texts of the corpus only. Without judgements of dev or test, some of those of training are taken for them.

    Raises:
        DataError: a file is missing, or a row cannot be used.
        ConfigError: no folder is named.
    """
    folder = data_folder(options, "beir", "corpus.jsonl, queries.jsonl and qrels")
    paths = [find_file(folder, (f"{name}.jsonl", f"{name}.jsonl.gz")) for name in ("corpus", "queries")]
    for path, name in zip(paths, ("corpus", "queries"), strict=True):
        if path is None:
            raise DataError(f"{folder}: holds no {name}.jsonl; put the file there")
    check_spec(options.data, spec)
    corpus, asked = (Texts(read_questions(path, options), path) for path in paths if path is not None)
    documents = CompactDocuments(chain(corpus.documents, asked.documents))
    given: dict[str, tuple[Query, ...] | None] = {}
    for split, names in _FILES.items():
        path = find_file(folder / "qrels", (f"{name}.tsv{gz}" for name in names for gz in ("", ".gz")))
        given[split] = None if path is None else _judged(path, options, corpus, asked)
    if not any(given.values()):
        raise DataError(f"{folder / 'qrels'}: holds no train.tsv, dev.tsv or test.tsv; put the judgements there")
    queries = divided(given, documents, options.split_seed)
    return pair_corpus(options.data, documents, queries, searchable=range(len(corpus.documents)))


def _judged(path: Path, options: DataOptions, corpus: Texts, asked: Texts) -> tuple[Query, ...]:
    first = len(corpus.documents)
    scores: dict[Pair, float] = {}

    def pair(cells: list[str]) -> Pair | None:
        if len(cells) == 4 and cells[1].strip() in ("0", "Q0"):  # as trec_eval writes them
            cells = [cells[0], *cells[2:]]
        if len(cells) < 2:
            raise ValueError("has one field, expected a query, a text and a score with tabs between them")
        try:
            score = float(cells[2]) if len(cells) > 2 else 1.0
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise ValueError(f"the score is {shown(cells[2])}, not a number")
        query, text = first + asked[cells[0]], corpus[cells[1]]
        if ((before := scores.setdefault((query, text), score)) > 0) != (score > 0):
            raise ValueError(f"has the score {score:g}, and further up the same query and text have {before:g}")
        return (query, text) if score > 0 else None

    pairs = [pair for pair in parsed_lines(path, options, pair, named("query-id", "query", "qid")) if pair is not None]
    check_any(path, pairs)
    return queries_of(pairs)


REGISTERED = CorpusLoader(
    load_beir,
    "a retrieval set in the layout of BEIR and MTEB: corpus.jsonl, queries.jsonl, qrels",
    options=("title_pairs",),
    layout=("corpus.jsonl*", "queries.jsonl*", "qrels"),
    pairs=True,
)
