"""The events and refusals that calling a method may lead to, as far as the names in its code tell."""

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import msgspec

from domain.errors import Refusal
from domain.installed.library.anatomy import Anatomy, decorator_of, event_name_of, functions_of
from domain.installed.library.names import snake

# Raised by Python itself for a value that does not fit, so a method need not name them.
_ANYWHERE = ("assertion_error", "value_error")


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the events that may be triggered, the rules that may be broken, and whether it creates."""

    creates: bool
    events: frozenset[str]
    rules: tuple[str, ...]


def reach_of(anatomy: Anatomy, function: FunctionType, own_event: str | None = None) -> Reach:
    """The reach of a method by its own code, and by the code that it calls in its class and its package.

    `own_event` is the event that it is decorated with.
    """
    events = set() if own_event is None else {own_event}
    exceptions: set[type] = set()
    triggers, creates = own_event is not None, False
    for names, found in _walk(anatomy, function):
        creates = creates or "_create" in names
        triggers = triggers or creates or "trigger_event" in names
        events |= {name for name in names if name in anatomy.events}
        for name in names:
            decorator = decorator_of(anatomy.members.get(name, (None, None))[1])
            if decorator is not None and name != "__init__":
                triggers = True
                events.add(event_name_of(decorator))
        exceptions |= {one for one in found if isinstance(one, type) and is_refusal(anatomy.kind, one)}
    if triggers and not events:
        # Its code does not name the event that it triggers, so it may be any.
        events = set(anatomy.events)
    return Reach(
        creates=creates,
        events=frozenset(events) if triggers else frozenset(),
        rules=tuple(sorted({*_ANYWHERE, *(snake(one.__name__) for one in exceptions)})),
    )


def is_refusal(kind: type, error: type) -> bool:
    """Whether an exception is a refusal by the aggregate, and not a defect."""
    if not issubclass(error, Exception) or issubclass(error, Refusal):
        return False
    return issubclass(error, ValueError | AssertionError) or _package(error) == _package(kind)


def _package(kind: Any) -> str:
    name: str = kind.__module__
    return name.partition(".")[0]


def _walk(anatomy: Anatomy, function: FunctionType) -> Iterator[tuple[set[str], list[Any]]]:
    """For each function that is reached: the names in its code, and the objects that they stand for."""
    waiting, seen = [function], set[CodeType]()
    while waiting:
        one = waiting.pop()
        if one.__code__ in seen:
            continue
        seen.add(one.__code__)
        names = set(_names_in(one.__code__))
        found = [one.__globals__[name] for name in names if name in one.__globals__]
        modules = [each for each in found if isinstance(each, ModuleType)]
        found += [vars(each)[name] for each in modules for name in names if name in vars(each)]
        yield names, found
        for name in names & anatomy.members.keys():
            waiting += functions_of(anatomy.members[name][1])
        for name in names & anatomy.events.keys():
            waiting += _mutators(anatomy.events[name])
        waiting += [
            each
            for each in found
            if isinstance(each, FunctionType) and _package(each) == _package(anatomy.kind)
        ]


def _mutators(event_class: type) -> Iterator[FunctionType]:
    for name in ("apply", "mutate"):
        method: Callable[..., Any] = getattr(event_class, name)
        if isinstance(method, FunctionType) and not method.__module__.startswith("eventsourcing."):
            yield method


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
