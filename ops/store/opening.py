"""Opens the store: its file, its shape, its identity."""

import logging
import os
import shutil
import time
from pathlib import Path

import apsw

from bus.log.cloud_events import Origin, read_origin
from domain.installed.error import AggregateError
from hyperpage_client.identifiers import new_id
from migrations import runner
from migrations.connection import open_writer, write_transaction
from migrations.schema import require_own_schema
from ops.audit.files import AuditError
from ops.audit.own_acts import own_act
from ops.audit.trail import AuditTrail
from ops.store.upgrade import bring_up_to_date
from projections import installed_tables

logger = logging.getLogger(__name__)


# The most time for folding a log to find out whether this version makes the same rows as the one before.
UPGRADE_CHECK_SECONDS = 600.0


class NoIdentityError(RuntimeError):
    """A member's file is missing or has no identity. It must get the identity of the log, not a new one."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not the file of a store that others have")
        self.hint = "move it away: one is made of a backup, the archive or the log at the next start"


def open_store(
    path: Path,
    *,
    cache_kib: int,
    upgrade_check_seconds: float = UPGRADE_CHECK_SECONDS,
    may_begin: bool = True,
) -> tuple[apsw.Connection, Origin]:
    """The writing connection of a store, migrated and with an identity; a new store if there is none.

    Without `may_begin`, the file must exist and have its identity already.

    A store of an older version is brought up to date as a whole, or left as it is; see `bring_up_to_date`.
    Migrations of an existing store are recorded in the audit log beside it.

    Raises:
        UnsafeSqliteError, MigrationError: as they say; SchemaDiffersError: the file has something that its
            migrations did not make, for example a trigger. NoIdentityError: as it says.
    """
    try:
        installed_tables.require_pure()
    except AggregateError as error:
        raise runner.MigrationError(error.message, error.hint) from error
    is_new = not path.exists()
    if is_new and not may_begin:
        raise NoIdentityError(path)
    if is_new:
        # SQLite would make it readable by other users. Its WAL gets the rights of the file.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = open_writer(path, cache_kib=cache_kib)
    try:
        require_own_schema(connection, path.name)
        if not is_new:
            _require_room(connection, path)
        applied = bring_up_to_date(connection, path, check_seconds=upgrade_check_seconds)
        if applied and not is_new:
            _record(path, applied)
        if may_begin:
            give_identity(connection)
        else:
            _require_identity(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, read_origin(connection)


def _require_identity(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("SELECT store_id FROM store").get is None:
        raise NoIdentityError(path)


def _require_room(connection: apsw.Connection, path: Path) -> None:
    """Returns if the disk has room for the migrations, which write half of the file's size at most.

    They write the rows that are made anew, to the WAL and to the file that these are compared with.
    """
    free_bytes, needed_bytes = shutil.disk_usage(path.parent).free, path.stat().st_size // 2
    if free_bytes < needed_bytes and not all(one.applied for one in runner.status(connection)):
        raise runner.MigrationError(
            f"bringing {path} up to date needs {needed_bytes} bytes beside it, and {free_bytes} are free",
            "make room, or move the data directory",
        )


def _record(path: Path, applied: list[str]) -> None:
    try:
        AuditTrail(path.parent).append(own_act("migrate.up", {"applied": applied}))
    except AuditError as error:
        # The migrations are applied. That the service cannot record acts is reported by its health.
        logger.warning("that migrations were applied does not stand in the audit log: %s", error)


def give_identity(connection: apsw.Connection) -> None:
    """Gives a store without an identity its id and first timeline; they are on disk when this returns."""
    with write_transaction(connection):
        if connection.execute("SELECT store_id FROM store").get is None:
            now = time.time_ns() // 1_000_000
            connection.execute("INSERT INTO store VALUES (?, ?)", (new_id(), now))
            # A restore may have begun a timeline already.
            connection.execute("INSERT OR IGNORE INTO timelines VALUES (1, 1)")
