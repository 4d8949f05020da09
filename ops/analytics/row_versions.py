"""Every row as each event left it, as Parquet, so that SQL alone can tell what the tables were at any moment.

The rows are made by what makes those of the tables: the deciders' `evolve` and the projections' row
functions. A row that is gone is a version, too: its key, the position, and `deleted`. Attempts go together
with their job: one such version without an id, but with the `job_id`, stands for all of them.

Folding is Python's work, 10 µs an event, so a long stretch is folded in a process of its own beside the one
that writes the events: `python -m ops.analytics.row_versions`, with a `Task` as JSON on stdin, and the answer
on stdout.
"""

import gc
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from bus import log
from bus.aggregates import ABSENT, Aggregate, read_aggregate, to_recorded
from domain.catalogue import BY_TABLE
from domain.messages import split_stream
from migrations import runner
from migrations.connection import open_memory
from ops.analytics.event_files import COMPRESSION, ROW_GROUP_ROWS
from ops.analytics.layout import VERSIONS, File, finished, replaced, stretch_path
from ops.backup.create import open_sealed
from projections import jobs
from projections.comparison import HISTORY
from projections.table import Row
from projections.tables import TABLES

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

# Of the states in memory; one that was let go of is read from the log again. Few jobs change after so many
# others have come.
STATES = 100_000
# Jobs' payloads and results above all, which may be large.
GROUP_BYTES = 64 * 1024 * 1024
# The columns that may be; the others are short.
_LARGE = frozenset({"payload", "result", "value", "config", "schema", "job"})
# Shorter ones are folded at once: a process takes 0.5 s to start.
WORTH_A_PROCESS = 20_000

# Reads an aggregate as it was at a position, and which attempts a job had by then.
Load = Callable[[str, str, int], Aggregate]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Some positions of one timeline."""

    timeline: int
    first: int
    last: int


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to fold: the ranges follow each other in the log of a sealed file."""

    lake: str
    backup: str
    ranges: list[Range]


Files = list[dict[str, File]]


class Folding:
    """The files of row versions that a separate process is writing, or that are written when asked for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        events = sum(one.last - one.first + 1 for one in task.ranges)
        self._process = _start(task) if events > WORTH_A_PROCESS else None

    def files(self) -> Files:
        """The files of each range, by table, whole and on disk.

        Raises:
            RuntimeError: the process failed, or was ended.
        """
        if self._process is None:
            return fold_sealed(self._task)
        out, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError(f"folding the log ended with {self._process.returncode}")
        return msgspec.json.decode(out, type=Files)

    def __enter__(self) -> "Folding":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _start(task: Task) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.analytics.row_versions"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task))
    process.stdin.close()
    process.stdin = None
    return process


def fold_sealed(task: Task) -> Files:
    """The files of each range, by table."""
    with closing(open_sealed(Path(task.backup))) as connection:

        def load(table: str, key: str, position: int) -> Aggregate:
            return read_aggregate(connection, table, key, up_to_position=position)

        fold = Fold(load)
        return [
            fold.write(Path(task.lake), one, _rows(connection, one.first, one.last)) for one in task.ranges
        ]


def _rows(connection: apsw.Connection, first: int, last: int) -> Iterator[log.Row]:
    for row in connection.execute(
        "SELECT * FROM events WHERE position BETWEEN ? AND ? ORDER BY position", (first, last)
    ):
        yield log.Row(*row)


class Fold:
    """Folds events in the order of their positions; `load` gives the aggregates of before."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._states: OrderedDict[str, Aggregate] = OrderedDict()
        self._types = column_types()

    def write(self, lake: Path, of: Range, rows: Iterable[log.Row]) -> dict[str, File]:
        """Folds some events, and writes what rows they lead to; the file of each table that has any."""
        writers = {
            name: _Writer(lake, stretch_path(lake, name + VERSIONS, of.timeline, of.first, of.last), types)
            for name, types in self._types.items()
        }
        history = writers[HISTORY]
        for row in rows:
            name, key = split_stream(row.stream)
            table = TABLES.get(name)
            # What other applications keep in the log has no tables here.
            if table is None:
                continue
            before = self._before(row, name, key)
            recorded = to_recorded(row)
            state = BY_TABLE[name].evolve(before.state, recorded)
            self._keep(row, state)
            made = None if state is None else table.row(state, row.version, row.position)
            if made is not None:
                writers[name].add((*made, False))
            elif before.state is not None:
                known = {table.primary_key: table.row_key(key), "version": row.version}
                writers[name].add(_gone(table.columns, known | {"position": row.position}))
            if table is jobs.TABLE:
                for attempt in jobs.history_rows(before.state, state, recorded.event, row.recorded_at):
                    history.add((*attempt, row.position, False))
                if state is None:
                    # All attempts that the job had until now.
                    history.add(_gone(jobs.HISTORY_COLUMNS, {"job_id": key, "position": row.position}))
        found = {name + VERSIONS: writer.finish() for name, writer in writers.items()}
        return {name: file for name, file in found.items() if file is not None}

    def _before(self, row: log.Row, table: str, key: str) -> Aggregate:
        found = self._states.pop(row.stream, None)
        if found is not None:
            return found
        return ABSENT if row.version == 1 else self._load(table, key, row.position - 1)

    def _keep(self, row: log.Row, state: Any) -> None:
        self._states[row.stream] = Aggregate(row.version, row.position, state)
        if len(self._states) > STATES:
            self._states.popitem(last=False)


def _gone(columns: Iterable[str], known: dict[str, Any]) -> Row:
    return (*(dict.fromkeys(columns) | known).values(), True)


def column_types() -> dict[str, dict[str, str]]:
    """The columns of each table's versions with their declared types, in order."""
    with closing(open_memory()) as connection:
        runner.up(connection)
        types = {}
        for table, columns in (
            {name: one.columns for name, one in TABLES.items()} | {HISTORY: jobs.HISTORY_COLUMNS}
        ).items():
            declared = dict(connection.execute(f"SELECT name, type FROM pragma_table_info('{table}')"))
            versions = {column: declared[column] for column in columns}
            types[table] = versions | {"position": "INTEGER", "deleted": "BOOLEAN"}
        return types


class _Writer:
    """One file of row versions."""

    def __init__(self, lake: Path, path: Path, types: dict[str, str]) -> None:
        import pyarrow

        kinds = {
            "INTEGER": pyarrow.int64(),
            "TEXT": pyarrow.string(),
            "REAL": pyarrow.float64(),
            "BLOB": pyarrow.binary(),
            "BOOLEAN": pyarrow.bool_(),
        }
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in types.items()])
        self._lake = lake
        self._path = path
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(replaced(path))
        self._file: ParquetWriter | None = None
        self._large = [place for place, name in enumerate(types) if name in _LARGE]
        self._rows: list[Row] = []
        self._bytes = 0
        self._written = 0

    def add(self, row: Row) -> None:
        self._rows.append(row)
        for place in self._large:
            value = row[place]
            if value is not None:
                self._bytes += len(value)
        if len(self._rows) >= ROW_GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def finish(self) -> File | None:
        """The file, whole and on disk; `None` if there is nothing in it."""
        if self._rows:
            self._flush()
        if self._file is None:
            self._stack.close()
            return None
        self._file.close()
        self._stack.close()
        return finished(self._lake, self._path, self._written)

    def _flush(self) -> None:
        import pyarrow
        from pyarrow.parquet import ParquetWriter

        if self._file is None:
            self._file = ParquetWriter(self._temporary, self._schema, compression=COMPRESSION)
        arrays = [
            pyarrow.array(values, type=field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._file.write_batch(pyarrow.record_batch(arrays, schema=self._schema))
        self._written += len(self._rows)
        self._rows = []
        self._bytes = 0


def main() -> int:
    """Does one task, which is read from stdin; the answer goes to stdout."""
    # Nothing of it is part of a cycle, and there is much of it.
    gc.disable()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(fold_sealed(task)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
