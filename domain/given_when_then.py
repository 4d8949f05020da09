"""Given events, when a command, then events or a refusal: a decider told as a story, for its tests.

    given(DECIDER, Opened(customer="ann")).when(CheckOut(id="b1")).then_refused("basket_is_empty")

A story is pure: its clock stands still until `later` moves it, its ids count up, and `chance` sets its random
number. The events of an accepted command are recorded, so that a story can go on; an outcome that the verb
does not declare ends it. A story lacks the members of `Context` that jobs and schedules need: a decision that
asks for one gets a `TypeError`.
"""

from typing import Any, Self, cast

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import Invalid, Refusal
from domain.json_schema.budget import Budget
from domain.messages import Command, Event, Recorded

KEY = "one"
# The second of September 2026, in milliseconds: a time like any other.
NOW = 1_788_300_000_000


class UndeclaredError(AssertionError):
    """A command led to an event, a refusal or a rule that its verb does not declare."""


class Story:
    """The aggregates of one table after the events so far, and the outcome of the last command."""

    def __init__(self, decider: Decider) -> None:
        self.now = NOW
        self.answer_bytes_left = 900 * 1024
        self.work = Budget()
        self.decision = Decision()
        self.refusal: Refusal | None = None
        self._decider = decider
        self._states: dict[str, list[Any]] = {}
        self._chance = 0.0
        self._position = 0
        self._ids = 0

    def given(self, *events: Event, key: str = KEY) -> Self:
        """These events happened to an aggregate, at the story's present time."""
        for event in events:
            self._record(key, event)
        return self

    def later(self, milliseconds: int) -> Self:
        """The clock goes on by that much."""
        self.now += milliseconds
        return self

    def chance(self, number: float) -> Self:
        """Sets the random number that decisions get, in [0, 1)."""
        self._chance = number
        return self

    def when(self, command: Command) -> Self:
        """A command comes, and takes effect if it is accepted.

        Raises:
            UndeclaredError: it led to an event, a refusal or a rule that its verb does not declare.
        """
        verb = self._verb_of(command)
        self.decision, self.refusal = Decision(), None
        # Encoded and decoded like a client's command: one whose fields are invalid never reaches a decision.
        asked = msgspec.json.decode(msgspec.json.encode(command), type=type(command))
        key = None if verb.key is None else verb.key(asked) or self.new_key()
        state = None if key is None else self.state(self._decider.table, key)
        try:
            self.decision = verb.decide(state, asked, cast(Context, self), key)
        except Refusal as refusal:
            self.refusal = refusal
            _require_declared(verb, refusal)
            return self
        for event_key, event in self.decision.events:
            if type(event) not in verb.events:
                raise UndeclaredError(f"{verb.name} led to {type(event).__name__}: add it to its `events`")
            self._record(event_key, event)
        return self

    def then(self, *events: Event) -> Self:
        """It was accepted, and led to exactly these events."""
        assert self.refusal is None, f"it was refused: {self.refusal!r}"
        assert [event for _, event in self.decision.events] == list(events)
        return self

    def then_nothing(self) -> Self:
        """It was accepted, and changed nothing."""
        return self.then()

    def then_refused(self, reason: str) -> Self:
        """It was refused, by this rule or with this code."""
        assert self.refusal is not None, f"it was accepted: {self.decision.events!r}"
        assert reason in (self.refusal.code, self.refusal.details.get("rule")), repr(self.refusal)
        return self

    def state_of(self, key: str = KEY) -> Any:
        """The state of an aggregate now; `None` where there is none."""
        return self.state(self._decider.table, key)

    # The part of `Context` that a story has.

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"

    new_key = new_id

    def random(self) -> float:
        return self._chance

    def state(self, table: str, key: str) -> Any:
        states = self._states.get(key) if table == self._decider.table else None
        return states[-1] if states else None

    def state_at(self, table: str, key: str, version: int) -> Any:
        states = self._states.get(key, []) if table == self._decider.table else []
        return states[version - 1] if 1 <= version <= len(states) else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise TypeError(f"a story of {self._decider.table} has no `{name}`: try it with a service")

    def _verb_of(self, command: Command) -> Verb:
        for verb in self._decider.verbs:
            if verb.command is type(command):
                return verb
        raise TypeError(f"{type(command).__name__} is no command of {self._decider.table}")

    def _record(self, key: str, event: Event) -> None:
        states = self._states.setdefault(key, [])
        self._position += 1
        recorded = Recorded(self._position, key, len(states) + 1, self.now, event)
        states.append(self._decider.evolve(states[-1] if states else None, recorded))


def given(decider: Decider, *events: Event, key: str = KEY) -> Story:
    """A story that begins with these events of one aggregate."""
    return Story(decider).given(*events, key=key)


def _require_declared(verb: Verb, refusal: Refusal) -> None:
    rule = refusal.details.get("rule")
    if rule is not None and rule not in verb.rules:
        raise UndeclaredError(f"{verb.name} was refused by the rule {rule}: add it to its `rules`")
    if rule is None and not isinstance(refusal, (Invalid, *verb.refusals)):
        raise UndeclaredError(
            f"{verb.name} was refused with {type(refusal).__name__}: add it to its `refusals`"
        )
