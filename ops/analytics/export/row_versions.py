"""Every row as each event left it, as Parquet, so that SQL alone can tell what the tables were at any moment.

The rows are made by what makes those of the tables: the deciders' `evolve` and the projections' row
functions. A row that is gone is a version, too: its key, the position, and `deleted`. Attempts go together
with their job: one such version without an id, but with the `job_id`, stands for all of them.

Folding is Python's work, 10 µs an event, so a long stretch is folded in a process of its own beside the one
that writes the events: `python -m ops.analytics.export.row_versions`, with a `Task` as JSON on stdin, and the
answer on stdout.
"""

import gc
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from bus.log.states import Aggregate, read_aggregate
from domain.catalogue import BY_TABLE, UnknownEventTypeError, decode_event
from domain.messages import Recorded
from ops.analytics.export.log_files import ROW_GROUP_ROWS, log_writer
from ops.analytics.export.row_groups import GROUP_BYTES
from ops.analytics.lake.columns import DELETED, arrow_schema, version_columns
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import File, finished, replaced
from ops.analytics.lake.layout import VERSIONS, stretch_path
from ops.backup.sound import open_sealed
from ops.targets.errors import BackupError
from projections import jobs
from projections.comparison import HISTORY
from projections.table import Row
from projections.tables import TABLES

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

# What a process holds of states, by their number and by what their events weigh. One that was let go of is
# read from the log again, which takes ten times as long as folding an event.
STATES = 120_000
STATES_BYTES = 128 * 1024 * 1024
# What a state weighs that was read, roughly.
_LOADED_BYTES = 1_024
# As Python's objects, rows weigh several times as much as in Arrow.
BATCH_ROWS = 4_096
# The writing of the events beside them takes half as much as one of them.
PROCESSES = 2
# Fewer events are folded at once: a process takes 0.5 s to start.
WORTH_A_PROCESS = 20_000
# How such a process ends that has met what cannot be folded.
_REFUSED = 3

# Reads an aggregate as it was at a position, and which attempts a job had by then.
Load = Callable[[str, str, int], Aggregate]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Some positions of one timeline."""

    timeline: int
    first: int
    last: int


class Share(msgspec.Struct, frozen=True):
    """Which streams one of several folds takes."""

    number: int = 0
    of: int = 1

    @property
    def condition(self) -> str:
        """What is true of its streams, in SQL: so those of the others never become Python's objects.

        By how a stream's name ends; the names of all tables here are longer than that.
        """
        letters = " + ".join(f"unicode(substr(stream, -{place}))" for place in (1, 2, 3))
        return "true" if self.of == 1 else f"(length(stream) + {letters}) % {self.of} = {self.number}"

    @property
    def suffix(self) -> str:
        """What its files have behind their names, beside those of the others."""
        return "" if self.of == 1 else f"-{self.number}"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to fold: the ranges follow each other in the log of a sealed file."""

    lake: str
    backup: str
    ranges: list[Range]
    share: Share = Share()


Files = list[dict[str, File]]


class Folding:
    """The files of row versions that processes are writing, or that are written when asked for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        events = sum(one.last - one.first + 1 for one in task.ranges)
        shares = [Share(number, PROCESSES) for number in range(PROCESSES)] if events > WORTH_A_PROCESS else []
        self._processes = [_start(msgspec.structs.replace(task, share=share)) for share in shares]

    def files(self) -> list[Files]:
        """What each process has written, whole and on disk.

        Raises:
            BackupError: the log has what cannot be folded.
            AnalyticsError: a process was ended.
        """
        if not self._processes:
            return [fold_sealed(self._task)]
        found: list[Files] = []
        for process in self._processes:
            out, _ = process.communicate()
            if process.returncode == _REFUSED:
                raise BackupError("damaged", out.decode())
            if process.returncode != 0:
                raise AnalyticsError(
                    "interrupted", f"the process that folds the log ended with {process.returncode}"
                )
            found.append(msgspec.json.decode(out, type=Files))
        return found

    def __enter__(self) -> "Folding":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(task: Task) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.analytics.export.row_versions"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task))
    process.stdin.close()
    process.stdin = None
    return process


def fold_sealed(task: Task) -> Files:
    """The files of each range, by table.

    Raises:
        BackupError: the log has what cannot be folded.
    """
    with closing(open_sealed(Path(task.backup))) as connection:
        # Each page is read once, in order: as part of the memory of each process it would only weigh.
        connection.pragma("mmap_size", 0)

        def load(table: str, key: str, position: int) -> Aggregate:
            return read_aggregate(connection, table, key, up_to_position=position)

        def rows(of: Range) -> Iterable[tuple[Any, ...]]:
            return connection.execute(
                "SELECT position, stream, version, type, recorded_at, data FROM events"
                f" WHERE position BETWEEN ? AND ? AND {task.share.condition} ORDER BY position",
                (of.first, of.last),
            )

        fold = Fold(load, suffix=task.share.suffix)
        try:
            return [fold.write(Path(task.lake), one, rows(one)) for one in task.ranges]
        except (UnknownEventTypeError, msgspec.MsgspecError, apsw.Error, UnicodeDecodeError) as error:
            raise BackupError("damaged", f"the log cannot be folded: {error}") from error


class Fold:
    """Folds events in the order of their positions; `load` gives the aggregates of before.

    Of several folds that share the work, each has files with a `suffix` of its own.
    """

    def __init__(self, load: Load, *, suffix: str = "") -> None:
        self._load = load
        self._suffix = suffix
        self._types = version_columns()
        # With what their events weigh.
        self._states: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def write(self, lake: Path, of: Range, rows: Iterable[tuple[Any, ...]]) -> dict[str, File]:
        """Folds some events, and writes what rows they lead to; the file of each table that has any.

        `rows` have position, stream, version, type, time and data of each event.
        """
        writers = {
            name: _Writer(lake, of, name + VERSIONS, self._suffix, types)
            for name, types in self._types.items()
        }
        history = writers[HISTORY]
        # What other applications keep in the log has no tables here.
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
            if table is jobs.TABLE:
                for attempt in jobs.history_rows(before, state, recorded.event, recorded_at):
                    history.add((*attempt, position), 0)
                if state is None:
                    # All attempts that the job had until now.
                    history.add_gone({"job_id": key, "position": position})
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


class _Writer:
    """One file of row versions."""

    def __init__(self, lake: Path, of: Range, table: str, suffix: str, types: dict[str, str]) -> None:
        import pyarrow

        self._lake = lake
        self._path = stretch_path(lake, table, of.timeline, of.first, of.last, suffix)
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
        """A row as an event left it; it weighs about so much."""
        self._rows.append(row)
        self._bytes += size_bytes
        if len(self._rows) >= BATCH_ROWS or self._bytes >= GROUP_BYTES:
            self._gather()

    def add_gone(self, known: dict[str, Any]) -> None:
        """A row that an event took out of its table: what is known of it still."""
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
        """The rows so far as a batch; enough of them are a group."""
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


def main() -> int:
    """Does one task, which is read from stdin; the answer goes to stdout."""
    # Nothing of it is part of a cycle, and there is much of it.
    gc.disable()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        sys.stdout.buffer.write(msgspec.json.encode(fold_sealed(task)))
    except BackupError as error:
        sys.stdout.write(error.message)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
