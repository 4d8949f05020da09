"""`require_pure`: tries if an installed aggregate's functions are pure, before the aggregate is served.

Commands that its structs allow are decided, evolved and made into rows, twice, from the same state, time and
random numbers. If anything differs, the same commands could lead to another log, or the same log to other
rows. The trial shows nothing about commands that are not tried: an author's own tests try many more.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import zip_longest
from typing import Any

import msgspec

from domain.decider import Decider, Due, Lease, Verb
from domain.errors import Refusal
from domain.installed.error import AggregateError
from domain.installed.library.keeping import CannotKeepError
from domain.json_schema.budget import Budget
from domain.messages import KEY_PATTERN, Recorded
from projections.table import Table
from projections.trial_values import NoValueError, command_of

# How often each verb is tried, in turns, on the states that the tries before have made.
ROUNDS = 3
_KEY = re.compile(KEY_PATTERN)
_NOW = 1_750_000_000_000


class TrialError(Exception):
    """A first trial shows already that the aggregate cannot be served."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Step(msgspec.Struct, frozen=True):
    """One result of a trial: its verb, `what` it is, its JSON, and the fault of a row that does not fit."""

    verb: str
    what: str
    written: bytes
    misfit: str | None = None


class TrialContext:
    """The context of decisions, the same in each trial, without other aggregates than the one tried."""

    def __init__(self) -> None:
        self.now = _NOW
        self.answer_bytes_left = 64 * 1024
        self.work = Budget()
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"trial-{self._ids + 1}"

    new_key = new_id

    def random(self) -> float:
        return 0.5

    def state(self, table: str, key: str) -> Any:
        return None

    def state_at(self, table: str, key: str, version: int) -> Any:
        return None

    def note_claim(self, claim: Any) -> None:
        return None

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> Due:
        return Due([])

    def running_in(self, queue: str) -> int:
        return 0

    def rate_room(self, counted: Any, limit: int) -> tuple[int, int]:
        return limit, self.now

    def unique_jobs(self, key: str, states: Set[str], created_since: int, limit: int) -> list[Any]:
        return []

    def dependents(self, job_id: str, limit: int, *, failed: bool) -> list[Any]:
        return []

    def group_counts(self, group_id: str) -> Any:
        return None

    def is_awaited(self, group_id: str) -> bool:
        return False

    def followers(self, group_id: str, counts: Any, limit: int) -> list[Any]:
        return []

    def matching_jobs(self, search: Any, limit: int) -> tuple[list[Any], int]:
        return [], 0

    def cron_time(self, expression: str, time_zone: str, at: int, *, before: bool = False) -> int | None:
        return at + 60_000

    def lease(self, job_id: str) -> Lease | None:
        return None


def require_pure(decider: Decider, table: Table, source: str, pause: Callable[[], None]) -> None:
    """Returns if two trials had the same results; `pause` lets the clock advance between them.

    Raises:
        AggregateError: they had not; or a row does not fit its table, or a state cannot be kept.
    """
    first = _steps(decider, table, source)
    pause()
    for before, after in zip_longest(first, _steps(decider, table, source)):
        if before is None or after is None or before.written != after.written:
            step = before or after
            raise AggregateError(
                source,
                f"{step.what} of {step.verb} is another one each time",
                "decide and evolve by what is passed in alone: the time is `context.now`, ids are"
                " `context.new_id()`, chance is `context.random()`, and the event keeps what came of it",
            )
        if before.misfit is not None:
            raise AggregateError(
                source,
                f"the row after {before.verb} does not fit its table: {before.misfit}",
                "make what `row` answers and the struct of the row agree",
            )


def _steps(decider: Decider, table: Table, source: str) -> list[Step]:
    try:
        return list(_trial(decider, table))
    except CannotKeepError as error:
        hint = "change only what events say, and hold what JSON can give back"
        raise AggregateError(source, str(error), hint) from error
    except TrialError as error:
        raise AggregateError(source, str(error), error.hint) from error


def _trial(decider: Decider, table: Table) -> Iterator[Step]:
    context = TrialContext()
    states: dict[str, tuple[Any, int]] = {}
    for number in range(ROUNDS):
        for verb in reversed(decider.verbs) if number % 2 else decider.verbs:
            try:
                yield from _tried(decider, table, verb, command_of(verb.command, number), context, states)
            except NoValueError:
                continue
            except Refusal as refusal:
                yield Step(verb.name, "the refusal", refusal.code.encode())
            except (CannotKeepError, TrialError):
                raise
            except (Exception, SystemExit) as error:
                # An error in a decision makes only that command fail, whenever it is sent.
                yield Step(verb.name, "the failure", type(error).__name__.encode())


def _tried(
    decider: Decider,
    table: Table,
    verb: Verb,
    command: Any,
    context: TrialContext,
    states: dict[str, tuple[Any, int]],
) -> Iterator[Step]:
    key = None if verb.key is None else verb.key(command) or context.new_key()
    if key is not None:
        _require_key(verb, key)
    state = None if key is None else states.get(key, (None, 0))[0]
    decision = verb.decide(state, command, context, key)
    yield from _result(verb, decision.result)
    types = {event: name for name, event in decider.events.items()}
    for event_key, event in decision.events:
        if (name := types.get(type(event))) is None:
            # The event of another aggregate, which is not tried here.
            continue
        _require_key(verb, event_key)
        written = msgspec.json.encode(event)
        yield Step(verb.name, f"the event {name}", written)
        state, version = states.get(event_key, (None, 0))
        # Decoded, as it will be read from the log.
        stored = msgspec.json.decode(written, type=type(event))
        recorded = Recorded(version + 1, event_key, version + 1, context.now, stored)
        yield from _folded(decider, table, verb, state, recorded, states)


def _result(verb: Verb, result: Any) -> Iterator[Step]:
    if result is None:
        return
    hint = "say so in its Verb: `result=` is the struct of what it answers with"
    if verb.result is None:
        raise TrialError(f"{verb.name} answers with a result, and does not declare one", hint)
    if callable(result):
        # The result is made from rows later, and the trial has no rows.
        return
    try:
        written = msgspec.json.encode(result)
        msgspec.json.decode(written, type=verb.result)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise TrialError(
            f"what {verb.name} answers with is not the result of its Verb: {error}", hint
        ) from error
    yield Step(verb.name, "the result", written)


def _folded(
    decider: Decider,
    table: Table,
    verb: Verb,
    state: Any,
    recorded: Recorded,
    states: dict[str, tuple[Any, int]],
) -> Iterator[Step]:
    try:
        state = decider.evolve(state, recorded)
        written = msgspec.json.encode(state)
        row = None if state is None else table.row(state, recorded.version, recorded.position)
        row_written = msgspec.json.encode(row)
    except (Exception, SystemExit, GeneratorExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise TrialError(
            f"what follows from the event of {verb.name} cannot be told: {what}",
            "an event is a fact: `evolve` takes each that `decide` makes, and `row` answers with a tuple",
        ) from error
    states[recorded.key] = state, recorded.version
    yield Step(verb.name, "the state", written)
    if row is not None:
        misfit = table.misfit(row, recorded.key, recorded.version, recorded.position)
        yield Step(verb.name, "the row", row_written, misfit)


def _require_key(verb: Verb, key: object) -> None:
    if not (isinstance(key, str) and _KEY.match(key)):
        raise TrialError(
            f"{verb.name} takes {key!r} for a key, which is none",
            "the field that names the aggregate is a `Key` (domain.messages), as each key of a decision is",
        )
