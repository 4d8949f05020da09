"""Jobs that the system before this one left behind: their rows become events."""

from typing import Annotated, Literal

import msgspec

from domain.decider import Context, Decision
from domain.errors import AlreadyExists, TooLarge
from domain.jobs.commands import ErrorText, Priority
from domain.jobs.events import NO_RESULT, Imported, ImportedAttempt
from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS, MAXIMUM_IMPORTED_ATTEMPTS, MAXIMUM_JSON_BYTES
from domain.jobs.state import IDLE, Job, State
from domain.messages import Command, Json, Key, Name, Text, Time

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
OldStatus = Literal[
    "pending", "scheduled", "held", "running", "retrying", "completed", "failed", "cancelled", "timeout"
]


class OldAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row of the old `job_history`."""

    attempt: Count
    status: Name
    started_at: Time | None = None
    completed_at: Time | None = None
    duration_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    error_message: ErrorText | None = None


class Import(Command, frozen=True, kw_only=True):
    """The service's own: a job of the system before, with its times and the attempts it had there.

    `run_at` is when it was due. A job that was running when that system stopped is `retrying` here, and due
    at once: it is unknown whether its worker finished.
    """

    id: Key
    type: Name
    name: Text
    priority: Priority
    status: OldStatus
    payload: Json = NO_RESULT
    tool: Text | None = None
    endpoint: Text | None = None
    result: Json = NO_RESULT
    created_at: Time
    updated_at: Time
    persisted_at: Time
    started_at: Time | None = None
    completed_at: Time | None = None
    run_at: Time | None = None
    attempt: Count = 0
    retry_count: Count = 0
    recovery_attempts: Count = 0
    error: ErrorText | None = None
    history: Annotated[tuple[OldAttempt, ...], msgspec.Meta(max_length=MAXIMUM_IMPORTED_ATTEMPTS)] = ()


def import_job(state: Job | None, command: Import, context: Context, key: str) -> Decision:
    if state is not None:
        raise AlreadyExists(f"there is another job {key} already", state=state.state)
    for name in ("payload", "result"):
        size = len(bytes(getattr(command, name)))
        if size > MAXIMUM_JSON_BYTES:
            raise TooLarge(
                f"{name} has {size} bytes, and may have {MAXIMUM_JSON_BYTES}",
                limit_bytes=MAXIMUM_JSON_BYTES,
                size_bytes=size,
                path=f"$.{name}",
            )
    run_at = command.created_at if command.run_at is None else command.run_at
    if command.status == "running":
        run_at = context.now
    state_here = _state(command.status, run_at, context.now)
    max_attempts = DEFAULT_MAXIMUM_ATTEMPTS
    if state_here in IDLE:
        # It is tried at least once more.
        max_attempts = max(max_attempts, command.attempt + 1)
    said = msgspec.structs.asdict(command)
    del said["id"], said["status"]
    said |= {
        # Copied: the values as they were decoded would keep their whole message in memory.
        "payload": command.payload.copy(),
        "result": command.result.copy(),
        "state": state_here,
        "run_at": run_at,
        "max_attempts": max_attempts,
        "history": tuple(ImportedAttempt(**msgspec.structs.asdict(one)) for one in command.history),
    }
    return Decision(events=((key, Imported(**said)),))


def _state(status: OldStatus, run_at: int, now: int) -> State:
    match status:
        case "running":
            return "retrying"
        case "pending" | "scheduled":
            return "scheduled" if run_at > now else "pending"
        case _:
            return status
