"""A file of row versions: `VersionFile`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.analytics.export.log_files import ROW_GROUP_ROWS, log_writer
from ops.analytics.export.row_groups import GROUP_BYTES
from ops.analytics.lake.columns import DELETED, arrow_schema
from ops.analytics.lake.files import File, finished, replaced
from projections.table import Row

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

# How many rows are gathered as objects of Python, which weigh several times as much as in Arrow.
BATCH_ROWS = 4_096


class VersionFile:
    """One file of row versions, of columns with the types that SQLite declares for them."""

    def __init__(self, lake: Path, path: Path, types: dict[str, str]) -> None:
        import pyarrow

        self._lake = lake
        self._path = path
        self._columns = list(types)
        self._schema = arrow_schema(types).append(pyarrow.field(DELETED, pyarrow.bool_()))
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(replaced(self._path))
        self._file: ParquetWriter | None = None
        self._rows: list[Row] = []
        self._gone: set[int] = set()
        self._batches: list[pyarrow.RecordBatch] = []
        self._waiting = 0
        self._bytes = 0
        self._written = 0

    def add(self, row: Row, size_bytes: int) -> None:
        """Adds a row as an event left it, and about what it weighs."""
        self._rows.append(row)
        self._bytes += size_bytes
        if len(self._rows) >= BATCH_ROWS or self._bytes >= GROUP_BYTES:
            self._gather()

    def add_gone(self, known: dict[str, Any]) -> None:
        """Adds a row that an event took out of its table: what is still known of it."""
        self._gone.add(len(self._rows))
        self.add(tuple(known.get(column) for column in self._columns), 0)

    def finish(self) -> File | None:
        """The file, whole and on disk; `None` if there is nothing in it."""
        self._gather()
        if self._batches:
            self._write()
        if self._file is not None:
            self._file.close()
        self._stack.close()
        return finished(self._lake, self._path, self._written) if self._file is not None else None

    def _gather(self) -> None:
        """Makes a batch of the rows so far, and a group of enough batches."""
        import pyarrow

        if not self._rows:
            return
        columns: list[Any] = [
            pyarrow.array(values, type=field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=False)
        ]
        deleted = [place in self._gone for place in range(len(self._rows))]
        columns.append(pyarrow.array(deleted, type=pyarrow.bool_()))
        self._batches.append(pyarrow.record_batch(columns, schema=self._schema))
        self._waiting += len(self._rows)
        self._rows = []
        self._gone = set()
        if self._waiting >= ROW_GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow

        if self._file is None:
            self._file = log_writer(self._temporary, self._schema)
        group = pyarrow.Table.from_batches(self._batches)
        self._file.write_table(group, row_group_size=group.num_rows)
        self._written += group.num_rows
        self._batches = []
        self._waiting = 0
        self._bytes = 0
