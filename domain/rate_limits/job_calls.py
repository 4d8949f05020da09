"""The calls of jobs: which jobs may make theirs, and what is set aside for them.

A job with a `budget` says which limit it draws on and how many calls it makes. It is handed out only while
its limit permits that by `calls_from`:

    nothing is known of the limit, or there was no observation for five minutes  one job at a time
    calls of the limit, or of its whole platform, are refused or throttled       none, until that is over
    else                                                                         as many as calls are left for

Calls are set aside in the transaction that hands the job out, so that the next claim takes them into account,
and count as made when the attempt ends (see `ledger`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from domain.decider import Context
from domain.messages import Event, about
from domain.rate_limits.availability import is_stale, is_void, reservations_at, reserved_at, void_from
from domain.rate_limits.ledger import (
    RESET_MARGIN_MS,
    charged,
    charged_for,
    forgotten_after_ms,
    left_at,
    with_fewer,
)
from domain.rate_limits.messages import CallsClaimed, CallsEnded, JobCalls, key_of, parts_of
from domain.rate_limits.state import TABLE, Budget, RateLimit

# The jobs that are handed out together: how many there are, by the calls that each of them makes at most.
Taken = Mapping[int, int]

# The most jobs that have calls of one limit set aside at a time: the state of the limit lists each of them.
MAXIMUM_JOBS = 1_000


class JobBudget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The limit that a job draws on, as it was accepted once; what it leaves out is not said."""

    platform: str
    resource: str | None = None
    identifier: str | None = None
    cost: Annotated[int, about("how many calls an attempt makes at most; 1 where it is left out")] = 1

    @property
    def key(self) -> str:
        """The key of the limit."""
        return key_of(self)


def stored_budget(asked: Any) -> JobBudget | None:
    """The budget that a command asks for, as its event keeps it."""
    return None if asked is None else msgspec.convert(asked, JobBudget, from_attributes=True)


def calls_from(state: RateLimit | None, cost: int, taken: Taken, now: int) -> int | None:
    """The time from which on a job may make `cost` calls: `now`, or `None` if that depends on later events.

    `taken` are the jobs that are handed out together with it.
    """
    jobs = sum(taken.values())
    if state is None:
        return None if jobs else now
    if state.throttled_until is not None and now < state.throttled_until:
        return state.throttled_until
    if len(state.open_calls) + jobs >= MAXIMUM_JOBS:
        return None
    is_alone = not (jobs or state.open_calls or reserved_at(state, now))
    if not _is_enough(state, cost, taken, now):
        return _enough_from(state, cost, taken, now)
    if is_alone or (any(_known_at(state, now)) and not is_stale(state.observed_at, now)):
        return now
    if jobs or state.open_calls:
        return None
    # Only reservations keep the job from being alone, and they expire without an event.
    return max(one.expires_at for one in reservations_at(state, now))


# A platform, and an identifier there, `None` for calls without one.
Account = tuple[str, str | None]


def account_of(known: RateLimit) -> Account | None:
    """The account whose calls all wait while those of this limit do; `None` if no other limit's calls wait.

    An empty identifier stands for all identifiers: the limit is that of the whole platform.
    """
    platform, resource, identifier = parts_of(known.key)
    if resource is None:
        return platform, ""
    # `named_resource` calls the limit over all others `global`.
    return (platform, identifier) if known.throttled_widely or resource == "global" else None


def holds_up(known: RateLimit, key: str) -> bool:
    """Whether the calls of the limit with this key wait, too, while those of a known limit do."""
    account = account_of(known)
    if account is None or known.key == key:
        return False
    return account in accounts_over(key)


def accounts_over(key: str) -> tuple[Account, Account]:
    """The accounts whose waits hold up the limit with this key."""
    platform, _, identifier = parts_of(key)
    return (platform, ""), (platform, identifier)


def calls_of(claimed: Iterable[tuple[str, JobBudget]]) -> tuple[tuple[str, Event], ...]:
    """The events by which calls are set aside for these jobs, one for each limit."""
    jobs: dict[str, list[JobCalls]] = {}
    for job_id, budget in claimed:
        jobs.setdefault(budget.key, []).append(JobCalls(job=job_id, cost=budget.cost))
    return tuple((key, CallsClaimed(jobs=tuple(calls))) for key, calls in jobs.items())


def end_of_calls(
    job_id: str, budget: JobBudget | None, made: int | None, context: Context
) -> tuple[tuple[str, Event], ...]:
    """The event by which the calls of a job's attempt end, if any were set aside.

    `made` is how many calls were made, which may be more than were set aside; `None` stands for all of these.
    """
    if budget is None:
        return ()
    state: RateLimit | None = context.state(TABLE, budget.key)
    open_calls = () if state is None else state.open_calls
    cost = next((one.cost for one in open_calls if one.job == job_id), None)
    if cost is None:
        # The limit was cleared meanwhile.
        return ()
    unused = 0 if made is None else cost - made
    return ((budget.key, CallsEnded(job=job_id, unused=unused)),)


def _known_at(state: RateLimit, at: int) -> Iterator[tuple[Budget, int]]:
    """The policies with a known number of calls left at a moment, each with that number."""
    for one in state.budgets:
        if not is_void(one, at) and (left := left_at(state, one, at)) is not None:
            yield one, left


def _is_enough(state: RateLimit, cost: int, taken: Taken, at: int) -> bool:
    reserved = reserved_at(state, at)
    return all(
        left >= charged(policy, cost) + charged_for(policy, taken) + reserved
        for policy, left in _known_at(state, at)
    )


def _enough_from(state: RateLimit, cost: int, taken: Taken, now: int) -> int | None:
    """The first moment at which enough calls are left again, if all attempts have ended by then."""
    quiet = msgspec.structs.replace(
        state,
        budgets=tuple(with_fewer(budget, charged_for(budget, taken)) for budget in state.budgets),
        open_calls=(),
        ended_calls=(),
    )
    moments = {one.expires_at for one in state.reservations}
    for budget in state.budgets:
        is_told = budget.reset_time is not None
        moments.add((budget.reset_time or 0) + RESET_MARGIN_MS if is_told else void_from(budget))
        moments |= {one.at + forgotten_after_ms(budget) + 1 for one in state.ended_calls[-1:]}
    return next((one for one in sorted(moments) if one > now and _is_enough(quiet, cost, {}, one)), None)
