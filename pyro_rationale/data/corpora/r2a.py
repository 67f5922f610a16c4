"""Files of "Deriving Machine Attention from Human Rationales" (Bao, Chang, Yu and Barzilay, EMNLP 2018).

`--data r2a:FOLDER --aspect TASK`; other work on beer and hotel reviews passes its annotations on in the same layout.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pyro_rationale.data.corpora import LABEL_OPTIONS, CorpusLoader, data_folder
from pyro_rationale.data.corpora._annotated import Example, Part, assemble
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.files.text import Faults, exists, first_line, listed, read_lines, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import read_cell
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import user_path

_COLUMNS = ("task", "label", "text")
_GOLD = "rationale"


def load_r2a(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read `NAME.train`, `NAME.dev` and `NAME.test` (or `train.tsv`, ...) of a folder.

    They hold tab-separated lines below a header `task label text`, perhaps with `rationale`, a 0 or 1 per word; other
    columns are not used. What there is no file for is split off. `--aspect` is the task, where there are several.
    """
    folder = data_folder(options, "r2a", "its files .train, .dev and .test")
    train = files_of(folder, "train", options.aspect)
    if not train:
        raise DataError(f"{folder}: holds no .train file (nor train.tsv) with a header {' '.join(_COLUMNS)}")
    names = {_name(path) for path in train}
    given = (("dev", options.dev_data), ("test", options.test_data))
    others = [[user_path(file)] if file else files_of(folder, split, options.aspect, names) for split, file in given]
    paths = [train, *others]
    files = [[_File(path) for path in part] for part in paths]
    task = _task(options.aspect, files)
    parts = [[file.part(task, options) for file in part if task in file.tasks] for part in files]
    if not parts[0]:
        raise DataError(f"{folder}: no training line of task {shown(task)}")
    return assemble(options, spec, task, *parts)


def files_of(folder: Path, split: str, task: str | None = None, needed: Collection[str] = ()) -> list[Path]:
    """The files of a split that have the header; if some are named like the task, only those.

    Raises:
        DataError: If one cannot be read, or lacks the header though it is named like one of the files `needed`.
    """
    patterns = (f"*.{split}", f"*.{split}.tsv", f"{split}.tsv")
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if not path.is_dir()})
    paths = [path for path in found if exists(path) and not _lacking(first_line(path).split("\t"))]
    for path in found:
        if path not in paths and _name(path) in {*needed, split}:
            raise DataError(f"{path}, line 1: has no header {' '.join(_COLUMNS)}; mend the file, or remove it")
    return [path for path in paths if _name(path) == task] or paths


def _name(path: Path) -> str:
    return path.name.partition(".")[0]


def _lacking(columns: Collection[str]) -> list[str]:
    return [name for name in _COLUMNS if name not in columns]


def _task(chosen: str | None, files: list[list[_File]]) -> str:
    tasks = sorted({task for part in files for file in part for task in file.tasks})
    if chosen is None and len(tasks) == 1:
        return tasks[0]
    if chosen is None:
        raise ConfigError(f"--aspect: choose one of the tasks {listed(tasks)}")
    if chosen not in tasks:
        raise ConfigError(f"--aspect {chosen}: there is no such task, only {listed(tasks)}")
    return chosen


class _File:
    """The lines of a file, each with its number and its fields, and the tasks among them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = ((where, line.rstrip("\r").split("\t")) for where, line in read_lines(path))
        where, self.columns = next(lines)
        if lacking := _lacking(self.columns):
            raise DataError(f"{path}, {where}: has no column {lacking[0]!r}; expected a header {' '.join(_COLUMNS)}")
        for name in (*_COLUMNS, _GOLD):
            if self.columns.count(name) > 1:
                raise DataError(f"{path}, {where}: {self.columns.count(name)} columns are named {name!r}; rename one")
        column = self.columns.index("task")
        self.rows = [
            (where, fields[column].strip() if len(fields) > column else "", fields) for where, fields in lines
        ]
        self.tasks = {task for _, task, _ in self.rows if task}

    def part(self, task: str, options: DataOptions) -> Part:
        """The examples of a task."""
        faults = Faults(self.path, options.skip_bad_rows)
        rows = ((where, fields) for where, own, fields in self.rows if own in (task, ""))
        return Part(faults, list(faults.parsed(rows, self._example)))

    def _example(self, where: str, fields: list[str]) -> Example:
        cells = dict(zip(self.columns, fields, strict=False))
        if len(fields) > len(self.columns) or "text" not in cells or "label" not in cells:
            raise ValueError(f"has {len(fields)} fields where the header has {len(self.columns)}")
        if not cells["task"].strip():
            raise ValueError("'task' is empty")
        label, words = read_cell(cells, "label"), cells["text"].split()
        if not words:
            raise ValueError("'text' is empty")
        marks = cells.get(_GOLD, "").split()
        wrong = [mark for mark in marks if mark not in ("0", "1")]
        if wrong:
            raise ValueError(f"its rationale holds {shown(wrong[0])}, expected a 0 or 1 per word")
        return Example(where, f"{self.path.name} {where}", words, label, ([int(m) for m in marks],) if marks else ())


REGISTERED = CorpusLoader(
    load_r2a,
    'texts with rationales of "Deriving Machine Attention from Human Rationales" (Bao et al., EMNLP 2018)',
    options=("aspect", "dev_data", "test_data", *LABEL_OPTIONS),
    layout=("*.train",),
)
