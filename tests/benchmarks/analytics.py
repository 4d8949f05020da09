"""What an export takes, and how fast a lake answers beside the `sqlite3` module on the same backup.

    python -m tests.benchmarks.analytics [--events 1000000] [--jobs 200000] [--rounds 5] [--in-turn]
        [--keep FOLDER]

A store of that size is made by sending commands (tests/benchmarks/large_store.py), which takes longer than
all else; in a folder that is kept, it is there the next time. The export and the incremental one, of a
thousand events more, are those of the command line, from its start to its end, with the memory of all its
processes together; beside other work, the CPU's seconds say more than the clock's. Every question is asked of
one and then of the other, as often, and both must give the same answer; the figure is the best of the rounds,
so that both have warmed. With --in-turn they are asked by turns: what SQLite reads of the backup then pushes
DuckDB's code out of the processor's caches, which takes half a millisecond. Questions marked * are answered
by SQLite from an index alone. Exits with 1 if an answer differs.
"""

import argparse
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from ops.analytics import connect
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, list_backups
from tests.benchmarks.core.processes import children, memory_bytes
from tests.benchmarks.large_store import add_events, make_large_store

SAMPLE_SECONDS = 0.02


class Question(NamedTuple):
    """A question for both engines; `lake` is its SQL for DuckDB, where that differs from SQLite's."""

    kind: str
    what: str
    sqlite: str
    lake: str | None = None


def _percentile(table: str, column: str, by: str, fraction: float) -> str:
    """The discrete percentile, which SQLite has no function for."""
    return (
        f"SELECT {by}, {column} FROM (SELECT {by}, {column},"
        f" row_number() OVER (PARTITION BY {by} ORDER BY {column}) AS place,"
        f" count(*) OVER (PARTITION BY {by}) AS number FROM {table} WHERE {column} IS NOT NULL)"
        f" WHERE place = CAST(ceil(number * {fraction}) AS INTEGER) ORDER BY 1"
    )


QUESTIONS = [
    Question("count", "events of a type", "SELECT count(*) FROM events WHERE type = 'job.completed.v1'"),
    Question(
        "count",
        "events of a day",
        "SELECT count(*) FROM events WHERE recorded_at BETWEEN 1800864000000 AND 1800950399999",
    ),
    Question("count", "jobs that were tried again", "SELECT count(*) FROM jobs WHERE retry_count > 0"),
    Question("count", "all events *", "SELECT count(*) FROM events"),
    Question("count", "jobs that are completed *", "SELECT count(*) FROM jobs WHERE status = 'completed'"),
    Question("count", "streams *", "SELECT count(DISTINCT stream) FROM events"),
    Question("group-by", "events by type", "SELECT type, count(*) FROM events GROUP BY type ORDER BY 1"),
    Question(
        "group-by",
        "events by day and type",
        "SELECT recorded_at / 86400000, type, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT recorded_at // 86400000, type, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "group-by",
        "jobs by type and status",
        "SELECT type, status, count(*), avg(retry_count), max(completed_at - created_at) FROM jobs"
        " GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "join",
        "attempts by type of job and how they ended",
        "SELECT j.type, h.status, count(*), sum(h.duration_ms) FROM jobs AS j JOIN job_history AS h"
        " ON h.job_id = j.id GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "join",
        "events of jobs by the tool of their job",
        "SELECT j.tool, e.type, count(*) FROM events AS e JOIN jobs AS j ON e.stream = 'jobs/' || j.id"
        " GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "percentile",
        "run time of attempts, p95 by how they ended",
        _percentile("job_history", "duration_ms", "status", 0.95),
        "SELECT status, quantile_disc(duration_ms, 0.95) FROM job_history WHERE duration_ms IS NOT NULL"
        " GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "percentile",
        "time to completion of jobs, p99 by type",
        _percentile("(SELECT type, completed_at - created_at AS took FROM jobs)", "took", "type", 0.99),
        "SELECT type, quantile_disc(completed_at - created_at, 0.99) FROM jobs WHERE completed_at IS NOT NULL"
        " GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "JSON key",
        "jobs enqueued by type and priority",
        "SELECT data ->> '$.type', coalesce(data ->> '$.priority', 2), count(*) FROM events"
        " WHERE type = 'job.enqueued.v1' GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT data_type, data_priority, count(*) FROM events WHERE type = 'job.enqueued.v1'"
        " GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "JSON key",
        "attempts that failed by their error",
        "SELECT data ->> '$.error', count(*) FROM events WHERE type = 'job.attempt_failed.v1'"
        " GROUP BY 1 ORDER BY 1",
        "SELECT data_error, count(*) FROM events WHERE type = 'job.attempt_failed.v1' GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "JSON key",
        "the least that was left of each budget",
        "SELECT stream, min(data ->> '$.remaining'), avg(data ->> '$.remaining') FROM events"
        " WHERE type = 'rate_limit.observed.v1' GROUP BY 1 ORDER BY 1",
        "SELECT stream, min(data_remaining), avg(data_remaining) FROM events"
        " WHERE type = 'rate_limit.observed.v1' GROUP BY 1 ORDER BY 1",
    ),
]


class Taken(NamedTuple):
    """Seconds and bytes of a command; `cpu_seconds` are those of all its processes together."""

    seconds: float
    cpu_seconds: float
    memory_bytes: int
    out: dict[str, Any]


def measured(*command: str | Path) -> Taken:
    """Runs a command of ours; its memory is that of all its processes, shared pages counted once."""
    began, cpu_before = time.perf_counter(), _cpu_of_children()
    process = subprocess.Popen([sys.executable, "-m", "ops.cli", *map(str, command)], stdout=subprocess.PIPE)
    ended = threading.Event()
    most = 0

    def watch() -> None:
        nonlocal most
        while not ended.wait(SAMPLE_SECONDS):
            most = max(most, _memory_of(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Taken(seconds, _cpu_of_children() - cpu_before, most, json.loads(out))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_of(process_id: int) -> int:
    """The bytes of a process and its children, with shared pages counted once; 0 if one has just ended."""
    try:
        return sum(map(memory_bytes, [process_id, *children(process_id)]))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def compare(backup: Backup, lake: Path, rounds: int, *, in_turn: bool) -> bool:
    """Asks every question of both, and returns whether all answers were the same."""
    same = True
    sqlite = sqlite3.connect(f"file:{backup.path}?immutable=1", uri=True)
    engine = connect(lake, snapshot=backup.name)
    print(f"{'':<11} {'':<46} {'sqlite3':>10} {'lake':>9} {'times':>6}")
    for one in QUESTIONS:
        asked = [(sqlite, one.sqlite), (engine, one.lake or one.sqlite)]
        order = asked * rounds if in_turn else [each for each in asked for _ in range(rounds)]
        taken: dict[Any, list[float]] = {sqlite: [], engine: []}
        answers = []
        for connection, query in order:
            seconds, answer = timed(connection, query)
            taken[connection].append(seconds)
            answers.append(answer)
        if not all(is_same(answers[0], answer) for answer in answers):
            same = False
            print(f"differs: {one.what}\n  {answers[0][:3]}\n  {answers[-1][:3]}")
            continue
        slow, fast = min(taken[sqlite]) * 1000, min(taken[engine]) * 1000
        print(f"{one.kind:<11} {one.what:<46} {slow:7.1f} ms {fast:6.1f} ms {slow / fast:6.1f}")
    engine.close()
    sqlite.close()
    return same


def timed(connection: Any, query: str) -> tuple[float, list[Any]]:
    """The seconds that a query took, and its answer."""
    began = time.perf_counter()
    answer = connection.execute(query).fetchall()
    return time.perf_counter() - began, answer


def is_same(one: list[Any], other: list[Any]) -> bool:
    """True if both answers are the same; floats may differ by the order in which they were added up."""
    return len(one) == len(other) and all(
        len(row) == len(found)
        and all(
            abs(a - b) <= 1e-9 * abs(a) if isinstance(a, float) and isinstance(b, float) else a == b
            for a, b in zip(row, found, strict=True)
        )
        for row, found in zip(one, other, strict=True)
    )


def measure(folder: Path, *, events: int, jobs: int, rounds: int, in_turn: bool) -> bool:
    """Makes the files, prints the measurements, and returns whether all answers were the same."""
    store, backups, lake = folder / "hyperpage.db", folder / "backups", folder / "lake"
    if not store.exists():
        began = time.perf_counter()
        make_large_store(store, events=events, jobs=jobs)
        print(f"made by commands in {time.perf_counter() - began:.0f} s")
    if not list_backups(backups):
        create_backup(store, backups, version="benchmark")
    shutil.rmtree(lake, ignore_errors=True)
    known = list_backups(backups)
    backup = known[-1]
    print(
        f"{backup.metadata.position:,} events, {backup.metadata.rows['jobs']:,} jobs,"
        f" {backup.metadata.size / 1e6:.0f} MB"
    )
    show("export", measured("analytics", "export", "--data", folder, "--backup", backup.name, "--json"))
    show("nothing new", measured("analytics", "export", "--data", folder, "--backup", backup.name, "--json"))
    if len(known) == 1:
        add_events(store, 1_000)
        create_backup(store, backups, version="benchmark")
    show("a thousand events more", measured("analytics", "export", "--data", folder, "--json"))
    # A file may have several names, and counts once.
    size = sum({one.stat().st_ino: one.stat().st_size for one in lake.rglob("*.parquet")}.values())
    print(f"{'the lake':<24} {size / 1e6:6.0f} MB")
    return compare(backup, lake, rounds, in_turn=in_turn)


def show(what: str, taken: Taken) -> None:
    memory = taken.memory_bytes / 1e6
    seconds = f"{taken.seconds:6.2f} s ({taken.cpu_seconds:5.2f} s of CPU)"
    print(f"{what:<24} {seconds} {memory:6.0f} MB {taken.out['events']:>10,} events")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-turn", action="store_true")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    print(f"DuckDB {duckdb.__version__}, sqlite3 with SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        same = measure(
            folder,
            events=arguments.events,
            jobs=arguments.jobs,
            rounds=arguments.rounds,
            in_turn=arguments.in_turn,
        )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
