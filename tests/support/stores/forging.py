"""Forged backups: their content is changed, and their metadata fit it."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log import chain
from ops.backup.metadata import Backup, write_metadata
from ops.backup.opening import opened
from ops.backup.sound import file_checksum
from ops.targets.places import Places
from ops.targets.sealing import Sealing, seal_file
from tests.support.stores.keys import KEY

WRITABLE = "PRAGMA writable_schema = on"
# Objects that a forged file may have: the SQL that makes them, and the words that the refusal has to name.
FORGED_SCHEMAS = {
    "a trigger": (
        "CREATE TRIGGER forge AFTER INSERT ON app_state BEGIN"
        " UPDATE app_state SET value = '\"forged\"' WHERE key = new.key; END",
        "trigger forge on app_state",
    ),
    "a trigger on the log": (
        "CREATE TRIGGER forge AFTER INSERT ON events BEGIN"
        " UPDATE events SET data = '{}' WHERE position = new.position; END",
        "trigger forge on events",
    ),
    "a trigger whose name is one of ours": (
        "CREATE TRIGGER idx_jobs_status AFTER DELETE ON jobs BEGIN SELECT 1; END",
        "trigger idx_jobs_status on jobs",
    ),
    "a view": ("CREATE VIEW seen AS SELECT * FROM events", "view seen"),
    "a view in place of a table": (
        "DROP TABLE queues; CREATE VIEW queues AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
        " SELECT i AS name, 0 AS paused, '' AS reason, 0 AS paused_at, 0 AS updated_at, 1 AS version,"
        " 1 AS position FROM n",
        "view queues",
    ),
    "an endless view in place of the records": (
        "DROP TABLE schema_migrations; CREATE VIEW schema_migrations AS WITH RECURSIVE n(i) AS (SELECT 1"
        " UNION ALL SELECT i FROM n) SELECT i AS id, '' AS migration_name, 0 AS executed_at,"
        " '' AS checksum FROM n",
        "view schema_migrations",
    ),
    "a table": ("CREATE TABLE spare (a, b)", "table spare"),
    "a table that holds jobs fast": (
        "CREATE TABLE spare (job_id TEXT REFERENCES jobs(id) ON DELETE RESTRICT)",
        "table spare",
    ),
    "an index": ("CREATE INDEX more ON events(type)", "index more on events"),
    "a unique index": ("CREATE UNIQUE INDEX once ON app_state(value)", "index once on app_state"),
    "an index of another order": (
        "DROP INDEX idx_jobs_status; CREATE INDEX idx_jobs_status ON jobs(status COLLATE NOCASE)",
        "index idx_jobs_status on jobs",
    ),
    "no index": ("DROP INDEX idx_jobs_status", "index idx_jobs_status on jobs is missing"),
    "a virtual table": ("CREATE VIRTUAL TABLE words USING fts5(text)", "table words"),
    "a generated column": (
        "ALTER TABLE app_state ADD COLUMN twice AS (value || value)",
        "table app_state is not defined as it should be",
    ),
    "a column": ("ALTER TABLE jobs ADD COLUMN more TEXT", "table jobs is not defined as it should be"),
    "a check": (
        f"{WRITABLE}; UPDATE sqlite_schema SET sql = replace(sql, 'key TEXT', 'key TEXT CHECK (key <> 1)')"
        " WHERE name = 'app_state'",
        "table app_state is not defined as it should be: CHECK (key",
    ),
    "a collation": (
        f"{WRITABLE}; UPDATE sqlite_schema SET sql = replace(sql, 'value TEXT', 'value TEXT COLLATE NOCASE')"
        " WHERE name = 'app_state'",
        "table app_state is not defined as it should be",
    ),
    "another default": (
        f"{WRITABLE}; UPDATE sqlite_schema SET sql = replace(sql, '''pending''', '''failed''')"
        " WHERE name = 'jobs'",
        "table jobs is not defined as it should be",
    ),
    "a name in capitals": (
        f"{WRITABLE}; UPDATE sqlite_schema SET name = 'APP_STATE' WHERE name = 'app_state'",
        "table APP_STATE",
    ),
    "statistics": ("ANALYZE", "table sqlite_stat1"),
    "another program's id": ("PRAGMA application_id = 7", "its application_id is 7"),
    "a count of repairs that cannot grow": ("PRAGMA user_version = 2147483647", "its user_version is 2147"),
    "a last number that cannot grow": (
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "its sqlite_sequence is not as migrations leave it",
    ),
    "a number for another table": (
        "INSERT INTO sqlite_sequence VALUES ('events', 5)",
        "its sqlite_sequence is not as migrations leave it",
    ),
    "a migration that is not recorded": (
        "DELETE FROM schema_migrations WHERE id = 3",
        "its records of migrations have a gap",
    ),
    "an older level in the records": (
        "DELETE FROM schema_migrations WHERE id > 5",
        "table job_history is not defined as it should be",
    ),
}


def tamper(file: Path, statements: str) -> None:
    """Runs statements on a file that no process uses, as a person with SQLite could."""
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(statements)


def forged_backup(backup: Backup, folder: Path, statements: str) -> Backup:
    """A copy of a backup, in `folder`, whose content the statements have changed; its metadata fit that."""
    place = folder / backup.name
    forged = folder / "forged.db"
    with opened(backup, [KEY], scratch=folder) as plain:
        shutil.copy(plain.path, forged)
    tamper(forged, statements)
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    with closing(apsw.Connection(str(forged))) as connection:
        # The metadata fit the content, as far as it can be read.
        rows = {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').get
            for (name,) in connection.execute(tables).fetchall()
        }
        head = chain.read_head(connection)
    return put_in_place(backup, forged, place, rows=rows, head_hash=head.hash.hex(), position=head.position)


def put_in_place(backup: Backup, forged: Path, place: Path, **said: Any) -> Backup:
    """A backup of the forged file, sealed as `backup` is; its metadata fit, and say `said` of the content."""
    sealing = backup.metadata.sealing
    is_sealed = sealing != Sealing()
    place.touch()
    if is_sealed:
        seal_file(forged, place, sealing)
    else:
        shutil.copy(forged, place)
    metadata = msgspec.structs.replace(
        backup.metadata,
        size=place.stat().st_size,
        checksum=file_checksum(place),
        plain_size=forged.stat().st_size if is_sealed else None,
        plain_checksum=file_checksum(forged) if is_sealed else None,
        **said,
    )
    forged.unlink()
    write_metadata(place, metadata)
    return Backup(place, metadata)


def places_in(folder: Path) -> Places:
    """The places of a store that lies in a folder with all that belongs to it."""
    return Places(store=folder / "hyperpage.db", backups=folder / "backups", archive=folder / "archive")
