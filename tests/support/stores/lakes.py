"""Stores made into lakes, and what the tables of both have."""

from pathlib import Path
from typing import Any

import apsw
import duckdb

from ops.analytics.export.exporting import ExportReport, export
from ops.backup.metadata import damaged_backups, list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.targets.sealing import Identities
from projections.tables import TABLE_COLUMNS
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, Stored

Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(connection: apsw.Connection) -> Rows:
    return {
        table: sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)
        for table, columns in TABLE_COLUMNS.items()
    }


def rows_at(lake: duckdb.DuckDBPyConnection, moment: str) -> Rows:
    return {
        table: sorted(
            lake.execute(f"SELECT {', '.join(columns)} FROM {table}_at({moment})").fetchall(), key=repr
        )
        for table, columns in TABLE_COLUMNS.items()
    }


def rows_shown(lake: duckdb.DuckDBPyConnection) -> Rows:
    return {
        table: sorted(lake.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall(), key=repr)
        for table, columns in TABLE_COLUMNS.items()
    }


def worked(archived: Archived, commands: int = 40) -> tuple[int, Rows]:
    """Sends commands; where the log is then, and what the tables have."""
    archived.work(commands)
    archived.archive()
    return archived.store.writer.head.position, archived.store.in_writer(rows_of)


def exported(stored: Stored, lake: Path, *, identities: Identities = ()) -> ExportReport:
    """The store's backups and archive in a lake, as the command does it."""
    return export(
        list_backups(stored.places.backups),
        lake,
        store_id=stored.store.origin.store_id,
        damaged=damaged_backups(stored.places.backups),
        archive=stored.places.archive,
        identities=identities,
    )


def restored(archived: Archived, moment: Moment) -> None:
    """Puts the store back, and goes on with it on its new timeline."""
    archived.close()
    restore(archived.places, moment, version=VERSION, now_ms=archived.clock.now)
    archived.reopen()
    archived.__dict__.update(readers=type(archived.readers)(archived.path), _told=0)
    archived.archiver = archived.new_archiver()
