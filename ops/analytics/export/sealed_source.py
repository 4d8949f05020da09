"""Reading a sealed backup into Arrow without a Python object for each value.

The ADBC driver brings an SQLite library of its own. Two libraries on one file, in one process, drop each
other's locks. So the driver opens only sealed files, which no process writes to and which are not locked, and
only in the process of an export, which never writes to the live file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import pyarrow

# The most rows of a batch, and its most bytes: large rows make smaller batches.
BATCH_ROWS = 16_384
BATCH_BYTES = 4 * 1024 * 1024
# Rows of more bytes than this are heavy: they are written a few at a time.
HEAVY_ROW_BYTES = 8 * 1024
# The values of the one row that stands before all others, by the type of their column.
_SENTINELS = {"INTEGER": "0", "TEXT": "''", "BLOB": "x''", "REAL": "0.0"}
# The column that says 0 in that row, so that readers leave it out.
IS_ROW = "is_row"


class SealedSource:
    """A connection to a sealed file, to be closed by `with`."""

    def __init__(self, path: Path) -> None:
        # The driver's DB-API would import all of pyarrow, which takes half as long as a small export.
        import adbc_driver_sqlite
        from adbc_driver_manager import AdbcConnection

        # Immutable: SQLite takes no locks, and makes no files beside it.
        self._size_bytes = path.stat().st_size
        uri = f"file:{quote(str(path.absolute()))}?immutable=1"
        self._database = adbc_driver_sqlite.connect(uri)
        self._connection = AdbcConnection(self._database)

    def __enter__(self) -> "SealedSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._database.close()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The result of a query, all of it in memory."""
        with self._answer(statement) as reader:
            found = reader.read_all()
            return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def columns(self, table: str) -> dict[str, str]:
        """The columns of a table with their declared types; empty if there is no such table."""
        return dict(self.rows(f"SELECT name, type FROM pragma_table_info('{table}')"))

    def bytes_in_row(self, table: str, rows: int, where: str = "true") -> int:
        """The average bytes of a row of a table that has `rows` rows.

        It is an upper bound, from the size of the file; where that would be heavy, the rows are measured.
        """
        at_most = self._size_bytes // max(1, rows)
        texts = [name for name, kind in self.columns(table).items() if kind != "INTEGER"]
        if at_most <= HEAVY_ROW_BYTES or not texts:
            return at_most
        weight = " + ".join(f'coalesce(octet_length("{name}"), 0)' for name in texts)
        return int(
            self.rows(f"SELECT CAST(coalesce(avg({weight}), 0) AS INTEGER) FROM {table} WHERE {where}")[0][0]
        )

    @contextmanager
    def batches(
        self, columns: dict[str, tuple[str, str]], source: str, row_bytes: int
    ) -> "Iterator[pyarrow.RecordBatchReader]":
        """The rows of `SELECT … FROM {source}` in batches; a row has `row_bytes` bytes.

        `columns` has the declared type and the expression of each column. The first row is not one of the
        table: the driver takes the type of a column from the first batch, and takes an empty column for
        integers. So a row with values of the right types comes first, for which `is_row` is 0.
        """
        first = ", ".join(f"{_SENTINELS.get(kind, '0')} AS {name}" for name, (kind, _) in columns.items())
        others = ", ".join(expression for _, expression in columns.values())
        statement = f"SELECT {first}, 0 AS {IS_ROW} UNION ALL SELECT {others}, 1 FROM {source}"
        with self._answer(statement, rows_at_once(row_bytes, BATCH_BYTES, BATCH_ROWS)) as reader:
            yield reader

    @contextmanager
    def _answer(self, statement: str, batch_rows: int = BATCH_ROWS) -> "Iterator[pyarrow.RecordBatchReader]":
        import pyarrow
        from adbc_driver_manager import AdbcStatement

        with AdbcStatement(self._connection) as asked:
            asked.set_options(**{"adbc.sqlite.query.batch_rows": str(batch_rows)})
            asked.set_sql_query(statement)
            stream, _ = asked.execute_query()
            with pyarrow.RecordBatchReader.from_stream(stream) as reader:
                yield reader


def rows_at_once(row_bytes: int, most_bytes: int, most_rows: int) -> int:
    """How many rows of that size are read together."""
    return max(1, min(most_rows, most_bytes // max(1, row_bytes)))
