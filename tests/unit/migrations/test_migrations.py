import hashlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from migrations import runner
from migrations.connection import (
    UnsafeSqliteError,
    open_memory,
    open_reader,
    open_writer,
    require_safe_sqlite,
    write_transaction,
)
from migrations.runner import Migration, MigrationError, known_migrations

FIRST = Migration(name="001_first", up="CREATE TABLE first (a);", down="DROP TABLE first;")
SECOND = Migration(name="002_second", up="CREATE TABLE second (a);", down="DROP TABLE second;")
RECORDS = Migration(
    name="000_records",
    up="CREATE TABLE schema_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, migration_name TEXT UNIQUE,"
    " executed_at INTEGER DEFAULT 7, checksum TEXT);",
    down="DROP TABLE schema_migrations;",
)
THREE = (RECORDS, FIRST, SECOND)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = open_writer(tmp_path / "hyperpage.db")
    yield opened
    opened.close()


def schema(connection: apsw.Connection) -> list[tuple[str, ...]]:
    return list(connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"))


def tables(connection: apsw.Connection) -> set[str]:
    return {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not name.startswith("sqlite_")
    }


# The migrations that the program ships


def test_what_is_shipped_goes_up_and_down_and_up_again_to_the_same_shape(connection: apsw.Connection):
    names = [one.name for one in known_migrations()]

    assert runner.up(connection) == names
    shape = schema(connection)
    for name in reversed(names):
        assert runner.down(connection) == [name]
    assert tables(connection) == set()
    assert runner.up(connection) == names
    assert schema(connection) == shape


@pytest.mark.parametrize("steps", range(1, 4))
def test_each_migration_is_taken_back_exactly_by_its_down(connection: apsw.Connection, steps: int):
    known = known_migrations()
    runner.up(connection, known[:steps])
    before = schema(connection)
    if steps < len(known):
        runner.up(connection, known[: steps + 1])
        runner.down(connection, known=known[: steps + 1])
        assert schema(connection) == before


def test_the_tables_have_the_columns_that_the_contract_names(connection: apsw.Connection):
    runner.up(connection)
    at_least = {
        "jobs": "id type name priority status tool endpoint payload result created_at updated_at started_at"
        " completed_at retry_count persisted_at recovery_attempts",
        "job_history": "id job_id attempt status started_at completed_at duration_ms error_message",
        "rate_limits": "id platform limit_remaining limit_total reset_time last_updated created_at",
        "tool_configs": "tool_name enabled config refresh_interval notifications updated_at",
        "app_state": "key value updated_at",
        "schema_migrations": "id migration_name executed_at",
        "command_answers": "command_id request_hash position answer",
        "timelines": "timeline first_position",
    }
    for table, columns in at_least.items():
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        assert found[: len(columns.split())] == columns.split()


def test_the_log_has_the_columns_of_the_contract_and_positions_as_its_key(connection: apsw.Connection):
    runner.up(connection)

    assert list(connection.execute("SELECT name, type, pk FROM pragma_table_info('events')")) == [
        ("position", "INTEGER", 1),
        ("stream", "TEXT", 0),
        ("version", "INTEGER", 0),
        ("type", "TEXT", 0),
        ("recorded_at", "INTEGER", 0),
        ("command_id", "TEXT", 0),
        ("data", "ANY", 0),
        ("metadata", "TEXT", 0),
        ("hash", "BLOB", 0),
    ]
    connection.execute("INSERT INTO events VALUES (1, 's', 1, 't', 1, NULL, '{}', NULL, x'00')")
    with pytest.raises(apsw.ConstraintError):
        connection.execute("INSERT INTO events VALUES (2, 's', 1, 't', 1, NULL, '{}', NULL, x'00')")


def test_the_first_migration_of_a_store_is_the_one_that_was_always_first():
    # A file of the system that this one replaces records it by this name.
    assert known_migrations()[0].name == "001_initial_schema"


def test_a_shipped_migration_is_never_edited_again():
    # Existing files would refuse an edited migration. One that is not shipped yet may change.
    checksums = {one.name: one.checksum for one in known_migrations()}

    assert {name: checksums[name][:16] for name in list(checksums)[:3]} == {
        "001_initial_schema": "a2535f56a353575c",
        "002_event_log": "80771ae6cfc1029b",
        "003_projection_columns": "f88447e8510e6ed4",
    }


# Up


def test_what_is_pending_is_applied_once_and_in_order(connection: apsw.Connection):
    assert runner.up(connection, (RECORDS, FIRST)) == ["000_records", "001_first"]
    assert runner.up(connection, THREE) == ["002_second"]
    assert runner.up(connection, THREE) == []
    assert tables(connection) == {"schema_migrations", "first", "second"}


def test_a_migration_that_fails_leaves_nothing_of_itself_and_of_those_before_it(connection: apsw.Connection):
    broken = Migration(name="002_broken", up="CREATE TABLE half (a); SELECT nonsense;", down="")

    with pytest.raises(MigrationError, match="002_broken failed"):
        runner.up(connection, (RECORDS, FIRST, broken))
    assert tables(connection) == set()
    assert not connection.in_transaction


def test_a_migration_that_was_edited_since_is_refused(connection: apsw.Connection):
    runner.up(connection, THREE)
    for edited in (
        Migration(name="001_first", up="CREATE TABLE first (a, b);", down=FIRST.down),
        Migration(name="001_first", up=FIRST.up, down=FIRST.down + " "),
    ):
        for act in (runner.up, runner.status, lambda *args: runner.down(args[0], known=args[1])):
            with pytest.raises(MigrationError, match="001_first is not the one") as caught:
                act(connection, (RECORDS, edited, SECOND))
            assert caught.value.hint
    assert [one.applied for one in runner.status(connection, THREE)] == [True] * 3


def test_a_file_of_a_newer_program_is_refused(connection: apsw.Connection):
    runner.up(connection, THREE)

    with pytest.raises(MigrationError, match="002_second, which this program does not know"):
        runner.up(connection, (RECORDS, FIRST))


def test_a_file_of_the_system_before_this_one_is_refused_and_left_as_it_is(connection: apsw.Connection):
    # That system's records have only the names of migrations.
    connection.execute(
        """CREATE TABLE schema_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT,
           migration_name TEXT NOT NULL UNIQUE, executed_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL);
           INSERT INTO schema_migrations (migration_name) VALUES ('001_initial_schema');
           CREATE TABLE app_state (key TEXT PRIMARY KEY, value TEXT);
           INSERT INTO app_state VALUES ('theme', 'dark')"""
    )
    before = schema(connection)

    for act in (runner.up, runner.down, runner.status):
        with pytest.raises(MigrationError, match="records no checksums of its migrations") as caught:
            act(connection)
        assert "another data directory" in caught.value.hint
        assert "hyperpage import" in caught.value.hint
    assert schema(connection) == before
    assert list(connection.execute("SELECT * FROM app_state")) == [("theme", "dark")]


def test_both_directions_are_part_of_the_checksum():
    assert FIRST.checksum == hashlib.sha256(f"{FIRST.up}\0{FIRST.down}".encode()).hexdigest()


def test_the_status_says_what_was_applied_and_when(connection: apsw.Connection):
    assert [one.applied for one in runner.status(connection, THREE)] == [False] * 3
    runner.up(connection, (RECORDS, FIRST))

    assert [(one.name, one.applied, one.executed_at) for one in runner.status(connection, THREE)] == [
        ("000_records", True, 7),
        ("001_first", True, 7),
        ("002_second", False, None),
    ]


def test_programs_that_start_together_apply_each_migration_once(tmp_path: Path):
    path = tmp_path / "hyperpage.db"
    open_writer(path).close()
    context = multiprocessing.get_context("spawn")

    with context.Pool(3) as pool:
        applied = pool.map(go_up, [path] * 3)

    assert sorted(applied) == [[], [], [one.name for one in known_migrations()]]


def go_up(path: Path) -> list[str]:
    connection = open_writer(path)
    try:
        return runner.up(connection)
    finally:
        connection.close()


# Down


def test_a_down_reverts_the_newest_or_all_behind_the_one_that_is_to_stay(connection: apsw.Connection):
    runner.up(connection, THREE)
    assert runner.down(connection, known=THREE) == ["002_second"]
    runner.up(connection, THREE)
    assert runner.down(connection, to="000_records", known=THREE) == ["002_second", "001_first"]
    assert runner.down(connection, to="000_records", known=THREE) == []
    assert tables(connection) == {"schema_migrations"}


def test_a_down_to_what_is_not_applied_is_refused(connection: apsw.Connection):
    runner.up(connection, (RECORDS, FIRST))

    for name in ("002_second", "999_never"):
        with pytest.raises(MigrationError, match=f"{name} is not applied"):
            runner.down(connection, to=name, known=THREE)


def test_a_down_of_an_empty_file_reverts_nothing(connection: apsw.Connection):
    assert runner.down(connection) == []


def test_a_down_never_drops_events_silently(connection: apsw.Connection):
    runner.up(connection)
    connection.execute("INSERT INTO events VALUES (1, 's', 1, 't', 1, NULL, '{}', NULL, x'00')")
    before = schema(connection)

    with pytest.raises(MigrationError, match="would drop the rows of events") as caught:
        runner.down(connection, to="001_initial_schema")

    assert "backup" in caught.value.hint
    assert schema(connection) == before
    assert all(one.applied for one in runner.status(connection))
    names = [one.name for one in known_migrations()]
    assert runner.down(connection, to=names[0], drop_events=True) == names[:0:-1]
    assert "events" not in tables(connection)


def test_a_down_never_drops_answers_silently(connection: apsw.Connection):
    runner.up(connection)
    connection.execute("INSERT INTO command_answers VALUES ('c', x'00', 1, '{}', 0, 1, 1)")

    with pytest.raises(MigrationError, match="would drop the rows of command_answers"):
        runner.down(connection, to="001_initial_schema")


def test_a_down_that_fails_leaves_everything_as_it_was(connection: apsw.Connection):
    broken = Migration(name="002_broken", up="CREATE TABLE second (a);", down="DROP TABLE missing;")
    runner.up(connection, (RECORDS, FIRST, broken))

    with pytest.raises(MigrationError, match="002_broken failed"):
        runner.down(connection, to="000_records", known=(RECORDS, FIRST, broken))
    assert tables(connection) == {"schema_migrations", "first", "second"}
    assert [one.applied for one in runner.status(connection, (RECORDS, FIRST, broken))] == [True] * 3


# Connections


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ("3.51.3", True),
        ("3.54.1", True),
        ("4.0.0", True),
        ("3.51.2", False),
        ("3.9.99", False),
        ("3.46.1", False),
    ],
)
def test_an_sqlite_that_can_corrupt_the_file_is_refused(version: str, is_safe: bool):
    if is_safe:
        require_safe_sqlite(version)
    else:
        with pytest.raises(UnsafeSqliteError, match=version):
            require_safe_sqlite(version)


def test_the_writers_commits_are_on_disk_and_its_file_is_in_wal_mode(connection: apsw.Connection):
    settings = {name: connection.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")}

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_reader_cannot_write_and_does_not_make_a_file(connection: apsw.Connection, tmp_path: Path):
    runner.up(connection, THREE)
    reader = open_reader(tmp_path / "hyperpage.db")

    assert reader.execute("SELECT count(*) FROM first").get == 0
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO first VALUES (1)")
    with pytest.raises(apsw.CantOpenError):
        open_reader(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    reader.close()


def test_a_transaction_that_raises_leaves_nothing(connection: apsw.Connection):
    runner.up(connection, THREE)

    def write_and_fail() -> None:
        with write_transaction(connection):
            connection.execute("INSERT INTO first VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with write_transaction(connection):
        connection.execute("INSERT INTO first VALUES (2)")

    assert list(connection.execute("SELECT a FROM first")) == [(2,)]
    assert not connection.in_transaction


def test_databases_in_memory_are_shared_by_name_alone():
    one, same, other = open_memory("a b/c?d"), open_memory("a b/c?d"), open_memory()
    one.execute("CREATE TABLE t (a)")

    assert same.table_exists("main", "t")
    assert not other.table_exists("main", "t")
    for connection in (one, same, other):
        connection.close()


def test_rows_from_before_the_job_system_get_what_their_events_say(connection: apsw.Connection):
    known = known_migrations()
    before = [one for one in known if one.name < "006"]
    runner.up(connection, tuple(before))
    connection.execute(
        "INSERT INTO jobs (id, type, name, priority, status, created_at, updated_at, persisted_at, queue)"
        " VALUES ('a', 't', 'n', 2, 'running', 1, 1, 1, 'q')"
    )
    events = [
        (1, 1, "job.enqueued.v1", 5, '{"run_at": 7}'),
        (2, 2, "job.claimed.v1", 10, "{}"),
        (3, 3, "job.attempt_failed.v1", 11, '{"next_run_at": 20}'),
        (4, 4, "job.claimed.v1", 30, "{}"),
        (5, 5, "job.interrupted.v1", 40, "{}"),
        (6, 6, "job.claimed.v1", 50, "{}"),
    ]
    for position, version, kind, at, data in events:
        connection.execute(
            "INSERT INTO events VALUES (?, 'jobs/a', ?, ?, ?, NULL, ?, NULL, x'00')",
            (position, version, kind, at, data),
        )
    for position, at in ((2, 10), (4, 30), (6, 50)):
        connection.execute(
            "INSERT INTO job_history (id, job_id, attempt, status, started_at) VALUES (?, 'a', 1, 's', ?)",
            (position, at),
        )

    runner.up(connection, known)

    assert connection.execute("SELECT timeout_ms, deadline_at, tags FROM jobs").fetchone() == (
        900_000, 900_050, "[]",
    )  # fmt: skip
    assert list(connection.execute("SELECT queue, due_at FROM job_history ORDER BY id")) == [
        ("q", 7), ("q", 20), ("q", 40),
    ]  # fmt: skip


def test_jobs_that_an_older_member_has_followed_get_what_it_did_not_know(connection: apsw.Connection):
    known = known_migrations()
    runner.up(connection, tuple(one for one in known if one.name < "013"))
    # A retried job counts its rescues from zero.
    for name, recovered in (("a", 1), ("b", 1), ("c", 0), ("retried", 0)):
        connection.execute(
            "INSERT INTO jobs (id, type, name, priority, status, created_at, updated_at, persisted_at, queue,"
            " attempt, recovery_attempts, created_position) VALUES (?, 't', 'n', 2, 'retrying', 1, 1, 1, 'q',"
            " 2, ?, 1)",
            (name, recovered),
        )
    events = [
        ("a", "job.enqueued.v1", '{"retry": {"factor": 3.0}}'),
        ("a", "job.claimed.v1", '{"attempt": 2}'),
        ("a", "job.rescued.v1", '{"costs_attempt": false}'),
        ("b", "job.enqueued.v1", "{}"),
        ("b", "job.rescued.v1", '{"costs_attempt": false}'),
        ("b", "job.claimed.v1", '{"attempt": 2}'),
        ("c", "job.enqueued.v1", "{}"),
        ("retried", "job.enqueued.v1", "{}"),
        ("retried", "job.claimed.v1", '{"attempt": 2}'),
        ("retried", "job.rescued.v1", '{"costs_attempt": false}'),
        ("retried", "job.cancelled.v1", "{}"),
        ("retried", "job.retried.v1", '{"max_attempts": 5}'),
    ]
    for position, (name, kind, data) in enumerate(events, 1):
        connection.execute(
            "INSERT INTO events VALUES (?, 'jobs/' || ?, ?, ?, 1, NULL, ?, NULL, x'00')",
            (position, name, position, kind, data),
        )

    runner.up(connection, known)
    # Taken back and brought up again, it is the same.
    runner.down(connection, to="012_cancel_reasons")
    runner.up(connection, known)

    assert list(connection.execute("SELECT id, attempt, retry FROM jobs ORDER BY id")) == [
        ("a", 1, '{"factor":3.0}'), ("b", 2, None), ("c", 2, None), ("retried", 1, None),
    ]  # fmt: skip
