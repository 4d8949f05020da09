"""The tables of aggregates that other distributions bring: made, filled and made again in a file.

These tables follow from the installed packages, and not from numbered migrations. So each is recorded in the
file with its columns, and with a hash of the structs and upcasters that its rows follow from. If the hash is
another one now, the table's streams are folded again. Rows are always those that today's program makes of the
log; if that fails, nothing is changed.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import msgspec

from domain.catalogue import BY_TABLE, INSTALLED, UnknownEventTypeError
from domain.decider import Decider
from domain.installed.error import AggregateError
from domain.installed.library import Adapted
from domain.messages import Event
from migrations.aggregate_tables import (
    MAXIMUM_TABLES,
    AggregateTable,
    make_table,
    record,
    recorded_tables,
)
from projections import rebuild, trial
from projections.comparison import count_repair
from projections.rebuild import FoldError, streams_of
from projections.table import Table
from projections.tables import INSTALLED_TABLES, TABLES

# Rows and events are counted up to this number, so that the answer comes quickly.
MAXIMUM_COUNTED = 100_000
# With this much free room, the room that rows need is not computed.
_MOST_NEEDED_BYTES = 64 * 1024**3
# The number of the form in which this program stores rows: with a new one, all tables are made again.
_FORM = 2
_BROUGHT = {one.decider.table: one for one in INSTALLED}
_SOURCES = {one.decider.table: one.source for one in INSTALLED}


class KeptTable(msgspec.Struct, frozen=True, kw_only=True):
    """A kept table whose aggregate is not installed. `rows` and `events` count to `MAXIMUM_COUNTED` + 1."""

    table: str
    rows: int
    events: int


def free_beside(path: str) -> int:
    """The free bytes of the disk that a file is on."""
    return shutil.disk_usage(Path(path).parent).free


def bring_up_to_date(
    connection: apsw.Connection, *, fills: bool = True, free_bytes: Callable[[str], int] = free_beside
) -> list[str]:
    """Brings the tables of installed aggregates up to date, and returns the names of those that were not.

    This is part of the caller's transaction. Without `fills`, the tables are left empty, for a rebuild.
    `free_bytes` returns the free bytes of the disk that a file is on.

    Raises:
        AggregateError: an event of the log no longer fits its type, or cannot be folded; or there is no room
            for the rows.
    """
    recorded = recorded_tables(connection)
    for name, found in recorded.items():
        if name not in TABLES:
            # The table is no longer kept up to date. It is filled again if its aggregate is installed again.
            record(connection, msgspec.structs.replace(found, shape=""), _now_ms())
    wrong = [(table, wanted) for table, wanted in _wanted() if recorded.get(table.name) != wanted]
    if len(recorded.keys() | {table.name for table, _ in wrong}) > MAXIMUM_TABLES:
        raise AggregateError(
            _SOURCES[wrong[0][0].name],
            f"the store has {MAXIMUM_TABLES} tables of others already",
            "take packages out, or begin another store",
        )
    for table, wanted in wrong:
        before = recorded.get(table.name)
        if before is None or before.checksum != wanted.checksum:
            make_table(connection, wanted, _now_ms())
        else:
            connection.execute(f"DELETE FROM {table.name}")
            record(connection, wanted, _now_ms())
        # Snapshots may be of older structs of events or states.
        connection.execute("DELETE FROM snapshots WHERE stream >= ? AND stream < ?", streams_of(table.name))
        # Tells readers that keep rows of an earlier copy of the file to read them again.
        count_repair(connection)
        if not fills:
            continue
        require_room(connection, table.name, _SOURCES[table.name], free_bytes)
        try:
            rebuild.refill(connection, table)
        except FoldError as error:
            is_class = isinstance(_BROUGHT[table.name].table, Adapted)
            raise AggregateError(
                _SOURCES[table.name],
                f"the event at position {error.position}, of type {error.type}, does not fold: {error}",
                f"{what_to_do(BY_TABLE[table.name], error, is_class=is_class)}; nothing was changed",
            ) from error
    return [table.name for table, _ in wrong]


def outdated(connection: apsw.Connection) -> list[str]:
    """The tables that `bring_up_to_date` would make, make again, or record as no longer kept up to date."""
    recorded = recorded_tables(connection)
    wrong = [table.name for table, wanted in _wanted() if recorded.get(table.name) != wanted]
    return wrong + [name for name, one in recorded.items() if name not in TABLES and one.shape]


def require_pure() -> None:
    """Returns if the functions of every installed aggregate depend on their arguments alone.

    Raises:
        AggregateError: those of an aggregate do not.
    """
    for name, source in _SOURCES.items():
        # The pause lets a clock of milliseconds advance between the two runs.
        trial.require_pure(BY_TABLE[name], TABLES[name], source, lambda: time.sleep(0.002))


def without_aggregate(connection: apsw.Connection) -> list[str]:
    """The tables whose aggregates are not installed: they are kept as they are, and not served."""
    return [name for name in recorded_tables(connection) if name not in TABLES]


def kept_without_aggregate(connection: apsw.Connection) -> Iterator[KeptTable]:
    """The tables whose aggregates are not installed and that have events, with what is kept of each."""
    for name in without_aggregate(connection):
        rows = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT ?)", (MAXIMUM_COUNTED + 1,)
        ).get
        events = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM events WHERE stream >= ? AND stream < ? LIMIT ?)",
            (*streams_of(name), MAXIMUM_COUNTED + 1),
        ).get
        if events:
            yield KeptTable(table=name, rows=rows, events=events)


def require_room(
    connection: apsw.Connection, table: str, source: str, free_bytes: Callable[[str], int]
) -> None:
    """Returns if the rows of a table fit onto the disk, by an estimate before they are made.

    Rows hold what their events have brought, so the size of the events is taken, twice: rows are written to
    the WAL, and from there to the file.

    Raises:
        AggregateError: they do not fit; it names `source`, from which the aggregate came.
    """
    path = connection.filename
    if not path or (free := free_bytes(path)) >= _MOST_NEEDED_BYTES:
        return
    of_events = connection.execute(
        "SELECT total(octet_length(data)) FROM events WHERE stream >= ? AND stream < ?", streams_of(table)
    ).get
    if free < (needed := 2 * int(of_events)):
        raise AggregateError(
            source,
            f"its table is made anew of its events, which may take {needed} bytes beside {path}, and"
            f" {free} are free",
            "make room, or move the data directory; nothing was changed",
        )


def what_to_do(decider: Decider, error: FoldError, *, is_class: bool) -> str:
    """Advice for the author of an aggregate about an event that does not fold; `is_class`: it is a class."""
    events = decider.events
    name, _, version = error.type.rpartition(".v")
    newest = max((int(one.rpartition(".v")[2]) for one in events if one.startswith(f"{name}.v")), default=0)
    if isinstance(error.__cause__, UnknownEventTypeError):
        if newest:
            return f"a later version of the package wrote it, with a v{version} of {name}: install that one"
        where = "the class" if is_class else "the decider's `events`"
        return f"an event stays what it was: {where} goes on having {error.type}, even if nothing leads to it"
    if not isinstance(error.__cause__, msgspec.MsgspecError):
        takes = "its `apply`, or the method that it is of," if is_class else "`evolve`"
        return f"what was accepted once happened: {takes} goes on taking it, whatever is refused today"
    if int(version) < newest:
        step = f"upcast_v{version}_v{int(version) + 1}" if is_class else "the upcasters"
        return f"mend {step}: what comes of it is no {name}.v{newest}"
    if is_class:
        # Its event is an attribute of the class.
        event = events.get(f"{name}.v{newest}", Event).__name__
        step = f"upcast_v{newest}_v{newest + 1}"
        return (
            f"an event stays what it was: give {event} `class_version = {newest + 1}` and a static method"
            f" {step}(state), which makes what the log has into what it is now"
        )
    return (
        "an event stays what it was: give the changed struct a type of its own"
        f" ({name}.v{newest + 1}) and the decider an upcaster from {name}.v{newest}"
    )


def _wanted() -> Iterator[tuple[Table, AggregateTable]]:
    for table in INSTALLED_TABLES:
        definition = AggregateTable(
            name=table.name,
            columns=table.columns_made,
            indexed=table.indexed,
            shape=_shape(BY_TABLE[table.name], table),
        )
        yield table, definition


def _shape(decider: Decider, table: Table) -> str:
    """A hash of what rows follow from: the structs, as msgspec sees them, and the types with an upcaster."""
    structs = {"state": decider.state, "row": table.shape, **decider.events}
    described = {name: _described(msgspec.inspect.type_info(one), set()) for name, one in structs.items()}
    all_of_it = [_FORM, described, decider.state.__doc__, sorted(decider.upcasters)]
    return sha256(msgspec.json.encode(all_of_it, order="sorted")).hexdigest()


def _described(kind: Any, seen: set[Any]) -> Any:
    """A type as msgspec sees it, as plain values that are the same in every process."""
    if isinstance(kind, tuple):
        return [_described(one, seen) for one in kind]
    if isinstance(kind, msgspec.inspect.Type | msgspec.inspect.Field):
        if (own := getattr(kind, "cls", None)) is not None:
            if own in seen:
                return own.__qualname__
            seen.add(own)
        held = {name: getattr(kind, name) for name in kind.__struct_fields__}
        return [type(kind).__name__, {name: _described(one, seen) for name, one in held.items()}]
    if isinstance(kind, type) or callable(kind):
        # Without the module, which may change without changing what the struct holds.
        return getattr(kind, "__qualname__", type(kind).__name__)
    try:
        # Sorted, so that a set is always the same.
        return msgspec.json.encode(kind, order="sorted").decode()
    except TypeError:
        return type(kind).__name__


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
