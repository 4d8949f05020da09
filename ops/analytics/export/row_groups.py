"""Rows of Parquet files, group by group: `in_groups` gathers them, `write_groups` writes files of the log."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ops.analytics.lake.files import COMPRESSION, File, finished, replaced

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

# A group of so many bytes is written, however few rows it has, since it is in memory until then.
GROUP_BYTES = 64 * 1024 * 1024
ROW_GROUP_ROWS = 65_536
# Columns whose values differ in each row, so they have no dictionary. Streams have one, though a group has
# many streams: they repeat, and joins and counts of them take a quarter less time.
DIFFERING = ("position", "command_id", "data", "metadata", "hash", "data_bytes")
DICTIONARY_BYTES = 4 * 1024 * 1024


def in_groups(batches: "Iterable[pyarrow.RecordBatch]", rows: int) -> "Iterator[pyarrow.Table]":
    """Batches gathered into groups of at least `rows` rows, or of many bytes; the last may have fewer."""
    import pyarrow

    gathered: list[pyarrow.RecordBatch] = []
    for batch in chain(batches, (None,)):
        if batch is not None:
            gathered.append(batch)
        if gathered and (
            batch is None
            or sum(one.num_rows for one in gathered) >= rows
            or sum(one.nbytes for one in gathered) >= GROUP_BYTES
        ):
            yield pyarrow.Table.from_batches(gathered)
            gathered = []


def write_groups(lake: Path, path: Path, groups: "Iterable[pyarrow.Table]") -> File:
    """Writes rows, each table as one group; the file is whole and on disk when this returns.

    There must be at least one group.
    """
    written = 0
    with replaced(path) as temporary, ExitStack() as stack:
        writer: ParquetWriter | None = None
        for group in groups:
            writer = writer or stack.enter_context(log_writer(temporary, group.schema))
            writer.write_table(group, row_group_size=max(1, group.num_rows))
            written += group.num_rows
    return finished(lake, path, written)


def log_writer(path: Path, schema: "pyarrow.Schema") -> "ParquetWriter":
    """The writer of a file of the log, to be closed by `with`."""
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(
        path,
        schema,
        compression=COMPRESSION,
        use_dictionary=[name for name in schema.names if name not in DIFFERING],
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        # Few pages, since each takes time to start.
        max_rows_per_page=2 * ROW_GROUP_ROWS,
    )
