"""Sets of the ERASER benchmark: `--data eraser:FOLDER`.

Source of the layout: DeYoung, Jain, Rajani, Lehman, Xiong, Socher and Wallace, "ERASER: A Benchmark to Evaluate
Rationalized NLP Models" (ACL 2020), and the sets that they published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_rationale.data.corpora import LABEL_OPTIONS, CorpusLoader, data_folder, find_file
from pyro_rationale.data.corpora._annotated import Example, Part, assemble
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import flags_of
from pyro_rationale.data.files.tables import Row, Table, read_table
from pyro_rationale.data.files.text import Faults, exists, read_text, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import read_cell
from pyro_rationale.errors import DataError

_DOCUMENTS = "docs.jsonl"
_FOLDER = "docs"
_BETWEEN = "|"  # stands between a query and its documents

Sentences = list[list[str]]


def load_eraser(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read a folder of the benchmark.

    Texts stand in `docs.jsonl` or a folder `docs`, instances in `train.jsonl`, `val.jsonl` (or `dev.jsonl`) and
    `test.jsonl`.

    The text of an instance is its documents one after the other, in the order of `docids` and then of the evidences.
    Its query stands in front, with a bar behind it, unless all training instances ask the same. The gold rationale
    is the union of all evidences; it never marks the query. An instance without evidences counts as not annotated.
    `--dev-data` and `--test-data` name other files of instances.
    """
    folder = data_folder(options, "eraser", f"{_DOCUMENTS} and train.jsonl")
    train = _instances(folder, None, "train")
    if train is None:
        raise DataError(f"{folder}: holds no train.jsonl; put the benchmark's files there")
    dev = _instances(folder, options.dev_data, "val", "dev")
    test = _instances(folder, options.test_data, "test")
    documents = _Documents(folder)
    differ = len({str(row.cells.get("query")) for row in train.rows(["query"]) if not row.fault}) > 1
    parts = [[_part(table, documents, differ, options)] if table else [] for table in (train, dev, test)]
    return assemble(options, spec, "classification", *parts)


def _instances(folder: Path, given: str | None, *names: str) -> Table | None:
    path = find_file(folder, (f"{name}.jsonl{gz}" for name in names for gz in ("", ".gz")), given)
    return None if path is None else read_table(path)


def _part(table: Table, documents: _Documents, with_query: bool, options: DataOptions) -> Part:
    faults = Faults(table.path, options.skip_bad_rows)
    rows = ((row.where, row) for row in table.rows())
    return Part(faults, list(faults.parsed(rows, lambda _, row: _example(row, documents, with_query))))


def _example(row: Row, documents: _Documents, with_query: bool) -> Example:
    """An instance. Raises ValueError with what is wrong with the row."""
    if row.fault:
        raise ValueError(row.fault)
    name, query = row.cells.get("annotation_id"), row.cells.get("query")
    if not isinstance(name, str) or not name:
        raise ValueError(f"'annotation_id' is {shown(name)}, not a name")
    if not isinstance(query, str | None):
        raise ValueError(f"'query' is {shown(query)}, not a text")
    label = read_cell(row.cells, "classification")
    evidences = list(_evidences(row.cells.get("evidences")))
    words: list[str] = [*query.split(), _BETWEEN] if with_query and query else []
    flags, starts = [False] * len(words), [len(words)]
    for docid in _docids(row.cells.get("docids"), evidences, name):
        own = [word for sentence in documents[docid] for word in sentence]
        spans = [_span(evidence, documents[docid]) for evidence in evidences if evidence["docid"] == docid]
        marked = flags_of(spans, len(own))
        for sentence in documents[docid]:
            starts.append(starts[-1] + sum(map(bool, sentence)))
        # An empty line of docs.jsonl counts as a word where evidences count words; the model does not read it.
        words += [word for word in own if word]
        flags += [flag for word, flag in zip(own, marked, strict=True) if word]
    return Example(row.where, name, words, label, ([*flags],) if evidences else (), tuple(starts))


def _evidences(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list | None):
        raise ValueError(f"'evidences' is {shown(value)}, not a list")
    for group in value or []:
        if not isinstance(group, list):
            raise ValueError(f"'evidences' holds {shown(group)}, expected a list of evidences")
        for evidence in group:
            if not isinstance(evidence, dict) or not isinstance(evidence.get("docid"), str):
                raise ValueError(f"'evidences' holds {shown(evidence)}, expected an object with a 'docid'")
            yield evidence


def _docids(value: Any, evidences: list[dict[str, Any]], name: str) -> list[str]:
    """Documents of an instance in their order; an instance that names none has the name of its document."""
    if value is not None and not (isinstance(value, list) and all(isinstance(docid, str) for docid in value)):
        raise ValueError(f"'docids' is {shown(value)}, not a list of names")
    docids = [*(value or []), *(evidence["docid"] for evidence in evidences)]
    return list(dict.fromkeys(docids)) or [name]


def _span(evidence: dict[str, Any], sentences: Sentences) -> tuple[int, int]:
    """`[start, end)` in words of the whole document; of sentences where the words are not given (-1)."""
    starts = [0]
    for sentence in sentences:
        starts.append(starts[-1] + len(sentence))
    ends = [evidence.get("start_token", -1), evidence.get("end_token", -1)]
    what, most = "words", starts[-1]
    if ends == [-1, -1]:
        ends = [evidence.get("start_sentence", -1), evidence.get("end_sentence", -1)]
        what, most = "sentences", len(sentences)
    if any(type(end) is not int for end in ends) or not 0 <= ends[0] <= ends[1] <= most:
        raise ValueError(
            f"an evidence is {what} [{shown(ends[0])}, {shown(ends[1])}) of {shown(evidence['docid'])}, "
            f"expected them within 0 and {most}"
        )
    return (ends[0], ends[1]) if what == "words" else (starts[ends[0]], starts[ends[1]])


@dataclass
class _Documents:
    """The texts of a folder by their ids; those in files of their own are read when they are needed."""

    folder: Path
    known: dict[str, Sentences] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if exists(self.folder / _DOCUMENTS):
            table = read_table(self.folder / _DOCUMENTS)
            for row in table.rows():
                docid, text = row.cells.get("docid"), row.cells.get("document")
                if row.fault or not isinstance(docid, str) or not isinstance(text, str):
                    fault = row.fault or "has no 'docid' and 'document'"
                    raise DataError(f"{table.path}, {row.where}: {fault}; mend the line")
                sentences = [line.strip().split(" ") for line in text.split("\n")]
                if self.known.setdefault(docid, sentences) != sentences:
                    raise DataError(f"{table.path}, {row.where}: another text has the docid {shown(docid)}; keep one")
        elif not (self.folder / _FOLDER).is_dir():
            raise DataError(f"{self.folder}: holds neither {_DOCUMENTS} nor a folder {_FOLDER}; put the texts there")

    def __getitem__(self, docid: str) -> Sentences:
        """Words by sentence. Raises ValueError if there is no such text."""
        if docid not in self.known:
            path = self.folder / _FOLDER / docid
            if Path(docid).name != docid or not path.is_file():
                raise ValueError(f"there is no document {shown(docid)}")
            lines = (line.strip().split(" ") for line in read_text(path).split("\n"))
            sentences = ([word for word in line if word] for line in lines)
            self.known[docid] = [sentence for sentence in sentences if sentence]
        return self.known[docid]


REGISTERED = CorpusLoader(
    load_eraser,
    "the sets of the ERASER benchmark (DeYoung et al., ACL 2020)",
    options=("dev_data", "test_data", *LABEL_OPTIONS),
    layout=("train.jsonl*", "docs*"),
)
