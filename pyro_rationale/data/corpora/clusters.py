"""Questions in clusters that ask the same, as lists of frequent questions are: `--data clusters:FILE`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CorpusLoader, data_path, find_file
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import listed, log, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import PairCorpus, check_spec, pairs_of_groups
from pyro_rationale.data.question_files import read_rows
from pyro_rationale.data.targets import is_gap
from pyro_rationale.errors import ConfigError, DataError

_FILES = tuple(f"{name}.{kind}{gz}" for name in ("clusters", "questions") for kind in ("tsv", "csv", "jsonl")
               for gz in ("", ".gz"))  # fmt: skip
_CLUSTER = "cluster"
_FEW = 20  # questions: a small table may well be of one or two clusters


def load_clusters(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Read a table with a column `cluster` and one `question` (or `text`, or `title` and `body`).

    Questions of one cluster are similar; one that is alone in its cluster can be found and is no query. Whole clusters
    are dealt out to training, dev and test. `--target-column` and `--text-column` name other columns.

    Args:
        options: `clusters:FILE`, or a folder that holds `clusters.tsv` or `questions.tsv`.
        spec: of a fitted run.

    Raises:
        DataError: the file or a row cannot be used, or no two questions are in one cluster.
        ConfigError: no file is named.
    """
    path = data_path(options, "clusters")
    if path.is_dir():
        found = find_file(path, _FILES)
        if found is None:
            raise DataError(f"{path}: holds no clusters.tsv; name the file: --data clusters:FILE")
        path = found
    if len(options.target_column) > 1:
        raise ConfigError(f"--target-column: names {listed(options.target_column)}; one column says the cluster")
    check_spec(options.data, spec)
    column = next(iter(options.target_column), _CLUSTER)
    groups: list[str | None] = []

    def questions() -> Iterator[Document]:
        for document, more in read_rows(path, options, (column,)):
            groups.append(_key(more[column]))
            yield document

    documents = CompactDocuments(questions())
    for key, count in Counter(key for key in groups if key is not None).items():
        if count > 1 and is_gap(key):
            log.warning("%s: %d questions have %s for %r, and count as in no cluster", path, count, key, column)
            groups = [None if other == key else other for other in groups]
        elif count > max(_FEW, len(groups) / 2):
            log.warning("%s: %d of %d questions are in the cluster %s, each like all others; leave its cells empty if "
                        "it is that of the rest", path, count, len(groups), shown(key))  # fmt: skip
    corpus = pairs_of_groups(documents, groups, options.split_seed)
    if not any(corpus.queries.values()):
        raise DataError(f"{path}: no two questions have the same {column!r}; name another --target-column")
    return replace(corpus, name=options.data)


def _key(cell: object) -> str | None:
    """A cluster; `None` for a question that has none."""
    return None if cell is None or not str(cell).strip() else str(cell).strip()


REGISTERED = CorpusLoader(
    load_clusters,
    "a table of questions and of the cluster each is in, such as a list of frequent questions",
    options=("text_column", "target_column", "encoding", "separator", "title_pairs"),
    layout=("clusters.*",),
    pairs=True,
)
