"""The images that a disk may hold after a power cut, made from one journal at random moments."""

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.lab.machines.disk_server import FLUSH, RECORD

# The sectors that a disk writes as a whole or not at all: those of old disks, and of today's.
SECTORS_BYTES = (512, 4096)
# ext4 with half a superblock (two old sectors) cannot be mounted at all, so it is written as a whole.
SUPERBLOCK_BYTES = 4096
HOWS = ("none", "all", "some writes", "some sectors", "the first ones")


class Write(NamedTuple):
    """A write or flush in the journal; `place` is where its content begins there."""

    at_ns: int
    offset: int
    size: int
    is_flush: bool
    place: int


class CrashImage(NamedTuple):
    """An image. Answers from before `at_ns` were given with no more than the writes that it is made from."""

    image: Path
    at_ns: int
    said: str


def read_journal(journal: Path) -> list[Write]:
    """All writes and flushes in their order."""
    writes = []
    place, end = 0, journal.stat().st_size
    with journal.open("rb") as file:
        while place + RECORD.size <= end:
            file.seek(place)
            at_ns, offset, size, kind = RECORD.unpack(file.read(RECORD.size))
            place += RECORD.size
            writes.append(Write(at_ns, offset, size, kind == FLUSH, place))
            place += size
    return writes


def crash_images(
    base: Path,
    journal: Path,
    number: int,
    chance: random.Random,
    folder: Path,
    *,
    flushes_count: bool = True,
) -> Iterator[CrashImage]:
    """Images of so many cuts at random moments, the earliest first.

    All writes before the last flush are there, unless flushes do not count; of the later ones none, all,
    some, or parts of some. Each image exists until the next one is asked for.
    """
    writes = read_journal(journal)
    synced, image = folder / "synced.image", folder / "cut.image"
    _copy(base, synced)
    done = 0
    with journal.open("rb") as contents:
        for moment in sorted(_moment(writes, chance) for _ in range(number)):
            flushes = (n for n in range(moment) if flushes_count and writes[n].is_flush)
            last_flush = max(flushes, default=-1)
            _apply(
                synced, contents.fileno(), [one for one in writes[done : last_flush + 1] if not one.is_flush]
            )
            done = max(done, last_flush + 1)
            _copy(synced, image)
            pending = [one for one in writes[done:moment] if not one.is_flush]
            how = chance.choice(HOWS)
            kept = list(_kept(pending, how, chance))
            _apply(image, contents.fileno(), kept)
            yield CrashImage(
                image,
                writes[moment].at_ns,
                f"before write {moment} of {len(writes)}, {how} of {len(pending)}",
            )
    image.unlink(missing_ok=True)
    synced.unlink()


def _moment(writes: Sequence[Write], chance: random.Random) -> int:
    """The number of the write before which the power goes: any, or a flush, when most writes are pending."""
    moment = chance.randrange(1, len(writes))
    if chance.random() < 0.5:
        while moment < len(writes) - 1 and not writes[moment].is_flush:
            moment += 1
    return moment


def _kept(pending: Sequence[Write], how: str, chance: random.Random) -> Iterator[Write]:
    """The pending writes that the disk kept."""
    match how:
        case "all":
            yield from pending
        case "the first ones":
            yield from pending[: chance.randrange(len(pending) + 1)]
        case "some writes":
            share = chance.random()
            yield from (one for one in pending if chance.random() < share)
        case "some sectors":
            share, sector = chance.random(), chance.choice(SECTORS_BYTES)
            pieces = (piece for one in pending for piece in _pieces(one, sector))
            yield from (piece for piece in pieces if chance.random() < share)


def _pieces(one: Write, sector: int) -> Iterator[Write]:
    """The parts of a write that are there or missing independently."""
    starts = [n for n in range(0, one.size, sector) if n == 0 or one.offset + n >= SUPERBLOCK_BYTES]
    for start, end in pairwise([*starts, one.size]):
        yield Write(one.at_ns, one.offset + start, end - start, False, one.place + start)


def _apply(image: Path, contents: int, writes: Sequence[Write]) -> None:
    target = os.open(image, os.O_RDWR)
    try:
        for one in writes:
            os.pwrite(target, os.pread(contents, one.size, one.place), one.offset)
    finally:
        os.close(target)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
