"""Verifying and rebuilding the tables while the service runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import nats
import pytest
from nats.aio.client import Client as NatsClient

from bus.client import Client
from migrations.connection import open_reader, open_writer
from ops.service.composition import Service
from ops.store.data_directory import read_admin
from ops.store.projections_check import rebuild_file, verify
from tests.support.services.serving import client_of, serving

TABLES = ("jobs", "job_history", "rate_limits", "tool_configs", "app_state")

# Statements that make a table wrong, one for each way.
TAMPERINGS = {
    "a changed value": ("app_state", "UPDATE app_state SET value = '99' WHERE key = 'a'"),
    "a changed type": ("jobs", "UPDATE jobs SET priority = 3.5 WHERE id = 'one'"),
    "a missing row": ("tool_configs", "DELETE FROM tool_configs"),
    "an unexpected row": (
        "rate_limits",
        "INSERT INTO rate_limits (id, platform, last_updated) VALUES ('ratelimit:ghost', 'ghost', 1)",
    ),
    "a lost attempt": ("job_history", "DELETE FROM job_history"),
    "a lost job with its attempts": ("jobs", "DELETE FROM jobs WHERE id = 'two'"),
}


@asynccontextmanager
async def _filled(folder: Path) -> AsyncIterator[tuple[Service, Client, NatsClient]]:
    async with serving(folder) as service, client_of(service) as client:
        await client.send(
            "app_state.set_many", {"items": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]}
        )
        await client.send("app_state.delete", {"key": "b"})
        await client.send("jobs.enqueue", {"id": "one", "type": "sync", "name": "first", "priority": 3})
        await client.send("jobs.enqueue", {"id": "two", "type": "sync", "name": "second"})
        await client.send("jobs.claim", {"worker": "worker"})
        await client.send("tool_configs.set", {"tool_name": "github", "config": {"a": 1}})
        await client.send("rate_limits.observe", {"platform": "github", "limit": 100, "remaining": 40})
        admin = read_admin(folder)
        assert admin is not None
        operator = await nats.connect(admin.nats_url, inbox_prefix=admin.inbox_prefix)
        try:
            yield service, client, operator
        finally:
            await operator.close()


async def _administer(operator: NatsClient, name: str) -> Any:
    return json.loads((await operator.request(f"hyperpage.adm.v1.projections.{name}", timeout=30)).data)


def _tamper(folder: Path, statement: str) -> None:
    connection = open_writer(folder / "hyperpage.db")
    # A change by hand ignores foreign keys.
    connection.pragma("foreign_keys", False)
    try:
        connection.execute(statement)
        assert connection.changes() > 0
    finally:
        connection.close()


def test_untouched_tables_equal_the_log(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (service, _, operator):
            report = await _administer(operator, "verify")
            assert report["equal"]
            assert report["position"] == service.leading.writer.head.position
            rows = {name: table["rows"] for name, table in report["tables"].items()}
            assert rows == {
                "jobs": 2,
                "job_history": 1,
                "queues": 0,
                "schedules": 0,
                "rate_limits": 1,
                "tool_configs": 1,
                "app_state": 1,
            }

    asyncio.run(play())


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_tampered_with_is_found_and_put_right(tmp_path: Path, what: str) -> None:
    table, statement = TAMPERINGS[what]

    async def play() -> None:
        async with _filled(tmp_path) as (_, _, operator):
            _tamper(tmp_path, statement)
            report = await _administer(operator, "verify")
            assert not report["equal"]
            found = report["tables"][table]
            assert found["missing"] + found["unexpected"] + found["different"] > 0
            assert found["examples"]
            await _administer(operator, "rebuild")
            assert (await _administer(operator, "verify"))["equal"]

    asyncio.run(play())


def test_a_job_that_was_lost_from_the_table_can_be_claimed_after_the_rebuild(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path):
            _tamper(tmp_path, "DELETE FROM jobs WHERE id = 'two'")
        # A service that starts on this table does not know that the job waits.
        async with serving(tmp_path) as service, client_of(service) as client:
            assert (await client.send("jobs.claim", {"worker": "worker"})).result == {"jobs": []}
            admin = read_admin(tmp_path)
            assert admin is not None
            operator = await nats.connect(admin.nats_url, inbox_prefix=admin.inbox_prefix)
            await _administer(operator, "rebuild")
            await operator.close()
            claimed = (await client.send("jobs.claim", {"worker": "worker"})).result["jobs"]
            assert [job["id"] for job in claimed] == ["two"]

    asyncio.run(play())


def test_commands_go_on_while_tables_are_verified_and_rebuilt(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (_, client, operator):
            _tamper(tmp_path, "UPDATE app_state SET value = '99' WHERE key = 'a'")
            checking = asyncio.gather(
                *(_administer(operator, name) for name in ("verify", "rebuild", "verify"))
            )
            sent = 0
            while not checking.done():
                await client.send("app_state.set", {"key": f"key-{sent}", "value": sent})
                sent += 1
            # They run one after the other, in any order: each is first recorded in the audit log.
            await checking
            assert (await _administer(operator, "verify"))["equal"]
            assert await client.count("app_state") == sent + 1

    asyncio.run(play())


def test_the_file_of_a_stopped_service_is_verified_and_rebuilt_as_well(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path):
            """Only the file is wanted."""

    asyncio.run(play())
    path = tmp_path / "hyperpage.db"
    assert verify(path)["equal"]
    _tamper(tmp_path, "UPDATE jobs SET name = 'another'")
    assert not verify(path)["equal"]
    assert rebuild_file(path)["rebuilt_streams"] == 2
    assert verify(path)["equal"]
    with pytest.raises(apsw.CantOpenError):
        verify(tmp_path / "nothing.db")


# Rows that this program never writes; a damaged disk or a change by hand may leave them.
STRANGE = {
    "a limit without its prefix": (
        "INSERT INTO rate_limits (id, platform, last_updated) VALUES ('github', 'github', 1)",
        "INSERT INTO rate_limits (id, platform, last_updated) VALUES ('github:me:x:y', 'github', 1)",
    ),
    "a key that is no text": (
        "INSERT INTO app_state (key, value, updated_at) VALUES (x'00ff', '1', 1)",
        "INSERT INTO jobs (id, type, name, priority, status, created_at, updated_at, persisted_at)"
        " VALUES (x'01', 't', 'n', 1, 'pending', 1, 1, 1)",
    ),
    "a key that is no UTF-8": (
        "INSERT INTO app_state (key, value, updated_at) VALUES (CAST(x'61ff' AS TEXT), '1', 1)",
        "INSERT INTO tool_configs (tool_name, config) VALUES (CAST(x'ff' AS TEXT), '{}')",
    ),
    "a value that is no UTF-8": ("UPDATE app_state SET value = CAST(x'22ff22' AS TEXT) WHERE key = 'a'",),
    "a key with a NUL": ("INSERT INTO app_state (key, value, updated_at) VALUES ('a' || char(0), '1', 1)",),
    "keys in an order of their own": (
        "INSERT INTO app_state (key, value, updated_at) VALUES ('', '1', 1), ('😀', '1', 1), ('￿', '1', 1)",
    ),
    "no value": ("UPDATE app_state SET value = NULL",),
    "a value of bytes": ("UPDATE app_state SET value = CAST(value AS BLOB)",),
    "another type of number": ("UPDATE jobs SET run_at = run_at + 0.5",),
    "a job under another id": ("UPDATE jobs SET id = 'renamed' WHERE id = 'two'",),
    "a job in other letters": ("UPDATE jobs SET id = 'TWO' WHERE id = 'two'",),
    "an attempt of another job": ("UPDATE job_history SET job_id = 'two'",),
    "an attempt of a job that never was": (
        "UPDATE job_history SET job_id = 'ghost'",
        "INSERT INTO job_history (id, job_id, attempt, status) VALUES (999, 'ghost', 1, 'running')",
    ),
    "an attempt at another position": ("UPDATE job_history SET id = -1",),
    "all of it gone": tuple(f"DELETE FROM {table}" for table in TABLES),
    "rows of keys that were deleted": (
        "INSERT INTO app_state (key, value, updated_at) VALUES ('b', '2', 1)",
    ),
}


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_stands_in_the_tables_is_found_and_put_right(tmp_path: Path, what: str) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (service, client, operator):
            before = _dump(tmp_path)
            for statement in STRANGE[what]:
                _tamper(tmp_path, statement)
            assert _dump(tmp_path) != before
            report = await _administer(operator, "verify")
            assert report["equal"] is False
            json.dumps(report)
            rebuilt = await _administer(operator, "rebuild")
            assert rebuilt["rebuilt_streams"] + rebuilt["removed_rows"] > 0
            assert (await _administer(operator, "verify"))["equal"] is True
            assert _dump(tmp_path) == before
            # The log was not touched, and everything goes on.
            assert service.leading.writer.head.position == 8
            claimed = (await client.send("jobs.claim", {"worker": "worker", "limit": 9})).result["jobs"]
            assert [job["id"] for job in claimed] == ["two"]

    asyncio.run(play())


def test_a_service_that_started_on_ghosts_hands_out_real_jobs_after_the_rebuild(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path):
            _tamper(
                tmp_path,
                "INSERT INTO jobs"
                " (id, type, name, priority, status, run_at, created_at, updated_at, persisted_at)"
                " VALUES ('ghost', 't', 'n', 4, 'pending', 1, 1, 1, 1),"
                " ('zombie', 't', 'n', 4, 'running', 1, 1, 1, 1)",
            )
            # A job that was done long ago looks as if it waited.
            _tamper(tmp_path, "UPDATE jobs SET status = 'pending', state = 'pending' WHERE id = 'one'")
        async with (
            serving(tmp_path) as service,
            client_of(service) as client,
            _operator(tmp_path) as operator,
        ):
            assert not (await _administer(operator, "verify"))["equal"]
            await _administer(operator, "rebuild")
            assert (await _administer(operator, "verify"))["equal"]
            claimed = (await client.send("jobs.claim", {"worker": "worker", "limit": 9})).result["jobs"]
            assert [job["id"] for job in claimed] == ["two"]
            assert service.leading.writer.head.position == 9

    asyncio.run(play())


def test_a_rebuild_of_tables_that_are_right_changes_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (service, _, operator):
            before = _dump(tmp_path)
            answers = await asyncio.gather(*(_administer(operator, "rebuild") for _ in range(3)))
            assert [answer["rebuilt_streams"] for answer in answers] == [0, 0, 0]
            assert _dump(tmp_path) == before
            assert service.leading.writer.head.position == 8

    asyncio.run(play())


def test_thousands_of_wrong_rows_are_put_right_while_every_command_is_answered(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (service, client, operator):
            for first in range(0, 3_000, 1_000):
                items = [{"key": f"many-{number}", "value": number} for number in range(first, first + 1_000)]
                await client.send("app_state.set_many", {"items": items})
            _tamper(tmp_path, "UPDATE app_state SET value = '\"wrong\"', version = 7")
            verified, rebuilding = asyncio.Event(), asyncio.Event()

            async def check() -> None:
                assert (await _administer(operator, "verify"))["tables"]["app_state"]["different"] >= 2_900
                verified.set()
                await _administer(operator, "rebuild")
                rebuilding.set()

            checking = asyncio.create_task(check())
            sent = 0
            while not checking.done():
                key = f"many-{sent % 3_000}"
                assert (await client.send("app_state.set", {"key": key, "value": f"new {sent}"})).version == (
                    2 + sent // 3_000
                )
                sent += 1
            await checking
            assert sent > 1
            assert (await _administer(operator, "verify"))["equal"]
            assert service.leading.writer.head.position == 8 + 3_000 + sent

    asyncio.run(play())


def test_nothing_of_a_check_is_left_behind(tmp_path: Path) -> None:
    async def play() -> None:
        async with _filled(tmp_path) as (_, __, operator):
            for name in ("verify", "rebuild", "verify"):
                await _administer(operator, name)

    asyncio.run(play())
    assert list(tmp_path.glob("*.scratch*")) == []


@asynccontextmanager
async def _operator(folder: Path) -> AsyncIterator[NatsClient]:
    admin = read_admin(folder)
    assert admin is not None
    operator = await nats.connect(admin.nats_url, inbox_prefix=admin.inbox_prefix)
    try:
        yield operator
    finally:
        await operator.close()


def _dump(folder: Path) -> list[Any]:
    """Every row of every table, as bytes."""
    connection = open_reader(folder / "hyperpage.db")
    try:
        return [list(connection.execute(_as_bytes(connection, table))) for table in TABLES]
    finally:
        connection.close()


def _as_bytes(connection: apsw.Connection, table: str) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(f"typeof({column}), hex({column})" for column in columns)
    return f"SELECT {values} FROM {table} ORDER BY 1, 2"
