"""`decide` and `evolve` for a class of the library: its methods are called, and their events become ours."""

from collections.abc import Callable
from decimal import InvalidOperation, Overflow
from types import FunctionType
from typing import Any

import msgspec

from domain.decider import Context, Decision
from domain.errors import AlreadyExists, Invalid, NotFound, RuleViolated, TooLarge
from domain.finite import require_finite
from domain.installed.library.anatomy import Anatomy
from domain.installed.library.columns import Row
from domain.installed.library.commands import KEY
from domain.installed.library.creating import Maker
from domain.installed.library.events import Events
from domain.installed.library.identity import id_inside
from domain.installed.library.keeping import CannotKeepError
from domain.installed.library.names import singular, snake
from domain.installed.library.reach import is_refusal
from domain.installed.library.states import LibraryState, States, differing, time_of, watch
from domain.messages import Recorded

MAXIMUM_EVENTS = 1_000
MAXIMUM_MESSAGE_CHARACTERS = 1_000

Decide = Callable[[LibraryState | None, Any, Context, str], Decision]


class Deciding:
    """The functions of a decider that call the class."""

    def __init__(self, anatomy: Anatomy, table: str, events: Events, states: States, row: Row) -> None:
        self._anatomy = anatomy
        self._table = table
        self._one = singular(table)
        self._events = events
        self._states = states
        self._row = row

    def evolve(self, state: LibraryState | None, recorded: Recorded) -> LibraryState | None:
        """The state after an event, as the class's mutator makes it; `None` if it ends the aggregate."""
        aggregate = None if state is None else self._states.aggregate_of(state)
        event = self._events.form(recorded.event).happened(
            recorded.event,
            self._states.keeper,
            id_inside(self._table, recorded.key),
            recorded.version + self._anatomy.first_version - 1,
            time_of(recorded.recorded_at),
        )
        changed = event.mutate(aggregate)
        return None if changed is None else self._states.after(state, recorded, changed)

    def creating(
        self, function: FunctionType | None, event_name: str | None, names: tuple[str, ...]
    ) -> Decide:
        """The `decide` of a creating verb: it calls a class method or, without one, the class."""

        def decide(state: LibraryState | None, command: Any, context: Context, key: str) -> Decision:
            if state is not None:
                raise AlreadyExists(f"there is a {self._one} {key} already", hint="choose another id")
            own_id = id_inside(self._table, key)
            maker: Any = Maker(self._anatomy.kind, event_name, own_id, time_of(context.now))
            arguments = _arguments(command, names)
            if KEY in names:
                arguments[KEY] = own_id
            made = self._asked(
                lambda: maker(**arguments) if function is None else function(maker, **arguments)
            )
            if getattr(made, "id", None) != own_id or not isinstance(made, self._anatomy.kind):
                raise TypeError(
                    f"{self._anatomy.where}: what was created is not what was asked for; a class method says"
                    " `cls` where it means its class, and returns what it creates"
                )
            return self._decision(None, made, context, key)

        return decide

    def changing(self, name: str, names: tuple[str, ...], *, is_setter: bool) -> Decide:
        """The `decide` of a changing verb: it calls a method of the aggregate, or sets its property."""

        def decide(state: LibraryState | None, command: Any, context: Context, key: str) -> Decision:
            if state is None:
                raise NotFound(f"there is no {self._one} {key}")
            aggregate = self._states.aggregate_of(state)
            watch(aggregate, time_of(context.now))
            arguments = _arguments(command, names)
            if is_setter:
                (value,) = arguments.values()
                self._asked(lambda: setattr(aggregate, name, value))
            else:
                self._asked(lambda: getattr(aggregate, name)(**arguments))
            return self._decision(state, aggregate, context, key)

        return decide

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """The result of calling the class.

        Raises:
            RuleViolated: the class raised an exception that is a refusal.
            Invalid: a number became too large for its type.
        """
        try:
            return ask()
        except (Overflow, InvalidOperation, OverflowError) as error:
            raise Invalid(
                f"the numbers of this are too large to be reckoned with: {type(error).__name__}",
                hint="nothing was changed: send smaller ones",
                path="$",
            ) from error
        except Exception as error:
            if not is_refusal(self._anatomy.kind, type(error)):
                raise
            raise RuleViolated(
                snake(type(error).__name__),
                _message(error, self._one),
                hint=f"nothing was changed: look at the {self._one} as it is, and ask for what it allows",
            ) from error

    def _decision(self, state: LibraryState | None, aggregate: Any, context: Context, key: str) -> Decision:
        """The decision with an aggregate's new events, once it is certain that they lead to its state."""
        pending = aggregate.collect_events()
        if len(pending) > MAXIMUM_EVENTS:
            raise TooLarge(
                f"this would be {len(pending)} events, and may be {MAXIMUM_EVENTS}",
                limit=MAXIMUM_EVENTS,
                size=len(pending),
            )
        told = [self._events.told(one) for one in pending]
        after, version = state, 0 if state is None else state.version
        for event in told:
            version += 1
            after = self._followed(after, Recorded(0, key, version, context.now, event))
        if after is not None:
            attributes = self._states.attributes_of(aggregate)
            different = differing(attributes, after.attributes)
            if different is not None:
                # NaN does not equal itself, so it may be the difference: this refuses it.
                require_finite(attributes, f"the {self._one}")
                raise CannotKeepError(
                    f"{self._anatomy.where}: the attribute {different} is not what its events make of it."
                    " Attributes are changed by events alone, and the same each time: by what the event has,"
                    " not by the clock, by chance or by anything outside"
                )
            self._states.require_keepable(after, self._one)
            self._row(after, version, 0)
        return Decision(events=tuple((key, event) for event in told))

    def _followed(self, state: LibraryState | None, recorded: Recorded) -> LibraryState | None:
        try:
            return self.evolve(state, recorded)
        except Exception as error:
            # No refusal: the method has accepted the command.
            raise CannotKeepError(
                f"{self._anatomy.where}: {type(recorded.event).__name__} cannot be applied as it is told:"
                f" {error!r}"
            ) from error


def _arguments(command: msgspec.Struct, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(command, name) for name in names if name != KEY}


def _message(error: Exception, one: str) -> str:
    """The message of an exception as one text; a general sentence if it has none."""
    match error.args:
        case (str(text),) if text:
            said = text
        case ():
            said = f"the rules of this {one} do not allow it"
        case _:
            said = f"{snake(type(error).__name__).replace('_', ' ')}: {error}"
    return said[:MAXIMUM_MESSAGE_CHARACTERS]
