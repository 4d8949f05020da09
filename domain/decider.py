"""Deciders: the rules of one aggregate as pure functions, `decide` and `evolve`. Its absent state is `None`.

`decide(state, command, context, key)` answers with a `Decision` or raises a `Refusal`.
`evolve(state, recorded)` answers with the state after an event; `None` means that there is none (any more).
"""

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from domain.errors import Refusal
from domain.json_schema.budget import Budget
from domain.messages import Command, Event, Recorded
from domain.upcasters import Upcasters

# The most bytes in the body of a command, unless its verb sets another limit.
MAXIMUM_BODY_BYTES = 256 * 1024


class Lease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker's hold on a running job. The token is a fence: a command with another one is refused."""

    job_id: str
    token: str
    worker: str
    lease_ms: int
    expires_at: int


class Due(NamedTuple):
    """Jobs that may run now, the next to run first.

    Where they are fewer than were asked for, `retry_at` is when to ask again, if more jobs wait for calls or
    for the end of a window; `waits_for_ends` is whether more jobs wait for running ones to end.
    """

    jobs: list[Any]
    retry_at: int | None = None
    waits_for_ends: bool = False


class Context(Protocol):
    """All that a decision may read beside its aggregate's state, as the group's earlier commands left it."""

    @property
    def now(self) -> int:
        """The one time of the transaction, in milliseconds."""

    @property
    def answer_bytes_left(self) -> int:
        """How many bytes the answer to this command may have."""

    @property
    def work(self) -> Budget:
        """The work that this command and the later ones of its batch may still make."""

    def new_id(self) -> str:
        """A fresh, time-ordered id."""

    def new_key(self) -> str:
        """A fresh id for a new aggregate; a sender with keys of its own gets one that begins like these."""

    def random(self) -> float:
        """A number in [0, 1), for jitter."""

    def state(self, table: str, key: str) -> Any:
        """The state of any aggregate, or `None`."""

    def state_at(self, table: str, key: str, version: int) -> Any:
        """The state of any aggregate as its event with that version left it; `None` without one."""

    def note_claim(self, claim: Any) -> None:
        """Notes that a worker asks for jobs: it is listed as present, even if the command is refused."""

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> Due:
        """At most `limit` due jobs of a queue, and of these types if given, that may run now."""

    def running_in(self, queue: str) -> int:
        """How many jobs of a queue run."""

    def rate_room(self, counted: Any, limit: int) -> tuple[int, int]:
        """How many attempts of a rate may begin now, and the time from which on one more may."""

    def unique_jobs(self, key: str, states: Set[str], created_since: int, limit: int) -> list[Any]:
        """At most `limit` jobs with a unique key that are in one of these states, the newest first."""

    def dependents(self, job_id: str, limit: int, *, failed: bool) -> list[Any]:
        """At most `limit` jobs that wait for this one, the oldest first.

        If it `failed`, the jobs that go on waiting all the same are left out.
        """

    def group_counts(self, group_id: str) -> Any:
        """How many jobs of a group are unfinished, completed and unsuccessful."""

    def is_awaited(self, group_id: str) -> bool:
        """Whether any job waits for a group."""

    def followers(self, group_id: str, counts: Any, limit: int) -> list[Any]:
        """At most `limit` of the jobs that wait for a group and, with these counts, no longer have to."""

    def matching_jobs(self, search: Any, limit: int) -> tuple[list[Any], int]:
        """At most `limit` jobs that match a search, the oldest first, and how many more match.

        No more than 10,000 of the latter are counted.
        """

    def cron_time(self, expression: str, time_zone: str, at: int, *, before: bool = False) -> int | None:
        """The first time of a cron expression after `at`, or the last one up to it; `None` if there is none.

        Raises:
            Invalid: there is no such expression or time zone.
        """

    def lease(self, job_id: str) -> Lease | None:
        """The lease that is out on a job."""


class Notice(msgspec.Struct, frozen=True):
    """A message that is published at once and is no event, so it is not kept. `topic` ends its subject."""

    topic: tuple[str, ...]
    body: Mapping[str, Any]


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a command. An empty one is an accepted command that changes nothing.

    `events` are (key, event) pairs in the order in which they are recorded; they may be of several tables.
    `result` is what the verb gives back, or a function that makes it from the rows as they are after the
    events. `leases` grants (or, with `None`, ends) leases, which are kept beside the log.
    """

    events: tuple[tuple[str, Event], ...] = ()
    result: Any = None
    leases: Mapping[str, Lease | None] = {}
    notices: tuple[Notice, ...] = ()


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked of an aggregate.

    `key` names the aggregate that a command is about, or answers `None` for a new one that is still to get
    an id. A command without `key` spans several: it has no state of its own and no expected version. The
    answer of a verb that is not `remembered` is not kept under its command id, so a repeated command is
    decided anew. Where `empty_is_remembered` is false, that is so of answers without events alone. An
    `internal` verb is the service's own and has no subject. `maximum_bytes` is the limit of a body. `method`
    is the HTTP method of the verb's route without its name: `POST` to the table makes a new row, the others
    are about one row. A verb that `finds` its aggregates looks only among the keys that its sender may use.

    The possible outcomes are declared for the reference, and tests fail where anything else happens:
    `events`, also those of other aggregates; `refusals` beside `Invalid`, which any verb may raise; `rules`,
    the `details.rule` of a `RuleViolated`; and `result`, the struct of its result, or `… | None` where it may
    be missing. A verb without `result` never gives one.
    """

    name: str
    command: type[Command]
    key: Callable[[Any], str | None] | None
    decide: Callable[[Any, Any, Context, Any], Decision]
    remembered: bool = True
    empty_is_remembered: bool = True
    internal: bool = False
    finds: bool = False
    maximum_bytes: int = MAXIMUM_BODY_BYTES
    events: tuple[type[Event], ...] = ()
    refusals: tuple[type[Refusal], ...] = ()
    rules: tuple[str, ...] = ()
    result: Any = None
    method: Literal["POST", "PUT", "PATCH", "DELETE"] | None = None


# The internal verb by which the service ends expired values of a table; its command has the key alone.
EXPIRE = "expire"


def is_something(state: Any, now: int) -> bool:
    """Whether there is a state at all."""
    return state is not None


class Decider(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the catalogue knows of one aggregate. `events` maps stable type names to classes.

    `exists` tells whether a state counts as existing at a time: a value that has expired does not, even
    before the event of its expiry.
    `commands_of` is the table under whose name its verbs are sent, where that is not its own.
    `upcasters` turn its former event types into those of today. `queries` are the names of the queries that
    its table has beside those of every table.
    """

    table: str
    state: type[msgspec.Struct]
    events: Mapping[str, type[Event]]
    verbs: tuple[Verb, ...]
    evolve: Callable[[Any, Recorded], Any]
    exists: Callable[[Any, int], bool] = is_something
    commands_of: str | None = None
    upcasters: Upcasters = {}
    queries: tuple[str, ...] = ()

    def command_name(self, verb: Verb) -> str:
        """The full name of a verb's command: `jobs.enqueue`."""
        return f"{self.commands_of or self.table}.{verb.name}"


def replay(decider: Decider, recorded: Iterable[Recorded], state: Any = None) -> Any:
    """The state after a stream's events, which follow on no state or on a kept one."""
    for one in recorded:
        state = decider.evolve(state, one)
    return state


class Aggregate(msgspec.Struct, frozen=True, gc=False):
    """The end of a stream: the version and position of its last event, and the state after it."""

    version: int = 0
    position: int = 0
    state: Any = None


ABSENT = Aggregate()


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One event, with its stream before and after it."""

    table: str
    key: str
    before: Aggregate
    after: Aggregate
    recorded: Recorded
