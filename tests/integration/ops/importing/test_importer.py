"""An old file's rows, imported into a real store."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from domain.credentials.scanning import AllowedPaths
from ops.importing import importer
from ops.importing.destinations import StoppedStore, Trial, trial_connection
from ops.importing.importer import ImportReport, import_all
from ops.importing.source import Source, SourceError, SourceMissingError
from ops.store import projections_check
from ops.store.opening import open_store
from tests.support.clock import NOW
from tests.support.stores.old_databases import (
    APP_STATE,
    CREATED,
    JOB,
    LATER_JOB,
    LATER_SCHEMA,
    RATE_LIMIT,
    SCHEMA,
    TOOL_CONFIG,
    insert,
    old_database,
    select,
    writing_to,
)

KEY_RULE = "a key is of letters"
FAILED = {"attempt": 1, "status": "failed", "started_at": 3, "completed_at": 5, "duration_ms": 2}
ATTEMPTS: list[dict[str, Any]] = [
    FAILED | {"error_message": "no route"},
    FAILED | {"attempt": 2, "status": "completed", "completed_at": 9, "error_message": None},
]
FINISHED: dict[str, Any] = JOB | {
    "id": "two",
    "status": "completed",
    "started_at": 3,
    "completed_at": 9,
    "result": "[1]",
    "tool": "github",
    "endpoint": "/repos",
    "retry_count": 1,
    "recovery_attempts": 2,
}
EVERYTHING: dict[str, Any] = {
    "jobs": [JOB, FINISHED],
    "job_history": [{"job_id": "two", **one} for one in ATTEMPTS],
    "rate_limits": [RATE_LIMIT],
    "tool_configs": [TOOL_CONFIG],
    "app_state": [APP_STATE],
}


def store_in(folder: Path) -> Path:
    return folder / "hyperpage.db"


def imported(old: Path, folder: Path, *, now: int = NOW, allowed: AllowedPaths | None = None) -> ImportReport:
    """Imports the old file into the folder's store, and checks that its tables equal its log; the report."""
    allowed = allowed or AllowedPaths()
    connection, _ = open_store(store_in(folder), cache_kib=4_096)
    with closing(connection), closing(Source(old)) as source:
        report = import_all(source, StoppedStore(connection, allowed, lambda: now), allowed=allowed)
    assert projections_check.verify(store_in(folder))["equal"]
    return report


def tried(old: Path, folder: Path) -> ImportReport:
    allowed = AllowedPaths()
    with closing(Source(old)) as source, trial_connection(store_in(folder)) as connection:
        destination = Trial(connection, allowed, lambda: NOW)
        return import_all(source, destination, allowed=allowed, dry_run=True)


def counts(report: ImportReport) -> dict[str, tuple[int, int, int, int]]:
    return {
        name: (one.rows, one.imported, one.unchanged, one.not_taken) for name, one in report.tables.items()
    }


def reasons(report: ImportReport) -> list[tuple[str, str, str]]:
    return [(one.table, one.id, one.reason) for one in report.not_taken]


def events(folder: Path) -> list[dict[str, Any]]:
    return select(store_in(folder), "events", ("position", "stream", "type", "data", "hash"))


def test_every_row_has_afterwards_what_it_had_before(tmp_path):
    old = old_database(tmp_path / "old.db", **EVERYTHING)
    report = imported(old, tmp_path)

    assert report.is_complete
    assert report.position == 5
    for table, rows in EVERYTHING.items():
        if table != "job_history":
            assert select(store_in(tmp_path), table, rows[0]) == rows
    history = EVERYTHING["job_history"]
    assert select(store_in(tmp_path), "job_history", ("id", *history[0])) == [
        # Negative ids, in the rows' order: no attempt that begins here ever has a negative id.
        {"id": -2_000 + place, **row}
        for place, row in enumerate(history)
    ]
    assert counts(report) == {
        "jobs": (2, 2, 0, 0),
        "job_history": (2, 2, 0, 0),
        "rate_limits": (1, 1, 0, 0),
        "tool_configs": (1, 1, 0, 0),
        "app_state": (1, 1, 0, 0),
    }


def test_the_later_variant_is_read_by_its_own_names(tmp_path):
    job = LATER_JOB | {
        "status": "failed",
        "scheduledAt": CREATED + 1,
        "startedAt": CREATED + 2,
        "completedAt": CREATED + 3,
        "retryCount": 4,
        "persistedAt": CREATED + 4,
        "recoveryAttempts": 5,
        "attempts": 6,
        "last_error": "no route",
    }
    changes: list[dict[str, Any]] = [
        {"jobId": "one", "status": "running", "details": None, "createdAt": CREATED + 2},
        {"jobId": "one", "status": "failed", "details": "no route", "createdAt": CREATED + 3},
    ]
    old = old_database(
        tmp_path / "old.db",
        schema=LATER_SCHEMA,
        jobs=[job],
        job_history=changes,
        app_state=[{"key": "theme", "value": '"dark"'}],
    )
    assert imported(old, tmp_path).is_complete
    expected = {
        "id": "one",
        "created_at": CREATED,
        "updated_at": CREATED + 5,
        "started_at": CREATED + 2,
        "completed_at": CREATED + 3,
        "retry_count": 4,
        "persisted_at": CREATED + 4,
        "recovery_attempts": 5,
        "attempt": 6,
        "error": "no route",
        "run_at": CREATED + 1,
        "state": "failed",
    }
    assert select(store_in(tmp_path), "jobs", expected) == [expected]
    columns = ("id", "job_id", "attempt", "status", "started_at", "error_message")
    assert [tuple(row.values())[1:] for row in select(store_in(tmp_path), "job_history", columns)] == [
        ("one", 1, "running", CREATED + 2, None),
        ("one", 2, "failed", CREATED + 3, "no route"),
    ]
    assert select(store_in(tmp_path), "app_state", ("key", "updated_at")) == [
        {"key": "theme", "updated_at": NOW}
    ]


def test_times_are_understood_as_numbers_and_as_texts(tmp_path):
    schema = LATER_SCHEMA.replace("createdAt INTEGER", "createdAt")
    rows = [
        LATER_JOB | {"id": "float", "createdAt": float(CREATED)},
        LATER_JOB | {"id": "text", "createdAt": "2023-11-14T22:13:20.000Z"},
        LATER_JOB | {"id": "words", "createdAt": "last week"},
        LATER_JOB | {"id": "without_zone", "createdAt": "2023-11-14 22:13:20"},
    ]
    report = imported(old_database(tmp_path / "old.db", schema=schema, jobs=rows), tmp_path)

    assert select(store_in(tmp_path), "jobs", ("id", "created_at")) == [
        {"id": "float", "created_at": CREATED},
        {"id": "text", "created_at": CREATED},
        {"id": "without_zone", "created_at": CREATED},
    ]
    assert reasons(report) == [("jobs", "words", "Expected `int`, got `str` (at $.created_at)")]


def test_a_second_run_changes_nothing(tmp_path):
    old = old_database(tmp_path / "old.db", **EVERYTHING)
    imported(old, tmp_path)
    before = events(tmp_path)

    report = imported(old, tmp_path, now=NOW + 10**9)
    assert events(tmp_path) == before
    assert report.is_complete
    assert {row[1:] for row in counts(report).values()} == {(0, 1, 0), (0, 2, 0)}


def test_a_row_that_changed_since_is_reported_and_one_that_is_new_is_imported(tmp_path):
    old = old_database(tmp_path / "old.db", **EVERYTHING)
    imported(old, tmp_path)
    with closing(writing_to(old)) as connection:
        connection.execute("UPDATE app_state SET value = '\"light\"'")
        insert(connection, job_history=[{"job_id": "two", **ATTEMPTS[0]}], jobs=[JOB | {"id": "three"}])

    report = imported(old, tmp_path)
    assert [(one.table, one.id, one.code) for one in report.not_taken] == [
        ("jobs", "two", "changed"),
        ("app_state", "theme", "changed"),
    ]
    assert counts(report)["jobs"] == (3, 1, 1, 1)
    assert counts(report)["job_history"] == (3, 0, 0, 3)
    assert select(store_in(tmp_path), "app_state", ("value",)) == [{"value": '"dark"'}]


def test_what_is_here_already_is_left_as_it_is(tmp_path):
    first = old_database(tmp_path / "first.db", app_state=[APP_STATE])
    second = old_database(tmp_path / "second.db", app_state=[APP_STATE | {"value": "2"}], jobs=[JOB])
    imported(first, tmp_path)
    report = imported(second, tmp_path)
    assert [(one.id, one.code) for one in report.not_taken] == [("theme", "changed")]
    assert counts(report)["jobs"] == (1, 1, 0, 0)


def test_rows_that_cannot_be_taken_are_listed_and_the_others_are_imported(tmp_path):
    old = old_database(
        tmp_path / "old.db",
        jobs=[
            JOB,
            JOB | {"id": "a b"},
            JOB | {"id": "broken", "payload": '{"a":'},
            JOB | {"id": "empty", "result": ""},
            JOB | {"id": "twice", "payload": '{"a":1,"a":2}'},
            JOB | {"id": "injected", "payload": '1,"name":"x"'},
            JOB | {"id": "queued", "status": "queued"},
            JOB | {"id": "urgent", "priority": 9},
            JOB | {"id": "bytes", "payload": b"{}"},
            JOB | {"id": "long", "payload": '"' + "x" * 2_000_000 + '"'},
        ],
        job_history=[
            {"job_id": "one", **ATTEMPTS[0]},
            {"job_id": "one", **ATTEMPTS[1], "duration_ms": -1},
            {"job_id": "a b", **ATTEMPTS[1]},
            {"job_id": "nobody", **ATTEMPTS[1]},
        ],
        rate_limits=[
            RATE_LIMIT,
            RATE_LIMIT | {"id": "github"},
            RATE_LIMIT | {"id": "ratelimit:gitlab"},
            RATE_LIMIT | {"id": "ratelimit:jira:a:b:c", "platform": "jira"},
            RATE_LIMIT | {"id": "ratelimit:a b", "platform": "a b"},
            RATE_LIMIT | {"id": "ratelimit:slack", "platform": "slack", "limit_remaining": -1},
        ],
        tool_configs=[TOOL_CONFIG, TOOL_CONFIG | {"tool_name": "jira", "config": "[]"}],
        app_state=[APP_STATE, APP_STATE | {"key": "twice", "value": '{"a":1,"a":2}'}],
    )
    report = imported(old, tmp_path)
    expected = [
        ("jobs", "a b", KEY_RULE),
        ("jobs", "broken", "payload is not JSON: "),
        ("jobs", "bytes", "payload is not a text (at $.payload)"),
        ("jobs", "empty", "result is not JSON: "),
        ("jobs", "injected", "payload is not JSON: "),
        ("jobs", "long", "payload has more than 1048576 bytes (at $.payload)"),
        ("jobs", "queued", "Invalid enum value 'queued' (at $.status)"),
        ("jobs", "twice", "payload is not JSON: the name 'a' is there twice"),
        ("jobs", "urgent", "Expected `int` <= 4 (at $.priority)"),
        ("job_history", "2", "Expected `int` >= 0 (at $.duration_ms)"),
        ("job_history", "4", "there is no job nobody"),
        ("rate_limits", "github", "the id is not ratelimit:"),
        ("rate_limits", "ratelimit:a b", "this is not a key (at $.platform)"),
        ("rate_limits", "ratelimit:gitlab", "the platform is another than the id says"),
        ("rate_limits", "ratelimit:jira:a:b:c", "the id is not ratelimit:"),
        ("rate_limits", "ratelimit:slack", "Expected `int` >= 0 (at $.remaining)"),
        ("tool_configs", "jira", "Expected `object`, got `array` (at $.config)"),
        ("app_state", "twice", "value is not JSON: the name 'a' is there twice"),
    ]
    found = sorted(reasons(report))
    assert [one[:2] for one in found] == [one[:2] for one in sorted(expected)]
    for (*_, reason), (*_, beginning) in zip(found, sorted(expected), strict=True):
        assert reason.startswith(beginning)
    assert counts(report) == {
        "jobs": (10, 1, 0, 9),
        "job_history": (4, 1, 0, 3),
        "rate_limits": (6, 1, 0, 5),
        "tool_configs": (2, 1, 0, 1),
        "app_state": (2, 1, 0, 1),
    }


def test_a_value_that_is_plain_text_stays_that_text(tmp_path):
    texts = {
        "plain": "dark",
        "empty": "",
        "cut": '{"a":',
        "lines": 'two\n"lines"',
        "number": "5",
        "json": '"dark"',
    }
    rows = [APP_STATE | {"key": key, "value": text} for key, text in texts.items()]
    old = old_database(tmp_path / "old.db", app_state=rows)
    assert reasons(imported(old, tmp_path)) == []
    assert counts(imported(old, tmp_path))["app_state"] == (6, 0, 6, 0)
    stored = {row["key"]: row["value"] for row in select(store_in(tmp_path), "app_state", ("key", "value"))}
    assert stored == {
        "plain": '"dark"',
        "empty": '""',
        "cut": '"{\\"a\\":"',
        "lines": '"two\\n\\"lines\\""',
        "number": "5",
        "json": '"dark"',
    }


SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"


def test_credentials_are_not_imported_and_not_repeated(tmp_path):
    old = old_database(
        tmp_path / "old.db",
        jobs=[JOB, JOB | {"id": "job", "name": SECRET}, JOB | {"id": SECRET}],
        job_history=[{"job_id": "one", **ATTEMPTS[0], "error_message": f"401 for {SECRET}"}],
        tool_configs=[TOOL_CONFIG | {"config": f'{{"token":"{SECRET}"}}'}],
        app_state=[APP_STATE | {"value": f'["{SECRET}"]'}],
    )
    report = imported(old, tmp_path)
    assert [(one.table, one.id, one.code) for one in report.not_taken] == [
        ("job_history", "1", "secret_rejected"),
        ("jobs", "(looks like a credential)", "secret_rejected"),
        ("jobs", "job", "secret_rejected"),
        ("tool_configs", "github", "secret_rejected"),
        ("app_state", "theme", "secret_rejected"),
    ]
    assert SECRET not in repr(report)
    assert [one["stream"] for one in events(tmp_path)] == ["jobs/one"]
    assert SECRET.encode() not in store_in(tmp_path).read_bytes()


def test_false_alarms_are_let_through_where_the_settings_say_so(tmp_path):
    old = old_database(
        tmp_path / "old.db",
        jobs=[JOB],
        job_history=[{"job_id": "one", **ATTEMPTS[0], "error_message": SECRET}],
        app_state=[APP_STATE | {"value": f'["{SECRET}"]'}],
    )
    allowed = AllowedPaths(["app_state.import:$.value[*]", "jobs.import:$.history[*].error_message"])
    assert imported(old, tmp_path, allowed=allowed).is_complete
    assert select(store_in(tmp_path), "job_history", ("error_message",)) == [{"error_message": SECRET}]


def test_texts_that_are_not_utf_8_are_listed_whichever_column_they_stand_in(tmp_path):
    old = old_database(tmp_path / "old.db", jobs=[JOB], app_state=[APP_STATE])
    with closing(writing_to(old)) as connection:
        connection.execute(
            "INSERT INTO app_state VALUES (CAST(x'6bff' AS TEXT), '1', 1), ('k', CAST(x'22ff22' AS TEXT), 1);"
            "INSERT INTO job_history (job_id, attempt, status) VALUES (CAST(x'ff' AS TEXT), 1, 'failed')"
        )
    report = imported(old, tmp_path)
    assert reasons(report) == [
        ("job_history", "1", "there is no job \\xff"),
        ("app_state", "k\\xff", "key is not utf-8 (byte 1) (at $.key)"),
        ("app_state", "k", "value is not utf-8 (byte 1) (at $.value)"),
    ]


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_file_in_another_encoding_is_read_as_well(tmp_path, encoding):
    jobs = [JOB | {"id": key, "name": "Größe 😀"} for key in ("a", "z", "B", "b1", "b10", "b2")]
    history = [{"job_id": job["id"], **ATTEMPTS[0]} for job in reversed(jobs)]
    pragma = f"PRAGMA encoding = '{encoding}';"
    old = old_database(tmp_path / "old.db", schema=pragma + SCHEMA, jobs=jobs, job_history=history)
    assert imported(old, tmp_path).is_complete
    assert select(store_in(tmp_path), "jobs", JOB) == sorted(jobs, key=lambda job: job["id"])


def test_the_list_has_an_end_and_the_counts_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "MAXIMUM_LISTED", 3)
    rows = [APP_STATE | {"key": f"k{number}", "value": '{"a":1,"a":2}'} for number in range(5)]
    report = imported(old_database(tmp_path / "old.db", app_state=rows), tmp_path)
    assert (len(report.not_taken), report.not_listed, report.tables["app_state"].not_taken) == (3, 2, 5)


def test_a_job_has_a_thousand_attempts_at_most(tmp_path):
    attempts = [{"job_id": "one", **ATTEMPTS[0], "attempt": number} for number in range(1, 1_003)]
    old = old_database(
        tmp_path / "old.db", jobs=[JOB, JOB | {"id": "two"}],
        job_history=[*attempts, {"job_id": "two", **ATTEMPTS[0]}],
    )  # fmt: skip
    report = imported(old, tmp_path)
    assert counts(report)["job_history"] == (1_003, 1_001, 0, 2)
    ids = [row["id"] for row in select(store_in(tmp_path), "job_history", ("id", "job_id"))]
    assert ids == [-2_000, *range(-1_000, 0)]


def test_more_rows_than_a_portion_has_are_imported_in_portions(tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "PORTION_ROWS", 7)
    rows = [APP_STATE | {"key": f"k{number:02}"} for number in range(40)]
    report = imported(old_database(tmp_path / "old.db", app_state=rows), tmp_path)
    assert counts(report)["app_state"] == (40, 40, 0, 0)
    assert [one["position"] for one in events(tmp_path)] == list(range(1, 41))


# The file


def content(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}


def test_the_old_file_is_not_changed_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "old").mkdir()
    old = old_database(tmp_path / "old" / "old.db", **EVERYTHING)
    before = content(old.parent)
    imported(old, tmp_path)
    assert content(old.parent) == before


def test_what_stands_in_the_wal_is_imported_too(tmp_path):
    (tmp_path / "old").mkdir()
    old = old_database(tmp_path / "old" / "old.db")
    with closing(writing_to(old)) as connection:
        # The old database is still open, so its WAL stays, as after a kill.
        insert(connection, app_state=[APP_STATE])
        before = content(old.parent)
        assert counts(imported(old, tmp_path))["app_state"] == (1, 1, 0, 0)
        after = content(old.parent)
        assert {after[name] == before[name] for name in ("old.db", "old.db-wal")} == {True}


def test_a_file_without_a_wal_is_read(tmp_path):
    old = old_database(tmp_path / "old.db", app_state=[APP_STATE])
    with closing(writing_to(old)) as connection:
        connection.pragma("journal_mode", "delete")
    assert imported(old, tmp_path).is_complete


def test_a_file_that_is_written_to_meanwhile_is_reported(tmp_path):
    old = old_database(tmp_path / "old.db", app_state=[APP_STATE])
    with closing(Source(old)) as source:
        source.require_unchanged()
        with closing(writing_to(old)) as connection:
            insert(connection, app_state=[APP_STATE | {"key": "other"}])
            with pytest.raises(SourceError, match="was written to while it was read"):
                source.require_unchanged()


def refused(path: Path, expected: type[SourceError] = SourceError) -> str:
    with pytest.raises(expected) as caught:
        Source(path)
    return caught.value.message


def test_foreign_files_are_refused_with_the_reason(tmp_path):
    foreign = tmp_path / "foreign"
    assert "there is no" in refused(foreign, SourceMissingError)
    assert "Is a directory" in refused(tmp_path)
    foreign.write_bytes(b"")
    assert "is not an SQLite database" in refused(foreign)
    foreign.write_bytes(b"not a database, and long enough to be looked at" * 100)
    assert "is not an SQLite database" in refused(foreign)
    foreign.unlink()
    foreign.write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    assert "cannot be read" in refused(foreign)
    other = old_database(tmp_path / "other.db", schema="CREATE TABLE notes (x)")
    assert "none of the old system's tables" in refused(other)
    half = old_database(tmp_path / "half.db", schema="CREATE TABLE jobs (id, name)")
    assert "its table jobs has no created_at, status, type" in refused(half)
    view = old_database(tmp_path / "view.db", schema="CREATE VIEW app_state AS SELECT 1 AS key, 2 AS value")
    assert "none of the old system's tables" in refused(view)
    imported(old_database(tmp_path / "old.db", jobs=[JOB]), tmp_path)
    assert "is a store of this service itself" in refused(store_in(tmp_path))


def test_a_damaged_file_is_reported_and_what_was_read_before_is_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "PORTION_ROWS", 10)
    rows = [APP_STATE | {"key": f"k{number:03}", "value": f'"{"x" * 1_000}"'} for number in range(100)]
    old = old_database(tmp_path / "old.db", app_state=rows)
    damaged = bytearray(old.read_bytes())
    for page in range(len(damaged) // 4_096 // 2, len(damaged) // 4_096):
        damaged[page * 4_096 : page * 4_096 + 64] = b"\xff" * 64
    old.write_bytes(damaged)

    with pytest.raises(SourceError, match=r"is damaged") as caught:
        imported(old, tmp_path)
    assert ".recover" in caught.value.hint
    assert len(events(tmp_path)) % 10 == 0


# Trying it out


def test_a_dry_run_says_what_an_import_will_do_and_changes_nothing(tmp_path):
    rows = EVERYTHING | {"app_state": [APP_STATE, APP_STATE | {"key": "plain", "value": "dark"}]}
    old = old_database(tmp_path / "old.db", **rows)
    expected = tried(old, tmp_path)
    assert not store_in(tmp_path).exists()

    done = imported(old, tmp_path)
    assert (done.tables, done.not_taken) == (expected.tables, expected.not_taken)
    before = store_in(tmp_path).read_bytes()
    again = tried(old, tmp_path)
    assert counts(again)["jobs"] == (2, 0, 2, 0)
    assert store_in(tmp_path).read_bytes() == before


def test_jobs_continue_their_history_where_they_left_off(tmp_path):
    old = old_database(tmp_path / "old.db", jobs=[JOB], job_history=[{"job_id": "one", **ATTEMPTS[0]}])
    imported(old, tmp_path)
    connection = apsw.Connection(str(store_in(tmp_path)))
    with closing(connection):
        assert connection.execute("SELECT attempt, state, max_attempts FROM jobs").get == (1, "pending", 5)
