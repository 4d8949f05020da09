"""Types of jobs that are due, and that no worker asks for: `HandlingWatch`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import apsw
import msgspec

from bus.writing.jobs.depth import Depth, TypeInQueue
from domain.counting import counted
from domain.jobs.workers import SeenWorker
from ops.health.cause import Cause
from projections.jobs.workers import busy_workers
from projections.queues import paused_queues

# At most this many types are listed: clients choose their names.
MAXIMUM_TYPES = 100
_TYPES_OF_A_CAUSE = 3
# The types of a worker that takes jobs of every type.
_ANY: Final = (None,)


class UnhandledType(msgspec.Struct, frozen=True, kw_only=True):
    """Due jobs of a type in a queue, which no worker has asked for `since` that time (milliseconds)."""

    queue: str
    type: str
    due: int
    since: int


class HandlingWatch:
    """Finds types of due jobs that no worker has asked for in `after_ms`, look by look; with 0, none.

    A worker that has a job may ask for more when that is done, so its types count as handled. A worker that
    has a job and has not asked since the start counts for all types in its job's queue.
    """

    def __init__(self, after_ms: float) -> None:
        self._after_ms = after_ms
        # For each type with due jobs: the time since when every look found some, or of the last claim for it,
        # whichever is later.
        self._waiting_since: dict[TypeInQueue, int] = {}

    def look(
        self,
        depths: Mapping[TypeInQueue, Depth],
        seen: Sequence[SeenWorker],
        connection: apsw.Connection,
        now: int,
    ) -> tuple[UnhandledType, ...]:
        """The unhandled types now, those that have waited longest first, `MAXIMUM_TYPES` at most."""
        if not self._after_ms:
            return ()
        # Jobs of a paused queue wait on purpose. Their waiting time begins anew once the queue is resumed.
        paused = paused_queues(connection)
        due = {place: depth.due for place, depth in depths.items() if depth.due and place[0] not in paused}
        asked = _last_claims(seen)
        self._waiting_since = {
            place: max(self._waiting_since.get(place, now), *(asked.get(one, 0) for one in _askers(place)))
            for place in due
        }
        unasked = {
            place: since for place, since in self._waiting_since.items() if now - since >= self._after_ms
        }
        if not unasked:
            return ()
        taken = set(_taken_by(busy_workers(connection), seen))
        found = [
            UnhandledType(queue=place[0], type=place[1], due=due[place], since=since)
            for place, since in unasked.items()
            if taken.isdisjoint(_askers(place))
        ]
        return tuple(sorted(found, key=lambda one: (one.since, one.queue, one.type))[:MAXIMUM_TYPES])


def handling_causes(unhandled: Sequence[UnhandledType], now_ms: int) -> Iterator[Cause]:
    """A cause if due jobs wait that no worker asks for."""
    if not unhandled:
        return
    told = [
        f"{counted(one.due, 'due job')} of type {one.type!r} in queue {one.queue!r}, for"
        f" {counted((now_ms - one.since) // 60_000, 'minute')}"
        for one in unhandled[:_TYPES_OF_A_CAUSE]
    ]
    if others := len(unhandled) - len(told):
        told.append(f"those of {counted(others, 'type')} more")
    yield Cause(
        "jobs_unhandled",
        "degraded",
        f"no worker has asked for {'; '.join(told)}",
        "start a worker that handles them, or cancel them: `hyperpage query jobs.workers` tells who asks for"
        " which types",
    )


def _askers(place: TypeInQueue) -> tuple[tuple[str, str | None], ...]:
    """The claims that take jobs of a type in a queue: those that name the type, or no type at all."""
    return place, (place[0], None)


def _last_claims(seen: Iterable[SeenWorker]) -> dict[tuple[str, str | None], int]:
    claims: dict[tuple[str, str | None], int] = {}
    for one in seen:
        for kind in one.types or _ANY:
            place = (one.queue, kind)
            claims[place] = max(claims.get(place, 0), one.last_claim_at)
    return claims


def _taken_by(
    busy: Collection[tuple[str, str]], seen: Collection[SeenWorker]
) -> Iterator[tuple[str, str | None]]:
    """The queues and types that workers with jobs ask for, also in other queues than their job's."""
    known = {(one.worker, one.queue) for one in seen}
    workers = {worker for worker, _ in busy}
    yield from ((queue, None) for worker, queue in busy if (worker, queue) not in known)
    for one in seen:
        if one.worker in workers:
            for kind in one.types or _ANY:
                yield one.queue, kind
