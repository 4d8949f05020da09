"""Rate limits of other people's APIs: what is left, of how much, until when, and whether a call is allowed.

    absent --observe, observe_response, throttle, set_thresholds, reserve--> present --clear--> absent

    level, by the share of the limit that is used:   normal <--> warning <--> critical, or unknown
    calls:  allowed --refused or throttled, or too few left--> not allowed --wait over, window over--> allowed

The key is `<platform>`, `<platform>:<resource>` or `<platform>:<identifier>:<resource>`. Several policies may
bind one limit (per second and per hour, say): the one with the fewest calls left decides.

- `messages`: the commands and the events
- `headers`, `structured_fields`, `header_values`: the limits in the headers of responses, in many dialects
- `reading`: one policy as a platform told it
- `merging`, `observing`: what an observation adds to the known state, and whether it is worth an event
- `refusals`: how long to wait after a refused call
- `reserving`: calls set aside for one of several workers
- `job_calls`, `ledger`: the calls of jobs: which jobs may make theirs, and what is left after them
- `state`, `evolving`, `changes`: the state of a limit, and how events change it
- `availability`, `forecast`: what follows from the state at a moment
"""

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import AlreadyExists, Invalid, NotFound
from domain.rate_limits.changes import changes
from domain.rate_limits.evolving import evolve
from domain.rate_limits.messages import (
    CallsClaimed,
    CallsEnded,
    Clear,
    Cleared,
    Import,
    Imported,
    LevelChanged,
    Observe,
    Observed,
    ObserveResponse,
    Release,
    Released,
    Reserve,
    Reserved,
    SetThresholds,
    ThresholdsSet,
    Throttle,
    Throttled,
    key_of,
    key_of_response,
)
from domain.rate_limits.observing import ObserveResponseResult, observe, observe_response
from domain.rate_limits.reserving import ReserveResult, release, reserve
from domain.rate_limits.state import TABLE, RateLimit

__all__ = ["DECIDER", "TABLE"]


def _throttle(state: RateLimit | None, command: Throttle, context: Context, key: str) -> Decision:
    if state is not None and (state.throttled_until, state.throttle_reason) == (
        command.until,
        command.reason,
    ):
        return Decision()
    throttled = Throttled(
        until=command.until,
        reason=command.reason,
        refusals=0 if state is None else state.refusals,
        refused_at=None if state is None else state.refused_at,
    )
    return Decision(events=((key, throttled),))


def _set_thresholds(state: RateLimit | None, command: SetThresholds, context: Context, key: str) -> Decision:
    wanted = (command.warning_percent, command.critical_percent)
    if command.warning_percent > command.critical_percent:
        raise Invalid("warning comes before critical", path="$.warning_percent")
    if state is not None and (state.warning_percent, state.critical_percent) == wanted:
        return Decision()
    thresholds = ThresholdsSet(
        warning_percent=command.warning_percent, critical_percent=command.critical_percent
    )
    return Decision(events=changes(state, (thresholds,), context.now, key).events)


def _clear(state: RateLimit | None, command: Clear, context: Context, key: str) -> Decision:
    if state is None:
        raise NotFound(f"nothing is known of {key}")
    return Decision(events=((key, Cleared()),))


def _import(state: RateLimit | None, command: Import, context: Context, key: str) -> Decision:
    if state is not None:
        raise AlreadyExists(f"something is known of {key} already")
    return Decision(events=((key, msgspec.convert(command, Imported, from_attributes=True)),))


DECIDER = Decider(
    table=TABLE,
    state=RateLimit,
    evolve=evolve,
    queries=("may_call", "forecast"),
    events={
        "rate_limit.observed.v1": Observed,
        "rate_limit.imported.v1": Imported,
        "rate_limit.level_changed.v1": LevelChanged,
        "rate_limit.throttled.v1": Throttled,
        "rate_limit.thresholds_set.v1": ThresholdsSet,
        "rate_limit.reserved.v1": Reserved,
        "rate_limit.released.v1": Released,
        "rate_limit.calls_claimed.v1": CallsClaimed,
        "rate_limit.calls_ended.v1": CallsEnded,
        "rate_limit.cleared.v1": Cleared,
    },
    verbs=(
        Verb(name="observe", command=Observe, key=key_of, decide=observe, events=(Observed, LevelChanged)),
        Verb(
            name="observe_response",
            command=ObserveResponse,
            key=key_of_response,
            decide=observe_response,
            events=(Observed, Released, Throttled, LevelChanged),
            result=ObserveResponseResult,
        ),
        Verb(name="throttle", command=Throttle, key=key_of, decide=_throttle, events=(Throttled,)),
        Verb(
            name="set_thresholds",
            command=SetThresholds,
            key=key_of,
            decide=_set_thresholds,
            events=(ThresholdsSet, LevelChanged),
        ),
        Verb(
            name="reserve",
            command=Reserve,
            key=key_of,
            decide=reserve,
            empty_is_remembered=False,
            events=(Reserved,),
            refusals=(AlreadyExists,),
            rules=("too_many_reservations",),
            result=ReserveResult,
        ),
        Verb(name="release", command=Release, key=key_of, decide=release, events=(Released, LevelChanged)),
        Verb(
            name="clear",
            method="DELETE",
            command=Clear,
            key=key_of,
            decide=_clear,
            events=(Cleared,),
            refusals=(NotFound,),
        ),
        Verb(
            name="import",
            command=Import,
            key=key_of,
            decide=_import,
            internal=True,
            events=(Imported,),
            refusals=(AlreadyExists,),
        ),
    ),
)
