"""The tables of a backup beside its log are made anew from the log, or compared with it."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bus.log import chain
from bus.log.answers import Answer
from bus.log.states import SHAPES
from migrations import runner
from migrations.connection import open_reader, open_writer, write_transaction
from migrations.schema import schema_differences
from ops.archive.reading import read_segment
from ops.archive.replay import Stretch, replay
from ops.archive.segment import list_segments, segment_path
from ops.archive.writing import row_lines, write_segment
from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import Backup, update_metadata
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from tests.support.clock import Clock
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, Stored, tables_of
from tests.support.stores.forging import forged_backup, places_in
from tests.support.stores.writing import Store

# Forgeries, as SQL, of tables that follow from the log alone: each makes a difference to it.
FORGED_ROWS = {
    "a row that is another": """UPDATE app_state SET value = '"forged"'""",
    "a row that is not there": "INSERT INTO tool_configs (tool_name, config) VALUES ('forged', '{}')",
    "a job that nobody has sent": "INSERT INTO jobs (id, type, name, priority, status, created_at,"
    " updated_at, persisted_at) VALUES ('forged', 'shell', 'rm', 4, 'pending', 1, 1, 1)",
    "a row that is gone": "DELETE FROM rate_limits",
    "a queue that stands still": "INSERT INTO queues VALUES ('default', 1, 'forged', 1, 1, 1, 1, NULL, NULL)",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    stored = Stored(tmp_path_factory.mktemp("forged"))
    stored.work(80)
    stored.close()
    return stored


@pytest.fixture(scope="module")
def backup(stored: Stored) -> Backup:
    return create_backup(stored.path, stored.folder, version=VERSION, now_ms=stored.clock.now)


def restored(backup: Backup, folder: Path) -> Path:
    places = places_in(folder)
    restore(places, Moment(backup=str(backup.place)), version=VERSION)
    return places.store


@pytest.mark.parametrize("how", FORGED_ROWS)
def test_a_forged_row_fails_a_drill_and_is_never_restored(backup: Backup, tmp_path: Path, how: str):
    forged = forged_backup(backup, tmp_path, FORGED_ROWS[how])
    right = tables_of(backup.path)

    with pytest.raises(BackupError) as caught:
        drill(forged.place)
    assert caught.value.reason == "tables_differ"
    # As before the drill, which has marked it as unsound.
    update_metadata(forged.place, unsound="")

    made = tables_of(restored(forged, tmp_path / "restored"))
    for table in ("jobs", "job_history", "app_state", "tool_configs", "rate_limits", "queues"):
        assert made[table] == right[table]


def test_kept_states_are_not_restored_so_that_no_forged_one_decides(stored: Stored, tmp_path: Path):
    """A kept state is read in place of the events that it stands for."""
    shutil.copy(stored.path, tmp_path / "hyperpage.db")
    store = Store(tmp_path / "hyperpage.db", Clock(stored.clock.now))
    for number in range(3):
        store.send("tool_configs.set", {"tool_name": "mine", "config": {"n": number}})
    store.close()
    made = create_backup(tmp_path / "hyperpage.db", tmp_path / "made", version=VERSION)
    with closing(open_reader(tmp_path / "hyperpage.db")) as connection:
        version, position = connection.execute(
            "SELECT version, position FROM events WHERE stream = 'tool_configs/mine' ORDER BY version DESC"
        ).fetchone() or (0, 0)
    forged_state = '{"enabled": true, "config": {"n": "forged"}}'
    (tmp_path / "forged").mkdir()
    forged = forged_backup(
        made,
        tmp_path / "forged",
        f"INSERT OR REPLACE INTO snapshots VALUES ('tool_configs/mine', {version}, {position},"
        f" '{SHAPES['tool_configs']}', '{forged_state}')",
    )

    path = restored(forged, tmp_path / "restored")

    with closing(open_reader(path)) as connection:
        assert connection.execute("SELECT count(*) FROM snapshots").get == 0
    store = Store(path, Clock(stored.clock.now))
    store.send("tool_configs.patch", {"tool_name": "mine", "patch": {"more": 1}})
    store.close()
    with closing(open_reader(path)) as connection:
        config = connection.execute("SELECT config FROM tool_configs WHERE tool_name = 'mine'").get
    assert config == '{"n":2,"more":1}'
    assert verify(path)["equal"]


def test_a_log_that_was_changed_is_not_restored_whatever_the_metadata_say_was_checked(
    backup: Backup, tmp_path: Path
):
    forged = forged_backup(
        backup, tmp_path, "UPDATE events SET data = json_set(data, '$.forged', 1) WHERE position = 3"
    )
    update_metadata(forged.place, chain_verified_from=forged.metadata.position)
    with pytest.raises(BackupError) as caught:
        restored(forged, tmp_path / "restored")
    assert caught.value.reason == "chain_broken"
    assert not (tmp_path / "restored" / "hyperpage.db").exists()


@pytest.mark.parametrize("timeline", ["(7, 20)", "(2, 1)"])
def test_a_timeline_that_the_log_does_not_have_is_found(backup: Backup, tmp_path: Path, timeline: str):
    forged = forged_backup(backup, tmp_path, f"INSERT INTO timelines VALUES {timeline}")
    with closing(open_reader(forged.path)) as connection:
        timelines = tuple(connection.execute("SELECT * FROM timelines ORDER BY timeline"))
    update_metadata(forged.place, timelines=timelines, timeline=timelines[-1][0])
    for check in (verify_backup, drill):
        with pytest.raises(BackupError, match="its timelines are not those of its log"):
            check(forged.place)


def test_an_index_that_hides_events_is_found_before_a_restore(backup: Backup, tmp_path: Path):
    """Streams are read by an index; quick checks do not compare it with its table."""
    forged = forged_backup(
        backup,
        tmp_path,
        "PRAGMA writable_schema = on;"
        "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'idx_jobs_status';"
        "DELETE FROM sqlite_schema WHERE name = 'idx_jobs_status'; PRAGMA writable_schema = reset;"
        "UPDATE jobs SET status = 'hidden' || status; PRAGMA writable_schema = on;"
        "INSERT INTO sqlite_schema SELECT * FROM kept; DROP TABLE kept; PRAGMA writable_schema = reset",
    )
    for check in (lambda: verify_backup(forged.place), lambda: restored(forged, tmp_path / "restored")):
        with pytest.raises(BackupError) as caught:
            check()
        assert caught.value.reason == "damaged"


def test_what_the_archive_has_comes_as_rows_into_a_file_that_the_migrations_made(tmp_path: Path):
    """Nothing in a segment is run as a statement, even if a row has SQL in it."""
    archived = Archived(tmp_path / "data")
    archived.work(30)
    archived.archive()
    archived.close()
    segment = list_segments(tmp_path / "data" / "archive")[0]
    content = read_segment(segment)
    header = content.header
    hostile = "'); DROP TABLE jobs; CREATE TRIGGER forge AFTER INSERT ON events BEGIN SELECT 1; END; --"
    rows, _ = chain.extend(
        chain.Head(),
        [chain.Entry(hostile, 1, hostile, hostile, hostile, hostile)],
        content.rows[0].recorded_at,
    )
    place = segment_path(tmp_path / "forged", header.timelines[-1][0], 1, 1)
    forged_header = type(header)(
        store_id=header.store_id, timelines=header.timelines, first=1, last=1, previous_hash=bytes(32).hex()
    )
    write_segment(place, forged_header, row_lines(rows), [Answer(hostile, b"x" * 32, 1, hostile)])
    (forged,) = list_segments(tmp_path / "forged")

    with closing(open_writer(tmp_path / "new.db")) as connection:
        runner.up(connection)
        with write_transaction(connection):
            connection.execute("INSERT INTO store VALUES (?, 1)", (header.store_id,))
        replay(connection, Stretch(forged, 1), header.store_id)
        assert schema_differences(connection) == []
        assert connection.execute("SELECT stream FROM events").get == hostile
        assert connection.execute("SELECT command_id FROM command_answers").get == hostile
