"""Every row as each event left it, as Parquet, so that SQL alone can show the tables at any moment.

The rows are made like those of the tables: by the deciders' `evolve` and the projections' row functions. A
row that is removed has a version, too: its key, the position, and `deleted`. Attempts are removed together
with their job: one such version without an id, but with the `job_id`, stands for all of them.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from domain.catalogue import BY_TABLE, TIMELINE_STREAM, decode_event
from domain.decider import Aggregate
from domain.installed.checking import TABLE_NAME
from domain.messages import Recorded
from migrations.aggregate_tables import MAXIMUM_TABLES
from ops.analytics.export.row_groups import GROUP_BYTES, ROW_GROUP_ROWS, log_writer
from ops.analytics.lake.columns import DELETED, arrow_schema, version_columns
from ops.analytics.lake.files import File, finished, replaced
from ops.analytics.lake.layout import VERSIONS, stretch_path
from projections.table import Row
from projections.tables import TABLES

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

# The most states that a process holds, and the most bytes of their events. A state that was dropped is read
# from the log again, which takes ten times as long as folding an event.
STATES = 120_000
STATES_BYTES = 128 * 1024 * 1024
# How many rows are gathered as objects of Python, which take several times as much memory as in Arrow.
BATCH_ROWS = 4_096
# The rough size of a state that was read from the log.
_LOADED_BYTES = 1_024

# Reads an aggregate as it was at a position.
Load = Callable[[str, str, int], Aggregate]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A range of positions of one timeline."""

    timeline: int
    first: int
    last: int


def left_out(streams: Iterable[str]) -> tuple[str, ...]:
    """The tables of these streams whose packages are not installed, so that no rows of them can be made."""
    found = {stream.partition("/")[0] for stream in streams if "/" in stream}
    of_others = (name for name in found - TABLES.keys() - {TIMELINE_STREAM.partition("/")[0]})
    # Streams of other applications may have any names.
    return tuple(sorted(filter(TABLE_NAME.fullmatch, of_others)))[:MAXIMUM_TABLES]


class Fold:
    """Folds events in the order of their positions; `load` reads the aggregates before them.

    Where several folds share the work, each has a `suffix` of its own for its files.
    """

    def __init__(self, load: Load, *, suffix: str = "") -> None:
        self._load = load
        self._suffix = suffix
        self._types = version_columns()
        # Each with the size of its events in bytes.
        self._states: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def write(self, lake: Path, of: Range, rows: Iterable[tuple[Any, ...]]) -> dict[str, File]:
        """Folds events and writes the rows that they lead to; returns the file of each table that has rows.

        `rows` have position, stream, version, type, time and data of each event.
        """
        writers: dict[str, _VersionFile] = {}
        for name, types in self._types.items():
            path = stretch_path(lake, name + VERSIONS, of.timeline, of.first, of.last, self._suffix)
            writers[name] = _VersionFile(lake, path, types)
        # Streams of other applications have no tables here.
        parts = {name: (one, BY_TABLE[name].evolve, one.row, writers[name]) for name, one in TABLES.items()}
        states = self._states
        for position, stream, version, type_name, recorded_at, data in rows:
            name, _, key = stream.partition("/")
            if name not in parts:
                continue
            table, evolve, row_of, writer = parts[name]
            kept = states.pop(stream, None)
            before, size = self._before(name, key, version, position) if kept is None else kept
            recorded = Recorded(position, key, version, recorded_at, decode_event(type_name, data))
            state = evolve(before, recorded)
            self._keep(stream, state, size + len(data), size)
            made = None if state is None else row_of(state, version, position)
            if made is not None:
                writer.add(made, size + len(data))
            elif before is not None:
                known = {table.primary_key: table.row_key(key), "version": version, "position": position}
                writer.add_gone(known)
            if (beside := table.beside) is not None:
                second = writers[beside.name]
                for row in beside.rows(before, state, recorded.event, recorded_at):
                    second.add((*row, position), 0)
                if state is None:
                    # One version stands for all rows of their owner.
                    second.add_gone({beside.owner: table.row_key(key), "position": position})
        found = {name + VERSIONS: writer.finish() for name, writer in writers.items()}
        return {name: file for name, file in found.items() if file is not None}

    def _before(self, table: str, key: str, version: int, position: int) -> tuple[Any, int]:
        if version == 1:
            return None, 0
        state = self._load(table, key, position - 1).state
        size = _LOADED_BYTES
        self._bytes += size
        return state, size

    def _keep(self, stream: str, state: Any, size: int, before: int) -> None:
        self._states[stream] = (state, size)
        self._bytes += size - before
        while self._bytes > STATES_BYTES or len(self._states) > STATES:
            _, (_, gone) = self._states.popitem(last=False)
            self._bytes -= gone


class _VersionFile:
    """One file of row versions. The columns have the types that SQLite declares for them."""

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
        """Adds a row as an event left it, with its rough size."""
        self._rows.append(row)
        self._bytes += size_bytes
        if len(self._rows) >= BATCH_ROWS or self._bytes >= GROUP_BYTES:
            self._gather()

    def add_gone(self, known: dict[str, Any]) -> None:
        """Adds the version of a row that an event removed from its table, with the columns that are known."""
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
        """Makes a batch of the rows so far, and writes a group if the batches suffice for one."""
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
