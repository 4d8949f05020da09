"""The tables of installed aggregates, with their commands, queries and events, in plain types for clients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin

import msgspec

from bus.serving.queries.reading import QueryVerb
from domain.catalogue import BY_TABLE, COMMANDS, INSTALLED
from domain.component_names import component_name
from domain.decider import Verb
from domain.messages import Command
from ops.contract.client_types.plain import Plain, Struct
from ops.contract.queries import query_verbs
from projections.table import RowPage


class UnknownTableError(LookupError):
    """There is no such table, or it is the service's own; `hint` says which tables there are."""

    def __init__(self, table: str | None, known: Sequence[str]) -> None:
        if table is None:
            message = "no package brings a table"
        elif table in BY_TABLE:
            message = f"{table} is a table of the service itself, whose types come with the client"
        else:
            message = f"no package brings a table {table}"
        super().__init__(message)
        there_are = f"there is {', '.join(known)}; others" if known else "they"
        self.hint = f"{there_are} have to be installed beside this program, or named by `--aggregates`"


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """One table: its commands, queries and types of events by name. `title` is the name of its class."""

    name: str
    title: str
    verbs: Mapping[str, Verb]
    queries: Mapping[str, QueryVerb]
    events: Mapping[str, Struct]


def brought(
    names: Sequence[str], taken: Iterable[str], query_name: Callable[[str], str]
) -> tuple[Brought, ...]:
    """These tables, or all of them if none is named. Each struct has a unique name.

    Commands have the names of the contract, as `BasketsAddItem`; `query_name` makes the names of queries.
    Names in `taken` are not used.

    Raises:
        UnknownTableError: there is no such table, or it is the service's own.
    """
    known = [one.decider.table for one in INSTALLED]
    if unknown := [name for name in names if name not in known]:
        raise UnknownTableError(unknown[0], known)
    if not known:
        raise UnknownTableError(None, known)
    tables = [name for name in known if name in names or not names]
    plain = Plain(taken)
    queries, verbs = _of_tables(query_verbs(lambda *_: None, lambda: 0), tables), _of_tables(COMMANDS, tables)
    # The classes that programs use most get their names first.
    titles = {table: _title(table, plain) for table in tables}
    bodies = {name: plain.name(component_name(name), "Command") for of in verbs.values() for name in of}
    # Answers get their names before commands: programs read rows more often than they send structs, so a
    # struct that is in both has its plain name in the row.
    answered = {table: _answered(table, queries[table], plain, query_name) for table in tables}
    sent = {table: _sent(table, verbs.get(table, {}), bodies, plain) for table in tables}
    return tuple(
        Brought(
            name=table,
            title=titles[table],
            verbs=sent[table],
            queries=answered[table],
            events={
                name: plain.message(kind, plain.name(component_name(name), "EventOf"), is_sent=False)
                for name, kind in BY_TABLE[table].events.items()
            },
        )
        for table in tables
    )


def _title(table: str, plain: Plain) -> str:
    title = plain.name(component_name(table), "TableOf")
    plain.name(f"Sync{title}")
    return title


def _of_tables(named: Mapping[str, Any], tables: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, one in named.items():
        table = name.partition(".")[0]
        if table in tables:
            found.setdefault(table, {})[name] = one
    return found


def _answered(
    table: str, queries: Mapping[str, QueryVerb], plain: Plain, query_name: Callable[[str], str]
) -> dict[str, QueryVerb]:
    before = component_name(table)
    found: dict[str, QueryVerb] = {}
    for name, query in queries.items():
        gives = query.gives
        page: Any = RowPage
        if get_origin(gives) is RowPage:
            gives = page[plain.kind(get_args(gives)[0], before, is_sent=False)]
        elif name.endswith((".get", ".as_of")):
            gives = plain.kind(gives, before, is_sent=False)
        shape = plain.message(query.shape, plain.name(query_name(name)), is_sent=True)
        found[name] = msgspec.structs.replace(query, shape=shape, gives=gives)
    return found


def _sent(table: str, verbs: Mapping[str, Verb], bodies: Mapping[str, str], plain: Plain) -> dict[str, Verb]:
    before = component_name(table)
    return {
        name: msgspec.structs.replace(
            verb,
            command=plain.message(verb.command, bodies[name], is_sent=True, bases=(Command,)),
            result=None if verb.result is None else plain.kind(verb.result, before, is_sent=False),
        )
        for name, verb in verbs.items()
    }
