"""Stores that measuring begins with: long histories, which are kept, and the bare rows of one."""

import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from migrations.connection import open_reader, write_transaction
from ops.store.opening import open_store
from tests.benchmarks.large_store import make_large_store
from tests.benchmarks.peers.environment import CACHE
from tests.support.repository import ROOT

# Events of a store for each of its jobs: a little over three are the job's own, the rest are others'.
EVENTS_OF_A_JOB = 5
_CACHE_KIB = 64 * 1024


def long_history(events: int, folder: Path) -> Path:
    """A data directory in `folder` with a store of so many events, decided from commands; nothing else in it.

    It is made once and kept, for as long as the shape of a store stays the same.
    """
    kept = CACHE / "stores" / f"{events}-{_shape()}.db"
    if not kept.exists():
        print(f"Making a store of {events:,} events …", file=sys.stderr, flush=True)
        began = time.monotonic()
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(".new")
        new.unlink(missing_ok=True)
        make_large_store(new, events=events, jobs=events // EVENTS_OF_A_JOB)
        new.rename(kept)
        print(f"… in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    folder.mkdir(parents=True)
    shutil.copyfile(kept, folder / "hyperpage.db")
    return folder


def _shape() -> str:
    """A hash of the sources that decide how such a store looks."""
    sources = sorted(
        [*(ROOT / "migrations").rglob("*.sql"), ROOT / "tests" / "benchmarks" / "large_store.py"]
    )
    return hashlib.sha256(b"".join(one.read_bytes() for one in sources)).hexdigest()[:12]


class BareRows(NamedTuple):
    """The rows of those tables in which each command has a row: by table, in the order of the log."""

    tables: dict[str, list[tuple[object, ...]]]
    commands: int


def bare_rows(store: Path, most: int) -> BareRows:
    """The rows of the first `most` commands in the store of a stopped service that only enqueued jobs."""
    connection = open_reader(store)
    try:
        events = min(most, connection.execute("SELECT count(*) FROM events").get)
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        tables = {}
        for name in names:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            if "position" in columns and connection.execute(f"SELECT count(*) FROM {name}").get >= events:
                tables[name] = list(
                    connection.execute(f"SELECT * FROM {name} ORDER BY position LIMIT {events}")
                )
        return BareRows(tables, events)
    finally:
        connection.close()


def insert_bare(rows: BareRows, path: Path, group: int) -> float:
    """Commands per second as SQLite alone inserts these rows into a new store, so many in a transaction.

    With the keys and indexes that a store has, each transaction synced as ours are; nothing is decided,
    hashed, encoded or looked up.
    """
    connection, _ = open_store(path, cache_kib=_CACHE_KIB)
    try:
        began = time.perf_counter()
        for first in range(0, rows.commands, group):
            with write_transaction(connection):
                for name, all_rows in rows.tables.items():
                    marks = ", ".join("?" * len(all_rows[0]))
                    connection.executemany(
                        f"INSERT INTO {name} VALUES ({marks})", all_rows[first : first + group]
                    )
        return rows.commands / (time.perf_counter() - began)
    finally:
        connection.close()
