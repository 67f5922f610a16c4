"""A folder of texts and of pairs of similar ones: `--data pairs:FOLDER`."""

from __future__ import annotations

from pathlib import Path

from pyro_rationale.data.corpora import CorpusLoader, data_folder, find_file
from pyro_rationale.data.corpora._pair_files import Texts, check_any, named, parsed_lines, read_lists, read_pairs
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.files.text import shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import SPLITS, PairCorpus, Query, check_spec, pair_corpus, queries_of, split_queries
from pyro_rationale.data.question_files import read_questions
from pyro_rationale.errors import DataError

CORPUS = tuple(f"corpus.{kind}{gz}" for kind in ("jsonl", "csv", "tsv", "parquet") for gz in ("", ".gz"))
_SPLIT_NAMES = {"train": "train", "dev": "dev", "test": "test", "val": "dev", "valid": "dev", "validation": "dev"}


def load_folder(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Read a folder of texts and pairs.

    Texts stand in `corpus.jsonl` (or `.csv`, `.tsv`, `.parquet`) with `id` and `title`, `body` or `text`; pairs in
    `pairs.tsv`: a query, a text that is similar to it, and anything else. A pair counts in the direction in which it
    stands. `candidates.txt`, if it is there, holds lists to rank: a query, the similar ones in the list, the list.
    `split.tsv` (id, train, dev or test) says on which side a query is; without it whole components of pairs are dealt
    out.

    Raises:
        DataError: a file is missing, or a row cannot be used.
        ConfigError: no folder is named.
    """
    folder = data_folder(options, "pairs", "corpus.jsonl and pairs.tsv")
    path = find_file(folder, CORPUS)
    pairs = find_file(folder, ("pairs.tsv", "pairs.tsv.gz"))
    if path is None or pairs is None:
        missing = "corpus.jsonl (or .csv, .tsv, .parquet)" if path is None else "pairs.tsv"
        raise DataError(f"{folder}: holds no {missing}; put the file there")
    check_spec(options.data, spec)
    texts = Texts(read_questions(path, options), path)
    found = read_pairs(pairs, options, texts)
    check_any(pairs, found)
    lists = find_file(folder, ("candidates.txt", "candidates.txt.gz"))
    known = {query.document: query.positives for query in queries_of(found)}
    candidates = {} if lists is None else {q: own for q, (_, own) in read_lists(lists, options, texts, known).items()}
    queries = queries_of(found, candidates)
    sides = find_file(folder, ("split.tsv", "split.tsv.gz"))
    if sides is None:
        split = split_queries(queries, texts.documents, options.split_seed)
    else:
        split = _as_said(queries, _sides(sides, options, texts))
    return pair_corpus(options.data, texts.documents, split)


def _sides(path: Path, options: DataOptions, texts: Texts) -> dict[int, str]:
    known: dict[int, str] = {}

    def side(cells: list[str]) -> tuple[int, str]:
        name = cells[1].strip().lower() if len(cells) > 1 else ""
        if name not in _SPLIT_NAMES:
            raise ValueError(f"the split is {shown(name)}, expected train, dev or test")
        own, split = texts[cells[0]], _SPLIT_NAMES[name]
        if known.setdefault(own, split) != split:
            raise ValueError(f"{shown(cells[0].strip())} is in {split} here, and in {known[own]} further up")
        return own, split

    return dict(parsed_lines(path, options, side, named("id", "query")))


def _as_said(queries: tuple[Query, ...], side: dict[int, str]) -> dict[str, tuple[Query, ...]]:
    """Queries on the side of their text; of a similar text where the file says nothing of theirs; else in training."""

    def of(query: Query) -> str:
        known = (side[i] for i in (query.document, *query.positives) if i in side)
        return next(known, SPLITS[0])

    return {split: tuple(query for query in queries if of(query) == split) for split in SPLITS}


REGISTERED = CorpusLoader(
    load_folder,
    "a folder of texts (corpus.jsonl) and of pairs of similar ones (pairs.tsv)",
    options=("text_column", "title_pairs"),
    layout=("corpus.*", "pairs.tsv*"),
    pairs=True,
)
