"""The parts that take room, how fast each of them grows, and when a disk will be full: `RoomWatch`."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import msgspec

from bus.kept_files import write_private
from hyperpage_client.documents import decoded
from migrations.connection import open_reader
from ops.health.machine import disks_of
from ops.health.store import interrupt_after
from ops.settings import Settings
from ops.targets.target import Place

KEPT_FILE = "room.json"
EVERY_MS = 3_600_000
# The pause after a measurement that failed.
AGAIN_SECONDS = 60.0
# The most time for one table, all pages of which are read. At 100 MB/s, that is enough for a gigabyte.
TABLE_SECONDS = 10.0
# After a table, the watch rests this many times as long as the table took, and at most so many seconds.
REST, LONGEST_REST_SECONDS = 10, 60.0
DAY_MS = 86_400_000
# Growth is computed from two measurements that are at least this far apart, at best a day. The time when a
# disk will be full needs a longer span: an import, or a copy of a file, is no lasting growth.
SHORTEST_SPAN_MS = 3_600_000
FORESEEING_SPAN_MS = 6 * 3_600_000
# Measurements are kept this long: more than a day.
KEPT_MS = 30 * 3_600_000
# The growth of a day says nothing about a time further off than this.
FURTHEST_MS = 10 * 366 * DAY_MS

# The size of a table or an index, for which SQLite reads all of its pages. https://www.sqlite.org/dbstat.html
TREE_BYTES = "SELECT sum(pgsize) FROM dbstat WHERE name = ?"

logger = logging.getLogger(__name__)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: its time in milliseconds since the epoch, bytes of each part, free bytes on disks."""

    at: int
    parts: dict[str, int]
    free: dict[str, int]


class RoomPart(msgspec.Struct, frozen=True, kw_only=True):
    """The room that one part takes. Its growth is that of the last day; `None` if too little is known."""

    part: str
    size_bytes: int
    growth_bytes_a_day: int | None


class DiskRoom(msgspec.Struct, frozen=True, kw_only=True):
    """A disk. `full_at`: when it is full at the last day's pace; `None`: unknown, or not in ten years."""

    folder: str
    free_bytes: int
    growth_bytes_a_day: int | None
    full_at: int | None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that take room, the largest first, and the disks; `measured_at` is `None` at first."""

    measured_at: int | None = None
    parts: tuple[RoomPart, ...] = ()
    disks: tuple[DiskRoom, ...] = ()


_decode = msgspec.json.Decoder(list[Sample]).decode


class RoomWatch:
    """Measures the room of one service, every hour; `state` may be asked by any thread.

    `streams` answers with the bytes of each stream on the broker. Measurements are kept in the data
    directory, so that growth is known after a restart, too.
    """

    def __init__(
        self, settings: Settings, *, now_ms: Callable[[], int], streams: Callable[[], Mapping[str, int]]
    ) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._streams = streams
        self._kept = settings.data / KEPT_FILE
        self._stopping = threading.Event()
        self.state = Room()

    async def run(self) -> None:
        """Measures again and again, for ever; a measurement that fails is tried again."""
        try:
            while True:
                # A service that is restarted again and again must not read its store each time.
                await asyncio.sleep(await asyncio.to_thread(self._due_in_seconds))
                try:
                    await self.measure()
                except (apsw.Error, OSError, UnicodeDecodeError) as error:
                    logger.info("what takes the room was not measured: %s", error)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            # This ends a measurement in a thread, which is not waited for.
            self._stopping.set()

    async def measure(self) -> None:
        """Measures once.

        Raises:
            apsw.Error, OSError: the store or a disk cannot be read.
        """
        parts: dict[str, int] = {}
        unmeasured: list[str] = []
        for name in await asyncio.to_thread(self._tables):
            began = time.monotonic()
            try:
                parts |= await asyncio.to_thread(self._table, name)
            except apsw.InterruptError:
                unmeasured.append(name)
            await asyncio.sleep(min(REST * (time.monotonic() - began), LONGEST_REST_SECONDS))
        self.state = await asyncio.to_thread(self._told, parts, unmeasured)

    def _due_in_seconds(self) -> float:
        samples = self._samples()
        age_ms = self._now_ms() - samples[-1].at if samples else EVERY_MS
        if not 0 <= age_ms < EVERY_MS:
            return 0.0
        self.state = room_of(samples)
        return (EVERY_MS - age_ms) / 1_000

    def _tables(self) -> list[str]:
        with closing(open_reader(self._settings.store_path, cache_kib=256)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")
            return [str(name) for (name,) in rows]

    def _table(self, table: str) -> dict[str, int]:
        """The bytes of a table, and of all its indexes together.

        Raises:
            apsw.InterruptError: it took too long; the WAL cannot be reset during the reading.
        """
        with closing(open_reader(self._settings.store_path, cache_kib=256)) as connection:
            interrupt_after(connection, TABLE_SECONDS, self._stopping)
            trees = "SELECT name FROM sqlite_schema WHERE tbl_name = ? AND rootpage > 0"
            sizes: Counter[str] = Counter()
            for (name,) in connection.execute(trees, (table,)).fetchall():
                size = connection.execute(TREE_BYTES, (name,)).get
                sizes[table if name == table else f"indexes of {table}"] += size or 0
            return sizes

    def _told(self, parts: dict[str, int], unmeasured: Sequence[str]) -> Room:
        """The result of all measurements, with this one, which is kept."""
        settings, now = self._settings, self._now_ms()
        store = settings.store_path
        with closing(open_reader(store, cache_kib=256)) as connection:
            page_bytes = connection.pragma("page_size")
            parts["sqlite_schema"] = connection.execute(TREE_BYTES, ("sqlite_schema",)).get
            parts["free in the store"] = connection.pragma("freelist_count") * page_bytes
            store_bytes = connection.pragma("page_count") * page_bytes
        if unmeasured:
            # Tables that are too large to be read take the rest of the file.
            parts[" and ".join(unmeasured)] = max(0, store_bytes - sum(parts.values()))
        parts |= self._streams()
        wal = store.with_name(f"{store.name}-wal")
        parts["WAL"] = wal.stat().st_size if wal.exists() else 0
        for name, place in (("backups", settings.backup_folder), ("archive", settings.archive_folder)):
            if (size := _size_of(place)) is not None:
                parts[name] = size
        free = {one.folder: one.free_bytes for one in disks_of(settings)}
        # Measurements with later times are dropped: the clock was set back since.
        samples = [one for one in self._samples() if now - KEPT_MS <= one.at < now]
        samples = [*samples, Sample(at=now, parts=parts, free=free)]
        write_private(self._kept, msgspec.json.encode(samples))
        return room_of(samples)

    def _samples(self) -> list[Sample]:
        try:
            return decoded(_decode, self._kept.read_bytes())
        except (OSError, msgspec.DecodeError):
            return []


def room_of(samples: list[Sample]) -> Room:
    """The result of measurements, of which there is at least one; the oldest comes first."""
    last = samples[-1]
    before = [one for one in samples[:-1] if last.at - one.at >= SHORTEST_SPAN_MS]
    # The measurement that is nearest to a day ago.
    first = min(before, key=lambda one: abs(last.at - one.at - DAY_MS), default=None)

    def growth(now: int, then: int | None) -> int | None:
        return None if first is None or then is None else (now - then) * DAY_MS // (last.at - first.at)

    parts = [
        RoomPart(
            part=name,
            size_bytes=size,
            growth_bytes_a_day=growth(size, first.parts.get(name) if first else None),
        )
        for name, size in last.parts.items()
    ]
    disks = []
    for folder, free in last.free.items():
        then = None if first is None else first.free.get(folder)
        filled = growth(-free, None if then is None else -then)
        foresees = first is not None and last.at - first.at >= FORESEEING_SPAN_MS
        disks.append(
            DiskRoom(
                folder=folder,
                free_bytes=free,
                growth_bytes_a_day=filled,
                full_at=_full_at(last.at, free, filled) if foresees else None,
            )
        )
    return Room(
        measured_at=last.at,
        parts=tuple(sorted(parts, key=lambda one: -one.size_bytes)),
        disks=tuple(disks),
    )


def _full_at(now: int, free: int, growth: int | None) -> int | None:
    left_ms = None if growth is None or growth <= 0 else free * DAY_MS // growth
    return None if left_ms is None or left_ms > FURTHEST_MS else now + left_ms


def _size_of(place: Place) -> int | None:
    """The bytes of all files in a folder; `None` for a bucket, whose provider shows its size."""
    if not isinstance(place, Path):
        return None
    return sum(_sizes(place)) if place.exists() else 0


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            state = path.lstat()
        except FileNotFoundError:
            # The file was pruned meanwhile.
            continue
        # The size of its blocks: a sparse file takes less room than its size says.
        yield state.st_blocks * 512
