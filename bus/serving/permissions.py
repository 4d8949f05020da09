"""The commands and queries that a user of limited rights may send. The broker says which user sends.

Keys are checked here, since they are in the body: every key that a command names, of any aggregate, has to be
the user's. The name of a queue does not count, unless the command is about the queue itself: queues are
shared, and a worker that claims from one gets only jobs of its own keys (`bus.writing.group_context`).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.rights import Principal, Rights
from domain.decider import Verb
from domain.errors import Forbidden
from domain.jobs.commands import CallBudget
from domain.limiting import limit_keys
from domain.messages import KEY_PATTERN
from domain.rate_limits.messages import key_of as limit_key

# Fields of our own commands that have the form of a key, but name nothing that belongs to a user.
_NOT_OWNED = frozenset({"queue", "reservation"})
_OURS = "domain."
_GRANTED = "an operator grants it: `hyperpage user create` says how"

_Finder = Callable[[Any], Iterator[str]]
_Parts = Callable[[Any], Iterable[Any]]


def require_may_send(principal: Principal, name: str, verb: Verb, command: Any) -> None:
    """Returns if the principal may send a command.

    Raises:
        Forbidden: the verb or a key is not the principal's.
    """
    rights = principal.rights
    if rights.is_everything:
        return
    if not rights.may_send(name):
        raise Forbidden(f"{principal.name} may not send {name}", hint=_GRANTED)
    # A verb that finds what it is about looks among the user's keys alone: the writer passes over all others.
    if not rights.keys or verb.finds:
        return
    key = None if verb.key is None else verb.key(command)
    for one in (*(() if key is None else (key,)), *_named_keys(command)):
        if not rights.has_key(one):
            beginnings = " or ".join(rights.keys)
            raise Forbidden(
                f"{one[:100]} is not a key of {principal.name}", hint=f"its keys begin with {beginnings}"
            )


def require_may_read(rights: Rights, table: str) -> None:
    """Returns if a table may be read.

    Raises:
        Forbidden: it may not.
    """
    if not rights.may_read(table):
        raise Forbidden(f"{table} is not for this user to read", hint=_GRANTED)


def limited(
    table: str, answer: Callable[[Any, Any], bytes], key_of: Callable[[Any], str] | None = None
) -> Callable[[Any, Any, Rights], bytes]:
    """A query's answer for users of limited rights: only of a table, and about a key, that they may read.

    Without `key_of`, the query is about many keys, and needs the right to read the whole table.
    """

    def answer_within(connection: Any, query: Any, rights: Rights) -> bytes:
        require_may_read(rights, table)
        if rights.keys and key_of is None:
            raise Forbidden(f"this is about keys of {table} that are not this user's")
        if key_of is not None and not rights.has_key(key_of(query)):
            raise Forbidden(f"{key_of(query)[:100]} is not a key of this user")
        return answer(connection, query)

    return answer_within


def _named_keys(command: Any) -> Iterator[str]:
    shape: Any = type(command)
    for find in _finders(shape):
        yield from find(command)


@cache
def _finders(shape: Any) -> tuple[_Finder, ...]:
    """A finder for each field of a struct that holds keys, recognised by the pattern of keys."""
    described = inspect.type_info(shape)
    assert isinstance(described, inspect.StructType)
    is_ours = shape.__module__.startswith(_OURS)
    left_out = _NOT_OWNED if is_ours else frozenset()
    found = tuple(
        _in_field(field.name, find)
        for field in described.fields
        if field.name not in left_out and (find := _finder(field.type)) is not None
    )
    if is_ours and {"type", "concurrency", "rate"}.issubset(shape.__struct_fields__):
        # A job that counts for a key takes one of the key's places, so other users' jobs wait for it. The key
        # may be the one of its type.
        return (*found, lambda value: iter(limit_keys(value)))
    return found


def _in_field(name: str, find: _Finder) -> _Finder:
    def found(value: Any) -> Iterator[str]:
        held = getattr(value, name)
        if held is not None and held is not msgspec.UNSET:
            yield from find(held)

    return found


def _finder(kind: inspect.Type) -> _Finder | None:
    """A finder of the keys in a value of a type; it finds nothing in values of other types."""
    match kind:
        case inspect.Metadata(type=described):
            return _finder(described)
        case inspect.StrType(pattern=pattern) if pattern == KEY_PATTERN:
            return lambda value: iter((value,) if isinstance(value, str) else ())
        case inspect.StructType(cls=cls) if cls is CallBudget:
            # A job that draws on a limit takes calls from the other users of that limit.
            return lambda value: iter((limit_key(value),))
        case inspect.StructType(cls=cls):
            # Its finders are looked up when there is a value: a struct may hold structs of its own type.
            return lambda value: _in_struct(value, cls)
        case inspect.UnionType(types=types):
            return _found_in(*((one, lambda value: (value,)) for one in types))
        case inspect.DictType(key_type=key, value_type=held):
            return _found_in((key, _only(dict, dict.keys)), (held, _only(dict, dict.values)))
        case inspect.TupleType(item_types=items):
            parts = (_only(tuple, itemgetter(slice(place, place + 1))) for place in range(len(items)))
            return _found_in(*zip(items, parts, strict=True))
        case inspect.CollectionType(item_type=item):
            return _found_in((item, _only(list | tuple | set | frozenset, iter)))
    return None


def _in_struct(value: Any, cls: Any) -> Iterator[str]:
    if isinstance(value, cls):
        for find in _finders(cls):
            yield from find(value)


def _only(kind: Any, parts: _Parts) -> _Parts:
    """`parts`, for values of that type alone: a value of another type of the same union has none."""
    return lambda value: parts(value) if isinstance(value, kind) else ()


def _found_in(*places: tuple[inspect.Type, _Parts]) -> _Finder | None:
    """A finder of the keys in parts of a value, each with the type of the part."""
    known = [(find, parts) for kind, parts in places if (find := _finder(kind)) is not None]
    if not known:
        return None
    return lambda value: (key for find, parts in known for part in parts(value) for key in find(part))
