"""Similar questions of AskUbuntu and of Android's forum: `--data askubuntu:FOLDER`.

Source of the layouts: Lei, Joshi, Barzilay, Jaakkola, Tymoshenko, Moschitti and Marquez, "Semi-supervised Question
Retrieval with Gated Convolutions" (NAACL 2016), github.com/taolei87/askubuntu; Shah, Lei, Moschitti, Romeo and Nakov,
"Adversarial Domain Adaptation for Duplicate Question Detection" (EMNLP 2018), github.com/jiangfeng1124/Android.
"""

from __future__ import annotations

from pathlib import Path

from pyro_rationale.data.corpora import CorpusLoader, data_folder, find_file
from pyro_rationale.data.corpora._pair_files import (
    Pair,
    Texts,
    divided,
    named,
    parsed_lines,
    queries_with,
    read_lists,
    say_left_out,
)
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.files.text import shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import SPLITS, PairCorpus, Query, check_spec, pair_corpus
from pyro_rationale.data.question_files import read_questions
from pyro_rationale.errors import DataError

_TEXTS = ("text_tokenized.txt.gz", "text_tokenized.txt", "corpus.tsv.gz", "corpus.tsv")
_LISTS = {"train": "train_random.txt", "dev": "dev.txt", "test": "test.txt"}


def load_askubuntu(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Read a folder of one of the two sets; the texts, of which there are 167,000, are kept as numbers.

    AskUbuntu: `text_tokenized.txt.gz` (id, title, body), `train_random.txt` (a query, its similar questions, 100 random
    ones), `dev.txt` and `test.txt` (a query, its similar ones among 20 candidates, these, their scores). Android:
    `corpus.tsv.gz`, and `dev.pos.txt`, `dev.neg.txt`, `test.pos.txt`, `test.neg.txt` with a query and a question a
    line; there is nothing to train on but titles and bodies: `titles:askubuntu:FOLDER`. Queries without a similar
    question are left out, which is said.

    Raises:
        DataError: a file is missing, or a row cannot be used.
        ConfigError: no folder is named.
    """
    folder = data_folder(options, "askubuntu", f"{_TEXTS[0]} and test.txt")
    path = find_file(folder, _TEXTS)
    if path is None:
        raise DataError(f"{folder}: holds neither {_TEXTS[0]} nor {_TEXTS[2]}; put the texts there")
    check_spec(options.data, spec)
    texts = Texts(read_questions(path, options), path)
    given: dict[str, list[Query] | None] = {}
    left_out: dict[str, int] = {}
    for split in SPLITS:
        lists = find_file(folder, (_LISTS[split], f"{_LISTS[split]}.gz"))
        if lists is not None:
            rows = read_lists(lists, options, texts)
            if split == SPLITS[0]:
                rows = {query: (similar, [*similar, *others]) for query, (similar, others) in rows.items()}
        elif find_file(folder, (f"{split}.pos.txt", f"{split}.pos.txt.gz")) is not None:
            rows = _both(folder, split, options, texts)
        else:
            given[split] = None
            continue
        given[split], left_out[split] = queries_with(rows)
    if all(own is None for own in given.values()):
        raise DataError(f"{folder}: holds neither test.txt nor test.pos.txt; put the lists of candidates there")
    say_left_out(options.data, left_out)
    queries = divided(given, texts.documents, options.split_seed)
    return pair_corpus(options.data, texts.documents, queries, left_out=left_out)


def _both(folder: Path, split: str, options: DataOptions, texts: Texts) -> dict[int, tuple[list[int], list[int]]]:
    """Similar texts and candidates by query, from a file of similar pairs and one of others."""

    def pair(cells: list[str]) -> Pair:
        ids = [id for cell in cells for id in cell.split()]
        if len(ids) != 2:
            raise ValueError(f"has {len(ids)} fields, expected the ids of two questions")
        one, other = texts[ids[0]], texts[ids[1]]
        if one == other:
            raise ValueError(f"{shown(ids[0])} is given as similar to itself")
        return one, other

    rows: dict[int, tuple[list[int], list[int]]] = {}
    for kind in ("pos", "neg"):
        path = find_file(folder, (f"{split}.{kind}.txt", f"{split}.{kind}.txt.gz"))
        if path is None:
            raise DataError(f"{folder}: holds {split}.pos.txt and no {split}.neg.txt; put the file there")
        for query, other in parsed_lines(path, options, pair, named("query")):
            similar, candidates = rows.setdefault(query, ([], []))
            if kind == "pos" and other not in similar:
                similar.append(other)
            if other not in candidates:
                candidates.append(other)
    return rows


REGISTERED = CorpusLoader(
    load_askubuntu,
    "similar questions of AskUbuntu (Lei et al., NAACL 2016) or Android (Shah et al., EMNLP 2018)",
    options=("title_pairs",),
    layout=("text_tokenized.txt*", "test.txt*"),
    pairs=True,
)
