"""The verbs of a class: which of its methods become verbs, and under which names."""

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import FunctionType
from typing import Any

import msgspec

from domain.decider import Verb
from domain.errors import AlreadyExists, NotFound, TooLarge
from domain.installed.error import AggregateError
from domain.installed.library.anatomy import (
    Anatomy,
    create_id_parameters,
    decorator_of,
    event_name_of,
    functions_of,
    is_setter,
)
from domain.installed.library.commands import (
    KEY,
    Signature,
    UnusableError,
    cannot_bring,
    optional_key,
    required_key,
)
from domain.installed.library.deciding import Decide, Deciding
from domain.installed.library.events import Events
from domain.installed.library.identity import derived_key
from domain.installed.library.names import snake
from domain.installed.library.reach import Reach, reach_of

INIT = "__init__"
# An attribute of the class: other names for its verbs, or none.
CHOICES = "hyperpage_verbs"
_VERB = re.compile(r"[a-z][a-z0-9_]{0,47}")
_Key = Callable[[Any], str | None]


class Verbs:
    """The verbs of one class, and the methods that trigger events but cannot be verbs."""

    def __init__(self, anatomy: Anatomy) -> None:
        self._anatomy = anatomy
        self._choices: Mapping[str, str | None] = getattr(anatomy.kind, CHOICES, {})
        self._reaches: dict[str, Reach] = {}
        self._creating: dict[str, FunctionType | None] = {}
        for name, (_, member) in anatomy.members.items():
            if isinstance(member, classmethod) and not name.startswith("_"):
                for one in functions_of(member):
                    if (reach := reach_of(anatomy, one)).creates:
                        self._creating[name], self._reaches[name] = one, reach
        self._changing = {
            name: (member, function)
            for name, (_, member) in anatomy.members.items()
            if not name.startswith("_") and (function := _called(member)) is not None
        }
        for name, (member, function) in self._changing.items():
            decorator = decorator_of(member)
            own_event = None if decorator is None else event_name_of(decorator)
            self._reaches[name] = reach_of(anatomy, function, own_event)
        self.left_out: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for name in self._choices:
            if name != INIT and name not in self._reaches:
                raise AggregateError(
                    f"{anatomy.where}.{CHOICES}",
                    f"{name} is no method that could be a verb",
                    hint=f"it has {', '.join(sorted(self._reaches))}",
                )

    @property
    def events_named(self) -> set[str]:
        """The names of all events that a method may trigger."""
        return {name for reach in self._reaches.values() for name in reach.events}

    def made(self, deciding: Deciding, events: Events) -> tuple[Verb, ...]:
        """All verbs, creating ones first."""
        verbs = list(self._creating_verbs(deciding, events))
        if not verbs:
            raise AggregateError(
                self._anatomy.where,
                "no verb creates one",
                hint=f"have a class method that calls cls._create(…), or let {CHOICES} have {INIT}",
            )
        for name, (member, function) in self._changing.items():
            if not self._reaches[name].events:
                continue
            setter = decorator_of(member) is not None and is_setter(member)
            if (verb := self._verb_name(name, f"set_{name}" if setter else name)) is None:
                continue
            signature = Signature(self._anatomy, function, f"{self._anatomy.where}.{name}")
            try:
                command = signature.command(verb, _doc(signature, verb), required_key())
            except UnusableError as error:
                if decorator_of(member) is not None:
                    raise cannot_bring(f"{self._anatomy.where}.{name}", error, name) from None
                self.left_out[name] = str(error)
                continue
            decide = deciding.changing(name, signature.names, is_setter=setter)
            verbs.append(_verb(verb, command, attrgetter(KEY), decide, self._reaches[name], events, NotFound))
        return tuple(verbs)

    def _creating_verbs(self, deciding: Deciding, events: Events) -> list[Verb]:
        calling = self._anatomy.made_by_calling
        event_name = calling[0] if len(calling) == 1 else None
        ways = self._creating
        if not ways:
            if event_name is None:
                raise AggregateError(
                    self._anatomy.where,
                    f"calling it may make each of {', '.join(calling)}",
                    hint='decorate __init__ with @event("Name"), or have class methods call cls._create(…)',
                )
            ways = {INIT: None}
        verbs = []
        for name, function in ways.items():
            if (verb := self._verb_name(name, "create" if name == INIT else name)) is None:
                continue
            where = f"{self._anatomy.where}.{name}"
            signature = Signature(self._anatomy, function or self._anatomy.kind.__init__, where)
            key, field = self._key(signature, where)
            try:
                doc = self._creating_doc(name, signature)
                command = signature.command(verb, doc, field, takes_own_key=True)
            except UnusableError as error:
                raise cannot_bring(where, error, name) from None
            reach = self._reaches[name] if function is not None else self._reach_of_init(event_name)
            decide = deciding.creating(function, event_name, signature.names)
            made = _verb(verb, command, key, decide, reach, events, AlreadyExists)
            # `POST` to the table stands for one verb.
            verbs.append(msgspec.structs.replace(made, method="POST") if len(ways) == 1 else made)
        return verbs

    def _key(self, signature: Signature, where: str) -> tuple[_Key, Any]:
        """The function from a creating command to its key, and the field of the key, or `None`."""
        derived_from = create_id_parameters(self._anatomy)
        if not derived_from:
            return attrgetter(KEY), optional_key()
        if missing := [name for name in derived_from if name not in signature.names]:
            raise AggregateError(
                where,
                f"the id follows from {', '.join(missing)} (create_id), which it does not take",
                hint="let both have the same parameters",
            )
        create_id = self._anatomy.kind.create_id
        return lambda command: derived_key(
            create_id, {name: getattr(command, name) for name in derived_from}
        ), None

    def _reach_of_init(self, event_name: str | None) -> Reach:
        functions = [*functions_of(self._anatomy.members.get(INIT, (None, None))[1])]
        rules = [rule for one in functions for rule in reach_of(self._anatomy, one).rules]
        return Reach(
            creates=True,
            events=frozenset((event_name,) if event_name else ()),
            rules=tuple(sorted({"assertion_error", "value_error", *rules})),
        )

    def _verb_name(self, name: str, usual: str) -> str | None:
        verb = self._choices.get(name, snake(usual))
        if not verb:
            return None
        where = f"{self._anatomy.where}.{name}"
        if _VERB.fullmatch(verb) is None:
            raise AggregateError(
                where,
                f"{verb!r} is no name of a verb",
                hint=f"a verb has up to 48 lower-case letters, digits and underscores: see {CHOICES}",
            )
        if (other := self._names.setdefault(verb, name)) != name:
            raise AggregateError(
                where, f"{other} is the verb {verb}, too", hint=f"{CHOICES} gives one of them another name"
            )
        return verb

    def _creating_doc(self, name: str, signature: Signature) -> str:
        kind = self._anatomy.kind
        if name != INIT:
            return _doc(signature, name)
        own = kind.__doc__ or ""
        # `dataclass` makes a docstring for a class that has none: it is not used.
        return own if own and not own.startswith(f"{kind.__name__}(") else f"A new {snake(kind.__name__)}."


def _called(member: Any) -> FunctionType | None:
    """The function behind a public member; `None` if the member can neither be called nor set."""
    if (decorator := decorator_of(member)) is not None:
        (function,) = functions_of(decorator.decorated_func)
        return function
    if isinstance(member, FunctionType) and not member.__code__.co_flags & _NOT_AT_ONCE:
        return member
    return None


# The flags of generators' and coroutines' code (`inspect.CO_GENERATOR` and its like).
_NOT_AT_ONCE = 0x20 | 0x80 | 0x200


def _doc(signature: Signature, verb: str) -> str:
    return signature.doc or f"{verb.replace('_', ' ').capitalize()}."


def _verb(
    name: str, command: Any, key: _Key, decide: Decide, reach: Reach, events: Events, usual: Any
) -> Verb:
    return Verb(
        name=name,
        command=command,
        key=key,
        decide=decide,
        events=events.structs(reach.events),
        refusals=(usual, TooLarge),
        rules=reach.rules,
    )
