"""The recorders of the eventsourcing library: the log for applications, tables of their own for the rest.

    DatabaseRecorder
    ├── StreamRecorder                reads the events of one stream
    │   ├── TableAggregateRecorder    stored_<purpose>: snapshots, for example
    │   └── LogApplicationRecorder    events: the log
    ├── TableTrackingRecorder         tracking: how far other applications were followed
    └── LogProcessRecorder            both of the last two, in one transaction

All of them are safe to use from several threads.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import apsw
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    ProcessRecorder,
    Recorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from bus.event_store.database import Database
from bus.event_store.subscription import LogSubscription
from bus.log import chain

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PURPOSE = re.compile(r"[A-Za-z0-9_]+")


def uuid_or_text(stream: str) -> UUID | str:
    """The id that was stored as `stream`: a UUID if the text is one in canonical form, else the text."""
    return UUID(stream) if _CANONICAL_UUID.fullmatch(stream) else stream


class DatabaseRecorder(Recorder):
    """A recorder in a `Database`, which other recorders may share."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create_tables(self) -> None:
        """Creates the missing ones of this recorder's tables; they are on disk when this returns."""


class StreamRecorder(DatabaseRecorder, AggregateRecorder):
    """Reads the events of a stream from `table`, whose columns have the names of the log's.

    `read_id` turns the text of a stream into the id that applications use.
    """

    def __init__(
        self, database: Database, table: str, *, read_id: Callable[[str], UUID | str] = uuid_or_text
    ) -> None:
        super().__init__(database)
        self._table = table
        self._read_id = read_id

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        bounds = (
            str(originator_id),
            _LOWEST if gt is None else gt,
            _HIGHEST if lte is None else lte,
            -1 if limit is None else limit,
        )
        with self.database.reading() as connection:
            # The index on (stream, version) gives the order.
            rows: list[Any] = connection.execute(
                f'SELECT stream, version, type, data FROM "{self._table}" WHERE stream = ? AND version > ?'
                f" AND version <= ? ORDER BY version {'DESC' if desc else 'ASC'} LIMIT ?",
                bounds,
            ).fetchall()
        return [
            StoredEvent(self._read_id(stream), version, topic, _as_bytes(data))
            for stream, version, topic, data in rows
        ]


class TableAggregateRecorder(StreamRecorder):
    """Events, or snapshots, of aggregates in their own table `stored_<purpose>`, outside the log."""

    def __init__(
        self, database: Database, purpose: str, *, read_id: Callable[[str], UUID | str] = uuid_or_text
    ) -> None:
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"{purpose!r} cannot be part of a table's name: letters, digits and _ can")
        super().__init__(database, f"stored_{purpose}", read_id=read_id)

    def create_tables(self) -> None:
        super().create_tables()
        with self.database.writing() as connection:
            connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{self._table}" (stream TEXT NOT NULL, version INTEGER NOT NULL,'
                " type TEXT NOT NULL, data ANY NOT NULL, PRIMARY KEY (stream, version)) STRICT"
            )

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        rows = [
            (str(event.originator_id), event.originator_version, event.topic, _as_text(event.state))
            for event in stored_events
        ]
        with self.database.writing() as connection:
            connection.executemany(f'INSERT INTO "{self._table}" VALUES (?, ?, ?, ?)', rows)


class LogApplicationRecorder(StreamRecorder, ApplicationRecorder):
    """Events of an application in the log: one sequence without gaps, each with a hash.

    A notification's id is the event's position. `clock` returns the time that is recorded with an event, in
    milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        database: Database,
        *,
        read_id: Callable[[str], UUID | str] = uuid_or_text,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        super().__init__(database, "events", read_id=read_id)
        self._clock = clock

    def create_tables(self) -> None:
        super().create_tables()
        self.database.migrate()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Appends events, and returns their positions. All of them are on disk then, or none.

        Raises:
            IntegrityError: a stream has an event of that version already.
        """
        if not stored_events:
            return []
        with self.database.writing() as connection:
            return self._append(connection, stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        first = _LOWEST if start is None else start if inclusive_of_start else start + 1
        last = _HIGHEST if stop is None else stop
        only_topics = "AND type IN (SELECT value FROM json_each(?))" if topics else ""
        parameters = (first, last, json.dumps(topics), limit) if topics else (first, last, limit)
        with self.database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT position, stream, version, type, data FROM events"
                f" WHERE position BETWEEN ? AND ? {only_topics} ORDER BY position LIMIT ?",
                parameters,
            ).fetchall()
        return [
            Notification(self._read_id(stream), version, topic, _as_bytes(data), position)
            for position, stream, version, topic, data in rows
        ]

    def max_notification_id(self) -> int | None:
        with self.database.reading() as connection:
            position: int | None = connection.execute("SELECT max(position) FROM events").get
        return position

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Every event behind the position `gt`, then each new one, even of another process."""
        return LogSubscription(self, self.database.commits, gt, topics)

    def _append(self, connection: apsw.Connection, stored_events: Sequence[StoredEvent]) -> Sequence[int]:
        entries = (
            chain.Entry(
                stream=str(event.originator_id),
                version=event.originator_version,
                type=event.topic,
                command_id=None,
                data=_as_text(event.state),
                metadata=None,
            )
            for event in stored_events
        )
        rows, _ = chain.extend(chain.read_head(connection), entries, self._clock())
        chain.insert(connection, rows)
        return [row.position for row in rows]


class TableTrackingRecorder(DatabaseRecorder, TrackingRecorder):
    """How far each upstream application was followed, with one row for each.

    A view is a subclass: it creates its tables in `create_tables`, and writes to them and calls
    `record_tracking` inside one `database.writing()`.
    """

    def create_tables(self) -> None:
        super().create_tables()
        with self.database.writing() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS tracking"
                " (application_name TEXT PRIMARY KEY NOT NULL, notification_id INTEGER NOT NULL)"
                " STRICT, WITHOUT ROWID"
            )

    def insert_tracking(self, tracking: Tracking) -> None:
        """Records on disk how far an application was followed.

        Raises:
            IntegrityError: it was already followed to that notification, or further.
        """
        with self.database.writing() as connection:
            self.record_tracking(connection, tracking)

    def record_tracking(self, connection: apsw.Connection, tracking: Tracking) -> None:
        """The same as `insert_tracking`, inside the caller's write transaction."""
        recorded = connection.execute(
            "INSERT INTO tracking VALUES (?, ?) ON CONFLICT (application_name)"
            " DO UPDATE SET notification_id = excluded.notification_id"
            " WHERE excluded.notification_id > tracking.notification_id RETURNING true",
            (tracking.application_name, tracking.notification_id),
        ).get
        if not recorded:
            raise IntegrityError(
                f"notification {tracking.notification_id} of {tracking.application_name} was tracked already"
            )

    def max_tracking_id(self, application_name: str) -> int | None:
        with self.database.reading() as connection:
            notification_id: int | None = connection.execute(
                "SELECT notification_id FROM tracking WHERE application_name = ?", (application_name,)
            ).get
        return notification_id


class LogProcessRecorder(TableTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Events of an application that follows others, recorded together with its tracking."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Appends events, and records the keyword argument `tracking` with them, even if there are none."""
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is None:
            return super().insert_events(stored_events, **kwargs)
        with self.database.writing() as connection:
            self.record_tracking(connection, tracking)
            return self._append(connection, stored_events)


def _as_text(state: bytes) -> str | bytes:
    # JSON is stored as text, because SQLite's JSON functions would take a BLOB for JSONB. Compressed or
    # encrypted state is not text.
    try:
        return state.decode()
    except UnicodeDecodeError:
        return state


def _as_bytes(data: str | bytes | None) -> bytes:
    if isinstance(data, str):
        return data.encode()
    return data or b""
