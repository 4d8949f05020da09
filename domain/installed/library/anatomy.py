"""The parts of a class of the library: its events, and its decorated methods.

This is the one module that knows the library. It relies on what the library documents: event classes are
attributes of the aggregate class, named as in the decorator; `_create` and `trigger_event` take a `timestamp`
beside the event's own values; `create_id` may be overridden. It also relies on what the library's own mapper
and snapshots do: an event or an aggregate is all in its `__dict__`. A test checks each of these
(`tests/unit/domain/installed/library/test_anatomy.py`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import FunctionType
from typing import Any

from eventsourcing.domain import (
    Aggregate,
    CanInitAggregate,
    CanMutateAggregate,
    CommandMethodDecorator,
)
from eventsourcing.utils import get_topic

from domain.installed.error import AggregateError

# The fields that every event has beside its own.
ENVELOPE = frozenset({"originator_id", "originator_version", "timestamp", "originator_topic"})
# The attributes in which the library keeps its own values about an aggregate.
OWN_ATTRIBUTES = frozenset({"_id", "_version", "_created_on", "_modified_on", "_pending_events"})


class Anatomy:
    """The parts of an aggregate class. Names are looked up in the class as Python does."""

    def __init__(self, kind: type) -> None:
        if not issubclass(kind, Aggregate):
            raise AggregateError(
                f"{kind.__module__}.{kind.__qualname__}",
                "it is no Aggregate",
                hint="derive it from eventsourcing.domain.Aggregate",
            )
        self.kind: Any = kind
        self.where = f"{kind.__module__}.{kind.__qualname__}"
        # The classes that are not the library's; bases first.
        self.own_classes = tuple(one for one in reversed(kind.__mro__) if _is_own(one))
        self.topic: str = get_topic(kind)
        if any(_is_copied(one) for one in self.own_classes):
            raise AggregateError(
                self.where,
                "it was made an aggregate by a decorator, and its objects do not show what they hold",
                hint="derive it from eventsourcing.domain.Aggregate",
            )
        self.first_version: int = self.kind.INITIAL_VERSION
        self.class_version: int = getattr(kind, "class_version", 1)

    @cached_property
    def members(self) -> dict[str, tuple[type, Any]]:
        """The members of the class by name, each with the class that defines it."""
        return {name: (one, value) for one in self.own_classes for name, value in vars(one).items()}

    @cached_property
    def events(self) -> dict[str, type]:
        """The classes of all events that may come, by name."""
        found: dict[str, type] = {}
        members: dict[str, Any] = dict(vars(self.kind))
        for name, value in members.items():
            if not isinstance(value, type) or not issubclass(value, CanMutateAggregate) or name == "Event":
                continue
            if not hasattr(value, "__dataclass_fields__"):
                raise AggregateError(
                    f"{self.where}.{name}",
                    "it is no dataclass, as the library's own events are",
                    hint="derive it from Aggregate.Event",
                )
            found[name] = value
        for name, (owner, value) in self.members.items():
            # An inherited method makes the events of the class that defines it.
            if (decorator := decorator_of(value)) is not None and name != "__init__":
                event_name = event_name_of(decorator)
                found[event_name] = vars(owner)[event_name]
        return found

    @cached_property
    def made_by_calling(self) -> list[str]:
        """The names of the events that calling the class may make: one, unless it is ambiguous."""
        decorator = decorator_of(self.members.get("__init__", (None, None))[1])
        if decorator is not None:
            return [event_name_of(decorator)]
        creating = [name for name, one in self.events.items() if issubclass(one, CanInitAggregate)]
        # The library gives each class a `Created` of its own, even where the class has another creating
        # event.
        return [name for name in creating if not self._is_inherited(name)] or creating

    def is_creation(self, event_class: type) -> bool:
        return issubclass(event_class, CanInitAggregate)

    def never_comes(self, name: str) -> bool:
        """Whether an event is there only because the library gives one to each class."""
        return self._is_inherited(name) and name not in self.made_by_calling

    def _is_inherited(self, name: str) -> bool:
        event_class = self.events[name]
        return event_class.__bases__[0] is self.kind.Event and not own_fields(event_class)


def own_fields(event_class: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of an event without those that all events have."""
    return {one.name: one for one in dataclasses.fields(event_class) if one.name not in ENVELOPE}


def decorator_of(member: Any) -> CommandMethodDecorator | None:
    """The `@event` on a method or on the setter of a property; `None` without one."""
    if isinstance(member, property):
        # `@name.setter` above `@event`.
        setter: Any = member.fset
        return setter if isinstance(setter, CommandMethodDecorator) else None
    return member if isinstance(member, CommandMethodDecorator) else None


def is_setter(member: Any) -> bool:
    """Whether a decorated member is a property."""
    return isinstance(member, property) or decorator_of(member).decorated_property is not None  # type: ignore[union-attr]


def event_name_of(decorator: CommandMethodDecorator) -> str:
    given = decorator.given_event_cls
    name = decorator.event_cls_name if given is None else given.__name__
    assert name is not None
    return name


def functions_of(member: Any) -> Iterator[FunctionType]:
    """The functions that a member of a class consists of."""
    if (decorator := decorator_of(member)) is not None:
        yield from functions_of(decorator.decorated_func)
    if isinstance(member, FunctionType):
        yield member
    elif isinstance(member, classmethod | staticmethod):
        yield from functions_of(member.__func__)
    elif isinstance(member, property):
        for one in (member.fget, member.fset):
            yield from functions_of(one)


def create_id_parameters(anatomy: Anatomy) -> tuple[str, ...]:
    """The parameters of the class's own `create_id`, which ids are made of; none without such a method."""
    found = anatomy.members.get("create_id")
    if found is None:
        return ()
    (function,) = functions_of(found[1])
    names = function.__code__.co_varnames[
        : function.__code__.co_argcount + function.__code__.co_kwonlyargcount
    ]
    return names[1:] if isinstance(found[1], classmethod) else names


def revived(kind: Any, attributes: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """An aggregate with these attributes, as the library makes one of a snapshot."""
    aggregate = object.__new__(kind)
    aggregate.__dict__ = {**own, "_pending_events": [], **attributes}
    return aggregate


def _is_copied(kind: type) -> bool:
    """Whether a class has the `__dict__` descriptor of another one, as the library's `aggregate` gives it."""
    way = vars(kind).get("__dict__")
    return way is not None and way.__objclass__ is not kind


def _is_own(kind: type) -> bool:
    return kind is not object and kind.__module__.partition(".")[0] not in ("eventsourcing", "typing", "abc")
