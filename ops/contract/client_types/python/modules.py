"""The modules of the Python client that are made from our own aggregates."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from bus.contract.log_answers import EventPage
from bus.serving.queries.reading import QueryVerb
from domain.catalogue import COMMANDS
from domain.component_names import component_name
from domain.decider import Verb
from ops.contract.client_types.python.shapes import (
    Struct,
    answer,
    closed,
    closed_sets,
    command,
    part_of_command,
    structs_in,
)
from ops.contract.client_types.python.tables import commands_of, in_threads, queries_of
from ops.contract.client_types.python.types import NAMED
from ops.contract.queries import query_verbs
from projections.table import Count

MADE = "Made by `make client`."
SHARED = "answers/shared.py"
# Imports that a module does not need are removed later.
IMPORTS = (
    "from collections.abc import AsyncIterator, Sequence",
    "from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Unpack",
    "import msgspec",
)


def modules() -> dict[str, list[str]]:
    """The lines of each made module, by its path in the package; it imports more than it needs."""
    verbs = _by_table(COMMANDS)
    queries = _by_table(query_verbs(lambda *_: None, lambda: 0))
    tables = [*queries]
    made: dict[str, Iterable[str]] = {"commands/fields.py": _fields()}
    for table, of_table in verbs.items():
        made[f"commands/{table}.py"] = _commands(table, of_table)
    shapes = {table: _answers_of(verbs.get(table, {}), queries[table]) for table in tables}
    uses = Counter(shape for of_table in shapes.values() for shape in of_table)
    shared = [shape for shape in uses if uses[shape] > 1]
    made[SHARED] = _answers("many tables", shared, ())
    for table in tables:
        own = [shape for shape in shapes[table] if uses[shape] == 1]
        if own:
            made[f"answers/{table}.py"] = _answers(f"`{table}`", own, shared)
        made[f"queries/{table}.py"] = _queries(table, queries[table], own, shared)
        made[f"tables/{table}.py"] = _table(table, verbs.get(table, {}), own)
    made["sync/tables.py"] = _in_threads(tables, verbs, queries)
    return {path: list(lines) for path, lines in made.items()}


def _by_table(named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, one in named.items():
        found.setdefault(name.partition(".")[0], {})[name] = one
    return found


def _fields() -> Iterator[str]:
    yield f'"""The types of fields that many commands have. {MADE}"""'
    yield from IMPORTS
    for name, kind in NAMED.items():
        held, *bounds = get_args(kind)
        yield f"{name} = Annotated[{held.__name__}, {', '.join(map(repr, bounds))}]"


def _commands(table: str, verbs: Mapping[str, Verb]) -> Iterator[str]:
    yield f'"""The commands of `{table}`. {MADE}"""'
    yield from IMPORTS
    yield f"from hyperpage_client.commands.fields import {', '.join(NAMED)}"
    yield "from hyperpage_client.contract.commands import Command"
    within: dict[Struct, None] = {}
    for verb in verbs.values():
        structs_in(verb.command, within)
    for shape in within:
        yield from part_of_command(shape)
    for name, verb in verbs.items():
        yield from command(verb.command, name)


def _answers_of(verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb]) -> dict[Struct, None]:
    """The structs that a table's results and answers are made of."""
    found: dict[Struct, None] = {}
    for verb in verbs.values():
        structs_in(verb.result, found)
    for query in queries.values():
        if query.gives is not EventPage:
            structs_in(query.gives, found)
    # The client itself decodes pages of rows.
    return {shape: None for shape in found if not shape.__name__.endswith("Page")} | {Count: None}


def _answers(of_what: str, shapes: Sequence[Struct], shared: Iterable[Struct]) -> Iterator[str]:
    yield f'"""Rows, results and answers of {of_what}. {MADE}"""'
    yield from IMPORTS
    yield "from hyperpage_client.following.change_events import ChangeEvent"
    if names := _names(shared):
        yield f"from hyperpage_client.answers.shared import {names}"
    words = closed_sets(shapes)
    yield from closed(words)
    for shape in shapes:
        yield from answer(shape, words)


def _queries(
    table: str, verbs: Mapping[str, QueryVerb], own: Iterable[Struct], shared: Iterable[Struct]
) -> Iterator[str]:
    yield f'"""The queries of `{table}`. {MADE}"""'
    yield from IMPORTS
    yield "from hyperpage_client.following.change_events import ChangeEvent"
    yield "from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given"
    yield f"from hyperpage_client.answers.shared import {_names(shared)}"
    if names := _names(own, closed_sets(own).values()):
        yield f"from hyperpage_client.answers.{table} import {names}"
    yield from queries_of(table, verbs, closed_sets(own))


def _table(table: str, verbs: Mapping[str, Verb], own: Iterable[Struct]) -> Iterator[str]:
    yield f'"""The table `{table}`. {MADE}"""'
    yield from IMPORTS
    yield "from hyperpage_client.queries.table import Answer, Sent, SentToAny"
    yield f"from hyperpage_client.queries.{table} import {component_name(table)}Queries"
    if names := _names(own, closed_sets(own).values()):
        yield f"from hyperpage_client.answers.{table} import {names}"
    parts: dict[Struct, None] = {}
    for verb in verbs.values():
        structs_in(verb.command, parts)
    if verbs:
        yield f"from hyperpage_client.commands import {table} as commands"
    if names := _names(parts):
        yield f"from hyperpage_client.commands.{table} import {names}"
    yield from commands_of(table, verbs, closed_sets(own))


def _in_threads(
    tables: Iterable[str],
    verbs: Mapping[str, Mapping[str, Verb]],
    queries: Mapping[str, Mapping[str, QueryVerb]],
) -> Iterator[str]:
    yield f'"""The tables, for programs without an event loop. {MADE}"""'
    yield f"from hyperpage_client.tables import {', '.join(tables)}"
    yield "from hyperpage_client.sync.portal import Table, asked, iterated"
    for table in tables:
        yield from in_threads(table, verbs.get(table, {}), queries[table])


def _names(shapes: Iterable[Struct], words: Iterable[str] = ()) -> str:
    return ", ".join(sorted([*(shape.__name__ for shape in shapes), *words]))
