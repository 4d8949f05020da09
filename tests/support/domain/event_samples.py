"""Recorded events, at least one of each type and version: what a log may hold, for ever.

    make samples    or    python -m tests.support.domain.event_samples

adds stories for the types that have no sample yet, and new ones of BY_HAND, and writes the rows that all of
them fold to today. An existing line is never written anew: stores keep such events, even if the program that
wrote them has changed. So each line has its checksum beside it, and a new version of an event gets samples of
its own.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from domain.app_state import Expired, ValueSet
from domain.app_state import Imported as ValueImported
from domain.catalogue import (
    BY_TABLE,
    EVENT_TYPES,
    TIMELINE_STREAM,
    UPCASTERS,
    TimelineForked,
    decode_event,
    encode_event,
)
from domain.decider import replay
from domain.jobs.events import (
    AttemptFailed,
    AttemptTimedOut,
    Claimed,
    Completed,
    DependencyMet,
    Enqueued,
    Failed,
    GroupMet,
    Imported,
    ImportedAttempt,
    Replaced,
    Rescued,
    TimedOut,
)
from domain.jobs.groups import AwaitedGroup
from domain.jobs.retries import JobRetry
from domain.limiting import CountedRate, JobConcurrency, JobRate
from domain.messages import Event, Recorded, split_stream
from domain.rate_limits.job_calls import JobBudget
from domain.rate_limits.messages import CallsClaimed, CallsEnded, JobCalls, Observed
from domain.rate_limits.messages import Imported as LimitImported
from domain.schedules.messages import JobTemplate, Ran, ScheduleSet, Skipped
from domain.tool_configs.messages import Imported as ConfigImported
from migrations.connection import open_reader
from projections.table import as_json
from projections.tables import TABLES
from tests.support.clock import HOUR_MS, MINUTE_MS, NOW
from tests.support.documents.reference_examples import COMMANDS, answer, prepared
from tests.support.repository import ROOT
from tests.support.stores.looking_inside import read_after

FOLDER = ROOT / "tests" / "support" / "domain" / "samples"
LINES, CHECKSUMS, FOLDED = FOLDER / "events.jsonl", FOLDER / "checksums.txt", FOLDER / "folded.json"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded event of a story, in the order of the log; `data` is as it was stored."""

    story: str
    stream: str
    version: int
    position: int
    recorded_at: int
    type: str
    data: msgspec.Raw

    def recorded(self) -> Recorded:
        """The event as today's program reads it."""
        event = decode_event(self.type, bytes(self.data))
        _, key = split_stream(self.stream)
        return Recorded(self.position, key, self.version, self.recorded_at, event)


MAIL = Enqueued(type="mail", name="A mail", run_at=NOW, tags=("nightly",), unique_key="mail/7")
OLD_TIMES: dict[str, Any] = {"created_at": NOW - HOUR_MS, "updated_at": NOW - MINUTE_MS}
# Events that no example of a command leads to, or led to when the sample was made: each entry has events of
# one stream, a minute between them.
BY_HAND: Mapping[str, tuple[str, tuple[Event, ...]]] = {
    "a job of the system before": (
        "jobs/job-1",
        (
            Imported(
                type="sync",
                name="Sync acme/site",
                state="retrying",
                run_at=NOW,
                attempt=1,
                retry_count=1,
                persisted_at=NOW - HOUR_MS,
                error="HTTP 502",
                history=(ImportedAttempt(attempt=1, status="failed", error_message="HTTP 502"),),
                **OLD_TIMES,
            ),
        ),
    ),
    "a job that fails, by all means": (
        "jobs/job-2",
        (
            MAIL,
            Replaced(type="mail", name="A newer mail", run_at=NOW, payload=msgspec.Raw(b'{"n":2}')),
            Claimed(worker="worker-1", attempt=1),
            Rescued(next_run_at=NOW + 3 * MINUTE_MS),
            Claimed(worker="worker-2", attempt=2),
            AttemptTimedOut(error="timed out after 60000 ms", next_run_at=NOW + 5 * MINUTE_MS),
            Claimed(worker="worker-1", attempt=3),
            Failed(error="HTTP 410"),
        ),
    ),
    "a job whose last attempt takes too long": (
        "jobs/job-3",
        (
            MAIL,
            Claimed(worker="worker-1", attempt=1),
            TimedOut(error="timed out after 60000 ms"),
        ),
    ),
    "a job that tells where it failed": (
        "jobs/job-6",
        (
            MAIL,
            Claimed(worker="worker-1", attempt=1),
            AttemptFailed(error="KeyError: 7", traceback="in mail, line 7", next_run_at=NOW + 3 * MINUTE_MS),
            Claimed(worker="worker-1", attempt=2),
            Failed(error="KeyError: 8", traceback="in mail, line 8"),
        ),
    ),
    "a job that draws on a rate limit": (
        "jobs/job-7",
        (
            Enqueued(
                type="sync", name="Sync", run_at=NOW, budget=JobBudget(platform="github", resource="core")
            ),
            Replaced(type="sync", name="Sync", run_at=NOW, budget=JobBudget(platform="github", cost=3)),
            Claimed(worker="worker-1", attempt=1),
        ),
    ),
    "a job that says when it is tried again": (
        "jobs/job-9",
        (
            Enqueued(type="mail", name="A mail", run_at=NOW, retry=JobRetry(base_ms=1_000, factor=1.5)),
            Replaced(type="mail", name="A mail", run_at=NOW, retry=JobRetry(delays_ms=(0, 60_000))),
            Claimed(worker="worker-1", attempt=1),
            Rescued(next_run_at=NOW + 3 * MINUTE_MS, costs_attempt=False),
            Claimed(worker="worker-2", attempt=1),
            AttemptFailed(error="HTTP 502", next_run_at=NOW + 5 * MINUTE_MS),
        ),
    ),
    "a job with limits": (
        "jobs/job-10",
        (
            Enqueued(
                type="sync",
                name="Sync",
                run_at=NOW,
                concurrency=JobConcurrency(key="acme", limit=3),
                rate=JobRate(key="acme", limit=100, window_ms=MINUTE_MS),
            ),
            Replaced(type="sync", name="Sync", run_at=NOW, concurrency=JobConcurrency(key="acme")),
            Claimed(
                worker="worker-1",
                attempt=1,
                counted=(
                    CountedRate(key="acme", window_ms=MINUTE_MS),
                    CountedRate(queue="default", window_ms=1_000),
                ),
            ),
        ),
    ),
    "a job whose result is kept for a while": (
        "jobs/job-11",
        (
            Enqueued(type="mail", name="A mail", run_at=NOW, result_ttl_ms=HOUR_MS),
            Replaced(type="mail", name="A mail", run_at=NOW, result_ttl_ms=MINUTE_MS),
            Claimed(worker="worker-1", attempt=1),
            Completed(result=msgspec.Raw(b"7")),
        ),
    ),
    "a limit that jobs draw on": (
        "rate_limits/github",
        (
            Observed(remaining=100, limit=100, used=0, reset_time=NOW + HOUR_MS, observed_at=NOW),
            CallsClaimed(jobs=(JobCalls(job="job-7", cost=3), JobCalls(job="job-8"))),
            CallsEnded(job="job-7", unused=1),
            Observed(remaining=97, limit=100, used=3, reset_time=NOW + HOUR_MS, observed_at=NOW + MINUTE_MS),
        ),
    ),
    "a job that waits for another": (
        "jobs/job-4",
        (
            Enqueued(type="mail", name="A mail", run_at=NOW, depends_on=("job-1",), waiting_for=("job-1",)),
            DependencyMet(dependency="job-1"),
        ),
    ),
    "a job of one group that waits for another": (
        "jobs/job-9",
        (
            Enqueued(
                type="mail",
                name="A mail",
                run_at=NOW,
                group_id="mails-7",
                after_group=AwaitedGroup(id="import-7", when="all_ended"),
            ),
            GroupMet(group="import-7"),
        ),
    ),
    "a schedule that runs, and is late": (
        "schedules/nightly",
        (
            ScheduleSet(
                every_ms=MINUTE_MS, next_run_at=NOW + MINUTE_MS, job=JobTemplate(type="sync", name="Sync")
            ),
            Ran(job_id="job-5", due_at=NOW + MINUTE_MS, next_run_at=NOW + 2 * MINUTE_MS),
            Skipped(due_at=NOW + 2 * MINUTE_MS, next_run_at=NOW + 3 * MINUTE_MS),
        ),
    ),
    "a limit of the system before": (
        "rate_limits/github:core",
        (
            LimitImported(
                remaining=4_200,
                limit=5_000,
                reset_time=NOW + HOUR_MS,
                last_updated=NOW - MINUTE_MS,
                created_at=NOW - HOUR_MS,
            ),
        ),
    ),
    "a configuration of the system before": (
        "tool_configs/github",
        (
            ConfigImported(
                config={"owner": "acme"}, refresh_interval=5 * MINUTE_MS, updated_at=NOW - MINUTE_MS
            ),
        ),
    ),
    "a value of the system before": (
        "app_state/theme",
        (ValueImported(value=msgspec.Raw(b'"dark"'), updated_at=NOW - MINUTE_MS),),
    ),
    "a value that expires": (
        "app_state/session",
        (ValueSet(value=msgspec.Raw(b"7"), expires_at=NOW + 2 * MINUTE_MS), Expired()),
    ),
    "a restore": (TIMELINE_STREAM, (TimelineForked(timeline=2, restored_position=41),)),
}


def read() -> list[Sample]:
    """All recorded samples, in their order."""
    return [msgspec.json.decode(line, type=Sample) for line in LINES.read_bytes().splitlines()]


def checksum(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def folded(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """The row of each stream of each story, as today's program makes it; `None` where there is none left."""
    found: dict[str, dict[str, Any]] = {}
    for story, lines in groupby(samples, key=lambda one: one.story):
        streams: dict[str, list[Sample]] = {}
        for line in lines:
            streams.setdefault(line.stream, []).append(line)
        found[story] = {
            stream: _row(stream, events) for stream, events in streams.items() if stream != TIMELINE_STREAM
        }
    return found


def _row(stream: str, events: list[Sample]) -> Any:
    name, _ = split_stream(stream)
    state = replay(BY_TABLE[name], (one.recorded() for one in events))
    row = None if state is None else TABLES[name].row(state, events[-1].version, events[-1].position)
    return None if row is None else msgspec.json.decode(as_json(TABLES[name], row))


def missing(samples: list[Sample]) -> list[str]:
    """The types of events, those that are only read any more among them, that have no sample."""
    sampled = {one.type for one in samples}
    return [name for name in (*EVENT_TYPES, *UPCASTERS) if name not in sampled]


def _stories() -> Iterator[tuple[str, list[Sample]]]:
    with tempfile.TemporaryDirectory() as folder:
        for name, shown in COMMANDS.items():
            with prepared(Path(folder) / f"{name}.db", shown) as (store, body):
                answer(store, name, body)
                with closing(open_reader(store.path)) as reader:
                    rows = read_after(reader, 0, limit=1_000)
            yield (
                name,
                [
                    Sample(
                        story=name,
                        stream=row.stream,
                        version=row.version,
                        position=row.position,
                        recorded_at=row.recorded_at,
                        type=row.type,
                        data=msgspec.Raw(str(row.data).encode()),
                    )
                    for row in rows
                ],
            )
    for name, (stream, events) in BY_HAND.items():
        yield name, list(_by_hand(name, stream, events))


def _by_hand(story: str, stream: str, events: tuple[Event, ...]) -> Iterator[Sample]:
    for number, event in enumerate(events, 1):
        type_name, data = encode_event(event)
        yield Sample(
            story=story,
            stream=stream,
            version=number,
            position=number,
            recorded_at=NOW + number * MINUTE_MS,
            type=type_name,
            data=msgspec.Raw(data),
        )


def main() -> None:
    samples = read() if LINES.exists() else []
    for story, lines in _stories():
        taken = {one.story for one in samples}
        if {one.type for one in lines} & set(missing(samples)) or (story in BY_HAND and story not in taken):
            name = story if story not in taken else f"{story}, {len(taken)}"
            samples += [msgspec.structs.replace(one, story=name) for one in lines]
    encoded = [msgspec.json.encode(one) for one in samples]
    FOLDER.mkdir(exist_ok=True)
    LINES.write_bytes(b"".join(line + b"\n" for line in encoded))
    CHECKSUMS.write_text("".join(f"{checksum(line)}\n" for line in encoded), encoding="ascii")
    FOLDED.write_bytes(msgspec.json.format(msgspec.json.encode(folded(samples)), indent=1) + b"\n")
    if left := missing(samples):
        raise SystemExit(f"no story has one of these; add it to BY_HAND: {', '.join(left)}")


if __name__ == "__main__":
    main()
