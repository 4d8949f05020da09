"""However many events there are, the tables are made from them again, byte for byte.

`make prove ARGS="-k million -s"` prints what it takes; `EVENTS=200000 make prove …` does it with fewer.
"""

import hashlib
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from migrations.connection import open_reader, open_writer, write_transaction
from tests.support.clock import MINUTE_MS
from tests.support.services.command_line import environment
from tests.support.stores.writing import TABLES, Sent, Store, batch

EVENTS = int(os.environ.get("EVENTS") or 1_000_000)
# Tables that stay empty in all rounds.
EMPTY = {"queues", "schedules"}
# Jobs that one round enqueues and claims; it makes about three and a half times as many events.
JOBS_A_ROUND = 300
SEED = 11
# Measured inside the child: its `ru_maxrss` begins with its parent's memory at the fork.
MEASURED = """
import sys
from pathlib import Path
from ops.cli.main import run
code = run(sys.argv[1:])
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = [line.split()[1] for line in lines if "VmHWM" in line]
print(f"held at most {int(peak[0]) // 1024} MiB" if peak else "memory is not measured here", file=sys.stderr)
sys.exit(code)
"""


def fill(folder: Path, events: int) -> int:
    """Makes a store with at least so many events, as the writer makes them; the last position."""
    chance = random.Random(SEED)
    with Store(folder / "hyperpage.db", next_upkeep=math.inf) as store:
        number = 0
        while store.writer.head.position < events:
            number += 1
            # A minute later, a limit's observations are not coalesced any more, and retries are due.
            store.clock.now += MINUTE_MS
            live_a_round(store, number, chance)
            # The collected commits would keep every row in memory.
            store.commits.clear()
        return store.writer.head.position


def live_a_round(store: Store, number: int, chance: random.Random) -> None:
    """Jobs, and changes of everything else; then the jobs are claimed, and end in one way or another."""
    accepted(store, [enqueue(f"{number}-{place}", chance) for place in range(JOBS_A_ROUND)])
    accepted(store, [of_another_kind(number, place, chance) for place in range(JOBS_A_ROUND // 2)])
    # Retried jobs are due, too, so each round finds as many as it asks for.
    claim = Sent("jobs.claim", {"worker": "w", "limit": 100, "lease_ms": 3_600_000})
    claimed = accepted(store, [claim] * (JOBS_A_ROUND // 100))
    jobs = [job for outcome in claimed for job in outcome["result"]["jobs"]]
    assert len(jobs) == JOBS_A_ROUND
    accepted(store, [ended(job, store.clock.now, chance) for job in jobs])


def enqueue(job_id: str, chance: random.Random) -> Sent:
    body: dict[str, Any] = {"id": job_id, "type": chance.choice("abc"), "name": "n", "tags": ["x"]}
    return Sent("jobs.enqueue", body | {"priority": chance.randint(1, 4), "payload": {"page": job_id}})


def of_another_kind(number: int, place: int, chance: random.Random) -> Sent:
    match place % 3:
        case 0:
            body = {"platform": f"p{place}", "remaining": chance.randrange(1_000), "limit": 1_000}
            return Sent("rate_limits.observe", body)
        case 1:
            return Sent("tool_configs.set", {"tool_name": f"t{place}", "config": {"round": number}})
        case _:
            return Sent("app_state.set", {"key": f"k{place}-{number % 100}", "value": {"round": number}})


def ended(job: dict[str, Any], now: int, chance: random.Random) -> Sent:
    held = {"id": job["id"], "lease": job["lease"]}
    match chance.randrange(10):
        case 0:
            return Sent("jobs.fail", held | {"error": "x", "retryable": False})
        case 1:
            return Sent("jobs.fail", held | {"error": "x", "retry_at": now + MINUTE_MS})
        case _:
            return Sent("jobs.complete", held | {"result": {"pages": chance.randrange(100)}})


def accepted(store: Store, commands: list[Sent]) -> list[Any]:
    outcomes = store.submit([batch(*commands)])[0].outcomes
    assert not [one for one in outcomes if "error" in one]
    return outcomes


def digests(path: Path) -> dict[str, str]:
    """A hash of each table: its rows in the order of their keys, each value spelled as SQL would."""
    reader = open_reader(path)
    try:
        return {name: digest(reader, name) for name in TABLES}
    finally:
        reader.close()


def digest(connection: apsw.Connection, name: str) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    quoted = " || ',' || ".join(f"quote({column})" for column in columns)
    hashed = hashlib.sha256()
    for (row,) in connection.execute(f"SELECT {quoted} FROM {name} ORDER BY {columns[0]}"):
        hashed.update(row.encode() + b"\n")
    return hashed.hexdigest()


def empty_the_tables(path: Path) -> None:
    connection = open_writer(path)
    try:
        with write_transaction(connection):
            # Attempts before the jobs that they are of.
            for name in sorted(TABLES, key=lambda table: table != "job_history"):
                connection.execute(f"DELETE FROM {name}")
    finally:
        connection.close()


def rebuild(folder: Path) -> tuple[float, str]:
    """Runs `hyperpage projections rebuild` in a process of its own; the seconds and the most that it held."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "projections", "rebuild", "--data", str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - began, done.stderr.splitlines()[-1]


def rebuilds_to_the_same_bytes(folder: Path, events: int) -> None:
    began = time.perf_counter()
    position = fill(folder, events)
    filled = time.perf_counter() - began
    path = folder / "hyperpage.db"
    before = digests(path)
    empty_the_tables(path)
    assert not set(digests(path).values()) & {before[name] for name in before if name not in EMPTY}

    seconds, memory = rebuild(folder)

    print(f"{position:,} events, made in {filled:.0f} s; {path.stat().st_size / 2**20:.0f} MiB")
    print(f"rebuilt in {seconds:.1f} s ({position / seconds:,.0f} events/s), {memory}")
    assert digests(path) == before


def test_tables_that_were_emptied_are_rebuilt_to_the_same_bytes(tmp_path: Path):
    rebuilds_to_the_same_bytes(tmp_path, 3_000)


@pytest.mark.prove
def test_a_million_events_are_rebuilt_to_the_same_bytes(tmp_path: Path):
    rebuilds_to_the_same_bytes(tmp_path, EVENTS)
