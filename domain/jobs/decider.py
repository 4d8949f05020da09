"""Everything that the catalogue knows of jobs."""

from typing import Any

from domain.decider import Decider, Verb
from domain.jobs import attempts, commands, events, importing, many, waiting
from domain.jobs.limits import MAXIMUM_IMPORT_BYTES
from domain.jobs.state import TABLE, Job, evolve


def _id_if_given(command: commands.Enqueue) -> str | None:
    return command.id


def _id(command: Any) -> str:
    return str(command.id)


DECIDER = Decider(
    table=TABLE,
    state=Job,
    evolve=evolve,
    events={
        "job.enqueued.v1": events.Enqueued,
        "job.imported.v1": events.Imported,
        "job.claimed.v1": events.Claimed,
        "job.progressed.v1": events.Progressed,
        "job.completed.v1": events.Completed,
        "job.attempt_failed.v1": events.AttemptFailed,
        "job.failed.v1": events.Failed,
        "job.snoozed.v1": events.Snoozed,
        "job.interrupted.v1": events.Interrupted,
        "job.cancel_requested.v1": events.CancelRequested,
        "job.cancelled.v1": events.Cancelled,
        "job.retried.v1": events.Retried,
        "job.rescued.v1": events.Rescued,
        "job.attempt_timed_out.v1": events.AttemptTimedOut,
        "job.timed_out.v1": events.TimedOut,
        "job.held.v1": events.Held,
        "job.released.v1": events.Released,
        "job.rescheduled.v1": events.Rescheduled,
        "job.dependency_met.v1": events.DependencyMet,
        "job.replaced.v1": events.Replaced,
        "job.reprioritized.v1": events.Reprioritized,
        "job.payload_updated.v1": events.PayloadUpdated,
        "job.archived.v1": events.Archived,
    },
    verbs=(
        Verb(name="enqueue", command=commands.Enqueue, key=_id_if_given, decide=waiting.enqueue),
        Verb(
            name="claim", command=commands.Claim, key=None, decide=attempts.claim, empty_is_remembered=False
        ),
        Verb(
            name="heartbeat", command=commands.Heartbeat, key=_id, decide=attempts.heartbeat, remembered=False
        ),
        Verb(name="progress", command=commands.Progress, key=_id, decide=attempts.progress, remembered=False),
        Verb(name="complete", command=commands.Complete, key=_id, decide=attempts.complete),
        Verb(name="fail", command=commands.Fail, key=_id, decide=attempts.fail),
        Verb(name="snooze", command=commands.Snooze, key=_id, decide=attempts.snooze),
        Verb(name="interrupt", command=commands.Interrupt, key=_id, decide=attempts.interrupt),
        Verb(name="cancel", command=commands.Cancel, key=_id, decide=waiting.cancel),
        Verb(name="ack_cancel", command=commands.AckCancel, key=_id, decide=attempts.ack_cancel),
        Verb(name="retry", command=commands.Retry, key=_id, decide=waiting.retry),
        Verb(name="hold", command=commands.Hold, key=_id, decide=waiting.hold),
        Verb(name="release", command=commands.Release, key=_id, decide=waiting.release),
        Verb(name="reschedule", command=commands.Reschedule, key=_id, decide=waiting.reschedule),
        Verb(name="reprioritize", command=commands.Reprioritize, key=_id, decide=waiting.reprioritize),
        Verb(name="update_payload", command=commands.UpdatePayload, key=_id, decide=waiting.update_payload),
        Verb(name="archive", command=commands.Archive, key=_id, decide=waiting.archive),
        Verb(
            name="cancel_many",
            command=commands.CancelMany,
            key=None,
            decide=many.cancel_many,
            empty_is_remembered=False,
        ),
        Verb(
            name="retry_many",
            command=commands.RetryMany,
            key=None,
            decide=many.retry_many,
            empty_is_remembered=False,
        ),
        Verb(
            name="resolve_dependents",
            command=commands.ResolveDependents,
            key=_id,
            decide=waiting.resolve_dependents,
            internal=True,
        ),
        Verb(name="time_out", command=commands.TimeOut, key=_id, decide=attempts.time_out, internal=True),
        Verb(
            name="import",
            command=importing.Import,
            key=_id,
            decide=importing.import_job,
            internal=True,
            maximum_bytes=MAXIMUM_IMPORT_BYTES,
        ),
        Verb(name="rescue", command=commands.Rescue, key=_id, decide=attempts.rescue, internal=True),
    ),
)
