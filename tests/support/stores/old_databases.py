"""Files of the system before this one, in both of their variants, as that system made them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, priority INTEGER NOT NULL,
  status TEXT NOT NULL, tool TEXT, endpoint TEXT, payload TEXT, result TEXT, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, started_at INTEGER, completed_at INTEGER,
  retry_count INTEGER DEFAULT 0 NOT NULL, persisted_at INTEGER NOT NULL,
  recovery_attempts INTEGER DEFAULT 0 NOT NULL
);
CREATE TABLE job_history (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL REFERENCES jobs(id), attempt INTEGER NOT NULL,
  status TEXT NOT NULL, started_at INTEGER, completed_at INTEGER, duration_ms INTEGER, error_message TEXT
);
CREATE TABLE rate_limits (
  id TEXT PRIMARY KEY, platform TEXT NOT NULL, limit_remaining INTEGER, limit_total INTEGER,
  reset_time INTEGER, last_updated INTEGER NOT NULL, created_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);
CREATE TABLE tool_configs (
  tool_name TEXT PRIMARY KEY, enabled INTEGER DEFAULT true NOT NULL, config TEXT, refresh_interval INTEGER,
  notifications INTEGER DEFAULT true NOT NULL, updated_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);
CREATE TABLE app_state (
  key TEXT PRIMARY KEY, value TEXT, updated_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);
CREATE TABLE schema_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, migration_name TEXT NOT NULL UNIQUE,
  executed_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);
INSERT INTO schema_migrations (migration_name) VALUES ('001_initial_schema');
"""
LATER_SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, priority INTEGER NOT NULL,
  status TEXT NOT NULL, tool TEXT, endpoint TEXT, payload TEXT, result TEXT, scheduledAt INTEGER,
  startedAt INTEGER, completedAt INTEGER, retryCount INTEGER DEFAULT 0, persistedAt INTEGER,
  recoveryAttempts INTEGER DEFAULT 0,
  attempts INTEGER DEFAULT 0, last_error TEXT, createdAt INTEGER NOT NULL, updatedAt INTEGER NOT NULL
);
CREATE TABLE job_history (
  id INTEGER PRIMARY KEY AUTOINCREMENT, jobId TEXT NOT NULL, status TEXT NOT NULL, details TEXT,
  createdAt INTEGER NOT NULL
);
CREATE TABLE app_state (key TEXT PRIMARY KEY, value TEXT);
"""

CREATED = 1_700_000_000_000
JOB: dict[str, Any] = {
    "id": "one",
    "type": "sync",
    "name": "acme/site",
    "priority": 3,
    "status": "pending",
    "tool": None,
    "endpoint": None,
    "payload": '{"a":1}',
    "result": None,
    "created_at": CREATED,
    "updated_at": CREATED + 5,
    "started_at": None,
    "completed_at": None,
    "retry_count": 0,
    "persisted_at": CREATED + 7,
    "recovery_attempts": 0,
}
LATER_JOB: dict[str, Any] = {
    "id": "one",
    "type": "sync",
    "name": "acme/site",
    "priority": 3,
    "status": "pending",
    "payload": '{"a":1}',
    "createdAt": CREATED,
    "updatedAt": CREATED + 5,
}
RATE_LIMIT: dict[str, Any] = {
    "id": "ratelimit:github",
    "platform": "github",
    "limit_remaining": 4_000,
    "limit_total": 5_000,
    "reset_time": CREATED + 3_600_000,
    "last_updated": CREATED + 11,
    "created_at": CREATED + 10,
}
TOOL_CONFIG: dict[str, Any] = {
    "tool_name": "github",
    "enabled": 0,
    "config": '{"repositories":["acme/site"]}',
    "refresh_interval": 300_000,
    "notifications": 1,
    "updated_at": CREATED + 12,
}
APP_STATE: dict[str, Any] = {"key": "theme", "value": '"dark"', "updated_at": CREATED + 13}


def old_database(path: Path, *, schema: str = SCHEMA, **tables: Iterable[Mapping[str, Any]]) -> Path:
    """A file with these rows, as the old system leaves it: in WAL mode, closed."""
    connection = writing_to(path)
    connection.execute(schema)
    insert(connection, **tables)
    connection.close()
    return path


def writing_to(path: Path) -> apsw.Connection:
    """A connection as the old system has it."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "normal")
    return connection


def insert(connection: apsw.Connection, **tables: Iterable[Mapping[str, Any]]) -> None:
    """Rows by their table; every one names its columns."""
    connection.execute("BEGIN")
    for table, rows in tables.items():
        for row in rows:
            places = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values())
            )
    connection.execute("COMMIT")


def select(path: Path, table: str, columns: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a table in a file, by its first column."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    names = tuple(columns)
    rows = list(connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1"))
    connection.close()
    return [dict(zip(names, row, strict=True)) for row in rows]
