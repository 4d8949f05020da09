"""Types of jobs that are due, and that no worker asks for: `HandlingWatch`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import apsw
import msgspec

from bus.writing.jobs.depth import Depth, TypeInQueue
from domain.counting import counted
from domain.jobs.workers import SeenWorker
from ops.health.cause import Cause
from projections.job_workers import busy_workers
from projections.queues import paused_queues

# How many of them are told one by one: clients choose their names.
MAXIMUM_TYPES = 100
_TYPES_OF_A_CAUSE = 3
# Of a worker that takes jobs of every type.
_ANY: Final = (None,)


class UnhandledType(msgspec.Struct, frozen=True, kw_only=True):
    """Due jobs of a type in a queue, which nobody has asked for `since` then (milliseconds)."""

    queue: str
    type: str
    due: int
    since: int


class HandlingWatch:
    """Finds those that nobody has asked for in `after_ms`, look by look; with 0, none.

    Who has a job may ask for more when it is done. A worker that has one and has not asked since the start
    may take whatever is in its queue.
    """

    def __init__(self, after_ms: float) -> None:
        self._after_ms = after_ms
        # Since when looks in a row have found due jobs of a type, or the last claim of such.
        self._waiting_since: dict[TypeInQueue, int] = {}

    def look(
        self,
        depths: Mapping[TypeInQueue, Depth],
        seen: Sequence[SeenWorker],
        connection: apsw.Connection,
        now: int,
    ) -> tuple[UnhandledType, ...]:
        """Those that there are now: the ones that have waited longest, `MAXIMUM_TYPES` at most."""
        if not self._after_ms:
            return ()
        # Who pauses a queue knows that its jobs wait, and they do so anew once it is resumed.
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
    """The cause for which jobs wait for ever."""
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
    """What a worker says that would take jobs of a type in a queue: that type, or none."""
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
    """What those ask for who have jobs, also of other queues than that of their job."""
    known = {(one.worker, one.queue) for one in seen}
    workers = {worker for worker, _ in busy}
    yield from ((queue, None) for worker, queue in busy if (worker, queue) not in known)
    for one in seen:
        if one.worker in workers:
            for kind in one.types or _ANY:
                yield one.queue, kind
