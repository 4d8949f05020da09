"""A store with a history of many kinds, and its content at each position, for tests of backups."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bus.log import chain
from bus.log.answers import Answer, read_answers
from migrations.connection import open_reader
from ops.archive.reading import read_segment
from ops.archive.segment import list_segments, runs
from ops.archive.timelines import Timelines, history_of
from ops.backup.create import create_backup
from ops.backup.drill import prove
from ops.backup.metadata import Backup
from ops.backup.verify import verified
from ops.targets.places import Places
from ops.targets.sealing import Identities, Sealing
from ops.targets.target import Place
from tests.support.clock import Clock
from tests.support.stores.writing import Store, dump_tables

VERSION = "0.0.0"


class Stored:
    """A store in a folder, to which commands are sent until it is closed."""

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        *,
        sealing: Sealing = Sealing(),  # noqa: B008 - nothing changes it
        places: Places | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "hyperpage.db"
        self.folder = folder / "backups"
        self.places = places or Places(
            store=self.path, backups=self.folder, archive=folder / "archive", sealing=sealing
        )
        self.clock = Clock()
        self.store = Store(self.path, self.clock)
        self._chance = random.Random(seed)
        self._sent = 0

    def work(self, commands: int) -> list[tuple[str, bytes]]:
        """Sends commands of many kinds; returns their ids and answers."""
        answered = []
        for _ in range(commands):
            self._sent += 1
            self.clock.now += self._chance.randint(0, 2_000)
            name, body = self._command()
            command_id = f"command-{self._sent}"
            answered.append((command_id, self.store.send(name, body, id=command_id).body))
        return answered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def backup(self, description: str = "", *, proven: bool = False) -> Backup:
        return create_backup(
            self.path,
            self.places.backups,
            description=description,
            version=VERSION,
            now_ms=self.clock.now,
            sealing=self.places.sealing,
            signing=self.places.signing,
            prove=prove if proven else None,
        )

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> Store:
        """Goes on with the file as it is now."""
        self.store = Store(self.path, self.clock)
        return self.store

    def _command(self) -> tuple[str, dict[str, Any]]:
        number = self._chance.randint(1, 12)
        commands: list[tuple[str, dict[str, Any]]] = [
            ("jobs.enqueue", {"type": "sync", "name": f"job {self._sent}", "id": f"job-{self._sent}"}),
            ("jobs.claim", {"worker": "w", "lease_ms": 3_600_000}),
            ("jobs.cancel", {"id": f"job-{max(1, self._sent - number)}"}),
            ("app_state.set", {"key": f"key-{number}", "value": {"at": self._sent}}),
            ("app_state.delete", {"key": f"key-{number}"}),
            ("tool_configs.set", {"tool_name": f"tool-{number}", "config": {"n": self._sent}}),
            ("rate_limits.observe", {"platform": f"p{number}", "remaining": number, "limit": 60}),
        ]
        return self._chance.choice(commands)


def tables_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a file that no process writes to."""
    connection = open_reader(path)
    try:
        return dump_tables(connection)
    finally:
        connection.close()


def answers_of(path: Path) -> list[Answer]:
    """The remembered answers of a file that no process writes to."""
    connection = open_reader(path)
    try:
        return sorted(read_answers(connection, 0))
    finally:
        connection.close()


def archived_rows(folder: Place, timelines: Timelines, *, identities: Identities = ()) -> Iterator[chain.Row]:
    """The events that an archive has of a history, in order, up to the first gap."""
    found = 0
    for timeline, first, end in history_of(timelines):
        for segment in runs(list_segments(folder, timeline), max(found, first - 1)):
            for row in read_segment(segment, identities).rows:
                if found < row.position <= end:
                    yield row
                    found = row.position
        if found < end:
            return


@contextmanager
def verified_copy(place: Place, identities: Identities = ()) -> Iterator[Path]:
    """A plain database that was verified: the backup itself, or a copy for the length of the block."""
    with verified(place, whole=False, identities=identities) as plain:
        yield plain.path
