"""A store whose commits go to an archive, for tests of archives."""

import asyncio
from pathlib import Path
from typing import Any

from bus.log.reader_pool import ReaderPool
from ops.archive.archiver import Archiver
from ops.archive.segment import Segment, list_segments
from tests.support.stores.backing_up import Stored


class Archived(Stored):
    """A store whose commits go to an archive whenever the test says so."""

    def __init__(self, folder: Path, seed: int = 0, **options: Any) -> None:
        super().__init__(folder, seed, **options)
        self.readers = ReaderPool(self.path)
        self.archiver = self.new_archiver()
        self._told = 0

    def new_archiver(self) -> Archiver:
        """An archiver as after a start of the service."""
        return Archiver(
            self.places.archive,
            self.store.origin,
            self.readers.connection,
            store=self.path,
            recipients=self.places.sealing.recipients,
            signing=self.places.signing,
        )

    def archive(self) -> None:
        """Archives everything that was committed until now."""
        for commit in self.store.commits[self._told :]:
            self.archiver.notify(commit)
        self._told = len(self.store.commits)
        asyncio.run(self.archiver.stop())

    def close(self) -> None:
        self.readers.close()
        super().close()

    @property
    def segments(self) -> list[Segment]:
        return list_segments(self.places.archive)
