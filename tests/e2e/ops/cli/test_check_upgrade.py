"""`hyperpage check-upgrade`, and a start that is refused for what it would find."""

from contextlib import closing
from pathlib import Path

import pytest

from migrations import runner
from migrations.connection import open_writer
from ops.backup.scratch import SCRATCH_PREFIX
from tests.support.services.command_line import Served, hyperpage, separately
from tests.support.stores.writing import Store

OLDER = "003_projection_columns"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a stopped service, whose store is of an older version and has a value."""
    folder = tmp_path / "data"
    folder.mkdir()
    with Store(folder / "hyperpage.db") as store:
        store.send("app_state.set", {"key": "theme", "value": "dark"})
    with closing(open_writer(folder / "hyperpage.db")) as connection:
        runner.down(connection, to=OLDER)
    return folder


def changed(data: Path, statement: str) -> None:
    with closing(open_writer(data / "hyperpage.db")) as connection:
        connection.execute(statement)


def test_a_store_and_its_backup_are_looked_at_beside_the_service_that_has_them(served: Served) -> None:
    served.ask("send", "app_state.set", '{"key": "looked-at", "value": 1}')
    backup = Path(served.ask("backup", "create")["path"]).name

    store, of_backup = served("check-upgrade", "--json"), served("check-upgrade", backup, "--json")

    assert (store.code, of_backup.code) == (0, 0)
    assert (store.json["source"], of_backup.json["source"]) == ("store", backup)
    assert store.json["holds"]
    assert store.json["migrations"] == []
    assert store.json["tables"]["app_state"]["rows"] >= 1
    readable = served("check-upgrade").out
    assert "reads all of it, and makes the same rows, up to position" in readable
    assert readable.endswith("There is nothing to bring up to date.\n")
    assert [one.name for one in served.data.iterdir() if one.name.startswith(SCRATCH_PREFIX)] == []


def test_an_older_store_is_told_what_would_be_done_and_stays_as_it_is(data: Path) -> None:
    result = hyperpage("check-upgrade", "--data", data, "--json")

    assert result.code == 0
    assert result.json["migrations"][0]["name"] == "004_rate_limit_policies"
    assert "To bring the store up to date takes some" in hyperpage("check-upgrade", "--data", data).out
    status = hyperpage("migrate", "status", "--data", data, "--json").json
    assert [one["name"] for one in status if one["applied"]][-1] == OLDER


def test_rows_that_would_be_others_are_told_with_6_and_a_start_is_refused(data: Path) -> None:
    changed(data, """UPDATE app_state SET value = '"light"'""")

    result = hyperpage("check-upgrade", "--data", data)
    start = separately("serve", "--data", data, "--nats-port", "0")
    by_hand = hyperpage("migrate", "up", "--data", data)

    assert result.code == 6
    assert '"expected":["theme","\\"dark\\""' in result.out
    for refused in (start, by_hand):
        assert refused.code == 1
        assert "takes rows for others than are there: 1 of app_state; nothing was changed" in refused.err
        assert "hint: go on with the version before" in refused.err
    assert hyperpage("migrate", "up", "--data", data, HYPERPAGE_UPGRADE_CHECK_SECONDS="0").code == 0
    assert hyperpage("projections", "verify", "--data", data).code == 0


def test_an_event_that_cannot_be_read_is_told_with_6(data: Path) -> None:
    changed(data, "UPDATE events SET type = 'app_state.painted.v1'")

    result = hyperpage("check-upgrade", "--data", data)

    assert result.code == 6
    assert "app_state.painted.v1: 1 event cannot be read, the first at position 1" in result.out


def test_where_there_is_nothing_to_look_at_it_exits_with_3(tmp_path: Path, data: Path) -> None:
    assert hyperpage("check-upgrade", "--data", tmp_path / "nowhere").code == 3
    assert hyperpage("check-upgrade", "nothing.db", "--data", data).code == 3


def test_a_store_of_a_newer_version_is_refused_with_a_word(data: Path) -> None:
    assert hyperpage("migrate", "up", "--data", data).code == 0
    changed(data, "INSERT INTO schema_migrations (migration_name, checksum) VALUES ('900_later', 'x')")

    result = hyperpage("check-upgrade", "--data", data)

    assert result.code == 6
    assert "900_later, which this program does not know" in result.err
