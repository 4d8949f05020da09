"""The running service's own report, as findings."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from domain.counting import counted
from ops.doctor.finding import DoctorFinding, DoctorLevel

# Below this rate, the writer reads more pages from the disk than from memory.
LOW_CACHE_HIT_RATE = 0.5
# The rate means something only after so many commands: at first, every page is read for the first time.
WARM_AFTER_COMMANDS = 10_000
# How long a job may be due without being begun, as in the alert HyperpageJobsOverdue.
OVERDUE_SECONDS = 900
# How many of the parts that take most room are named.
LARGEST = 4
_LEVELS: dict[str, DoctorLevel] = {"degraded": "attention", "unhealthy": "wrong"}


def look_at_service(report: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    """The causes of bad health and the notes, each with a hint; and the state of cache, jobs and room."""
    causes = report.get("causes", ())
    for cause in causes:
        yield DoctorFinding(
            check=f"service.{cause['cause']}",
            level=_LEVELS[cause["level"]],
            message=cause["message"],
            hint=cause.get("hint") or "docs/operating.md explains each cause",
        )
    for note in report.get("notes", ()):
        # The other notes are findings of the checks of files.
        if note.get("wants_doing", True):
            yield DoctorFinding(
                check=f"service.{note['note']}",
                level="attention",
                message=note["message"],
                hint=note["hint"],
            )
    if "writer" not in report:
        # The service starts, or restores its store, and has no full report yet.
        yield DoctorFinding(
            check="service",
            level="wrong",
            message="; ".join(report["reasons"]) or report["status"],
            hint="wait until it serves, and ask again",
        )
        return
    if not causes:
        # Only a leader has a writer.
        writer, rate = report["writer"] or {}, report["store"]["cache_hit_rate"]
        yield DoctorFinding(
            check="service",
            message=f"the service is healthy, at position {report['position']}",
            figures={
                "version": report["version"],
                "position": report["position"],
                "commands": writer.get("commands"),
                "groups": writer.get("groups"),
                "cache_hit_rate": rate,
                "memory_bytes": report["memory"]["resident_bytes"],
                "query_ms": report["store"]["query_ms"],
            },
        )
    yield from _look_at_cache(report)
    yield from _look_at_jobs(report.get("jobs") or {})
    yield from _look_at_room(report.get("room") or {})
    if (letters := report["broker"]["dead_letters"] or 0) > 0:
        yield DoctorFinding(
            check="dead_letters",
            level="attention",
            message=f"{letters} durable commands could not be processed",
            hint="`hyperpage dlq list` says why; replay or drop them",
        )


def _look_at_cache(report: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    rate, writer = report["store"]["cache_hit_rate"], report["writer"]
    is_warm = writer is not None and writer["commands"] >= WARM_AFTER_COMMANDS
    if rate is not None and rate < LOW_CACHE_HIT_RATE and is_warm:
        yield DoctorFinding(
            check="cache",
            level="attention",
            message=f"only {rate:.0%} of the pages that the writer looks for are in its cache",
            hint="raise HYPERPAGE_WRITER_CACHE_KIB if there is memory for it",
        )


def _look_at_jobs(jobs: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    if not jobs:
        # Only a leader has jobs in its report.
        return
    is_late = jobs["oldest_overdue_seconds"] > OVERDUE_SECONDS
    oldest = f", the oldest for {jobs['oldest_overdue_seconds']:,.0f} s" if jobs["due"] else ""
    failed = jobs["failed_attempts_in_an_hour"]
    yield DoctorFinding(
        check="jobs",
        level="attention" if is_late else "well",
        message=f"{counted(jobs['due'], 'job is', 'jobs are')} due{oldest}"
        + ("" if failed is None else f"; {counted(failed, 'attempt')} failed in the last hour"),
        hint=f"does anybody work on the queue {jobs['oldest_overdue_queue']}, or is it paused?"
        if is_late
        else "",
        figures=dict(jobs),
    )


def _look_at_room(room: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    if not room.get("parts"):
        # Room is measured soon after the start; there are no figures yet.
        return
    largest = ", ".join(f"{part['part']} {_mib(part['size_bytes'])}" for part in room["parts"][:LARGEST])
    grown = sum(max(0, part["growth_bytes_a_day"] or 0) for part in room["parts"])
    full = min((disk["full_at"] for disk in room["disks"] if disk["full_at"] is not None), default=None)
    said = "" if full is None else f"; a disk is full on {datetime.fromtimestamp(full // 1000, UTC):%Y-%m-%d}"
    yield DoctorFinding(
        check="room_taken",
        message=f"most room is taken by {largest}; all grows by {_mib(grown)} a day{said}",
        figures={"measured_at": room["measured_at"], "parts": room["parts"], "disks": room["disks"]},
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
