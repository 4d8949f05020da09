"""Files of the log and of what follows from it, group of rows by group: `write_groups`."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ops.analytics.lake.files import COMPRESSION, File, finished, replaced

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

ROW_GROUP_ROWS = 65_536
# Columns that differ in each row, and have no dictionary. Streams have one, though a group has many of them:
# they come again, and joins and counts of them take a quarter less time.
DIFFERING = ("position", "command_id", "data", "metadata", "hash", "data_bytes")
DICTIONARY_BYTES = 4 * 1024 * 1024


def write_groups(lake: Path, path: Path, groups: "Iterable[pyarrow.Table]") -> File:
    """Writes rows, each table of them a group; the file is whole and on disk when this returns.

    There must be one group at least.
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
    """The writer of such a file. Closed by `with`."""
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(
        path,
        schema,
        compression=COMPRESSION,
        use_dictionary=[name for name in schema.names if name not in DIFFERING],
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        # Few pages: each one takes time to begin.
        max_rows_per_page=2 * ROW_GROUP_ROWS,
    )
