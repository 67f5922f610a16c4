"""Reading Parquet files, and the cells of Arrow's record batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyro_rationale.data.files.tables import Row, Table
from pyro_rationale.data.files.text import check_readable, shown
from pyro_rationale.errors import DataError
from pyro_rationale.optional import install_command


def read_parquet(path: Path) -> Table:
    """A Parquet file, a batch of rows at a time.

    Raises:
        DataError: it cannot be read, or has no rows; later, it is damaged behind its first rows.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; {install_command('parquet')}") from None

    def damaged(error: Exception) -> DataError:
        reason = shown(str(error), 80)[1:-1]
        return DataError(f"{path}: is no Parquet file, or a damaged one ({reason}); write it again")

    check_readable(path)  # the faults that every file can have, in the same words
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns, count = tuple(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise damaged(error) from None
    if not count:
        raise DataError(f"{path}: has columns and no rows")

    def stream(names: frozenset[str] | None) -> Iterator[Row]:
        needed = [name for name in columns if names is None or name in names]
        first = 1
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(batch_size=1024, columns=needed):
                    for number, (cells, fault) in enumerate(values_of(batch), start=first):
                        yield Row(f"row {number}", cells, fault)
                    first += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from None

    return Table(path, stream, columns)


def values_of(batch: Any) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The cells of each row of a record batch, or why they cannot be read."""
    try:
        yield from [(cells, None) for cells in batch.to_pylist()]
        return
    except (ValueError, OverflowError):  # a date that Python does not know, bytes that are no text
        pass
    for i in range(len(batch)):
        cells, fault = {}, None
        for name in batch.schema.names:
            try:
                cells[name] = batch.column(name)[i].as_py()
            except (ValueError, OverflowError) as error:
                fault = f"{name!r} cannot be read ({shown(str(error), 80)[1:-1]})"
        yield ({} if fault else cells), fault
