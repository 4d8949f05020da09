"""Work on backups and the archive while the power is cut: each a `Scenario` with its own chance."""

import asyncio
import json
import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from bus.log import chain
from bus.log.cloud_events import read_origin
from bus.log.reader_pool import ReaderPool
from domain.catalogue import TIMELINE_FORKED
from migrations.connection import open_reader
from ops.archive import merge as merging
from ops.archive.archiver import Archiver
from ops.archive.reading import read_segment
from ops.archive.segment import list_segments
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.retention import remove
from ops.targets.errors import BackupError
from ops.targets.places import Places
from tests.lab.cuts.commands import answers_in, require_commands
from tests.lab.cuts.cutting import Heard, Notes
from tests.lab.cuts.scenarios import DATA, STORE, Serving
from tests.lab.cuts.starting import started
from tests.lab.experiment import Broken
from tests.lab.oracle import VERSION, Answered, require_backups, require_store
from tests.support.stores.looking_inside import log_of


def places_in(data: Path) -> Places:
    """The places of a service's files, by default."""
    return Places(store=data / STORE, backups=data / "backups", archive=data / "archive")


class Keeping(Serving):
    """A store serves, is archived and backed up now and then; backups are removed, segments merged."""

    def play(self, root: Path, notes: Notes) -> None:
        data = root / DATA
        for _ in range(3):
            self.serve(data, notes, 4)
            self.keep(data, notes)
        with patch.object(merging, "SMALL_SEGMENTS", 3):
            notes(merged=merging.merge(data / "archive"))
        oldest = list_backups(data / "backups")[-1]
        notes(begins_to_remove=oldest.name)
        remove(oldest)
        notes(removed=oldest.name)

    def keep(self, data: Path, notes: Notes) -> None:
        archive(data)
        notes(archived=len(log_of(data / STORE)))
        notes(backup=create_backup(data / STORE, data / "backups", version=VERSION).name)

    def require(self, root: Path, heard: Heard) -> int:
        data = root / DATA
        answers = super().require(root, heard)
        return answers + require_kept(data, heard)


class LostDisk(Keeping):
    """The store's disk is gone; it is made anew from backups and archive on another one, and serves."""

    def play(self, root: Path, notes: Notes) -> None:
        data, kept = root / DATA, root / "elsewhere"
        self.serve(data, notes, 4)
        archive(data)
        create_backup(data / STORE, data / "backups", version=VERSION)
        self.serve(data, notes, 2)
        archive(data)
        kept.mkdir()
        for name in ("backups", "archive"):
            (data / name).rename(kept / name)
        shutil.rmtree(data)
        notes.settled()
        places = Places(store=data / STORE, backups=kept / "backups", archive=kept / "archive")
        notes(restored=restore(places, Moment(latest=True), version=VERSION).position)
        self.serve(data, notes, 3)

    def require(self, root: Path, heard: Heard) -> int:
        if not any("restored" in one for one in heard):
            # No answer about the new store was given yet.
            return 1
        return require_commands(root / DATA, heard, self.commands.sent)


class Restore(Keeping):
    """A store is restored to an earlier moment, perhaps twice, and serves from there.

    The service before was killed: its last writes are only in the WAL.
    """

    EACH_WAY = (False, True)

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        # Without a safety backup, the store is set aside together with its WAL.
        self._safety = chance.choice(((False,), (True,), (True, False), self.EACH_WAY))

    def play(self, root: Path, notes: Notes) -> None:
        data = root / DATA
        self.serve(data, notes, 4)
        self.keep(data, notes)
        self.serve(data, notes, 4)
        archive(data)
        self.serve_and_die(data, notes)
        notes.settled()
        for safety in self._safety:
            position = len(log_of(data / STORE)) // 2
            notes(begins_to_restore=position)
            moment = Moment(position=position)
            restored = restore(places_in(data), moment, version=VERSION, is_damaged=not safety)
            notes(restored=position)
            if restored.safety_backup is not None:
                notes(backup=Path(restored.safety_backup).name)
        self.serve(data, notes, 3)

    def serve_and_die(self, data: Path, notes: Notes) -> None:
        """Serves, and leaves the files as they were just before the end, as `kill -9` does."""
        with started(data) as store:
            self.commands.send(store, 3, notes)
            left = {one: one.read_bytes() for one in (data / STORE, data / f"{STORE}-wal")}
        for path, content in left.items():
            path.write_bytes(content)

    def require(self, root: Path, heard: Heard) -> int:
        data = root / DATA
        with started(data):
            """Without an operator."""
        begun = [number for number, one in enumerate(heard) if "begins_to_restore" in one]
        done = sum("restored" in one for one in heard)
        forks = [row.position for row in log_of(data / STORE) if row.type == TIMELINE_FORKED]
        answered = answers_in(heard[: begun[0]] if begun else heard)
        if not {position - 1 for position in forks} <= {heard[one]["begins_to_restore"] for one in begun}:
            raise Broken(f"the store was brought back to what nobody asked for: {forks}")
        # The second restore may be to a moment before the first one.
        is_last = bool(forks) and forks[-1] == heard[begun[-1]]["begins_to_restore"] + 1
        if done and not (is_last or (done < len(begun) and forks)):
            raise Broken("what was restored is not")
        if forks:
            answered = [*kept_until(min(forks) - 1, answered), *answers_in(heard[begun[0] :])]
        require_store(data / STORE, self.commands.sent, answered)
        self._require_given_up(data, answers_in(heard[: begun[0]] if begun else []))
        return len(answered) + require_kept(data, heard, is_ahead=bool(begun))

    def _require_given_up(self, data: Path, answered: list[Answered]) -> None:
        """Checks that the last event before a restore is in the store, a backup or a store set aside."""
        files = [data / STORE, *(one.path for one in list_backups(data / "backups"))]
        files += [
            one
            for one in data.glob(f"{STORE}.set-aside-*")
            if one.suffix.removeprefix(".set-aside-").isdecimal()
        ]
        last = json.loads(answered[-1].answer)["position"] if answered else None
        if last is not None and not any(
            row.position == last and row.command_id == answered[-1].command_id
            for one in files
            for row in log_of(one)
        ):
            raise Broken("what was given up with the restore is nowhere")


class TwoRestores(Restore):
    """Two restores, one of each kind."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._safety = self.EACH_WAY


def require_kept(data: Path, heard: Heard, *, is_ahead: bool = False) -> int:
    """Checks that backups and archive have all that an answer said is in them; returns the number of checks.

    `is_ahead`: the archive may have events that the store lacks since a restore.
    """
    listed = {one["backup"] for one in heard if "backup" in one}
    gone = {one["begins_to_remove"] for one in heard if "begins_to_remove" in one}
    with TemporaryDirectory(dir=data.parent) as scratch:
        found = require_backups(places_in(data), listed - gone, Path(scratch))
    deleted = {one["removed"] for one in heard if "removed" in one}
    if back := deleted & {one.name for one in list_backups(data / "backups")}:
        raise Broken(f"backups that were deleted are there again: {back}")
    rows = log_of(data / STORE)
    archived: dict[int, chain.Row] = {}
    try:
        for segment in list_segments(data / "archive", 1):
            archived |= {row.position: row for row in read_segment(segment).rows}
    except BackupError as error:
        raise Broken(f"the archive cannot be read: {error}") from error
    told = max((one["archived"] for one in heard if "archived" in one), default=0)
    if missing := set(range(1, told + 1)) - set(archived):
        raise Broken(f"the archive had {told} positions, and lacks {len(missing)} of them")
    if not is_ahead and any(row != rows[position - 1] for position, row in archived.items()):
        raise Broken("the archive has other events than the log")
    archive(data)
    return found + told


def archive(data: Path) -> None:
    """Archives all that is not in the archive yet, as a service does when it stops."""
    with closing(open_reader(data / STORE)) as connection:
        origin = read_origin(connection)
    with closing(ReaderPool(data / STORE)) as readers:
        archiver = Archiver(data / "archive", origin, readers.connection, store=data / STORE)
        # `stop` does the same, but only logs its errors; this raises them.
        asyncio.run(archiver._catch_up())


def kept_until(position: int, answered: Iterable[Answered]) -> Iterator[Answered]:
    """The answers in a store that ends at a position; one without events counts as the one before it."""
    head = 0
    for one in answered:
        head = max(head, json.loads(one.answer)["position"] or 0)
        if head <= position:
            yield one
