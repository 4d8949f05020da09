"""A disk under SQLite that tracks what was synced: it can be made to fail, and to lose unsynced changes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from tests.lab.simulation.scheduler import Scheduler

VFS_NAME = "simulated"
# The usual time of a sync.
SYNC_SECONDS = (0.0002, 0.001)
# The smallest part of a write that is stored as a whole, or not at all.
SECTOR_BYTES = 512


class _Content:
    """The synced content of a file, and the changes since: writes, and truncations (without data)."""

    def __init__(self) -> None:
        self.certain = bytearray()
        self.since: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for one in self.since:
            _apply(self.certain, *one)
        self.since.clear()


class Disk:
    """The store's folder of one start of a service."""

    def __init__(self, folder: Path, scheduler: Scheduler) -> None:
        self.folder = folder
        self._scheduler = scheduler
        self._contents: dict[str, _Content] = {}
        # How many of the next syncs and writes fail, and how long syncs take.
        self.failing_syncs = 0
        self.failing_writes = 0
        self.sync_takes = SYNC_SECONDS
        self.is_gone = False
        # True for a mutant of the disk, on which syncs do nothing.
        self.lies = False
        folder.mkdir(parents=True)

    @property
    def store(self) -> Path:
        return self.folder / "hyperpage.db"

    @property
    def suspects(self) -> Path:
        return self.folder / "durable"

    def content(self, path: str) -> _Content:
        """The content of a file."""
        found = self._contents.get(path)
        if found is None:
            found = self._contents[path] = _Content()
            if Path(path).exists():
                found.certain += Path(path).read_bytes()
        return found

    def synced(self, path: str) -> None:
        scheduler = self._scheduler
        if scheduler.running is not None:
            scheduler.running.take_time(scheduler.random.uniform(*self.sync_takes))
        if self.failing_syncs:
            self.failing_syncs -= 1
            raise apsw.IOError("the disk failed on purpose: sync")
        if not self.lies:
            self.content(path).sync()

    def written(self, path: str, data: bytes, offset: int) -> None:
        if self.failing_writes:
            self.failing_writes -= 1
            raise apsw.FullError("the disk is full on purpose")
        self.content(path).since.append((offset, data))

    def after_kill(self, folder: Path) -> "Disk":
        """The disk after the end of the process alone, for the next start."""
        return self._next(folder, {})

    def after_cut(self, folder: Path) -> "Disk":
        """The disk after a power cut, for the next start: all synced data, and a random part of the rest."""
        chance = self._scheduler.random
        images = {}
        for path, content in self._contents.items():
            image = bytearray(content.certain)
            kept = _survivors(chance, content.since)
            for one in kept:
                _apply(image, *one)
            images[Path(path).name] = bytes(image)
        return self._next(folder, images)

    def _next(self, folder: Path, images: dict[str, bytes]) -> "Disk":
        following = Disk(folder, self._scheduler)
        following.lies = self.lies
        for name in ("hyperpage.db", "hyperpage.db-wal"):
            if name in images:
                (folder / name).write_bytes(images[name])
            elif (self.folder / name).exists():
                shutil.copyfile(self.folder / name, folder / name)
        if self.suspects.exists():
            shutil.copytree(self.suspects, following.suspects)
        return following


def _survivors(chance: Any, since: list[tuple[int, bytes | None]]) -> list[tuple[int, bytes | None]]:
    """The unsynced changes that survive a power cut."""
    match chance.choice(["none", "all", "prefix", "some", "torn"]):
        case "none":
            return []
        case "all":
            return since
        case "prefix":
            return since[: chance.randrange(len(since) + 1)]
        case "some":
            return [one for one in since if chance.random() < 0.5]
    kept: list[tuple[int, bytes | None]] = []
    for offset, data in since:
        if data is None:
            kept.append((offset, data))
            continue
        kept += [
            (offset + begin, data[begin : begin + SECTOR_BYTES])
            for begin in range(0, len(data), SECTOR_BYTES)
            if chance.random() < 0.5
        ]
    return kept


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del image[offset:]
        return
    if len(image) < offset:
        image += bytes(offset - len(image))
    image[offset : offset + len(data)] = data


class _Vfs(apsw.VFS):
    def __init__(self, base: str) -> None:
        super().__init__(VFS_NAME, base)
        self.base = base
        self.disks: dict[str, Disk] = {}

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk = None if path is None else self.disks.get(str(Path(path).parent))
        if disk is None:
            return apsw.VFSFile(self.base, name, flags)
        return _File(self.base, name, flags, disk, str(path))

    def xDelete(self, path: str, sync: bool) -> None:  # noqa: N802  # SQLite's name
        disk = self.disks.get(str(Path(path).parent))
        if disk is not None:
            disk._contents.pop(path, None)
        super().xDelete(path, sync)


class _File(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: Any, disk: Disk, path: str) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._path = path
        disk.content(path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        if not self._disk.is_gone:
            self._disk.written(self._path, bytes(data), offset)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        if not self._disk.is_gone:
            self._disk.synced(self._path)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        if not self._disk.is_gone:
            self._disk.content(self._path).since.append((size, None))
        super().xTruncate(size)


class Disks:
    """All disks of a run, one for each start of a service."""

    def __init__(self, folder: Path, scheduler: Scheduler, vfs: _Vfs) -> None:
        self._folder = folder
        self._scheduler = scheduler
        self._vfs = vfs
        self._count = 0

    def first(self, template: Path) -> Disk:
        """The first disk, with a store that was made before."""
        disk = Disk(self._next_folder(), self._scheduler)
        shutil.copyfile(template, disk.store)
        return self._known(disk)

    def after_kill(self, disk: Disk) -> Disk:
        return self._known(disk.after_kill(self._next_folder()))

    def after_cut(self, disk: Disk) -> Disk:
        return self._known(disk.after_cut(self._next_folder()))

    def _next_folder(self) -> Path:
        self._count += 1
        return self._folder / f"disk-{self._count}"

    def _known(self, disk: Disk) -> Disk:
        self._vfs.disks[str(disk.folder)] = disk
        return disk


@contextmanager
def disks(folder: Path, scheduler: Scheduler) -> Iterator[Disks]:
    """Disks for the length of the block."""
    usual = apsw.vfs_names()[0]
    vfs = _Vfs(usual)
    apsw.set_default_vfs(VFS_NAME)
    try:
        yield Disks(folder, scheduler, vfs)
    finally:
        for disk in vfs.disks.values():
            disk.is_gone = True
        for connection in apsw.connections():
            if str(folder) in connection.filename:
                # A reader's connection may fail to lock the file when it is closed.
                with suppress(apsw.Error):
                    connection.close(True)
        apsw.set_default_vfs(usual)
        vfs.unregister()
