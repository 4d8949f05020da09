"""A store of an older version is brought up to date as a whole, or left as it is, with a word why."""

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrations import runner
from migrations.connection import open_reader, open_writer
from migrations.runner import MigrationError
from ops.store import upgrade
from ops.store.opening import open_store
from ops.store.projections_check import verify
from projections import rebuild
from tests.support.stores.writing import TABLES, Store

LEVELS = [one.name for one in runner.known_migrations()]
# The first level that has events and tables; each later one may be that of an installed version.
OLDEST = LEVELS.index("003_projection_columns")
# Adds columns that are filled from the log, and one that leaves all rows as they are.
FILLING, STAYING = "004_rate_limit_policies", "008_answers_from_the_log"


def lived_through(path: Path) -> None:
    """A store with some of everything."""
    with Store(path) as store:
        for number in range(3):
            store.send("jobs.enqueue", {"id": f"job-{number}", "type": "sync", "name": "Sync"})
        store.send("jobs.claim", {"worker": "worker"})
        store.send("jobs.cancel", {"id": "job-1", "reason": "no need"})
        lease = store.send("jobs.claim", {"worker": "worker"})["result"]["jobs"][0]["lease"]
        failed = {"id": "job-2", "lease": lease, "error": "KeyError: 'missing'"}
        store.send("jobs.fail", failed | {"traceback": "line 7, in sync"})
        store.send("app_state.set", {"key": "theme", "value": "dark"})
        store.send("tool_configs.set", {"tool_name": "github", "config": {"a": 1}})
        store.send("rate_limits.observe", {"platform": "github", "limit": 100, "remaining": 4})


def set_back(path: Path, level: str) -> None:
    """Takes a store back to the form of the version whose last migration that was."""
    with closing(open_writer(path)) as connection:
        runner.down(connection, to=level)


def at_level(path: Path, level: str) -> None:
    lived_through(path)
    if level != LEVELS[-1]:
        set_back(path, level)


def before(name: str) -> str:
    return LEVELS[LEVELS.index(name) - 1]


def rows_of(path: Path) -> dict[str, list[Any]]:
    with closing(open_reader(path)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


def levels_of(path: Path) -> list[str]:
    with closing(open_reader(path)) as connection:
        return [one.name for one in runner.status(connection) if one.applied]


def changed(path: Path, statement: str) -> None:
    with closing(open_writer(path)) as connection:
        connection.execute(statement)
        assert connection.changes() == 1


def opened(path: Path, check_seconds: float = 600.0) -> None:
    open_store(path, cache_kib=1024, upgrade_check_seconds=check_seconds)[0].close()


@pytest.mark.parametrize("level", LEVELS[OLDEST:-1])
def test_a_store_of_any_older_version_has_the_rows_that_it_had(tmp_path: Path, level: str) -> None:
    path = tmp_path / "hyperpage.db"
    lived_through(path)
    rows = rows_of(path)
    set_back(path, level)

    opened(path)

    assert levels_of(path) == LEVELS
    assert rows_of(path) == rows
    assert verify(path)["equal"]


@pytest.mark.parametrize("migration", [FILLING, STAYING])
def test_rows_that_this_version_takes_for_others_keep_a_store_as_it_was(
    tmp_path: Path, migration: str
) -> None:
    path = tmp_path / "hyperpage.db"
    at_level(path, before(migration))
    changed(path, "UPDATE app_state SET value = '\"light\"'")

    with pytest.raises(
        MigrationError, match="takes rows for others than are there: 1 of app_state"
    ) as refused:
        opened(path)

    assert "hyperpage check-upgrade" in refused.value.hint
    assert levels_of(path)[-1] == before(migration)
    # Without the check the upgrade goes through; only a migration that fills rows from the log corrects them.
    opened(path, check_seconds=0)
    assert levels_of(path) == LEVELS
    assert verify(path)["equal"] is (migration == FILLING)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE events SET type = 'job.painted.v1' WHERE position = 1", "1 event of type job.painted.v1"),
        ("UPDATE events SET data = '{\"type\": 7}' WHERE position = 2", "the first at position 2"),
    ],
    ids=["an unknown event", "an event in another form"],
)
@pytest.mark.parametrize("migration", [FILLING, STAYING])
def test_events_that_this_version_cannot_read_keep_a_store_as_it_was(
    tmp_path: Path, statement: str, said: str, migration: str
) -> None:
    path = tmp_path / "hyperpage.db"
    at_level(path, before(migration))
    changed(path, statement)

    with pytest.raises(MigrationError, match=r"cannot read the store's log") as refused:
        opened(path)

    assert said in refused.value.message
    assert levels_of(path)[-1] == before(migration)


def test_whoever_is_ended_while_rows_are_filled_finds_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hyperpage.db"
    at_level(path, before(FILLING))

    def end(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(rebuild, "repair", end)
        with pytest.raises(SystemExit):
            opened(path)

    # The migration's columns were not filled, so the migration does not count as applied.
    assert levels_of(path)[-1] == before(FILLING)
    opened(path)
    assert verify(path)["equal"]


def test_where_it_takes_too_long_to_look_the_store_is_brought_up_to_date_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "hyperpage.db"
    at_level(path, before(STAYING))

    with caplog.at_level(logging.WARNING):
        opened(path, check_seconds=1e-9)

    assert levels_of(path) == LEVELS
    assert "was not found out: folded 0 of 11 events in time" in caplog.text


@pytest.mark.parametrize("level", [before(FILLING), LEVELS[-1]])
def test_a_rehearsal_says_what_would_be_done_and_leaves_the_file_as_it_is(tmp_path: Path, level: str) -> None:
    path = tmp_path / "hyperpage.db"
    at_level(path, level)

    with closing(open_writer(path)) as connection:
        found = upgrade.rehearsed(connection, tmp_path / "folded")

    assert found.holds
    assert [one.name for one in found.migrations] == LEVELS[LEVELS.index(level) + 1 :]
    assert found.tables["jobs"].rows == 3
    assert levels_of(path)[-1] == level
