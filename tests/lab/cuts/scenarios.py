"""Work on a store while the power is cut: each a `Scenario` with its own chance."""

import random
from contextlib import closing
from pathlib import Path

from bus.log.cloud_events import read_origin
from domain.credentials.scanning import AllowedPaths
from migrations import runner
from migrations.connection import open_reader, open_writer, write_transaction
from ops.importing.destinations import StoppedStore
from ops.importing.importer import import_all
from ops.importing.source import Source
from ops.store.data_directory import DataDirectory
from ops.store.opening import open_store
from ops.store.projections_check import rebuild_file
from tests.lab.cuts.commands import Commands, answers_in, require_commands
from tests.lab.cuts.cutting import Heard, Notes
from tests.lab.cuts.starting import started
from tests.lab.experiment import Broken
from tests.lab.oracle import require_store
from tests.support.clock import NOW
from tests.support.stores.looking_inside import log_of
from tests.support.stores.old_databases import APP_STATE, JOB, RATE_LIMIT, TOOL_CONFIG, old_database

DATA, STORE = "data", "hyperpage.db"
# Few pages, so that the WAL is written back into the file every few commits.
CHECKPOINT_PAGES = 30


class Serving:
    """A new store takes commands, and is closed and opened again in between."""

    def __init__(self, chance: random.Random) -> None:
        self.commands = Commands(chance)

    def play(self, root: Path, notes: Notes) -> None:
        for _ in range(3):
            self.serve(root / DATA, notes)

    def serve(self, data: Path, notes: Notes, groups: int = 10) -> None:
        with started(data) as store:
            store.connection.wal_autocheckpoint(CHECKPOINT_PAGES)
            self.commands.send(store, groups, notes)

    def require(self, root: Path, heard: Heard) -> int:
        return require_commands(root / DATA, heard, self.commands.sent)


class NewStore(Serving):
    """A service starts for the first time, and announces the id of its store."""

    def play(self, root: Path, notes: Notes) -> None:
        with started(root / DATA) as store:
            notes(store_id=store.origin.store_id)
            self.commands.send(store, 3, notes)

    def require(self, root: Path, heard: Heard) -> int:
        answers = super().require(root, heard)
        with closing(open_reader(root / DATA / STORE)) as connection:
            found = read_origin(connection).store_id
        if any(one.get("store_id", found) != found for one in heard):
            raise Broken(f"the store has another id: {found}")
        return answers + 1


class Migration(Serving):
    """A store of an older version is opened by this one, and serves."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._steps = chance.randint(1, 3)

    def play(self, root: Path, notes: Notes) -> None:
        data = root / DATA
        self.serve(data, notes)
        with closing(open_writer(data / STORE)) as connection:
            for _ in range(self._steps):
                runner.down(connection)
        notes.settled()
        self.serve(data, notes, 3)


class Rebuild(Serving):
    """Rows of a stopped service that differ from the log are repaired by a rebuild."""

    def play(self, root: Path, notes: Notes) -> None:
        store = root / DATA / STORE
        self.serve(root / DATA, notes)
        with closing(open_writer(store)) as connection, write_transaction(connection):
            connection.execute("UPDATE app_state SET value = 'null'; DELETE FROM jobs WHERE priority = 2")
        notes.settled()
        rebuild_file(store)
        notes(rebuilt=True)
        self.serve(root / DATA, notes, 3)

    def require(self, root: Path, heard: Heard) -> int:
        store = root / DATA / STORE
        if not any("rebuilt" in one for one in heard):
            with started(root / DATA):
                """It starts as it is."""
            rebuild_file(store)
        return super().require(root, heard)


class Import(Serving):
    """A database of the system before is read into a store."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._jobs = [JOB | {"id": f"old-{number}"} for number in range(chance.randint(1, 700))]

    def play(self, root: Path, notes: Notes) -> None:
        file = old_database(
            root / "old.db",
            jobs=self._jobs,
            rate_limits=[RATE_LIMIT],
            tool_configs=[TOOL_CONFIG],
            app_state=[APP_STATE],
        )
        notes.settled()
        directory = DataDirectory(root / DATA)
        connection, _ = open_store(root / DATA / STORE, cache_kib=1024)
        with closing(Source(file)) as source, closing(connection):
            report = import_all(
                source, StoppedStore(connection, AllowedPaths(), lambda: NOW), allowed=AllowedPaths()
            )
        notes(imported=report.position)
        directory.release()
        self.serve(root / DATA, notes, 3)

    def require(self, root: Path, heard: Heard) -> int:
        with started(root / DATA):
            """Without an operator."""
        store = root / DATA / STORE
        rows = log_of(store)
        imported = [one["imported"] for one in heard if "imported" in one]
        if imported and len(rows) < imported[0]:
            raise Broken(f"the log ends at {len(rows)}, and {imported[0]} were imported")
        ids = {row.command_id for row in rows if row.type.endswith(".imported.v1")}
        if imported and len(ids) != len(self._jobs) + 3:
            raise Broken(f"{len(ids)} things were imported, and there were {len(self._jobs) + 3}")
        require_store(store, self.commands.sent | dict.fromkeys(filter(None, ids)), answers_in(heard))
        return len(rows)
