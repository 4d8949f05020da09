"""Schedules: jobs that are made again and again, at an interval or by a cron expression.

    set --> active --- pause ---> paused --- resume --> active        delete (of any) --> (gone)

For each due time, one job is made at most, ever: the job's id is made of the schedule's id and that time, and
the next time is always later than the last one and than the present. When times were missed, since the
service was not running, `on_missed` decides: `run_once` makes one job for all of them, `skip` none if the
last of them is more than ten seconds old. Where a schedule's jobs are `unique`, none is made while another
one stands in the way, so that they do not pile up when no worker takes them.
"""

from operator import attrgetter
from typing import Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import Invalid, NotFound
from domain.jobs.events import Enqueued
from domain.jobs.retries import stored_retry
from domain.jobs.state import TABLE as JOBS
from domain.jobs.state import Job
from domain.jobs.unique import in_the_way, not_unique
from domain.limiting import limits_of
from domain.messages import Event, Recorded
from domain.rate_limits.job_calls import stored_budget
from domain.schedules import messages
from domain.schedules.times import Times, last_due, next_time

TABLE = "schedules"
MISSED_AFTER_MS = 10_000


class Schedule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A schedule as its events have left it. `next_run_at` is `None` where no time is left."""

    id: str
    job: messages.JobTemplate
    every_ms: int | None
    cron: str | None
    time_zone: str
    on_missed: str
    created_at: int
    updated_at: int
    next_run_at: int | None = None
    paused: bool = False
    last_run_at: int | None = None
    last_job_id: str | None = None


def _set(state: Schedule | None, command: messages.SetSchedule, context: Context, key: str) -> Decision:
    if (command.every_ms is None) == (command.cron is None):
        raise Invalid("either every_ms or cron", path="$")
    if bytes(command.job.payload).lstrip()[:1] != b"{":
        raise Invalid("payload must be an object", path="$.job.payload")
    kept = {"budget": stored_budget(command.job.budget), "retry": stored_retry(command.job.retry)}
    kept |= limits_of(command.job) | {"unique": _stored_unique(command)}
    event = messages.ScheduleSet(
        job=messages.JobTemplate(**msgspec.structs.asdict(command.job) | kept),
        every_ms=command.every_ms,
        cron=command.cron,
        time_zone=command.time_zone,
        on_missed=command.on_missed,
    )
    same_times = state is not None and _times(state) == _times(event)
    next_run_at = state.next_run_at if state is not None and same_times else _next(event, context)
    event = msgspec.structs.replace(event, next_run_at=next_run_at)
    if state is not None and same_times and (state.job, state.on_missed) == (event.job, event.on_missed):
        return Decision()
    return Decision(events=((key, event),))


def _delete(state: Schedule | None, command: messages.DeleteSchedule, context: Context, key: str) -> Decision:
    _existing(state, key)
    return Decision(events=((key, messages.Deleted()),))


def _pause(state: Schedule | None, command: messages.PauseSchedule, context: Context, key: str) -> Decision:
    return Decision() if _existing(state, key).paused else Decision(events=((key, messages.Paused()),))


def _resume(state: Schedule | None, command: messages.ResumeSchedule, context: Context, key: str) -> Decision:
    schedule = _existing(state, key)
    if not schedule.paused:
        return Decision()
    return Decision(events=((key, messages.Resumed(next_run_at=_next(schedule, context))),))


def _trigger(
    state: Schedule | None, command: messages.TriggerSchedule, context: Context, key: str
) -> Decision:
    schedule = _existing(state, key)
    there = _in_the_way(schedule, context)
    if there is not None and schedule.job.unique is not None:
        raise not_unique(there, schedule.job.unique.key, "wait for it, or enqueue another one yourself")
    job_id = context.new_key()
    events = ((job_id, _job(schedule, context.now)), (key, messages.Triggered(job_id=job_id)))
    return Decision(events=events, result=messages.TriggerResult(id=job_id))


def _run(state: Schedule | None, command: messages.RunSchedule, context: Context, key: str) -> Decision:
    if state is None or state.paused or state.next_run_at is None or state.next_run_at > context.now:
        return Decision()
    due_at = last_due(_times(state), state.next_run_at, context.now, context.cron_time)
    next_run_at = _next(state, context)
    if state.on_missed == "skip" and context.now - due_at > MISSED_AFTER_MS:
        return Decision(events=((key, messages.Skipped(due_at=due_at, next_run_at=next_run_at)),))
    there = _in_the_way(state, context)
    if there is not None:
        skipped = messages.Skipped(due_at=due_at, next_run_at=next_run_at, existing=there.id)
        return Decision(events=((key, skipped),))
    job_id = f"{key}@{due_at}"
    ran = messages.Ran(job_id=job_id, due_at=due_at, next_run_at=next_run_at)
    # A user may have enqueued a job with this very id.
    if context.state(JOBS, job_id) is not None:
        return Decision(events=((key, ran),))
    return Decision(events=((job_id, _job(state, due_at)), (key, ran)))


def _next(schedule: Schedule | messages.ScheduleSet, context: Context) -> int | None:
    """The first time after the present."""
    return next_time(_times(schedule), schedule.next_run_at, context.now, context.cron_time)


def _times(schedule: Schedule | messages.ScheduleSet) -> Times:
    return Times(schedule.every_ms, schedule.cron, schedule.time_zone)


def _job(schedule: Schedule, due_at: int) -> Enqueued:
    said = msgspec.structs.asdict(schedule.job)
    unique: messages.JobUnique | None = said.pop("unique")
    key = None if unique is None else unique.key
    return Enqueued(**said, run_at=due_at, schedule_id=schedule.id, unique_key=key)


def _stored_unique(command: messages.SetSchedule) -> messages.JobUnique | None:
    asked = command.job.unique
    if asked is None:
        return None
    return messages.JobUnique(key=asked.key or command.id, scope=asked.scope, window_ms=asked.window_ms)


def _in_the_way(schedule: Schedule, context: Context) -> Job | None:
    unique = schedule.job.unique
    return None if unique is None else in_the_way(unique.key, unique.scope, unique.window_ms, context)


def _existing(state: Schedule | None, key: str) -> Schedule:
    if state is None:
        raise NotFound(f"there is no schedule {key}")
    return state


def evolve(state: Schedule | None, recorded: Recorded) -> Schedule | None:
    """The schedule after an event; `None` once it is deleted."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, messages.ScheduleSet):
        return Schedule(
            id=recorded.key,
            **msgspec.structs.asdict(event),
            created_at=at if state is None else state.created_at,
            updated_at=at,
            paused=state is not None and state.paused,
            last_run_at=None if state is None else state.last_run_at,
            last_job_id=None if state is None else state.last_job_id,
        )
    assert state is not None, "a schedule begins with its setting"
    if isinstance(event, messages.Deleted):
        return None
    return msgspec.structs.replace(state, updated_at=at, **_changes(event, at))


def _changes(event: Event, at: int) -> dict[str, Any]:
    match event:
        case messages.Paused():
            return {"paused": True}
        case messages.Resumed():
            return {"paused": False, "next_run_at": event.next_run_at}
        case messages.Triggered():
            return {"last_run_at": at, "last_job_id": event.job_id}
        case messages.Ran():
            return {"last_run_at": at, "last_job_id": event.job_id, "next_run_at": event.next_run_at}
        case messages.Skipped():
            return {"next_run_at": event.next_run_at}
        case _:
            raise TypeError(f"not an event of a schedule: {type(event).__name__}")


_id = attrgetter("id")
DECIDER = Decider(
    table=TABLE,
    state=Schedule,
    evolve=evolve,
    queries=("preview",),
    events={
        "schedule.set.v1": messages.ScheduleSet,
        "schedule.deleted.v1": messages.Deleted,
        "schedule.paused.v1": messages.Paused,
        "schedule.resumed.v1": messages.Resumed,
        "schedule.triggered.v1": messages.Triggered,
        "schedule.ran.v1": messages.Ran,
        "schedule.skipped.v1": messages.Skipped,
    },
    verbs=(
        Verb(
            name="set",
            method="PUT",
            command=messages.SetSchedule,
            key=_id,
            decide=_set,
            events=(messages.ScheduleSet,),
        ),
        Verb(
            name="delete",
            method="DELETE",
            command=messages.DeleteSchedule,
            key=_id,
            decide=_delete,
            events=(messages.Deleted,),
            refusals=(NotFound,),
        ),
        Verb(
            name="pause",
            command=messages.PauseSchedule,
            key=_id,
            decide=_pause,
            events=(messages.Paused,),
            refusals=(NotFound,),
        ),
        Verb(
            name="resume",
            command=messages.ResumeSchedule,
            key=_id,
            decide=_resume,
            events=(messages.Resumed,),
            refusals=(NotFound,),
        ),
        Verb(
            name="trigger",
            command=messages.TriggerSchedule,
            key=_id,
            decide=_trigger,
            events=(Enqueued, messages.Triggered),
            refusals=(NotFound,),
            rules=("not_unique",),
            result=messages.TriggerResult,
        ),
        Verb(
            name="run",
            command=messages.RunSchedule,
            key=_id,
            decide=_run,
            internal=True,
            events=(Enqueued, messages.Ran, messages.Skipped),
        ),
    ),
)
