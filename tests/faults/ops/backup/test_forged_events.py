"""An event that is forged inside a backup is found by the chain, whatever else is made to fit."""

import random
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import pytest

from ops.backup.content import read_content
from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import Backup, metadata_path
from ops.backup.opening import opened
from ops.backup.verify import verify_backup
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from tests.support.chance import SEED
from tests.support.stores.backing_up import VERSION, Stored
from tests.support.stores.forging import put_in_place
from tests.support.stores.keys import KEY, SEALED

FORMS = (Sealing(), Sealing("zstd"), SEALED)
LATER = 1_000_000

# The forgeries of the event at a position, as SQL; `:p` is that position.
FORGERIES = {
    "its data": "UPDATE events SET data = json_set(data, '$.forged', 1) WHERE position = :p",
    "its metadata": 'UPDATE events SET metadata = \'{"actor":"somebody"}\' WHERE position = :p',
    "its stream": "UPDATE events SET stream = stream || '-forged' WHERE position = :p",
    "its version": "UPDATE events SET version = version + 1000 WHERE position = :p",
    "its type": "UPDATE events SET type = type || 'x' WHERE position = :p",
    "its time": "UPDATE events SET recorded_at = recorded_at + 1 WHERE position = :p",
    "its command": "UPDATE events SET command_id = 'forged' WHERE position = :p",
    "its hash": "UPDATE events SET hash = randomblob(32) WHERE position = :p",
    "removed": f"DELETE FROM events WHERE position = :p;"
    f"UPDATE events SET position = position + {LATER} WHERE position > :p;"
    f"UPDATE events SET position = position - {LATER} - 1 WHERE position > {LATER}",
    "put in": f"UPDATE events SET position = position + {LATER} WHERE position >= :p;"
    f"UPDATE events SET position = position - {LATER} + 1 WHERE position > {LATER};"
    "INSERT INTO events SELECT :p, 'app_state/forged', 1, type, recorded_at, NULL, data, metadata, hash"
    " FROM events WHERE position = :p + 1",
    "exchanged": f"UPDATE events SET position = position + {LATER} WHERE position IN (:p, :p + 1);"
    f"UPDATE events SET position = 2 * :p + 1 - (position - {LATER}) WHERE position > {LATER}",
}


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> dict[Sealing, Backup]:
    stored = Stored(tmp_path_factory.mktemp("forged"))
    stored.work(80)
    made = {
        form: create_backup(
            stored.path, stored.folder, version=VERSION, now_ms=stored.clock.now, sealing=form
        )
        for form in FORMS
    }
    stored.close()
    return made


def forge(backup: Backup, folder: Path, statements: str, position: int) -> Backup:
    """A backup in which one event is forged, with metadata that fit it."""
    place = folder / backup.name
    forged = folder / "forged.db"
    with opened(backup, [KEY], scratch=folder) as plain:
        shutil.copy(plain.path, forged)
    with closing(apsw.Connection(str(forged))) as connection:
        for statement in statements.split(";"):
            bindings = {"p": position} if ":p" in statement else {}
            connection.execute(statement, bindings)
        content = read_content(connection)
    return put_in_place(
        backup,
        forged,
        place,
        rows=content.rows,
        position=content.head.position,
        head_hash=content.head.hash.hex(),
        first_recorded_at=content.first_recorded_at,
        last_recorded_at=content.head.recorded_at,
    )


def refused(check: Callable[[], object]) -> tuple[str, int]:
    """The reason of the refusal, and the position at which the chain is broken."""
    with pytest.raises(BackupError) as caught:
        check()
    found = re.search(r"the hash chain is broken at position (\d+)", caught.value.message)
    assert found, caught.value.message
    return caught.value.reason, int(found[1])


@pytest.mark.parametrize("rounds", [1, pytest.param(30, marks=pytest.mark.prove)])
@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_event_is_found_where_it_is(
    backups: dict[Sealing, Backup], tmp_path: Path, how: str, rounds: int
):
    print(f"seed {SEED}")
    chance = random.Random(f"{SEED}-{how}")
    for number in range(rounds):
        sealing = chance.choice(FORMS)
        backup = backups[sealing]
        position = chance.randint(1, backup.metadata.position - 1)
        folder = tmp_path / str(number)
        folder.mkdir()
        forged = forge(backup, folder, FORGERIES[how], position)
        for check in (verify_backup, drill):
            found = refused(partial(check, forged.place, identities=[KEY]))
            assert found == ("chain_broken", position), (sealing, check.__name__)
        assert metadata_path(forged.path).exists()
        shutil.rmtree(folder)
