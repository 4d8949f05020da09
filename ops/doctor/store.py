"""Checks of the file itself: its shape, whether every page and index is sound, how fast it is read."""

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import apsw
import msgspec

from bus.log import chain
from migrations import runner
from migrations.connection import open_reader
from migrations.schema import schema_differences
from migrations.sqlite_words import words_of
from ops.backup.verdict import judge, problem_of_store
from ops.doctor.finding import DoctorFinding
from ops.health.aggregates import said_of
from ops.health.causes import CLOCK_BEHIND_MS
from ops.health.machine import MIB
from ops.settings import Settings
from projections.installed_tables import kept_without_aggregate

MAXIMUM_FINDINGS = 5
_READS = 200
_RESTORE = "stop the service, and `hyperpage backup restore --latest --yes`"


def look_at_shape(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks that the file can be read and has the shape that this program writes; tells its size."""
    with closing(open_reader(settings.store_path)) as connection:
        try:
            differences = schema_differences(connection)
            if differences:
                yield _wrong_schema(differences)
                return
            pending = [one.name for one in runner.status(connection) if not one.applied]
        except runner.MigrationError as error:
            yield DoctorFinding(check="migrations", level="wrong", message=error.message, hint=error.hint)
            return
        if pending:
            yield DoctorFinding(
                check="migrations",
                level="attention",
                message=f"not applied: {', '.join(pending)}",
                hint="`hyperpage migrate up`; the service does it when it starts",
            )
            return
        yield DoctorFinding(check="migrations", message="the store has the shape that this program writes")
        for kept in kept_without_aggregate(connection):
            yield DoctorFinding(
                check="aggregates", message=said_of(kept), figures=msgspec.structs.asdict(kept)
            )
        yield from _look_at_sizes(connection, settings)
        behind_ms = chain.read_head(connection).recorded_at - time.time_ns() // 1_000_000
        if behind_ms > CLOCK_BEHIND_MS:
            yield DoctorFinding(
                check="clock",
                level="attention",
                message=f"the clock is {behind_ms / 1_000:.0f} s behind the last event",
                hint="set the clock; times stand still in the log until it is past that event",
            )


def _wrong_schema(differences: list[str]) -> DoctorFinding:
    shown = "; ".join(differences[:MAXIMUM_FINDINGS])
    return DoctorFinding(
        check="schema",
        level="wrong",
        message=f"the store has in its schema what this program did not make: {shown}",
        hint=f"somebody has changed the file; {_RESTORE}, which takes a backup from before",
        figures={"differences": len(differences)},
    )


def _look_at_sizes(connection: apsw.Connection, settings: Settings) -> Iterator[DoctorFinding]:
    page_bytes = connection.pragma("page_size")
    size_bytes = connection.pragma("page_count") * page_bytes
    free_bytes = connection.pragma("freelist_count") * page_bytes
    wal = settings.store_path.with_name(f"{settings.store_path.name}-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    is_large = wal_bytes > settings.wal_degraded_mib * MIB
    yield DoctorFinding(
        check="size",
        level="attention" if is_large else "well",
        message=f"the store has {size_bytes / MIB:.1f} MiB, {free_bytes / MIB:.1f} of them free, and its WAL"
        f" {wal_bytes / MIB:.1f} MiB",
        hint="find the program that reads the store for long; the WAL shrinks afterwards" if is_large else "",
        figures={"size_bytes": size_bytes, "free_bytes": free_bytes, "wal_bytes": wal_bytes},
    )


def look_at_integrity(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks that every page, index, reference and event is sound; takes some 15 s for a gigabyte."""
    began = time.monotonic()
    try:
        found = list(filter(None, [problem_of_store(settings.store_path)]))
        with closing(open_reader(settings.store_path)) as connection:
            found += [
                f"row {row} of {table} refers to one of {parent} that is not there"
                for table, row, parent, _ in islice(
                    connection.execute("PRAGMA foreign_key_check"), MAXIMUM_FINDINGS
                )
            ]
    except (apsw.Error, UnicodeDecodeError) as error:
        found = [words_of(error)]
    seconds = time.monotonic() - began
    if found:
        verdict = judge(settings.places, store_problem="; ".join(found[:MAXIMUM_FINDINGS]))
        yield DoctorFinding(
            check="integrity",
            level="wrong",
            message=verdict.message,
            hint=verdict.hint,
            figures={"wrong": verdict.wrong, "reaches": verdict.reaches, "lost": verdict.lost},
        )
    else:
        yield DoctorFinding(
            check="integrity",
            message=f"every page, index, reference and event of the store is sound ({seconds:.1f} s)",
            figures={"took_ms": round(seconds * 1_000)},
        )


def look_at_reading(settings: Settings) -> Iterator[DoctorFinding]:
    """Measures how long it takes to read one event, at random positions of the log."""
    with closing(open_reader(settings.store_path)) as connection:
        last = chain.read_head(connection).position
        if last == 0:
            yield DoctorFinding(check="reading", message="there is no event yet that could be read")
            return
        took = []
        for _ in range(_READS):
            began = time.perf_counter()
            chain.read_at(connection, random.randint(1, last))
            took.append((time.perf_counter() - began) * 1_000)
    median, worst = statistics.median(took), max(took)
    is_slow = median > settings.query_latency_degraded_ms
    yield DoctorFinding(
        check="reading",
        level="attention" if is_slow else "well",
        message=f"reading one event takes {median:.3f} ms, {worst:.3f} ms at most",
        hint="look at the load of processors and disks" if is_slow else "",
        figures={"median_ms": round(median, 4), "worst_ms": round(worst, 4), "tries": _READS},
    )
