"""A folder with a stopped store, its backups and its archive, for tests that interrupt work on them."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

from bus.log import chain
from bus.log.cloud_events import read_origin
from bus.log.reader_pool import ReaderPool
from migrations.connection import open_reader
from ops.archive import merge as merging
from ops.archive.archiver import Archiver
from ops.archive.merge import merge
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.verify import verify_backup
from ops.targets.places import Places
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.looking_inside import log_of

RESTORED = 60


class Scene:
    """A folder with a stopped store that has a backup, a newer one, and an archive that is behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(
            store=folder / "hyperpage.db", backups=folder / "backups", archive=folder / "archive"
        )

    @classmethod
    def make(cls, folder: Path) -> "Scene":
        stored = Archived(folder)
        stored.work(40)
        stored.backup("the first")
        for _ in range(4):
            stored.work(10)
            stored.archive()
        stored.backup("the second")
        stored.work(20)
        stored.close()
        return cls(folder)

    def copy(self, folder: Path) -> "Scene":
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        return Scene(folder)

    @property
    def rows(self) -> list[chain.Row]:
        return log_of(self.places.store)

    def back_up(self) -> None:
        create_backup(self.places.store, self.folder / "backups", version=VERSION)

    def back_up_sealed(self) -> None:
        create_backup(self.places.store, self.folder / "backups", version=VERSION, sealing=SEALED)

    def archive(self) -> None:
        with closing(open_reader(self.places.store)) as connection:
            origin = read_origin(connection)
        with closing(ReaderPool(self.places.store)) as readers:
            archiver = Archiver(self.folder / "archive", origin, readers.connection, store=self.places.store)
            # `stop` does the same, but only logs its errors; this raises them.
            asyncio.run(archiver._catch_up())

    def merge(self) -> None:
        merging.SMALL_SEGMENTS = 3
        merge(self.places.archive)

    def restore(self) -> None:
        restore(self.places, Moment(position=RESTORED), version=VERSION)

    def require_backups_sound(self) -> list[Path]:
        backups = list_backups(self.folder / "backups")
        for one in backups:
            verify_backup(one.place, identities=[KEY])
        return [one.path for one in backups]
