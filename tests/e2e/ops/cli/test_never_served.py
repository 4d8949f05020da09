"""A store that `migrate up` made and no service has served: all commands for backups answer."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrations import runner
from migrations.connection import open_reader, open_writer
from ops.store.opening import open_store
from tests.support.services.command_line import hyperpage


def by_migrate_up(data: Path) -> None:
    assert hyperpage("migrate", "up", "--data", data).code == 0


def without_identity(data: Path) -> None:
    """As earlier versions of `migrate up` left it."""
    data.mkdir(mode=0o700)
    with closing(open_writer(data / "hyperpage.db")) as connection:
        runner.up(connection)


@pytest.mark.parametrize("make", [by_migrate_up, without_identity])
def test_it_is_backed_up_restored_and_exported_as_any_other(tmp_path: Path, make):
    data = tmp_path / "data"
    make(data)

    planned = hyperpage("backup", "restore", "--to-position", "0", "--dry-run", "--data", data, "--json")
    assert (planned.code, planned.json["position"], planned.json["events_lost"]) == (0, 0, 0)
    assert hyperpage("backup", "restore", "--latest", "--dry-run", "--data", data).code == 3
    assert hyperpage("backup", "create", "--data", data).code == 0
    for moment in ((), ("--latest",), ("--to-position", "0")):
        planned = hyperpage("backup", "restore", *moment, "--dry-run", "--data", data, "--json")
        assert (planned.code, planned.json["position"]) == (0, 0), planned
    made = hyperpage("analytics", "export", "--data", data, "--json")
    assert (made.code, made.json["events"]) == (0, 0), made
    for question in ("FROM timelines", "FROM events", "FROM jobs"):
        answer = hyperpage("analytics", "sql", question, "--data", data, "--json")
        assert answer.code == 0, answer
        assert question == "FROM timelines" or answer.json == []
    assert hyperpage("backup", "drill", "--data", data).code == 0

    done = hyperpage("backup", "restore", "--yes", "--data", data, "--json")
    assert (done.code, done.json["position"]) == (0, 0), done
    with closing(open_store(data / "hyperpage.db", cache_kib=1024)[0]) as connection:
        assert connection.execute("SELECT count(*) FROM store").get == 1
        assert connection.execute("SELECT count(*) FROM events").get == 1


def test_migrate_up_gives_a_new_store_its_identity_once(tmp_path: Path):
    def identity() -> list[tuple[Any, ...]]:
        with closing(open_reader(tmp_path / "hyperpage.db")) as connection:
            return connection.execute(
                "SELECT store_id, timeline, first_position FROM store, timelines"
            ).fetchall()

    by_migrate_up(tmp_path)
    (made,) = identity()
    assert made[1:] == (1, 1)
    by_migrate_up(tmp_path)
    shutil.copy(tmp_path / "hyperpage.db", tmp_path / "copy.db")
    open_store(tmp_path / "hyperpage.db", cache_kib=1024)[0].close()
    assert identity() == [made]
