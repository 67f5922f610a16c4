"""Folders that `Dataset.save_to_disk` and `DatasetDict.save_to_disk` of Hugging Face's library `datasets` write.

A data set is Arrow files and two descriptions: `state.json` lists the files, `dataset_info.json` the columns. They are
read with pyarrow, a batch at a time; the library itself is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyro_rationale.data.files.parquet import values_of
from pyro_rationale.data.files.tables import Row, Table
from pyro_rationale.errors import DataError, listed, shown
from pyro_rationale.optional import install_command
from pyro_rationale.storage import parse_json

STATE, INFO, DICT = "state.json", "dataset_info.json", "dataset_dict.json"
_DEV = ("validation", "valid", "val", "dev")


def is_dataset(path: Path) -> bool:
    """Whether a folder holds one data set, as `Dataset.save_to_disk` writes it."""
    return path.is_dir() and (path / STATE).is_file()


def is_dataset_dict(path: Path) -> bool:
    """Whether a folder holds the splits of a data set, as `DatasetDict.save_to_disk` writes them."""
    return path.is_dir() and (path / DICT).is_file()


def splits_of(path: Path) -> dict[str, Path]:
    """Folders of the splits `train`, `dev` and `test` of a `DatasetDict`, of those that are there.

    Raises:
        DataError: it has no training split, or is damaged.
    """
    names = _described(path / DICT).get("splits")
    if not isinstance(names, list) or not all(_is_name(name) for name in names):
        raise DataError(f"{path / DICT}: lists no splits; save the data set again")
    if "train" not in names:
        one = path / names[0]
        raise DataError(f"{path}: has no split train, only {listed(names)}; name one of them, such as {one}")
    found = {"train": path / "train"}
    if dev := next((name for name in _DEV if name in names), None):
        found["dev"] = path / dev
    if "test" in names:
        found["test"] = path / "test"
    return found


def data_files(path: Path) -> list[Path]:
    """The Arrow files of a data set.

    Raises:
        DataError: it is damaged, or of a version that keeps rows in another order beside them.
    """
    state = _described(path / STATE)
    entries = state.get("_data_files")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries or ()]
    if not names or not all(_is_name(name) for name in names):
        raise DataError(f"{path / STATE}: lists no files in its folder; save the data set again")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(f"{path}: saved with a list of its rows by an old version of datasets; save it again")
    return [path / str(name) for name in names]


def read_files(path: Path) -> list[Path]:
    """The files of a data set that its rows depend on: with those of :func:`data_files` that of the labels' names.

    Raises:
        DataError: it is damaged.
    """
    return [*data_files(path), *(file for file in [path / INFO] if file.is_file())]


def read_dataset(path: Path) -> Table:
    """A data set as a table; a column of class labels holds their names, and nothing where a row has none.

    Raises:
        DataError: it is damaged, or pyarrow is missing.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise DataError(f"{path}: Arrow files need pyarrow: {install_command('parquet')}") from None
    files, labels = data_files(path), _class_labels(path)

    def damaged(file: Path, error: Exception) -> DataError:
        reason = shown(str(error), 80)[1:-1]
        return DataError(f"{file}: is no Arrow file, or a damaged one ({reason}); save the data set again")

    def stream(names: frozenset[str] | None) -> Iterator[Row]:
        first = 1
        for file in files:
            try:
                with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
                    needed = [name for name in reader.schema.names if names is None or name in names]
                    for batch in reader:
                        for number, (cells, fault) in enumerate(values_of(batch.select(needed)), start=first):
                            yield _named(Row(f"row {number}", cells, fault), labels)
                        first += len(batch)
            except (pa.ArrowException, OSError) as error:
                raise damaged(file, error) from None

    try:
        with pa.memory_map(str(files[0])) as source, pa.ipc.open_stream(source) as reader:
            columns = tuple(reader.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise damaged(files[0], error) from None
    table = Table(path, stream, columns)
    if next(table.rows(), None) is None:
        raise DataError(f"{path}: has columns and no rows")
    return table


def _named(row: Row, labels: Mapping[str, tuple[str, ...]]) -> Row:
    """The row with names in place of numbers of classes."""
    cells, fault = row.cells, row.fault
    for column, names in labels.items():
        number = cells.get(column)
        if not isinstance(number, int):
            continue
        if number >= len(names):
            fault = f"{column!r} is class {number} of {len(names)}, counted from 0"
        cells[column] = names[number] if 0 <= number < len(names) else None
    return row if fault is None else Row(row.where, {}, fault)


def _class_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Names of the classes of each column of class labels."""
    features = _described(path / INFO).get("features") if (path / INFO).is_file() else None
    found = {}
    for column, feature in (features if isinstance(features, dict) else {}).items():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names:
            found[column] = tuple(map(str, names))
    return found


def _described(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); save the data set again") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds {shown(value)} where an object {{...}} was expected; save the data set again")
    return value


def _is_name(name: Any) -> bool:
    """Whether it names something in the folder itself: a folder of others must not make us read elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")
